//! A client that speaks in frames: what a test sends is on the wire as it stands.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use leveret_protocol::frame::{ContentHeader, FrameKind, PROTOCOL_HEADER, decode_frame, encode_body};
use leveret_protocol::method::Method;
use leveret_protocol::table::{RawTable, Table, Value};

/// One connection.
pub struct RawClient {
    socket: TcpStream,
    input: Vec<u8>,
    consumed: usize,
    frame_max: u32,
}

/// One frame as it came, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    pub kind: FrameKind,
    pub channel: u16,
    pub payload: Vec<u8>,
}

/// The content behind a method.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// Flags and fields as on the wire.
    pub properties: Vec<u8>,
    pub body: Vec<u8>,
}

/// How a client logs in and what it negotiates.
#[derive(Debug, Clone)]
pub struct Login<'a> {
    pub mechanism: &'a str,
    pub response: &'a [u8],
    pub capabilities: &'a [&'a str],
    pub channel_max: u16,
    pub frame_max: u32,
    pub heartbeat: u16,
}

impl Default for Login<'_> {
    fn default() -> Self {
        Login {
            mechanism: "PLAIN",
            response: b"\0guest\0guest",
            capabilities: &["consumer_cancel_notify", "connection.blocked", "authentication_failure_close"],
            channel_max: 2047,
            frame_max: FRAME_MAX,
            heartbeat: 0,
        }
    }
}

impl Incoming {
    /// The method in it.
    pub fn method(&self) -> Result<Method<'_>> {
        ensure!(self.kind == FrameKind::Method, "expected a method, got {self:?}");
        Method::decode(&self.payload).with_context(|| format!("undecodable method {self:?}"))
    }
}

impl RawClient {
    /// Connects and sends nothing.
    pub fn connect(address: SocketAddr) -> Result<RawClient> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(READ_LIMIT))?;
        Ok(RawClient { socket, input: Vec::new(), consumed: 0, frame_max: FRAME_MAX })
    }

    /// Connects, logs in as guest and opens vhost `/` and channel 1.
    pub fn open(address: SocketAddr) -> Result<RawClient> {
        RawClient::open_with(address, &Login::default())
    }

    /// Connects, does the whole handshake as `login` says and opens channel 1.
    pub fn open_with(address: SocketAddr, login: &Login<'_>) -> Result<RawClient> {
        let mut client = RawClient::connect(address)?;
        client.log_in(login)?;
        client.expect(0, |method| matches!(method, Method::ConnectionTune { .. }))?;
        client.tune(login)?;
        client.send(0, &Method::ConnectionOpen { virtual_host: "/" })?;
        client.expect(0, |method| matches!(method, Method::ConnectionOpenOk {}))?;
        client.open_channel(1)?;
        Ok(client)
    }

    /// Sends the protocol header, waits for `connection.start` and answers it.
    pub fn log_in(&mut self, login: &Login<'_>) -> Result<()> {
        self.write(&PROTOCOL_HEADER)?;
        self.expect(0, |method| matches!(method, Method::ConnectionStart { .. }))?;
        let mut properties = Table::new();
        let mut capabilities = Table::new();
        for name in login.capabilities {
            capabilities.insert(*name, Value::Bool(true));
        }
        properties.insert("capabilities", Value::Table(capabilities));
        let mut entries = Vec::new();
        properties.encode_entries(&mut entries);
        let start_ok = Method::ConnectionStartOk {
            client_properties: RawTable::validate(&entries)?,
            mechanism: login.mechanism,
            response: login.response,
            locale: "en_US",
        };
        self.send(0, &start_ok)
    }

    /// Sends `connection.tune-ok`, and holds to it.
    pub fn tune(&mut self, login: &Login<'_>) -> Result<()> {
        let &Login { channel_max, frame_max, heartbeat, .. } = login;
        self.frame_max = frame_max;
        self.send(0, &Method::ConnectionTuneOk { channel_max, frame_max, heartbeat })
    }

    /// Opens a channel.
    pub fn open_channel(&mut self, channel: u16) -> Result<()> {
        self.send(channel, &Method::ChannelOpen {})?;
        self.expect(channel, |method| matches!(method, Method::ChannelOpenOk {})).map(drop)
    }

    /// Declares a queue and returns its ready messages.
    pub fn declare_queue(&mut self, queue: &str, durable: bool) -> Result<u32> {
        let declare = Method::QueueDeclare {
            queue,
            passive: false,
            durable,
            exclusive: false,
            auto_delete: false,
            no_wait: false,
            arguments: RawTable::empty(),
        };
        self.send(1, &declare)?;
        let reply = self.expect(1, |method| matches!(method, Method::QueueDeclareOk { .. }))?;
        let Method::QueueDeclareOk { message_count, .. } = reply.method()? else { unreachable!() };
        Ok(message_count)
    }

    /// Puts channel 1 into confirm mode.
    pub fn select_confirms(&mut self) -> Result<()> {
        self.send(1, &Method::ConfirmSelect { no_wait: false })?;
        self.expect(1, |method| matches!(method, Method::ConfirmSelectOk {})).map(drop)
    }

    /// Starts a consumer on channel 1 with its own window.
    pub fn consume(&mut self, queue: &str, prefetch_count: u16, no_ack: bool) -> Result<()> {
        self.send(1, &Method::BasicQos { prefetch_size: 0, prefetch_count, global: false })?;
        self.expect(1, |method| matches!(method, Method::BasicQosOk {}))?;
        let consume = Method::BasicConsume {
            queue,
            consumer_tag: "c",
            no_local: false,
            no_ack,
            exclusive: false,
            no_wait: false,
            arguments: RawTable::empty(),
        };
        self.send(1, &consume)?;
        self.expect(1, |method| matches!(method, Method::BasicConsumeOk { .. })).map(drop)
    }

    /// Publishes on channel 1 without waiting for anything.
    pub fn publish(&mut self, exchange: &str, routing_key: &str, content: &Content) -> Result<()> {
        let mut out = Vec::new();
        let publish = Method::BasicPublish { exchange, routing_key, mandatory: false, immediate: false };
        publish.encode(1, &mut out);
        let header = ContentHeader {
            class_id: 60,
            body_size: content.body.len() as u64,
            properties: &content.properties,
        };
        header.encode(1, &mut out);
        encode_body(1, &content.body, self.frame_max, &mut out);
        self.write(&out)
    }

    /// The next method must close the connection; answers it, and returns code and text.
    pub fn expect_connection_close(&mut self) -> Result<(u16, String)> {
        let frame = self.expect(0, |method| matches!(method, Method::ConnectionClose { .. }))?;
        let Method::ConnectionClose { reply_code, reply_text, .. } = frame.method()? else { unreachable!() };
        // The broker may have closed its end already.
        let _ = self.send(0, &Method::ConnectionCloseOk {});
        Ok((reply_code, reply_text.to_owned()))
    }

    /// The next method must close channel 1; answers it, and returns code and text.
    pub fn expect_channel_close(&mut self) -> Result<(u16, String)> {
        let frame = self.expect(1, |method| matches!(method, Method::ChannelClose { .. }))?;
        let Method::ChannelClose { reply_code, reply_text, .. } = frame.method()? else { unreachable!() };
        self.send(1, &Method::ChannelCloseOk {})?;
        Ok((reply_code, reply_text.to_owned()))
    }

    /// Everything that comes until the broker closes or resets the connection.
    pub fn rest(&mut self) -> Result<Vec<u8>> {
        let mut rest = self.input.split_off(self.consumed);
        let mut chunk = [0; 4096];
        loop {
            match self.socket.read(&mut chunk) {
                Ok(0) => return Ok(rest),
                Ok(read) => rest.extend_from_slice(&chunk[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(rest),
                Err(error) => return Err(error).context("the broker does not close the connection"),
            }
        }
    }

    /// Sends a method.
    pub fn send(&mut self, channel: u16, method: &Method<'_>) -> Result<()> {
        let mut out = Vec::new();
        method.encode(channel, &mut out);
        self.write(&out)
    }

    /// Sends bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.socket.write_all(bytes).context("the broker takes no more bytes")
    }

    /// The next frame that is not a heartbeat.
    pub fn read(&mut self) -> Result<Incoming> {
        loop {
            if let Some(frame) = self.take_frame()? {
                if frame.kind != FrameKind::Heartbeat {
                    return Ok(frame);
                }
                continue;
            }
            self.fill()?;
        }
    }

    /// The next frame, when it comes within `limit`.
    pub fn read_within(&mut self, limit: Duration) -> Result<Option<Incoming>> {
        if let Some(frame) = self.take_frame()? {
            return Ok(Some(frame));
        }
        self.socket.set_read_timeout(Some(limit))?;
        let filled = self.fill();
        self.socket.set_read_timeout(Some(READ_LIMIT))?;
        match filled {
            Ok(()) => self.take_frame(),
            Err(error) if is_timeout(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The next method, which must be on `channel` and as `wanted` says.
    pub fn expect(&mut self, channel: u16, wanted: impl Fn(&Method<'_>) -> bool) -> Result<Incoming> {
        let frame = self.read()?;
        let method = frame.method()?;
        ensure!(frame.channel == channel && wanted(&method), "unexpected on {}: {method:?}", frame.channel);
        Ok(frame)
    }

    /// The content of the method that was just read.
    pub fn content(&mut self) -> Result<Content> {
        let frame = self.read()?;
        ensure!(frame.kind == FrameKind::Header, "expected a content header, got {frame:?}");
        let header = ContentHeader::decode(&frame.payload)?;
        let mut content = Content { properties: header.properties.to_vec(), body: Vec::new() };
        while (content.body.len() as u64) < header.body_size {
            let frame = self.read()?;
            ensure!(frame.kind == FrameKind::Body, "expected a body, got {frame:?}");
            content.body.extend_from_slice(&frame.payload);
        }
        Ok(content)
    }

    fn take_frame(&mut self) -> Result<Option<Incoming>> {
        let input = &self.input[self.consumed..];
        let Some((frame, consumed)) = decode_frame(input, FRAME_MAX)? else {
            self.input.drain(..self.consumed);
            self.consumed = 0;
            return Ok(None);
        };
        let incoming = Incoming { kind: frame.kind, channel: frame.channel, payload: frame.payload.to_vec() };
        self.consumed += consumed;
        Ok(Some(incoming))
    }

    fn fill(&mut self) -> Result<()> {
        let mut chunk = [0; 65_536];
        let read = self.socket.read(&mut chunk)?;
        if read == 0 {
            bail!("the broker closed the connection");
        }
        self.input.extend_from_slice(&chunk[..read]);
        Ok(())
    }
}

fn is_timeout(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| {
        matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
    })
}

/// How long a frame may take to come before a test gives up.
const READ_LIMIT: Duration = Duration::from_secs(20);
/// What the client negotiates.
const FRAME_MAX: u32 = 131_072;
