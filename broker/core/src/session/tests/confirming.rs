//! Publisher confirms.

use leveret_protocol::method::Method;
use leveret_protocol::properties::Properties;

use super::rig::*;
use crate::fault::Fault;
use crate::session::host::Ticket;

fn confirming() -> Client {
    let mut client = Client::on_channel();
    client.send(1, Method::ConfirmSelect { no_wait: false });
    assert_eq!(client.received(), ["1 ConfirmSelectOk"]);
    client
}

fn ack(channel: u16, delivery_tag: u64, multiple: bool) -> String {
    format!("{channel} BasicAck {{ delivery_tag: {delivery_tag}, multiple: {multiple} }}")
}

#[test]
fn numbering_starts_with_the_first_publish_after_select() {
    let mut client = Client::on_channel();
    client.publish(1, "q", "unconfirmed");
    client.send(1, Method::ConfirmSelect { no_wait: true });
    client.publish(1, "q", "one");
    client.send(1, Method::ConfirmSelect { no_wait: false });
    client.publish(1, "q", "two");
    assert_eq!(client.received(), [ack(1, 1, false), "1 ConfirmSelectOk".into(), ack(1, 2, false)]);
    let publishes: Vec<String> =
        client.asked().into_iter().filter(|asked| asked.starts_with("publish")).collect();
    assert_eq!(
        publishes,
        [r#"publish 1 "" "q" unconfirmed"#, r#"publish 1 #1 "" "q" one"#, r#"publish 1 #2 "" "q" two"#]
    );
}

#[test]
fn confirms_wait_for_the_disk_and_are_batched() {
    let mut client = confirming();
    client.host.after = Ticket(1);
    let one = publish_bytes(1, "q", &Properties::default(), b"x");
    client.send_bytes(&one.repeat(5));
    client.host.after = Ticket(2);
    client.send_bytes(&one);
    assert_eq!(client.received(), [""; 0]);
    assert_eq!(client.connection.awaited(), Some(Ticket(2)));
    client.connection.durable_advanced(Ticket(1));
    assert_eq!(client.received(), [ack(1, 5, true)]);
    client.connection.durable_advanced(Ticket(2));
    assert_eq!(client.received(), [ack(1, 6, false)]);
    assert_eq!(client.connection.awaited(), None);
}

#[test]
fn confirms_do_not_wait_for_what_is_durable_already() {
    let mut client = confirming();
    client.connection.durable_advanced(Ticket(9));
    client.host.after = Ticket(9);
    client.publish(1, "q", "x");
    assert_eq!(client.received(), [ack(1, 1, false)]);
}

#[test]
fn channels_are_confirmed_separately() {
    let mut client = confirming();
    client.open_channel(2);
    client.send(2, Method::ConfirmSelect { no_wait: true });
    client.host.after = Ticket(1);
    let bytes = |channel| publish_bytes(channel, "q", &Properties::default(), b"x");
    client.send_bytes(&[bytes(2), bytes(1), bytes(2)].concat());
    client.connection.durable_advanced(Ticket(1));
    let mut received = client.received();
    received.sort();
    assert_eq!(received, [ack(1, 1, false), ack(2, 2, true)]);
}

#[test]
fn refused_messages_are_nacked_once() {
    let mut client = confirming();
    client.host.after = Ticket(1);
    client.host.rejected = vec![(2, 1), (1, 3), (1, 2)];
    let one = publish_bytes(1, "q", &Properties::default(), b"x");
    client.send_bytes(&one.repeat(4));
    let nack = |tag| format!("1 BasicNack {{ delivery_tag: {tag}, multiple: false, requeue: false }}");
    assert_eq!(client.received(), [nack(2), nack(3)]);
    client.connection.durable_advanced(Ticket(1));
    assert_eq!(client.received(), [ack(1, 1, false), ack(1, 4, false)]);
}

#[test]
fn a_return_comes_before_its_confirm() {
    let mut client = confirming();
    client.host.unroutable.insert("nowhere".into());
    let publish = publish_method("nowhere", true, false);
    client.send_bytes(&content_bytes(1, publish, &Properties::default(), b""));
    let received = client.received();
    assert!(received[0].starts_with("1 BasicReturn"), "{received:?}");
    assert_eq!(received[2], ack(1, 1, false));
}

#[test]
fn a_publish_that_closes_the_channel_is_not_confirmed() {
    let mut client = confirming();
    let one = publish_bytes(1, "q", &Properties::default(), b"x");
    client.send_bytes(&one);
    assert_eq!(client.received(), [ack(1, 1, false)]);
    client.host.refuse.insert("publish", Fault::not_found("no exchange 'x' in vhost '/'"));
    client.send_bytes(&one);
    client.assert_closed(1, 404, "NOT_FOUND - no exchange 'x' in vhost '/'", (60, 40));
}

#[test]
fn confirms_of_a_closed_channel_are_dropped() {
    let mut client = confirming();
    client.host.after = Ticket(1);
    client.publish(1, "q", "x");
    client.send(1, Method::ChannelClose { reply_code: 200, reply_text: "", class_id: 0, method_id: 0 });
    client.open_channel_after_close();
    assert_eq!(client.connection.awaited(), None);
    client.connection.durable_advanced(Ticket(1));
    assert_eq!(client.received(), [""; 0]);
}

impl Client {
    fn open_channel_after_close(&mut self) {
        assert_eq!(self.received(), ["1 ChannelCloseOk"]);
        self.open_channel(1);
    }
}

#[test]
fn confirm_and_tx_exclude_each_other() {
    let mut client = confirming();
    client.send(1, Method::TxSelect {});
    client.assert_closed(1, 406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode", (90, 10));
    let mut client = Client::on_channel();
    client.send(1, Method::TxSelect {});
    client.received();
    client.send(1, Method::ConfirmSelect { no_wait: false });
    client.assert_closed(1, 406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode", (85, 10));
}
