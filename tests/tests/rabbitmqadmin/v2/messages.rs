//! Messages in and out.

use super::Admin;

fn payloads(admin: &Admin, line: &str) -> Vec<String> {
    admin.rows(line).iter().map(|row| row["payload"].clone()).collect()
}

#[test]
fn messages_are_published_got_and_purged() {
    let admin = Admin::start();
    admin.run("queues declare --name q");
    for payload in ["one", "two"] {
        let text = admin.run(&format!("publish message --routing-key q --payload {payload}"));
        assert!(text.contains("Message published and routed successfully"), "{text}");
    }
    admin.run(r#"publish message -e amq.direct -k none -m x -p {"delivery_mode":2}"#);
    let outcome =
        admin.outcome_with("publish message --routing-key q --payload-file -", "three lines\nfrom a pipe\n");
    assert_eq!(outcome.code, Some(0), "{}", outcome.error);
    assert_eq!(admin.row("queues show --name q")["message_count"], "3");

    assert_eq!(
        payloads(&admin, "get messages --queue q --count 2 --ack-mode ack_requeue_true"),
        ["one", "two"]
    );
    assert_eq!(payloads(&admin, "get messages --queue q"), ["one"]);
    let rows = admin.rows("get messages --queue q --count 10 --ack-mode reject_requeue_true");
    assert_eq!((&*rows[0]["payload"], &*rows[0]["redelivered"]), ("two", "true"));
    assert_eq!((&*rows[1]["payload_bytes"], &*rows[1]["payload_encoding"]), ("24", "string"));
    for purge in ["purge queue --name q", "queues purge --name q"] {
        admin.run("publish message --routing-key q");
        admin.run(purge);
        assert_eq!(admin.row("queues show --name q")["message_count"], "0");
    }
    assert!(payloads(&admin, "get messages --queue q").is_empty());
    admin.missing("get messages --queue none");
}

#[test]
fn properties_go_along() {
    let admin = Admin::start();
    admin.run("queues declare --name q");
    let properties = r#"{"content_type":"text/plain","headers":{"n":1},"message_id":"m","priority":3}"#;
    admin.run(&format!("publish message -k q -m hello -p {properties}"));
    let row = admin.row("get messages --queue q --ack-mode ack_requeue_false");
    for part in ["content_type: \"text/plain\"", "message_id: \"m\"", "priority: 3"] {
        assert!(row["properties"].contains(part), "{part} in {row:?}");
    }
}
