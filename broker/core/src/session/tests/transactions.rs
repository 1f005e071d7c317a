//! Channels in tx mode.

use leveret_protocol::method::Method;
use leveret_protocol::properties::Properties;

use super::rig::*;
use crate::fault::Fault;
use crate::session::host::Ticket;

fn transactional() -> Client {
    let mut client = Client::on_channel();
    client.send(1, Method::TxSelect {});
    assert_eq!(client.received(), ["1 TxSelectOk"]);
    client
}

#[test]
fn publishes_and_acks_wait_for_the_commit() {
    let mut client = transactional();
    let consumer = client.consume("q", "c", false);
    client.deliver(consumer, 1..4);
    client.received();
    client.publish(1, "a", "one");
    client.send(1, Method::BasicAck { delivery_tag: 1, multiple: false });
    client.publish(1, "b", "two");
    client.send(1, Method::BasicNack { delivery_tag: 3, multiple: true, requeue: false });
    assert_eq!(client.asked(), ["check_publish", "flush", "check_publish", "flush"]);
    let info = client.connection.channels().next().unwrap();
    assert_eq!((info.messages_uncommitted, info.acks_uncommitted), (2, 3));

    client.send(1, Method::TxCommit {});
    assert_eq!(client.received(), ["1 TxCommitOk"]);
    assert_eq!(
        client.asked(),
        [
            r#"publish 1 #1 "" "a" one"#,
            r#"publish 1 #2 "" "b" two"#,
            "settle 1 q Ack [1..2]",
            "settle 1 q Reject [2..4]",
            "flush",
        ]
    );
    client.send(1, Method::TxCommit {});
    assert_eq!(client.received(), ["1 TxCommitOk"]);
}

#[test]
fn commit_ok_waits_for_the_disk() {
    let mut client = transactional();
    client.publish(1, "a", "one");
    client.host.after = Ticket(6);
    client.send(1, Method::TxCommit {});
    assert_eq!(client.received(), [""; 0]);
    assert_eq!(client.connection.awaited(), Some(Ticket(6)));
    client.connection.durable_advanced(Ticket(6));
    assert_eq!(client.received(), ["1 TxCommitOk"]);
}

#[test]
fn rollback_forgets_publishes_and_gives_deliveries_back_to_the_channel() {
    let mut client = transactional();
    let consumer = client.consume("q", "c", false);
    client.deliver(consumer, 1..4);
    client.publish(1, "a", "one");
    client.send_all(
        1,
        &[
            Method::BasicAck { delivery_tag: 3, multiple: false },
            Method::BasicAck { delivery_tag: 1, multiple: false },
        ],
    );
    client.received();
    client.asked();
    client.send(1, Method::TxRollback {});
    assert_eq!(client.received(), ["1 TxRollbackOk"]);
    client.send(1, Method::BasicAck { delivery_tag: 3, multiple: true });
    client.send(1, Method::TxCommit {});
    assert_eq!(client.asked(), ["settle 1 q Ack [1..4]", "flush"]);
}

#[test]
fn acks_in_a_transaction_cannot_be_repeated() {
    let mut client = transactional();
    let consumer = client.consume("q", "c", false);
    client.deliver(consumer, [1]);
    client.received();
    client.send(1, Method::BasicAck { delivery_tag: 1, multiple: false });
    client.send(1, Method::BasicAck { delivery_tag: 1, multiple: false });
    client.assert_closed(1, 406, "PRECONDITION_FAILED - unknown delivery tag 1", (60, 80));
}

#[test]
fn a_publish_that_cannot_be_is_refused_before_the_commit() {
    let mut client = transactional();
    client.host.refuse.insert("check_publish", Fault::not_found("no exchange 'x' in vhost '/'"));
    client.publish(1, "a", "one");
    client.assert_closed(1, 404, "NOT_FOUND - no exchange 'x' in vhost '/'", (60, 40));
}

#[test]
fn a_refused_message_fails_the_commit() {
    let mut client = transactional();
    client.publish(1, "a", "one");
    client.host.rejected = vec![];
    client.send(1, Method::TxCommit {});
    assert_eq!(client.received(), ["1 TxCommitOk"]);
    client.publish(1, "a", "two");
    client.host.rejected = vec![(1, 2)];
    client.send(1, Method::TxCommit {});
    client.assert_closed(1, 406, "PRECONDITION_FAILED - partial tx completion", (90, 20));
}

#[test]
fn mandatory_messages_come_back_at_the_commit() {
    let mut client = transactional();
    client.host.unroutable.insert("nowhere".into());
    let publish = publish_method("nowhere", true, false);
    client.send_bytes(&content_bytes(1, publish, &Properties::default(), b""));
    assert_eq!(client.received(), [""; 0]);
    client.send(1, Method::TxCommit {});
    let received = client.received();
    assert!(received[0].starts_with("1 BasicReturn"), "{received:?}");
    assert_eq!(received[2], "1 TxCommitOk");
}

#[test]
fn commit_and_rollback_need_a_transaction() {
    for (method, ids) in [(Method::TxCommit {}, (90, 20)), (Method::TxRollback {}, (90, 30))] {
        let mut client = Client::on_channel();
        client.send(1, method);
        client.assert_closed(1, 406, "PRECONDITION_FAILED - channel is not transactional", ids);
    }
}

#[test]
fn selecting_again_changes_nothing() {
    let mut client = transactional();
    client.publish(1, "a", "one");
    client.send(1, Method::TxSelect {});
    assert_eq!(client.received(), ["1 TxSelectOk"]);
    client.asked();
    client.send(1, Method::TxCommit {});
    assert_eq!(client.asked(), [r#"publish 1 #1 "" "a" one"#, "flush"]);
}
