//! The same bytes through another implementation of the protocol, in both directions.

mod common;

use std::io::Cursor;

use amq_protocol::frame::{AMQPFrame, WriteContext, gen_frame, parse_frame};
use leveret_protocol::frame::{
    ContentHeader, FrameKind, decode_frame, encode_body, encode_frame, encode_heartbeat,
};
use leveret_protocol::method::{LAYOUTS, Layout, Method};
use leveret_protocol::properties::PropertiesView;
use proptest::prelude::*;

/// Decodes a whole frame with the other implementation.
fn theirs(bytes: &[u8]) -> AMQPFrame {
    let (rest, frame) = parse_frame(bytes).unwrap_or_else(|error| panic!("they refuse {bytes:?}: {error}"));
    assert!(rest.is_empty());
    frame
}

/// Encodes a frame with the other implementation.
fn their_bytes(frame: &AMQPFrame) -> Vec<u8> {
    let mut buffer = vec![0; 64 * 1024];
    let (_, written) =
        gen_frame(frame)(WriteContext::from(Cursor::new(&mut buffer[..]))).unwrap().into_inner();
    buffer.truncate(written as usize);
    buffer
}

fn method_frame(channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    encode_frame(FrameKind::Method, channel, &mut out, |writer| writer.bytes(payload));
    out
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn methods(payload in common::any_method_payload(), channel: u16) {
        let frame = theirs(&method_frame(channel, &payload));
        let bytes = their_bytes(&frame);
        let (ours, used) = decode_frame(&bytes, u32::MAX).unwrap().unwrap();
        prop_assert_eq!((ours.kind, ours.channel, used), (FrameKind::Method, channel, bytes.len()));
        let ours = without_dropped(Method::decode(ours.payload).unwrap());
        prop_assert_eq!(ours, without_dropped(Method::decode(&payload).unwrap()));
    }

    #[test]
    fn headers(properties in common::properties(), body_size: u64, channel: u16) {
        let mut raw = Vec::new();
        properties.encode(&mut raw);
        let header = ContentHeader { class_id: 60, body_size, properties: &raw };
        let mut out = Vec::new();
        header.encode(channel, &mut out);
        let frame = theirs(&out);
        let AMQPFrame::Header(_, their_header) = &frame else { panic!("not a header: {frame:?}") };
        let text = |text: &Option<String>| text.clone().map(Into::into);
        prop_assert_eq!(their_header.body_size, body_size);
        prop_assert_eq!(their_header.properties.content_type().clone(), text(&properties.content_type));
        prop_assert_eq!(their_header.properties.correlation_id().clone(), text(&properties.correlation_id));
        prop_assert_eq!(their_header.properties.expiration().clone(), text(&properties.expiration));
        prop_assert_eq!(their_header.properties.kind().clone(), text(&properties.kind));
        prop_assert_eq!(their_header.properties.cluster_id().clone(), text(&properties.cluster_id));
        prop_assert_eq!(*their_header.properties.delivery_mode(), properties.delivery_mode);
        prop_assert_eq!(*their_header.properties.timestamp(), properties.timestamp);

        let bytes = their_bytes(&frame);
        let (ours, _) = decode_frame(&bytes, u32::MAX).unwrap().unwrap();
        let ours = ContentHeader::decode(ours.payload).unwrap();
        prop_assert_eq!(ours.body_size, body_size);
        prop_assert_eq!(PropertiesView::validate(ours.properties).unwrap().to_properties().unwrap(), properties);
    }

    #[test]
    fn bodies(body in proptest::collection::vec(any::<u8>(), 1..200), channel: u16) {
        let mut out = Vec::new();
        encode_body(channel, &body, 0, &mut out);
        let frame = theirs(&out);
        prop_assert_eq!(&frame, &AMQPFrame::Body(channel, body));
        prop_assert_eq!(their_bytes(&frame), out);
    }
}

#[test]
fn heartbeat() {
    let mut out = Vec::new();
    encode_heartbeat(&mut out);
    let frame = theirs(&out);
    assert_eq!(frame, AMQPFrame::Heartbeat);
    assert_eq!(their_bytes(&frame), out);
}

/// Bytes that come back the same could still have two fields of one type exchanged: the names must agree as well.
#[test]
fn fields_have_the_same_names_in_the_same_order() {
    for layout in LAYOUTS {
        let kept = |name: &&str| !name.is_empty() && !DROPPED.contains(&(layout.name, name));
        let names: Vec<&str> = layout.fields.iter().map(|(name, _)| *name).filter(kept).collect();
        let frame = theirs(&method_frame(1, &zeros(layout)));
        assert_eq!(their_names(&frame), names, "{}", layout.name);
    }
}

/// Fields that the other implementation treats as reserved: it reads them, forgets them and writes a constant.
const DROPPED: [(&str, &str); 2] = [("access.request-ok", "ticket"), ("basic.qos", "prefetch_size")];

fn without_dropped(method: Method<'_>) -> Method<'_> {
    match method {
        Method::AccessRequestOk { .. } => Method::AccessRequestOk { ticket: 0 },
        Method::BasicQos { prefetch_count, global, .. } => {
            Method::BasicQos { prefetch_size: 0, prefetch_count, global }
        }
        other => other,
    }
}

/// The payload whose fields are all zero or empty.
fn zeros(layout: &Layout) -> Vec<u8> {
    let len_of = |kind: &str| match kind {
        "octet" | "shortstr" => 1,
        "short" => 2,
        "long" | "longstr" | "table" => 4,
        "longlong" => 8,
        other => panic!("unexpected kind {other}"),
    };
    let bits = layout.fields.iter().any(|(_, kind)| *kind == "bit");
    let others = layout.fields.iter().filter(|(_, kind)| *kind != "bit");
    let len: usize = others.map(|(_, kind)| len_of(kind)).sum::<usize>() + usize::from(bits);
    let mut payload = [layout.class_id.to_be_bytes(), layout.method_id.to_be_bytes()].concat();
    payload.resize(4 + len, 0);
    payload
}

/// Field names out of the other implementation's debug output, in our spelling and without the reserved ones.
fn their_names(frame: &AMQPFrame) -> Vec<String> {
    let debug = format!("{frame:?}");
    let before_colons = debug.split(": ").map(|part| part.rsplit([' ', '{']).next().unwrap_or_default());
    let count = debug.matches(": ").count();
    before_colons
        .take(count)
        .map(|name| match name {
            "nowait" => "no_wait",
            other => other,
        })
        .map(String::from)
        .collect()
}
