//! What no client library does, or does not show: single frames, and what is between them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use leveret_protocol::frame::{ContentHeader, FrameKind, PROTOCOL_HEADER, encode_body, encode_heartbeat};
use leveret_protocol::method::Method;
use leveret_protocol::table::RawTable;
use leveret_tests::{Content, Login, RawClient, Report};

use crate::subject::Subject;

/// Runs every scenario.
pub fn run() {
    let subject = Subject::start();
    let mut report = Report::from_env();
    macro_rules! scenarios {
        ($($scenario:ident)+) => {
            $( report.run(stringify!($scenario), || $scenario(subject.address())); )+
        };
    }
    scenarios! {
        protocol_header_of_0_9_is_taken
        other_protocol_headers_are_answered_with_ours
        start_offers_mechanisms_and_locale
        unknown_mechanism_is_refused
        failed_login_without_the_capability_is_closed_silently
        limits_out_of_range_are_refused
        smallest_limits_are_accepted
        silent_client_is_dropped_after_two_heartbeats
        heartbeats_alone_keep_the_connection
        heartbeat_on_a_channel_is_505
        frame_without_its_end_is_501
        unknown_frame_type_is_501
        frame_above_the_limit_is_501
        method_on_a_channel_not_open_is_504
        second_channel_open_is_504
        channel_above_the_number_negotiated_is_530
        connection_methods_out_of_turn_are_504
        method_of_the_server_is_503
        unknown_method_closes_the_connection
        malformed_method_closes_the_connection
        header_without_publish_is_505
        body_without_publish_is_505
        method_inside_content_is_505
        header_of_another_class_is_505
        empty_and_single_byte_body_frames_are_joined
        heartbeats_and_other_channels_may_come_between_content_frames
        handshake_byte_by_byte_works
        everything_in_one_write_works
        deliveries_keep_to_the_negotiated_frame_max
        empty_body_is_delivered_without_body_frames
        properties_come_back_byte_by_byte
        close_names_the_method_that_failed
        frames_on_a_closing_channel_are_ignored
        channel_number_is_free_after_close_ok
        client_may_close_a_channel_that_the_broker_is_closing
        client_without_cancel_notify_gets_no_cancel
        cancel_of_an_unknown_consumer_is_answered
        recover_async_is_not_answered
        access_request_gets_a_ticket
        confirms_begin_with_one
        ack_of_tag_zero_without_multiple_is_406
        queue_named_in_the_close_frame_is_cut_to_fit
        close_of_the_connection_is_answered_at_once
    }
    report.finish();
}

// ---- helpers ---------------------------------------------------------------------------------------------------

fn equal<T: PartialEq + std::fmt::Debug>(actual: T, expected: T, what: &str) -> Result<()> {
    ensure!(actual == expected, "{what}: expected {expected:?}, got {actual:?}");
    Ok(())
}

/// A frame with anything in it.
fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend_from_slice(&channel.to_be_bytes());
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    out.extend_from_slice(payload);
    out.push(0xCE);
    out
}

fn method(channel: u16, method: &Method<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    method.encode(channel, &mut out);
    out
}

fn header(channel: u16, class_id: u16, body_size: u64) -> Vec<u8> {
    let mut out = Vec::new();
    ContentHeader { class_id, body_size, properties: &[0, 0] }.encode(channel, &mut out);
    out
}

fn publish_to(channel: u16, routing_key: &str) -> Vec<u8> {
    method(channel, &Method::BasicPublish { exchange: "", routing_key, mandatory: false, immediate: false })
}

/// Asks for something that is always answered, and checks that the answer is next.
fn sync(client: &mut RawClient, channel: u16) -> Result<()> {
    client.send(channel, &Method::BasicQos { prefetch_size: 0, prefetch_count: 0, global: false })?;
    client.expect(channel, |method| matches!(method, Method::BasicQosOk {})).map(drop)
}

/// Declares an exclusive queue with a name from the server.
fn exclusive_queue(client: &mut RawClient) -> Result<String> {
    let declare = Method::QueueDeclare {
        queue: "",
        passive: false,
        durable: false,
        exclusive: true,
        auto_delete: false,
        no_wait: false,
        arguments: RawTable::empty(),
    };
    client.send(1, &declare)?;
    let reply = client.expect(1, |method| matches!(method, Method::QueueDeclareOk { .. }))?;
    let Method::QueueDeclareOk { queue, .. } = reply.method()? else { unreachable!() };
    Ok(queue.to_owned())
}

/// Takes one message without acknowledgement.
fn get(client: &mut RawClient, queue: &str) -> Result<Content> {
    client.send(1, &Method::BasicGet { queue, no_ack: true })?;
    client.expect(1, |method| matches!(method, Method::BasicGetOk { .. }))?;
    client.content()
}

fn passive_declare(queue: &str) -> Method<'_> {
    Method::QueueDeclare {
        queue,
        passive: true,
        durable: false,
        exclusive: false,
        auto_delete: false,
        no_wait: false,
        arguments: RawTable::empty(),
    }
}

/// After sending `bytes`, the broker must close the connection with one of `codes`.
fn closes(address: SocketAddr, bytes: &[u8], codes: &[u16]) -> Result<()> {
    let mut client = RawClient::open(address)?;
    client.write(bytes)?;
    let (code, text) = client.expect_connection_close()?;
    ensure!(codes.contains(&code), "expected one of {codes:?}, got {code} {text:?}");
    client.rest().map(drop)
}

/// The same where RabbitMQ drops the connection without a word: a close that does come must have one of `codes`.
fn closes_or_drops(address: SocketAddr, bytes: &[u8], codes: &[u16]) -> Result<()> {
    let mut client = RawClient::open(address)?;
    client.write(bytes)?;
    match client.read() {
        Err(_) => Ok(()),
        Ok(frame) => match frame.method()? {
            Method::ConnectionClose { reply_code, .. } if codes.contains(&reply_code) => Ok(()),
            other => anyhow::bail!("expected a close with one of {codes:?}, got {other:?}"),
        },
    }
}

// ---- handshake -------------------------------------------------------------------------------------------------

fn protocol_header_of_0_9_is_taken(address: SocketAddr) -> Result<()> {
    let mut client = RawClient::connect(address)?;
    client.write(b"AMQP\x01\x01\x00\x09")?;
    client.expect(0, |method| matches!(method, Method::ConnectionStart { .. })).map(drop)
}

fn other_protocol_headers_are_answered_with_ours(address: SocketAddr) -> Result<()> {
    for header in [&b"AMQP\0\0\x09\x02"[..], b"AMQP\0\x01\0\0", b"AMQP\0\0\x08\0", b"GET / HTTP/1.1\r\n\r\n"]
    {
        let mut client = RawClient::connect(address)?;
        client.write(header)?;
        let rest = client.rest()?;
        // RabbitMQ 4 answers with AMQP 1.0's.
        ensure!(rest == PROTOCOL_HEADER || rest == *b"AMQP\x03\x01\0\0", "answer to {header:?}: {rest:?}");
    }
    Ok(())
}

fn start_offers_mechanisms_and_locale(address: SocketAddr) -> Result<()> {
    let mut client = RawClient::connect(address)?;
    client.write(&PROTOCOL_HEADER)?;
    let start = client.read()?;
    let Method::ConnectionStart { version_major, version_minor, mechanisms, locales, server_properties } =
        start.method()?
    else {
        anyhow::bail!("{start:?}");
    };
    equal((version_major, version_minor), (0, 9), "version")?;
    equal(locales, b"en_US", "locales")?;
    let mechanisms = std::str::from_utf8(mechanisms)?;
    for mechanism in ["PLAIN", "AMQPLAIN"] {
        ensure!(mechanisms.split(' ').any(|offered| offered == mechanism), "mechanisms {mechanisms:?}");
    }
    ensure!(server_properties.get("capabilities").is_some(), "no capabilities");
    Ok(())
}

fn unknown_mechanism_is_refused(address: SocketAddr) -> Result<()> {
    let mut client = RawClient::connect(address)?;
    client.log_in(&Login { mechanism: "NOPE", ..Login::default() })?;
    // RabbitMQ 3 closes without a word.
    if let Ok(frame) = client.read() {
        let Method::ConnectionClose { reply_code, reply_text, .. } = frame.method()? else {
            anyhow::bail!("{frame:?}");
        };
        equal(
            (reply_code, reply_text),
            (503, "COMMAND_INVALID - unknown authentication mechanism 'NOPE'"),
            "close",
        )?;
    }
    Ok(())
}

fn failed_login_without_the_capability_is_closed_silently(address: SocketAddr) -> Result<()> {
    let mut client = RawClient::connect(address)?;
    client.log_in(&Login { response: b"\0guest\0wrong", capabilities: &[], ..Login::default() })?;
    equal(client.rest()?, Vec::new(), "what the broker says")
}

fn limits_out_of_range_are_refused(address: SocketAddr) -> Result<()> {
    let default = Login::default();
    for (login, words) in [
        (
            Login { frame_max: 4095, ..default.clone() },
            "negotiated frame_max = 4095 is lower than the minimum allowed value",
        ),
        (
            Login { frame_max: 131_073, ..default.clone() },
            "negotiated frame_max = 131073 is higher than the maximum allowed value",
        ),
        (
            Login { frame_max: 0, ..default.clone() },
            "negotiated frame_max = 0 is higher than the maximum allowed value",
        ),
        (
            Login { channel_max: 2048, ..default.clone() },
            "negotiated channel_max = 2048 is higher than the maximum allowed value",
        ),
        (
            Login { channel_max: 0, ..default.clone() },
            "negotiated channel_max = 0 (no limit) is higher than the maximum allowed value",
        ),
    ] {
        let mut client = RawClient::connect(address)?;
        client.log_in(&login)?;
        client.expect(0, |method| matches!(method, Method::ConnectionTune { .. }))?;
        client.tune(&login)?;
        // RabbitMQ 3 closes without a word.
        if let Ok(frame) = client.read() {
            let Method::ConnectionClose { reply_code, reply_text, .. } = frame.method()? else {
                anyhow::bail!("{frame:?}");
            };
            equal(reply_code, 530, "code")?;
            ensure!(reply_text.contains(words), "text {reply_text:?}, expected {words:?}");
        }
    }
    Ok(())
}

fn smallest_limits_are_accepted(address: SocketAddr) -> Result<()> {
    let login = Login { channel_max: 1, frame_max: 4096, ..Login::default() };
    let mut client = RawClient::open_with(address, &login)?;
    sync(&mut client, 1)
}

fn silent_client_is_dropped_after_two_heartbeats(address: SocketAddr) -> Result<()> {
    let mut client = RawClient::open_with(address, &Login { heartbeat: 1, ..Login::default() })?;
    let began = Instant::now();
    let rest = client.rest()?;
    let silent = began.elapsed();
    ensure!(silent > Duration::from_millis(1500), "dropped after {silent:?} already");
    ensure!(silent < Duration::from_secs(8), "dropped after {silent:?} only");
    let mut heartbeat = Vec::new();
    encode_heartbeat(&mut heartbeat);
    ensure!(rest.starts_with(&heartbeat), "no heartbeat from the broker: {rest:?}");
    Ok(())
}

fn heartbeats_alone_keep_the_connection(address: SocketAddr) -> Result<()> {
    let mut client = RawClient::open_with(address, &Login { heartbeat: 1, ..Login::default() })?;
    let mut heartbeat = Vec::new();
    encode_heartbeat(&mut heartbeat);
    // Four times as long as a silent client lasts at most: one heartbeat for each of the broker's.
    for _ in 0..16 {
        let frame = client.read_within(Duration::from_secs(5))?.context("no heartbeat from the broker")?;
        equal((frame.kind, frame.channel), (FrameKind::Heartbeat, 0), "frame")?;
        client.write(&heartbeat)?;
    }
    Ok(())
}

fn handshake_byte_by_byte_works(address: SocketAddr) -> Result<()> {
    let mut client = RawClient::connect(address)?;
    let start_ok = Method::ConnectionStartOk {
        client_properties: RawTable::empty(),
        mechanism: "PLAIN",
        response: b"\0guest\0guest",
        locale: "en_US",
    };
    let tune_ok = Method::ConnectionTuneOk { channel_max: 10, frame_max: 4096, heartbeat: 0 };
    let steps = [
        PROTOCOL_HEADER.to_vec(),
        method(0, &start_ok),
        [method(0, &tune_ok), method(0, &Method::ConnectionOpen { virtual_host: "/" })].concat(),
        method(1, &Method::ChannelOpen {}),
    ];
    for bytes in steps {
        for byte in bytes {
            client.write(&[byte])?;
        }
        client.read()?;
    }
    for byte in [publish_to(1, "interop-nowhere"), header(1, 60, 3), frame(3, 1, b"abc")].concat() {
        client.write(&[byte])?;
    }
    sync(&mut client, 1)
}

// ---- frames ----------------------------------------------------------------------------------------------------

fn heartbeat_on_a_channel_is_505(address: SocketAddr) -> Result<()> {
    closes(address, &frame(8, 1, b""), &[505])
}

fn frame_without_its_end_is_501(address: SocketAddr) -> Result<()> {
    let mut bytes = method(1, &Method::BasicQos { prefetch_size: 0, prefetch_count: 0, global: false });
    *bytes.last_mut().context("a frame has an end")? = 0;
    closes(address, &bytes, &[501])
}

fn unknown_frame_type_is_501(address: SocketAddr) -> Result<()> {
    closes(address, &frame(5, 1, b""), &[501])
}

fn frame_above_the_limit_is_501(address: SocketAddr) -> Result<()> {
    closes(address, &frame(3, 1, &vec![0; 131_073]), &[501])
}

fn method_on_a_channel_not_open_is_504(address: SocketAddr) -> Result<()> {
    let mut client = RawClient::open(address)?;
    client.send(2, &Method::BasicQos { prefetch_size: 0, prefetch_count: 0, global: false })?;
    equal(
        client.expect_connection_close()?,
        (504, "CHANNEL_ERROR - expected 'channel.open'".to_owned()),
        "close",
    )
}

fn second_channel_open_is_504(address: SocketAddr) -> Result<()> {
    let mut client = RawClient::open(address)?;
    client.send(1, &Method::ChannelOpen {})?;
    equal(
        client.expect_connection_close()?,
        (504, "CHANNEL_ERROR - second 'channel.open' seen".to_owned()),
        "close",
    )
}

fn channel_above_the_number_negotiated_is_530(address: SocketAddr) -> Result<()> {
    let mut client = RawClient::open_with(address, &Login { channel_max: 2, ..Login::default() })?;
    client.open_channel(2)?;
    client.send(3, &Method::ChannelOpen {})?;
    let text = "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)";
    equal(client.expect_connection_close()?, (530, text.to_owned()), "close")
}

fn connection_methods_out_of_turn_are_504(address: SocketAddr) -> Result<()> {
    let tune_ok = Method::ConnectionTuneOk { channel_max: 10, frame_max: 4096, heartbeat: 0 };
    for (channel, out_of_turn) in [
        (0, Method::ConnectionOpen { virtual_host: "/" }),
        (0, tune_ok),
        (0, Method::ChannelOpen {}),
        (0, Method::BasicQos { prefetch_size: 0, prefetch_count: 0, global: false }),
    ] {
        closes(address, &method(channel, &out_of_turn), &[504])
            .with_context(|| format!("{} on channel {channel}", out_of_turn.name()))?;
    }
    Ok(())
}

fn method_of_the_server_is_503(address: SocketAddr) -> Result<()> {
    for of_server in
        [Method::BasicQosOk {}, Method::BasicCancelOk { consumer_tag: "c" }, Method::ConnectionCloseOk {}]
    {
        closes(address, &method(1, &of_server), &[503]).with_context(|| of_server.name())?;
    }
    Ok(())
}

fn unknown_method_closes_the_connection(address: SocketAddr) -> Result<()> {
    closes_or_drops(address, &frame(1, 1, &[0, 60, 0, 255]), &[501, 502, 503, 540, 541])?;
    closes_or_drops(address, &frame(1, 1, &[0, 99, 0, 10]), &[501, 502, 503, 540, 541])
}

fn malformed_method_closes_the_connection(address: SocketAddr) -> Result<()> {
    closes(address, &frame(1, 1, &[0, 60, 0, 80, 0]), &[501, 502])
}

fn header_without_publish_is_505(address: SocketAddr) -> Result<()> {
    closes(address, &header(1, 60, 1), &[505])
}

fn body_without_publish_is_505(address: SocketAddr) -> Result<()> {
    closes(address, &frame(3, 1, b"x"), &[505])
}

fn method_inside_content_is_505(address: SocketAddr) -> Result<()> {
    let qos = method(1, &Method::BasicQos { prefetch_size: 0, prefetch_count: 0, global: false });
    closes(address, &[publish_to(1, "q"), qos.clone()].concat(), &[505])?;
    closes(address, &[publish_to(1, "q"), header(1, 60, 5), qos].concat(), &[505])?;
    closes(address, &[publish_to(1, "q"), frame(3, 1, b"x")].concat(), &[505])
}

fn header_of_another_class_is_505(address: SocketAddr) -> Result<()> {
    closes(address, &[publish_to(1, "q"), header(1, 50, 5)].concat(), &[505])
}

fn empty_and_single_byte_body_frames_are_joined(address: SocketAddr) -> Result<()> {
    let mut client = RawClient::open(address)?;
    let queue = exclusive_queue(&mut client)?;
    let mut bytes = [publish_to(1, &queue), header(1, 60, 5)].concat();
    for part in [&b"h"[..], b"", b"a", b"r", b"", b"es"] {
        bytes.extend(frame(3, 1, part));
    }
    client.write(&bytes)?;
    equal(get(&mut client, &queue)?.body, b"hares".to_vec(), "body")
}

fn heartbeats_and_other_channels_may_come_between_content_frames(address: SocketAddr) -> Result<()> {
    let mut client = RawClient::open(address)?;
    client.open_channel(2)?;
    let queue = exclusive_queue(&mut client)?;
    let mut heartbeat = Vec::new();
    encode_heartbeat(&mut heartbeat);
    let bytes = [
        publish_to(1, &queue),
        publish_to(2, &queue),
        heartbeat.clone(),
        header(1, 60, 4),
        header(2, 60, 3),
        frame(3, 1, b"on"),
        heartbeat,
        frame(3, 2, b"two"),
        frame(3, 1, b"e!"),
    ];
    client.write(&bytes.concat())?;
    sync(&mut client, 2)?;
    let mut bodies = [get(&mut client, &queue)?.body, get(&mut client, &queue)?.body];
    bodies.sort();
    equal(bodies, [b"one!".to_vec(), b"two".to_vec()], "bodies")
}

fn everything_in_one_write_works(address: SocketAddr) -> Result<()> {
    let mut client = RawClient::open(address)?;
    let queue = exclusive_queue(&mut client)?;
    let mut bytes = Vec::new();
    for number in 0..500_u32 {
        bytes.extend(publish_to(1, &queue));
        bytes.extend(header(1, 60, 4));
        bytes.extend(frame(3, 1, &number.to_be_bytes()));
    }
    bytes.extend(method(2, &Method::ChannelOpen {}));
    let consume = Method::BasicConsume {
        queue: &queue,
        consumer_tag: "c",
        no_local: false,
        no_ack: true,
        exclusive: false,
        no_wait: true,
        arguments: RawTable::empty(),
    };
    bytes.extend(method(1, &consume));
    client.write(&bytes)?;
    client.expect(2, |method| matches!(method, Method::ChannelOpenOk {}))?;
    for number in 0..500_u32 {
        client.expect(1, |method| matches!(method, Method::BasicDeliver { .. }))?;
        equal(client.content()?.body, number.to_be_bytes().to_vec(), "body")?;
    }
    Ok(())
}

// ---- content ---------------------------------------------------------------------------------------------------

fn deliveries_keep_to_the_negotiated_frame_max(address: SocketAddr) -> Result<()> {
    let login = Login { frame_max: 4096, ..Login::default() };
    let mut client = RawClient::open_with(address, &login)?;
    let mut other = RawClient::open(address)?;
    let queue = exclusive_queue(&mut client)?;
    let body: Vec<u8> = (0..100_000_u32).map(|at| (at % 253) as u8).collect();
    let mut bytes = [publish_to(1, &queue), header(1, 60, body.len() as u64)].concat();
    encode_body(1, &body, 131_072, &mut bytes);
    other.write(&bytes)?;
    sync(&mut other, 1)?;
    client.consume(&queue, 0, true)?;
    client.expect(1, |method| matches!(method, Method::BasicDeliver { .. }))?;
    let mut received = Vec::new();
    client.read()?; // the header
    while received.len() < body.len() {
        let frame = client.read()?;
        equal(frame.kind, FrameKind::Body, "frame")?;
        ensure!(frame.payload.len() + 8 <= 4096, "a frame of {} bytes", frame.payload.len() + 8);
        received.extend(frame.payload);
    }
    ensure!(received == body, "the body came back changed");
    Ok(())
}

fn empty_body_is_delivered_without_body_frames(address: SocketAddr) -> Result<()> {
    let mut client = RawClient::open(address)?;
    let queue = exclusive_queue(&mut client)?;
    client.write(&[publish_to(1, &queue), header(1, 60, 0)].concat())?;
    client.consume(&queue, 0, true)?;
    client.expect(1, |method| matches!(method, Method::BasicDeliver { .. }))?;
    let frame = client.read()?;
    equal(frame.kind, FrameKind::Header, "frame")?;
    equal(ContentHeader::decode(&frame.payload)?.body_size, 0, "body size")?;
    sync(&mut client, 1)
}

fn properties_come_back_byte_by_byte(address: SocketAddr) -> Result<()> {
    let mut client = RawClient::open(address)?;
    let queue = exclusive_queue(&mut client)?;
    // Headers and priority; of the headers, every letter that RabbitMQ knows.
    let mut fields = Vec::new();
    for (letter, bytes) in [
        (b't', &[1][..]),
        (b'b', &[0x80]),
        (b'B', &[0xFF]),
        (b's', &[0x80, 0]),
        (b'u', &[0xFF, 0xFF]),
        (b'I', &[0x80, 0, 0, 0]),
        (b'i', &[0xFF, 0xFF, 0xFF, 0xFF]),
        (b'l', &[0x80, 0, 0, 0, 0, 0, 0, 0]),
        (b'f', &[0x3F, 0x80, 0, 0]),
        (b'd', &[0x3F, 0xF0, 0, 0, 0, 0, 0, 0]),
        (b'D', &[2, 0, 0, 1, 0]),
        (b'S', &[0, 0, 0, 1, 0xFF]),
        (b'x', &[0, 0, 0, 2, 0, 1]),
        (b'T', &[0, 0, 0, 0, 0x65, 0, 0, 0]),
        (b'A', &[0, 0, 0, 2, b't', 0]),
        (b'F', &[0, 0, 0, 4, 1, b'n', b't', 1]),
        (b'V', &[]),
    ] {
        fields.extend([1, letter, letter]);
        fields.extend(bytes);
    }
    let mut properties = vec![0b0010_1000, 0];
    properties.extend((fields.len() as u32).to_be_bytes());
    properties.extend(&fields);
    properties.push(7);
    client.publish("", &queue, &Content { properties: properties.clone(), body: b"x".to_vec() })?;
    equal(get(&mut client, &queue)?.properties, properties, "properties")
}

// ---- closing ---------------------------------------------------------------------------------------------------

fn close_names_the_method_that_failed(address: SocketAddr) -> Result<()> {
    let mut client = RawClient::open(address)?;
    client.send(1, &passive_declare("interop-nowhere"))?;
    let frame = client.expect(1, |method| matches!(method, Method::ChannelClose { .. }))?;
    let Method::ChannelClose { reply_code, class_id, method_id, .. } = frame.method()? else {
        unreachable!()
    };
    equal((reply_code, class_id, method_id), (404, 50, 10), "code, class and method")?;
    client.send(1, &Method::ChannelCloseOk {})?;
    client.open_channel(1)?;
    client.publish("interop-nowhere", "k", &Content { properties: vec![0, 0], body: Vec::new() })?;
    let frame = client.expect(1, |method| matches!(method, Method::ChannelClose { .. }))?;
    let Method::ChannelClose { reply_code, class_id, method_id, .. } = frame.method()? else {
        unreachable!()
    };
    equal((reply_code, class_id, method_id), (404, 60, 40), "code, class and method")
}

fn frames_on_a_closing_channel_are_ignored(address: SocketAddr) -> Result<()> {
    let mut client = RawClient::open(address)?;
    client.send(1, &passive_declare("interop-nowhere"))?;
    let (code, _) = {
        let frame = client.expect(1, |method| matches!(method, Method::ChannelClose { .. }))?;
        let Method::ChannelClose { reply_code, reply_text, .. } = frame.method()? else { unreachable!() };
        (reply_code, reply_text.to_owned())
    };
    equal(code, 404, "code")?;
    // Before close-ok: whole content, half a content, methods that would be answered or be errors.
    let ignored = [
        publish_to(1, "q"),
        header(1, 60, 1),
        frame(3, 1, b"x"),
        method(1, &passive_declare("interop-nowhere")),
        method(1, &Method::ConfirmSelect { no_wait: false }),
        method(1, &Method::BasicAck { delivery_tag: 9, multiple: false }),
    ];
    client.write(&ignored.concat())?;
    client.send(1, &Method::ChannelCloseOk {})?;
    client.open_channel(1)?;
    sync(&mut client, 1)
}

fn channel_number_is_free_after_close_ok(address: SocketAddr) -> Result<()> {
    let mut client = RawClient::open(address)?;
    let close = Method::ChannelClose { reply_code: 200, reply_text: "", class_id: 0, method_id: 0 };
    for _ in 0..20 {
        client.send(1, &close)?;
        client.expect(1, |method| matches!(method, Method::ChannelCloseOk {}))?;
        client.open_channel(1)?;
    }
    sync(&mut client, 1)
}

fn client_may_close_a_channel_that_the_broker_is_closing(address: SocketAddr) -> Result<()> {
    let mut client = RawClient::open(address)?;
    client.send(1, &passive_declare("interop-nowhere"))?;
    let close = Method::ChannelClose { reply_code: 200, reply_text: "", class_id: 0, method_id: 0 };
    client.send(1, &close)?;
    client.expect(1, |method| matches!(method, Method::ChannelClose { .. }))?;
    client.expect(1, |method| matches!(method, Method::ChannelCloseOk {}))?;
    client.send(1, &Method::ChannelCloseOk {})?;
    client.open_channel(1)?;
    sync(&mut client, 1)
}

fn queue_named_in_the_close_frame_is_cut_to_fit(address: SocketAddr) -> Result<()> {
    let mut client = RawClient::open(address)?;
    let name = "n".repeat(255);
    client.send(1, &passive_declare(&name))?;
    let (code, text) = client.expect_channel_close()?;
    equal(code, 404, "code")?;
    ensure!(text.starts_with("NOT_FOUND - no queue 'nnnn") && text.len() > 200, "text {text:?}");
    Ok(())
}

fn close_of_the_connection_is_answered_at_once(address: SocketAddr) -> Result<()> {
    let mut client = RawClient::open(address)?;
    let close = Method::ConnectionClose { reply_code: 200, reply_text: "bye", class_id: 0, method_id: 0 };
    let after = Method::BasicQos { prefetch_size: 0, prefetch_count: 0, global: false };
    client.write(&[method(0, &close), method(1, &after)].concat())?;
    // RabbitMQ leaves it to the client to close the socket.
    client.expect(0, |method| matches!(method, Method::ConnectionCloseOk {})).map(drop)
}

// ---- the rest --------------------------------------------------------------------------------------------------

fn client_without_cancel_notify_gets_no_cancel(address: SocketAddr) -> Result<()> {
    for (capabilities, notified) in [(&["basic.nack"][..], false), (&["consumer_cancel_notify"], true)] {
        let mut client = RawClient::open_with(address, &Login { capabilities, ..Login::default() })?;
        let queue = exclusive_queue(&mut client)?;
        client.consume(&queue, 0, true)?;
        client.open_channel(2)?;
        let delete = Method::QueueDelete { queue: &queue, if_unused: false, if_empty: false, no_wait: false };
        client.send(2, &delete)?;
        let mut cancelled = false;
        let mut deleted = false;
        while !deleted || (notified && !cancelled) {
            let frame = client.read()?;
            match frame.method()? {
                Method::QueueDeleteOk { .. } => deleted = true,
                Method::BasicCancel { consumer_tag: "c", no_wait: true } => cancelled = true,
                other => anyhow::bail!("unexpected {other:?}"),
            }
        }
        // Whatever was still to come on channel 1 comes before this answer.
        sync(&mut client, 1)?;
        equal(cancelled, notified, "a cancel was sent")?;
    }
    Ok(())
}

fn cancel_of_an_unknown_consumer_is_answered(address: SocketAddr) -> Result<()> {
    let mut client = RawClient::open(address)?;
    client.send(1, &Method::BasicCancel { consumer_tag: "never existed", no_wait: false })?;
    client.expect(1, |method| *method == Method::BasicCancelOk { consumer_tag: "never existed" })?;
    client.send(1, &Method::BasicCancel { consumer_tag: "never existed", no_wait: true })?;
    sync(&mut client, 1)
}

fn recover_async_is_not_answered(address: SocketAddr) -> Result<()> {
    let mut client = RawClient::open(address)?;
    client.send(1, &Method::BasicRecoverAsync { requeue: true })?;
    sync(&mut client, 1)
}

fn access_request_gets_a_ticket(address: SocketAddr) -> Result<()> {
    let mut client = RawClient::open(address)?;
    let request = Method::AccessRequest {
        realm: "/data",
        exclusive: false,
        passive: true,
        active: true,
        write: true,
        read: true,
    };
    client.send(1, &request)?;
    client.expect(1, |method| *method == Method::AccessRequestOk { ticket: 1 }).map(drop)
}

fn confirms_begin_with_one(address: SocketAddr) -> Result<()> {
    let mut client = RawClient::open(address)?;
    let content = Content { properties: vec![0, 0], body: b"x".to_vec() };
    client.publish("", "interop-nowhere", &content)?;
    client.select_confirms()?;
    for tag in 1..=3 {
        client.publish("", "interop-nowhere", &content)?;
        client.expect(
            1,
            |method| matches!(method, Method::BasicAck { delivery_tag, .. } if *delivery_tag == tag),
        )?;
    }
    client.select_confirms()?;
    client.publish("", "interop-nowhere", &content)?;
    client.expect(1, |method| matches!(method, Method::BasicAck { delivery_tag: 4, .. })).map(drop)
}

fn ack_of_tag_zero_without_multiple_is_406(address: SocketAddr) -> Result<()> {
    let mut client = RawClient::open(address)?;
    client.send(1, &Method::BasicAck { delivery_tag: 0, multiple: true })?;
    sync(&mut client, 1)?;
    client.send(1, &Method::BasicAck { delivery_tag: 0, multiple: false })?;
    equal(
        client.expect_channel_close()?,
        (406, "PRECONDITION_FAILED - unknown delivery tag 0".to_owned()),
        "close",
    )
}
