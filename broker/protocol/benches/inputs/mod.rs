//! What the codec's benchmarks read and write: fixed bytes, so that runs can be compared.

use std::hint::black_box;

use leveret_protocol::frame::{ContentHeader, FrameKind, decode_frame, encode_body};
use leveret_protocol::method::{Method, encode_deliver};
use leveret_protocol::properties::{Properties, PropertiesView};
use leveret_protocol::table::{Table, Value};

pub const FRAME_MAX: u32 = 131_072;

/// Properties as clients send them: none but the delivery mode, or everything that frameworks add.
pub fn properties(is_rich: bool) -> Vec<u8> {
    let mut raw = Vec::new();
    let mut properties = Properties { delivery_mode: Some(2), ..Properties::default() };
    if is_rich {
        let headers = Table::from([
            ("traceparent", Value::from("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")),
            ("retries", Value::from(3)),
            ("tenant", Value::from("c-1187")),
            ("sampled", Value::Bool(true)),
        ]);
        properties.headers = Some(headers);
        properties.content_type = Some("application/json".to_owned());
        properties.message_id = Some("0b7c2a4e-6d1f-4f1e-9a53-0d4c1f6f8f77".to_owned());
        properties.timestamp = Some(1_700_000_000);
    }
    properties.encode(&mut raw);
    raw
}

/// `count` publishes, as they lie in a read buffer.
pub fn publishes(count: usize, body_bytes: usize, is_rich: bool) -> Vec<u8> {
    let (properties, body) = (properties(is_rich), vec![b'x'; body_bytes]);
    let mut bytes = Vec::new();
    for _ in 0..count {
        let publish = Method::BasicPublish {
            exchange: "amq.topic",
            routing_key: "sensors.7.temperature",
            mandatory: false,
            immediate: false,
        };
        publish.encode(1, &mut bytes);
        let header = ContentHeader { class_id: 60, body_size: body_bytes as u64, properties: &properties };
        header.encode(1, &mut bytes);
        encode_body(1, &body, FRAME_MAX, &mut bytes);
    }
    bytes
}

/// `count` acknowledgements.
pub fn acks(count: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for delivery_tag in 1..=count {
        Method::BasicAck { delivery_tag, multiple: false }.encode(1, &mut bytes);
    }
    bytes
}

/// Reads all frames and what is in them. Returns how many there were.
pub fn decode(mut bytes: &[u8]) -> usize {
    let mut frames = 0;
    while let Ok(Some((frame, used))) = decode_frame(bytes, FRAME_MAX) {
        match frame.kind {
            FrameKind::Method => _ = black_box(Method::decode(frame.payload)),
            FrameKind::Header => {
                let header = ContentHeader::decode(frame.payload).expect("encoded above");
                _ = black_box(PropertiesView::validate(header.properties));
            }
            FrameKind::Body | FrameKind::Heartbeat => _ = black_box(frame.payload.len()),
        }
        bytes = &bytes[used..];
        frames += 1;
    }
    frames
}

/// Writes `count` deliveries of the same message.
pub fn encode(count: u64, properties: &[u8], body: &[u8], out: &mut Vec<u8>) {
    let header = ContentHeader { class_id: 60, body_size: body.len() as u64, properties };
    for tag in 1..=count {
        encode_deliver(
            1,
            "ctag1.0123456789abcdef",
            tag,
            false,
            "amq.topic",
            "sensors.7.temperature",
            black_box(out),
        );
        header.encode(1, out);
        encode_body(1, body, FRAME_MAX, out);
    }
}
