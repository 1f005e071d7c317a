//! Connections with their channels and consumers.

use std::time::Duration;

use leveret_protocol::method::Method;
use leveret_tests::{RawClient, eventually};

use super::Admin;

const LIMIT: Duration = Duration::from_secs(20);

/// A client that consumes from a queue of its own on channel 1.
fn consumer(admin: &Admin) -> RawClient {
    let mut client = RawClient::open(admin.broker.amqp()).expect("connects");
    client.declare_queue("q", true).expect("declares");
    client.consume("q", 7, false).expect("consumes");
    client
}

#[test]
fn connections_channels_and_consumers_are_listed() {
    let admin = Admin::start();
    assert!(admin.rows("list connections").is_empty());
    let _client = consumer(&admin);
    // The list of channels is filled by what channels say of themselves, a little later.
    let channel =
        eventually(LIMIT, || admin.rows("channels list").pop().filter(|row| row["consumer_count"] == "1"));
    let channel = channel.expect("listed");
    assert_eq!((&*channel["id"], &*channel["vhost"], &*channel["state"]), ("1", "/", "running"));
    assert_eq!(admin.row("list channels")["name"], channel["name"]);
    let connection = admin.row("connections list");
    assert_eq!((&*connection["username"], &*connection["state"]), ("guest", "running"));
    assert!(connection["protocol"].contains("AMQP 0-9-1"), "{connection:?}");
    assert!(channel["name"].starts_with(&connection["name"]));
    let lists =
        ["list user_connections -u guest", "connections list_of_user -u guest", "users connections -u guest"];
    for list in ["list connections"].into_iter().chain(lists) {
        assert_eq!(admin.names(list), [connection["name"].clone()]);
    }
    assert_eq!(admin.row("list connections --page 1 --page-size 5")["name"], connection["name"]);
    assert_eq!(admin.rows("channels list --page 1 --page-size 5").len(), 1);
    let consumer = admin.row("list consumers");
    assert_eq!((&*consumer["prefetch_count"], &*consumer["manual_ack"]), ("7", "true"));
    assert!(consumer["queue"].contains('q'), "{consumer:?}");
    assert_eq!(admin.row("queues show --name q")["consumer_count"], "1");
}

#[test]
fn connections_are_closed_by_name_and_by_user() {
    let admin = Admin::start();
    let close: [fn(&str) -> String; 4] = [
        |name| format!("close connection --name '{name}'"),
        |name| format!("connections close --name '{name}'"),
        |_| "close user_connections --username guest".to_owned(),
        |_| "connections close_of_user --username guest".to_owned(),
    ];
    for close in close {
        let mut client = consumer(&admin);
        let name = admin.names("connections list").remove(0);
        admin.run(&close(&name));
        let (code, text) = client.expect_connection_close().expect("the client is told");
        assert_eq!(code, 320);
        assert!(text.contains("closed via rabbitmqadmin v2"), "{text}");
        client.send(0, &Method::ConnectionCloseOk {}).expect("sent");
        let gone = eventually(LIMIT, || admin.rows("connections list").is_empty().then_some(()));
        gone.expect("it is no longer listed");
    }
    admin.missing("connections close --name none");
    admin.run("connections close --name none --idempotently");
    admin.run("close connection --name none --idempotently");
}
