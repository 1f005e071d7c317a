//! Whatever arrives, and in whatever pieces, the machine does the same and does not fall over.

use leveret_protocol::frame::{FrameKind, PROTOCOL_HEADER};
use leveret_protocol::method::{LAYOUTS, Method};
use leveret_protocol::properties::Properties;
use proptest::prelude::*;

use super::rig::*;
use crate::session::state::State;

/// A conversation that touches most of the machine.
fn script() -> Vec<u8> {
    let properties = Properties { delivery_mode: Some(2), ..Properties::default() };
    let mut bytes = method_bytes(1, Method::ChannelOpen {});
    bytes.extend(method_bytes(1, Method::ConfirmSelect { no_wait: false }));
    bytes.extend(method_bytes(1, queue_declare("q", true)));
    bytes.extend(publish_bytes(1, "q", &properties, b"small"));
    bytes.extend(publish_bytes(1, "q", &properties, &[b'x'; 10_000]));
    bytes.extend(method_bytes(1, consume("q", "c", false)));
    bytes.extend(method_bytes(1, Method::BasicGet { queue: "q", no_ack: false }));
    bytes.extend(publish_bytes(1, "q", &properties, b""));
    bytes.extend(method_bytes(2, Method::ChannelOpen {}));
    bytes.extend(method_bytes(1, Method::BasicAck { delivery_tag: 5, multiple: false }));
    bytes.extend(publish_bytes(2, "q", &properties, b"other channel"));
    bytes.extend(method_bytes(1, Method::ChannelCloseOk {}));
    bytes
}

fn play(bytes: &[u8], mut cut: impl FnMut() -> usize) -> (Vec<String>, Vec<String>) {
    let mut client = Client::open();
    let mut buffer = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(cut().clamp(1, rest.len()));
        buffer.extend_from_slice(now);
        let used = client.connection.handle_bytes(0, &buffer, &mut client.host);
        buffer.drain(..used);
        rest = later;
    }
    assert!(buffer.is_empty());
    let asked = client.asked().into_iter().filter(|asked| asked != "flush").collect();
    // Confirms differ in how they are batched.
    let received = client.received().into_iter().filter(|frame| !frame.contains("BasicAck")).collect();
    (asked, received)
}

#[test]
fn input_means_the_same_however_it_is_cut() {
    let script = script();
    let whole = play(&script, || usize::MAX);
    assert_eq!(play(&script, || 1), whole);
    assert!(whole.1.iter().any(|frame| frame.contains("unknown delivery tag 5")), "{whole:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn input_means_the_same_in_random_pieces(cuts in proptest::collection::vec(1usize..600, 1..50)) {
        let script = script();
        let mut cuts = cuts.into_iter().cycle();
        let pieces = play(&script, || cuts.next().unwrap_or(1));
        prop_assert_eq!(pieces, play(&script, || usize::MAX));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), header: bool) {
        let mut client = Client::new();
        if header {
            client.send_bytes(&PROTOCOL_HEADER);
        }
        client.connection.handle_bytes(0, &bytes, &mut client.host);
        client.connection.disconnected(&mut client.host);
    }

    #[test]
    fn arbitrary_frames_never_panic(
        frames in proptest::collection::vec(
            (0..LAYOUTS.len() + 3, 0u16..4, proptest::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..40)),
            0..60,
        ),
    ) {
        let mut client = Client::on_channel();
        for (kind, channel, payload) in frames {
            let bytes = match LAYOUTS.get(kind) {
                Some(layout) => {
                    let ids = [layout.class_id.to_be_bytes(), layout.method_id.to_be_bytes()].concat();
                    frame_bytes(FrameKind::Method, channel, &[ids, payload].concat())
                }
                None if kind == LAYOUTS.len() => frame_bytes(FrameKind::Body, channel, &payload),
                None if kind == LAYOUTS.len() + 1 => {
                    header_bytes(channel, 60, payload.len() as u64, &Properties::default())
                }
                None => method_bytes(channel, Method::ChannelOpen {}),
            };
            client.connection.handle_bytes(0, &bytes, &mut client.host);
            client.received();
            if client.connection.state() != State::Running {
                break;
            }
        }
        client.connection.disconnected(&mut client.host);
        let closed = client.asked().iter().filter(|asked| *asked == "closed").count();
        prop_assert_eq!(closed, 1);
    }
}
