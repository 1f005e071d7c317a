//! Methods: the commands of AMQP 0-9-1 and of RabbitMQ's extensions to it, as one table.
//!
//! [`Method::decode`] reads a method frame's payload, [`Method::encode`] writes a whole frame. Fields in square
//! brackets are reserved by the specification (among them the old access tickets): read and ignored, written as zero.

use crate::codec::Reader;
use crate::error::DecodeError;
use crate::frame::{FRAME_END, FrameKind, encode_frame};
use crate::reply_code::ReplyCode;
use crate::table::RawTable;

methods! {
    10 10 "connection.start" ConnectionStart [] { version_major: octet, version_minor: octet, server_properties: table, mechanisms: longstr, locales: longstr } [];
    10 11 "connection.start-ok" ConnectionStartOk [] { client_properties: table, mechanism: shortstr, response: longstr, locale: shortstr } [];
    10 20 "connection.secure" ConnectionSecure [] { challenge: longstr } [];
    10 21 "connection.secure-ok" ConnectionSecureOk [] { response: longstr } [];
    10 30 "connection.tune" ConnectionTune [] { channel_max: short, frame_max: long, heartbeat: short } [];
    10 31 "connection.tune-ok" ConnectionTuneOk [] { channel_max: short, frame_max: long, heartbeat: short } [];
    10 40 "connection.open" ConnectionOpen [] { virtual_host: shortstr } [shortstr bit];
    10 41 "connection.open-ok" ConnectionOpenOk [shortstr] {} [];
    10 50 "connection.close" ConnectionClose [] { reply_code: short, reply_text: shortstr, class_id: short, method_id: short } [];
    10 51 "connection.close-ok" ConnectionCloseOk [] {} [];
    10 60 "connection.blocked" ConnectionBlocked [] { reason: shortstr } [];
    10 61 "connection.unblocked" ConnectionUnblocked [] {} [];
    10 70 "connection.update-secret" ConnectionUpdateSecret [] { new_secret: longstr, reason: shortstr } [];
    10 71 "connection.update-secret-ok" ConnectionUpdateSecretOk [] {} [];

    20 10 "channel.open" ChannelOpen [shortstr] {} [];
    20 11 "channel.open-ok" ChannelOpenOk [longstr] {} [];
    20 20 "channel.flow" ChannelFlow [] { active: bit } [];
    20 21 "channel.flow-ok" ChannelFlowOk [] { active: bit } [];
    20 40 "channel.close" ChannelClose [] { reply_code: short, reply_text: shortstr, class_id: short, method_id: short } [];
    20 41 "channel.close-ok" ChannelCloseOk [] {} [];

    30 10 "access.request" AccessRequest [] { realm: shortstr, exclusive: bit, passive: bit, active: bit, write: bit, read: bit } [];
    30 11 "access.request-ok" AccessRequestOk [] { ticket: short } [];

    40 10 "exchange.declare" ExchangeDeclare [short] { exchange: shortstr, kind: shortstr, passive: bit, durable: bit, auto_delete: bit, internal: bit, no_wait: bit, arguments: table } [];
    40 11 "exchange.declare-ok" ExchangeDeclareOk [] {} [];
    40 20 "exchange.delete" ExchangeDelete [short] { exchange: shortstr, if_unused: bit, no_wait: bit } [];
    40 21 "exchange.delete-ok" ExchangeDeleteOk [] {} [];
    40 30 "exchange.bind" ExchangeBind [short] { destination: shortstr, source: shortstr, routing_key: shortstr, no_wait: bit, arguments: table } [];
    40 31 "exchange.bind-ok" ExchangeBindOk [] {} [];
    40 40 "exchange.unbind" ExchangeUnbind [short] { destination: shortstr, source: shortstr, routing_key: shortstr, no_wait: bit, arguments: table } [];
    40 51 "exchange.unbind-ok" ExchangeUnbindOk [] {} [];

    50 10 "queue.declare" QueueDeclare [short] { queue: shortstr, passive: bit, durable: bit, exclusive: bit, auto_delete: bit, no_wait: bit, arguments: table } [];
    50 11 "queue.declare-ok" QueueDeclareOk [] { queue: shortstr, message_count: long, consumer_count: long } [];
    50 20 "queue.bind" QueueBind [short] { queue: shortstr, exchange: shortstr, routing_key: shortstr, no_wait: bit, arguments: table } [];
    50 21 "queue.bind-ok" QueueBindOk [] {} [];
    50 30 "queue.purge" QueuePurge [short] { queue: shortstr, no_wait: bit } [];
    50 31 "queue.purge-ok" QueuePurgeOk [] { message_count: long } [];
    50 40 "queue.delete" QueueDelete [short] { queue: shortstr, if_unused: bit, if_empty: bit, no_wait: bit } [];
    50 41 "queue.delete-ok" QueueDeleteOk [] { message_count: long } [];
    50 50 "queue.unbind" QueueUnbind [short] { queue: shortstr, exchange: shortstr, routing_key: shortstr, arguments: table } [];
    50 51 "queue.unbind-ok" QueueUnbindOk [] {} [];

    60 10 "basic.qos" BasicQos [] { prefetch_size: long, prefetch_count: short, global: bit } [];
    60 11 "basic.qos-ok" BasicQosOk [] {} [];
    60 20 "basic.consume" BasicConsume [short] { queue: shortstr, consumer_tag: shortstr, no_local: bit, no_ack: bit, exclusive: bit, no_wait: bit, arguments: table } [];
    60 21 "basic.consume-ok" BasicConsumeOk [] { consumer_tag: shortstr } [];
    60 30 "basic.cancel" BasicCancel [] { consumer_tag: shortstr, no_wait: bit } [];
    60 31 "basic.cancel-ok" BasicCancelOk [] { consumer_tag: shortstr } [];
    60 40 "basic.publish" BasicPublish [short] { exchange: shortstr, routing_key: shortstr, mandatory: bit, immediate: bit } [];
    60 50 "basic.return" BasicReturn [] { reply_code: short, reply_text: shortstr, exchange: shortstr, routing_key: shortstr } [];
    60 60 "basic.deliver" BasicDeliver [] { consumer_tag: shortstr, delivery_tag: longlong, redelivered: bit, exchange: shortstr, routing_key: shortstr } [];
    60 70 "basic.get" BasicGet [short] { queue: shortstr, no_ack: bit } [];
    60 71 "basic.get-ok" BasicGetOk [] { delivery_tag: longlong, redelivered: bit, exchange: shortstr, routing_key: shortstr, message_count: long } [];
    60 72 "basic.get-empty" BasicGetEmpty [shortstr] {} [];
    60 80 "basic.ack" BasicAck [] { delivery_tag: longlong, multiple: bit } [];
    60 90 "basic.reject" BasicReject [] { delivery_tag: longlong, requeue: bit } [];
    60 100 "basic.recover-async" BasicRecoverAsync [] { requeue: bit } [];
    60 110 "basic.recover" BasicRecover [] { requeue: bit } [];
    60 111 "basic.recover-ok" BasicRecoverOk [] {} [];
    60 120 "basic.nack" BasicNack [] { delivery_tag: longlong, multiple: bit, requeue: bit } [];

    85 10 "confirm.select" ConfirmSelect [] { no_wait: bit } [];
    85 11 "confirm.select-ok" ConfirmSelectOk [] {} [];

    90 10 "tx.select" TxSelect [] {} [];
    90 11 "tx.select-ok" TxSelectOk [] {} [];
    90 20 "tx.commit" TxCommit [] {} [];
    90 21 "tx.commit-ok" TxCommitOk [] {} [];
    90 30 "tx.rollback" TxRollback [] {} [];
    90 31 "tx.rollback-ok" TxRollbackOk [] {} [];
}

impl Method<'_> {
    /// True for the methods that a content header and a body follow.
    #[inline]
    pub fn has_content(&self) -> bool {
        matches!(
            self,
            Method::BasicPublish { .. }
                | Method::BasicReturn { .. }
                | Method::BasicDeliver { .. }
                | Method::BasicGetOk { .. }
        )
    }
}

/// Appends a `basic.deliver` frame: [`Method::encode`] for the method that is sent most.
#[inline]
pub fn encode_deliver(
    channel: u16,
    consumer_tag: &str,
    delivery_tag: u64,
    redelivered: bool,
    exchange: &str,
    routing_key: &str,
    out: &mut Vec<u8>,
) {
    // Short strings on the wire have at most 255 bytes, and these came from there or are made by us.
    debug_assert!(consumer_tag.len() <= 255 && exchange.len() <= 255 && routing_key.len() <= 255);
    let payload_len = 4 + 1 + consumer_tag.len() + 9 + 1 + exchange.len() + 1 + routing_key.len();
    let [c0, c1] = channel.to_be_bytes();
    let [l0, l1, l2, l3] = (payload_len as u32).to_be_bytes();
    let [t0, t1, t2, t3, t4, t5, t6, t7] = delivery_tag.to_be_bytes();
    let method = FrameKind::Method as u8;
    out.extend_from_slice(&[method, c0, c1, l0, l1, l2, l3, 0, 60, 0, 60, consumer_tag.len() as u8]);
    out.extend_from_slice(consumer_tag.as_bytes());
    let redelivered = u8::from(redelivered);
    out.extend_from_slice(&[t0, t1, t2, t3, t4, t5, t6, t7, redelivered, exchange.len() as u8]);
    out.extend_from_slice(exchange.as_bytes());
    out.push(routing_key.len() as u8);
    out.extend_from_slice(routing_key.as_bytes());
    out.push(FRAME_END);
}

/// The wire layout of a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    pub class_id: u16,
    pub method_id: u16,
    pub name: &'static str,
    /// Name and elementary type of each field in order; reserved ones have no name.
    pub fields: &'static [(&'static str, &'static str)],
}

/// Makes `Method` and its codec out of the table above.
macro_rules! methods {
    ($(
        $class:literal $id:literal $name:literal $variant:ident
        [$($before:ident)*] { $($field:ident: $kind:ident),* } [$($after:ident)*];
    )*) => {
        /// A method with its fields, borrowed from the frame it came in.
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub enum Method<'a> {
            $(
                #[doc = concat!("`", $name, "`")]
                $variant { $($field: field_type!('a $kind)),* },
            )*
        }

        impl<'a> Method<'a> {
            /// Reads the payload of a method frame.
            ///
            /// An unknown method is 503 COMMAND_INVALID, fields that do not fit are 502 SYNTAX_ERROR.
            #[inline]
            pub fn decode(payload: &'a [u8]) -> Result<Method<'a>, DecodeError> {
                let mut reader = Reader::new(payload);
                let ids = (reader.short()?, reader.short()?);
                let method = match ids {
                    $(
                        ($class, $id) => {
                            $( reader.$before()?; )*
                            let method = Method::$variant { $( $field: reader.$kind()? ),* };
                            $( reader.$after()?; )*
                            method
                        }
                    )*
                    _ => return Err(UNKNOWN_METHOD),
                };
                reader.finish()?;
                Ok(method)
            }

            /// Appends the whole frame.
            #[inline]
            pub fn encode(&self, channel: u16, out: &mut Vec<u8>) {
                encode_frame(FrameKind::Method, channel, out, |writer| {
                    let (class_id, method_id) = self.ids();
                    writer.short(class_id);
                    writer.short(method_id);
                    match *self {
                        $(
                            Method::$variant { $($field),* } => {
                                $( writer.$before(reserved!($before)); )*
                                $( writer.$kind($field); )*
                                $( writer.$after(reserved!($after)); )*
                            }
                        )*
                    }
                });
            }

            /// Class id and method id.
            #[inline]
            pub const fn ids(&self) -> (u16, u16) {
                match self {
                    $( Method::$variant { .. } => ($class, $id), )*
                }
            }

            /// The name as the specification writes it, such as `basic.publish`.
            pub const fn name(&self) -> &'static str {
                match self {
                    $( Method::$variant { .. } => $name, )*
                }
            }
        }

        /// The layout of every method: what tests and tools build method frames from.
        pub const LAYOUTS: &[Layout] = &[$(
            Layout {
                class_id: $class,
                method_id: $id,
                name: $name,
                fields: &[
                    $(("", stringify!($before)),)*
                    $((stringify!($field), stringify!($kind)),)*
                    $(("", stringify!($after)),)*
                ],
            }
        ),*];
    };
}

/// The Rust type of a field.
macro_rules! field_type {
    ($a:lifetime octet) => { u8 };
    ($a:lifetime short) => { u16 };
    ($a:lifetime long) => { u32 };
    ($a:lifetime longlong) => { u64 };
    ($a:lifetime bit) => { bool };
    ($a:lifetime shortstr) => { &$a str };
    ($a:lifetime longstr) => { &$a [u8] };
    ($a:lifetime table) => { RawTable<$a> };
}

/// What is written for a reserved field.
macro_rules! reserved {
    (short) => {
        0
    };
    (bit) => {
        false
    };
    (shortstr) => {
        ""
    };
    (longstr) => {
        b""
    };
}

use {field_type, methods, reserved};

const UNKNOWN_METHOD: DecodeError =
    DecodeError { code: ReplyCode::CommandInvalid, what: "unknown method", offset: 0 };

#[cfg(test)]
mod tests {
    use super::*;

    /// Encodes to exactly these payload bytes and back.
    fn check(method: Method<'_>, payload: &[u8]) {
        let mut out = Vec::new();
        method.encode(7, &mut out);
        let [l0, l1, l2, l3] = (payload.len() as u32).to_be_bytes();
        let frame = [&[1, 0, 7, l0, l1, l2, l3], payload, &[FRAME_END]].concat();
        assert_eq!(out, frame, "{method:?}");
        assert_eq!(Method::decode(payload), Ok(method));
    }

    #[test]
    fn methods_have_the_bytes_of_the_specification() {
        check(
            Method::ConnectionTune { channel_max: 2047, frame_max: 131_072, heartbeat: 60 },
            b"\0\x0A\0\x1E\x07\xFF\0\x02\0\0\0\x3C",
        );
        check(Method::ConnectionOpen { virtual_host: "/" }, b"\0\x0A\0\x28\x01/\0\0");
        check(Method::ChannelOpen {}, b"\0\x14\0\x0A\0");
        check(Method::ChannelOpenOk {}, b"\0\x14\0\x0B\0\0\0\0");
        check(
            Method::ChannelClose { reply_code: 404, reply_text: "no", class_id: 50, method_id: 10 },
            b"\0\x14\0\x28\x01\x94\x02no\0\x32\0\x0A",
        );
        check(
            Method::QueueDeclare {
                queue: "q",
                passive: false,
                durable: true,
                exclusive: false,
                auto_delete: true,
                no_wait: true,
                arguments: RawTable::empty(),
            },
            b"\0\x32\0\x0A\0\0\x01q\x1A\0\0\0\0",
        );
        check(
            Method::BasicPublish { exchange: "ex", routing_key: "rk", mandatory: true, immediate: false },
            b"\0\x3C\0\x28\0\0\x02ex\x02rk\x01",
        );
        check(
            Method::BasicAck { delivery_tag: 258, multiple: true },
            b"\0\x3C\0\x50\0\0\0\0\0\0\x01\x02\x01",
        );
        check(
            Method::BasicNack { delivery_tag: 1, multiple: false, requeue: true },
            b"\0\x3C\0\x78\0\0\0\0\0\0\0\x01\x02",
        );
        check(Method::TxCommitOk {}, b"\0\x5A\0\x15");
    }

    #[test]
    fn the_deliver_fast_path_writes_the_same_bytes() {
        let (mut fast, mut general) = (Vec::new(), Vec::new());
        encode_deliver(3, "ctag", 9, true, "ex", "a.b", &mut fast);
        Method::BasicDeliver {
            consumer_tag: "ctag",
            delivery_tag: 9,
            redelivered: true,
            exchange: "ex",
            routing_key: "a.b",
        }
        .encode(3, &mut general);
        assert_eq!(fast, general);
    }

    #[test]
    fn unknown_and_malformed_methods_have_different_codes() {
        fn check(payload: &[u8], code: u16, what: &str) {
            let error = Method::decode(payload).unwrap_err();
            assert_eq!((error.code.code(), error.what), (code, what), "{payload:?}");
        }
        check(b"\0\x3C\0\xFF", 503, "unknown method");
        check(b"\0\x63\0\x0A", 503, "unknown method");
        check(b"\0\x3C\0", 502, "field reaches past the end");
        check(b"\0\x3C\0\x50\0", 502, "field reaches past the end");
        check(b"\0\x5A\0\x0A\0", 502, "bytes after the last field");
        check(b"\0\x3C\0\x28\0\0\x01\xFF\0\0", 502, "malformed UTF-8 in shortstr");
    }
}
