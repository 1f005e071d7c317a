//! The connection: its life from header to close, its channels, and the frames between them.
//!
//! ```text
//!   AwaitHeader ─header─▶ Starting ─start-ok─▶ Authenticating ─authenticated─▶ Tuning ─tune-ok─▶ Opening
//!                                                                                          open │
//!   Closed ◀─close-ok─ Closing ◀─ fault, close() ──────────────────────────────────────── Running
//!      ▲                                                                                        │ connection.close
//!      └──────────── refused login, silence, handshake too slow ────────────────────────────────┘
//! ```
//!
//! The driver reads the socket into a buffer and calls [`Connection::handle_bytes`], writes what
//! [`Connection::poll_transmit`] shows, and looks at [`Connection::poll_timeout`] and [`Connection::awaited`] to know
//! what to wait for. It stops reading while [`Connection::is_blocked`], or while [`Connection::pending_output`] is
//! more than it cares to hold: that, and the limits of `connection.tune`, bound what a peer can make us keep.

mod dispatch;

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hashbrown::HashMap;
use leveret_protocol::error::DecodeError;
use leveret_protocol::frame::{Frame, FrameKind, PROTOCOL_HEADER, decode_frame, encode_heartbeat};
use leveret_protocol::method::Method;
use leveret_protocol::reply_code::ReplyCode;
use leveret_protocol::table::{RawTable, Table};

use crate::fault::{Fault, Scope};
use crate::session::channel::{Channel, ChannelInfo};
use crate::session::config::SessionConfig;
use crate::session::delivery::channel_of;
use crate::session::handshake::{
    Capabilities, INITIAL_FRAME_MAX, check_tuned, is_known_protocol, login_refused, server_properties,
};
use crate::session::heartbeat::Heartbeat;
use crate::session::host::{ConsumerKey, Delivery, Host, Receipts, Ticket};
use crate::session::output::Output;
use crate::session::publish::Publish;
use crate::session::reply::Failure;
use crate::session::state::{AuthRefused, Reason, State};

/// One AMQP connection. One task owns it.
#[derive(Debug)]
pub struct Connection<H: Host> {
    phase: Phase,
    /// Between `connection.open` and the host's learning that the connection is over.
    open: bool,
    /// Set when the end is certain.
    reason: Option<Reason>,
    output: Output,
    /// Keyed by channel number.
    channels: HashMap<u16, Box<Channel<H::Queue>>>,
    /// Channels that settled or published since the last flush.
    dirty: Vec<u16>,
    /// Channels whose publishes wait for confirms.
    confirming: Vec<u16>,
    /// Whether the host holds publishes that it has not flushed.
    unflushed: bool,
    shared: Shared,
    heartbeat: Heartbeat,
    /// Why publishers have to pause, while they do.
    alarm: Option<&'static str>,
    /// Whether this connection published during the alarm.
    blocked: bool,
    has_published: bool,
    /// How far the store has synced.
    durable: Ticket,
    now_ms: u64,
    /// Reused between reads.
    receipts: Receipts,
    deliveries: Vec<Delivery>,
    parts: Vec<u8>,
}

/// What channels share of their connection.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Arc<SessionConfig>,
    /// Largest frame in both directions, 0 for no limit.
    pub(super) frame_max: u32,
    channel_max: u16,
    capabilities: Capabilities,
    seed: u64,
    serial: u32,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    AwaitHeader {
        deadline_ms: u64,
    },
    Starting {
        deadline_ms: u64,
    },
    Authenticating {
        deadline_ms: u64,
        mechanism: String,
    },
    Tuning {
        deadline_ms: u64,
    },
    Opening {
        deadline_ms: u64,
    },
    Running,
    /// `deaf` after input that is not frames: what follows it means nothing.
    Closing {
        deadline_ms: u64,
        deaf: bool,
    },
    /// A refused login that is not told so: the pause slows down guessing.
    Refused {
        deadline_ms: u64,
    },
    Closed,
}

impl<H: Host> Connection<H> {
    /// A connection that waits for the protocol header. `seed` makes its consumer tags differ from others'.
    pub fn new(config: Arc<SessionConfig>, seed: u64, now_ms: u64) -> Connection<H> {
        Connection {
            phase: Phase::AwaitHeader { deadline_ms: now_ms + config.handshake_timeout_ms },
            open: false,
            reason: None,
            output: Output::default(),
            channels: HashMap::new(),
            dirty: Vec::new(),
            confirming: Vec::new(),
            unflushed: false,
            shared: Shared {
                config,
                frame_max: INITIAL_FRAME_MAX,
                channel_max: 0,
                capabilities: Capabilities::default(),
                seed,
                serial: 0,
            },
            heartbeat: Heartbeat::default(),
            alarm: None,
            blocked: false,
            has_published: false,
            durable: Ticket::default(),
            now_ms,
            receipts: Receipts::default(),
            deliveries: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// Acts on as many complete frames as `input` holds and returns how many bytes they were; the driver keeps the
    /// rest. While a login is being checked nothing is consumed: call again after [`Connection::authenticated`].
    pub fn handle_bytes(&mut self, now_ms: u64, input: &[u8], host: &mut H) -> usize {
        self.now_ms = now_ms;
        if !input.is_empty() {
            self.heartbeat.heard();
        }
        let mut at = 0;
        while let Some(used) = self.handle_one(&input[at..], host) {
            at += used;
        }
        self.flush(host);
        at
    }

    /// The answer to [`Host::authenticate`].
    pub fn authenticated(&mut self, result: Result<(), AuthRefused>, host: &mut H) {
        let Phase::Authenticating { deadline_ms, mechanism } = &self.phase else {
            return;
        };
        match result {
            Ok(()) => {
                let config = &self.shared.config;
                let tune = Method::ConnectionTune {
                    channel_max: config.channel_max,
                    frame_max: config.frame_max,
                    heartbeat: config.heartbeat_s,
                };
                tune.encode(0, self.output.buffer());
                self.phase = Phase::Tuning { deadline_ms: *deadline_ms };
            }
            Err(AuthRefused::Credentials) => {
                let fault = login_refused(mechanism);
                if self.shared.capabilities.authentication_failure_close {
                    self.fail(Failure::of_none(fault), host);
                } else {
                    self.reason = Some(Reason::LoginRefused);
                    self.phase = Phase::Refused { deadline_ms: self.now_ms + REFUSED_PAUSE_MS };
                }
            }
            Err(AuthRefused::Fault(fault)) => self.fail(Failure::of_none(fault), host),
        }
    }

    /// Sends deliveries to their consumers. Those whose consumer or channel is gone are dropped: their queue has taken
    /// them back.
    pub fn deliver(&mut self, deliveries: impl IntoIterator<Item = Delivery>) {
        let mut deliveries = deliveries.into_iter().peekable();
        while let Some(number) = deliveries.peek().map(|delivery| channel_of(delivery.consumer)) {
            let mut channel = self.channels.get_mut(&number);
            while let Some(delivery) = deliveries.next_if(|delivery| channel_of(delivery.consumer) == number)
            {
                if let Some(channel) = &mut channel {
                    channel.deliver(&delivery, self.shared.frame_max, &mut self.output);
                }
            }
        }
    }

    /// A queue is gone, and its consumer with it: the client is told if it wants to know.
    pub fn consumer_cancelled(&mut self, key: ConsumerKey) {
        let number = channel_of(key);
        let consumer_tag = self.channels.get_mut(&number).and_then(|channel| channel.forget_consumer(key));
        if let Some(consumer_tag) = consumer_tag
            && self.shared.capabilities.consumer_cancel_notify
        {
            let cancel = Method::BasicCancel { consumer_tag: &consumer_tag, no_wait: true };
            cancel.encode(number, self.output.buffer());
        }
    }

    /// A consumer, or the gets of a channel, held a message for longer than its queue allows: the channel ends.
    pub fn ack_timed_out(&mut self, key: ConsumerKey, timeout_ms: u64, host: &mut H) {
        let number = channel_of(key);
        let holds = |channel: &Channel<H::Queue>| !channel.closing && channel.holds(key);
        if self.phase == Phase::Running && self.channels.get(&number).is_some_and(|channel| holds(channel)) {
            let fault = Fault::precondition_failed(format!(
                "delivery acknowledgement on channel {number} timed out. Timeout value used: {timeout_ms} ms. This \
                 timeout value can be configured, see consumers doc guide to learn more"
            ));
            self.fail_channel(number, Failure::of_none(fault), host);
        }
    }

    /// An operator ends a channel. The specification has no code for that; the client sees the one of a message held too
    /// long, which is also the broker's own decision.
    pub fn close_channel(&mut self, number: u16, text: &str, host: &mut H) {
        let is_open = self.channels.get(&number).is_some_and(|channel| !channel.closing);
        if self.phase == Phase::Running && is_open {
            let fault = Fault::precondition_failed(text.to_owned());
            self.fail_channel(number, Failure::of_none(fault), host);
        }
    }

    /// An operator ends a consumer. What it holds stays with its channel.
    pub fn end_consumer(&mut self, number: u16, consumer_tag: &str, host: &mut H) {
        let is_there = |channel: &Channel<H::Queue>| !channel.closing && channel.has_consumer(consumer_tag);
        if self.phase != Phase::Running
            || !self.channels.get(&number).is_some_and(|channel| is_there(channel))
        {
            return;
        }
        self.cancel(number, consumer_tag, true, host);
        if self.shared.capabilities.consumer_cancel_notify {
            Method::BasicCancel { consumer_tag, no_wait: true }.encode(number, self.output.buffer());
        }
    }

    /// The store has synced up to `durable`: publishes are confirmed and held replies let go.
    pub fn durable_advanced(&mut self, durable: Ticket) {
        if durable <= self.durable {
            return;
        }
        self.durable = durable;
        self.output.durable_advanced(durable);
        let Connection { confirming, channels, output, .. } = self;
        confirming.retain(|number| {
            channels.get_mut(number).is_some_and(|channel| {
                channel.durable_advanced(durable, output);
                channel.awaited().is_some()
            })
        });
    }

    /// An alarm was raised or, with `None`, all were cleared. Only connections that publish during an alarm pause, and
    /// only those that asked for it are told.
    pub fn blocked(&mut self, reason: Option<&'static str>) {
        self.alarm = reason;
        if reason.is_none() && self.blocked {
            self.blocked = false;
            if self.shared.capabilities.connection_blocked && self.phase == Phase::Running {
                Method::ConnectionUnblocked {}.encode(0, self.output.buffer());
            }
        }
    }

    /// Closes the connection from our side, for shutdown or an operator.
    pub fn close(&mut self, code: ReplyCode, text: &str, host: &mut H) {
        match self.state() {
            State::Running => {
                self.fail(Failure::of_none(Fault::connection(code, text.to_owned())), host);
            }
            // Nobody to tell yet.
            State::Handshake => {
                self.end(Reason::Server(Fault::connection(code, text.to_owned())));
            }
            State::Closing | State::Closed => {}
        }
    }

    /// The socket is closed, or is about to be: whatever the connection still holds goes back. Call it always; after
    /// a proper close it does nothing.
    pub fn disconnected(&mut self, host: &mut H) {
        self.leave(host);
        self.end(Reason::Disconnected);
    }

    /// Acts on deadlines that have passed.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        match self.phase {
            Phase::AwaitHeader { deadline_ms }
            | Phase::Starting { deadline_ms }
            | Phase::Authenticating { deadline_ms, .. }
            | Phase::Tuning { deadline_ms }
            | Phase::Opening { deadline_ms } => {
                if now_ms >= deadline_ms {
                    self.end(Reason::HandshakeTimeout);
                }
            }
            Phase::Running => {
                let due = self.heartbeat.look(now_ms, self.blocked);
                if due.lost {
                    self.end(Reason::HeartbeatTimeout);
                    return;
                }
                if due.send && self.output.pending() == 0 {
                    encode_heartbeat(self.output.buffer());
                }
                if due.quiet {
                    self.release_buffers();
                }
            }
            Phase::Closing { deadline_ms, .. } | Phase::Refused { deadline_ms } => {
                if now_ms >= deadline_ms {
                    self.end(Reason::CloseTimeout);
                }
            }
            Phase::Closed => {}
        }
    }

    /// Something was written to the socket.
    pub fn note_sent(&mut self, now_ms: u64) {
        self.heartbeat.sent(now_ms);
    }

    /// What may be written to the socket now: everything up to the first reply that waits for the disk.
    pub fn poll_transmit(&mut self) -> &[u8] {
        self.output.sendable()
    }

    /// Forgets the first `n` bytes of [`Connection::poll_transmit`], which were written.
    pub fn transmitted(&mut self, n: usize) {
        self.output.transmitted(n);
    }

    /// Bytes not written yet, waiting for the disk or not.
    pub fn pending_output(&self) -> usize {
        self.output.pending()
    }

    /// When to call [`Connection::handle_timeout`], if nothing happens before.
    pub fn poll_timeout(&self) -> Option<u64> {
        match self.phase {
            Phase::AwaitHeader { deadline_ms }
            | Phase::Starting { deadline_ms }
            | Phase::Authenticating { deadline_ms, .. }
            | Phase::Tuning { deadline_ms }
            | Phase::Opening { deadline_ms }
            | Phase::Closing { deadline_ms, .. }
            | Phase::Refused { deadline_ms } => Some(deadline_ms),
            Phase::Running => self.heartbeat.deadline(),
            Phase::Closed => None,
        }
    }

    /// The largest ticket that a confirm or a held reply waits for.
    pub fn awaited(&self) -> Option<Ticket> {
        let confirms = self.confirming.iter().filter_map(|number| self.channels.get(number)?.awaited()).max();
        confirms.max(self.output.awaited())
    }

    pub fn state(&self) -> State {
        match self.phase {
            Phase::AwaitHeader { .. }
            | Phase::Starting { .. }
            | Phase::Authenticating { .. }
            | Phase::Tuning { .. }
            | Phase::Opening { .. } => State::Handshake,
            Phase::Running => State::Running,
            Phase::Closing { .. } | Phase::Refused { .. } => State::Closing,
            Phase::Closed => State::Closed,
        }
    }

    /// Why the connection ended or is about to.
    pub fn reason(&self) -> Option<&Reason> {
        self.reason.as_ref()
    }

    /// True while nothing should be read from the socket because of an alarm.
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Whether anything was ever published.
    pub fn has_published(&self) -> bool {
        self.has_published
    }

    /// The open channels, in no order.
    pub fn channels(&self) -> impl Iterator<Item = ChannelInfo> {
        self.channels.values().map(|channel| channel.info())
    }

    // ---- input -----------------------------------------------------------------------------------------------

    /// Acts on what stands at the front of `input` and returns its length; `None` when there is nothing to act on.
    #[inline]
    fn handle_one(&mut self, input: &[u8], host: &mut H) -> Option<usize> {
        match self.phase {
            Phase::AwaitHeader { .. } => return self.handle_header(input),
            Phase::Authenticating { .. } => return None,
            Phase::Closing { deaf: true, .. } | Phase::Refused { .. } | Phase::Closed => {
                return (!input.is_empty()).then_some(input.len());
            }
            _ => {}
        }
        match decode_frame(input, self.shared.frame_limit()) {
            Ok(None) => None,
            Ok(Some((frame, used))) => Some(used + self.handle_frame(frame, &input[used..], host)),
            Err(error) => {
                self.lose_sync(error, host);
                Some(input.len())
            }
        }
    }

    fn handle_header(&mut self, input: &[u8]) -> Option<usize> {
        let header = input.first_chunk::<8>()?;
        let Phase::AwaitHeader { deadline_ms } = self.phase else {
            return None;
        };
        if !is_known_protocol(header) {
            self.output.buffer().extend_from_slice(&PROTOCOL_HEADER);
            self.end(Reason::Protocol);
            return Some(input.len());
        }
        let mut properties = Vec::new();
        server_properties(&self.shared.config).encode_entries(&mut properties);
        let mechanisms = self.shared.config.mechanisms.join(" ");
        let start = Method::ConnectionStart {
            version_major: 0,
            version_minor: 9,
            server_properties: RawTable::new_unchecked_valid(&properties),
            mechanisms: mechanisms.as_bytes(),
            locales: b"en_US",
        };
        start.encode(0, self.output.buffer());
        self.phase = Phase::Starting { deadline_ms };
        Some(header.len())
    }

    /// Acts on a frame and returns how much of `rest` belonged to it as well.
    #[inline]
    fn handle_frame(&mut self, frame: Frame<'_>, rest: &[u8], host: &mut H) -> usize {
        if self.phase == Phase::Running && frame.channel != 0 {
            if frame.kind == FrameKind::Method
                && let Some(publish) = Publish::decode(frame.payload)
                && let Some(used) = self.publish_at_once(frame.channel, publish, rest, host)
            {
                return used;
            }
            if let Err(failure) = self.handle_channel_frame(frame, host) {
                self.fail_channel(frame.channel, failure, host);
            }
            return 0;
        }
        let closing = matches!(self.phase, Phase::Closing { .. });
        let result = match frame.kind {
            _ if closing && (frame.channel != 0 || frame.kind != FrameKind::Method) => Ok(()),
            FrameKind::Heartbeat if frame.channel == 0 => Ok(()),
            FrameKind::Method if frame.channel == 0 => match Method::decode(frame.payload) {
                Ok(method) => {
                    self.handle_connection_method(&method, host).map_err(|fault| Failure::of(&method, fault))
                }
                Err(_) if closing => Ok(()),
                Err(error) => Err(Failure::of_payload(frame.payload, error)),
            },
            _ => Err(unexpected_frame(frame)),
        };
        if let Err(failure) = result {
            self.fail(failure, host);
        }
        0
    }

    // ---- channel 0 -------------------------------------------------------------------------------------------

    fn handle_connection_method(&mut self, method: &Method<'_>, host: &mut H) -> Result<(), Fault> {
        match (&self.phase, *method) {
            (Phase::Closing { .. }, Method::ConnectionCloseOk {}) => self.phase = Phase::Closed,
            // Both closed at the same time.
            (Phase::Closing { .. }, Method::ConnectionClose { .. }) => {
                Method::ConnectionCloseOk {}.encode(0, self.output.buffer());
            }
            (Phase::Closing { .. }, _) => {}
            (_, Method::ConnectionClose { reply_code, reply_text, .. }) => {
                self.leave(host);
                Method::ConnectionCloseOk {}.encode(0, self.output.buffer());
                self.end(Reason::Client { code: reply_code, text: reply_text.to_owned() });
            }
            (
                &Phase::Starting { deadline_ms },
                Method::ConnectionStartOk { client_properties, mechanism, response, .. },
            ) => {
                self.shared.capabilities = Capabilities::of(client_properties);
                if !self.shared.config.mechanisms.iter().any(|offered| offered == mechanism) {
                    return Err(Fault::connection(
                        ReplyCode::CommandInvalid,
                        format!("unknown authentication mechanism '{mechanism}'"),
                    ));
                }
                let properties: Table = client_properties
                    .to_table()
                    .map_err(|error| Fault::connection(error.code, error.what))?;
                host.client_properties(&properties);
                self.phase = Phase::Authenticating { deadline_ms, mechanism: mechanism.to_owned() };
                host.authenticate(mechanism, response);
            }
            (
                &Phase::Tuning { deadline_ms },
                Method::ConnectionTuneOk { channel_max, frame_max, heartbeat },
            ) => {
                if let Err(fault) = check_tuned(&self.shared.config, channel_max, frame_max) {
                    // RabbitMQ names the method that made the offer, not the one that answered it.
                    self.fail(Failure { fault, class_id: 10, method_id: 30 }, host);
                    return Ok(());
                }
                self.shared.frame_max = frame_max;
                self.shared.channel_max = channel_max;
                self.heartbeat.start(self.now_ms, heartbeat);
                host.tuned(channel_max, frame_max, heartbeat);
                self.phase = Phase::Opening { deadline_ms };
            }
            (Phase::Opening { .. }, Method::ConnectionOpen { virtual_host }) => {
                host.open(virtual_host)?;
                self.phase = Phase::Running;
                self.open = true;
                self.heartbeat.start(self.now_ms, (self.heartbeat.interval_ms() / 1000) as u16);
                self.durable = self.durable.max(host.durable());
                self.output.durable_advanced(self.durable);
                Method::ConnectionOpenOk {}.encode(0, self.output.buffer());
            }
            (Phase::Running, Method::ConnectionUpdateSecret { new_secret, reason }) => {
                host.update_secret(new_secret, reason)?;
                Method::ConnectionUpdateSecretOk {}.encode(0, self.output.buffer());
            }
            (phase, _) => {
                return Err(Fault::connection(
                    ReplyCode::ChannelError,
                    format!("unexpected method in connection state {phase}"),
                ));
            }
        }
        Ok(())
    }

    // ---- ends ------------------------------------------------------------------------------------------------

    /// Answers a fault on a channel: ends it, or the connection.
    #[cold]
    fn fail_channel(&mut self, number: u16, failure: Failure, host: &mut H) {
        if failure.fault.scope == Scope::Connection {
            self.fail(failure, host);
            return;
        }
        host.faulted(number, &failure.fault);
        self.flush(host);
        host.channel_closed(number);
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.close();
        }
        let close = Method::ChannelClose {
            reply_code: failure.fault.code.code(),
            reply_text: &failure.text(),
            class_id: failure.class_id,
            method_id: failure.method_id,
        };
        close.encode(number, self.output.buffer());
    }

    /// Answers a fault with `connection.close`.
    #[cold]
    fn fail(&mut self, failure: Failure, host: &mut H) {
        host.faulted(0, &failure.fault);
        self.leave(host);
        let close = Method::ConnectionClose {
            reply_code: failure.fault.code.code(),
            reply_text: &failure.text(),
            class_id: failure.class_id,
            method_id: failure.method_id,
        };
        close.encode(0, self.output.buffer());
        let patience_ms = match self.heartbeat.interval_ms() {
            0 => CLOSING_TIMEOUT_MS,
            interval_ms => interval_ms.min(CLOSING_TIMEOUT_MS),
        };
        self.phase = Phase::Closing { deadline_ms: self.now_ms + patience_ms, deaf: false };
        self.reason.get_or_insert(Reason::Server(failure.fault));
    }

    /// Answers input that is not frames. Whatever follows it cannot be understood.
    #[cold]
    fn lose_sync(&mut self, error: DecodeError, host: &mut H) {
        if !matches!(self.phase, Phase::Closing { .. }) {
            self.fail(Failure::of_none(Fault::connection(error.code, error.what)), host);
        }
        if let Phase::Closing { deadline_ms, deaf } = &mut self.phase {
            *deaf = true;
            // The answer would not be understood, so there is nothing to wait for but the peer's reading of ours.
            *deadline_ms = (*deadline_ms).min(self.now_ms + DEAF_TIMEOUT_MS);
        }
    }

    /// Gives back everything that channels hold. Happens once to a connection that was opened.
    fn leave(&mut self, host: &mut H) {
        if !self.open {
            return;
        }
        self.open = false;
        self.flush(host);
        let mut numbers: Vec<u16> = self
            .channels
            .values()
            .filter(|channel| !channel.closing)
            .map(|channel| channel.number())
            .collect();
        numbers.sort_unstable();
        for number in numbers {
            host.channel_closed(number);
        }
        self.channels.clear();
        self.confirming.clear();
        host.closed();
    }

    /// The connection is over.
    fn end(&mut self, reason: Reason) {
        self.reason.get_or_insert(reason);
        self.phase = Phase::Closed;
    }

    /// Gives memory back on a connection that has been quiet for a while.
    fn release_buffers(&mut self) {
        self.output.release();
        self.parts = Vec::new();
        self.deliveries = Vec::new();
        self.receipts = Receipts::default();
    }
}

impl Shared {
    pub(super) fn next_serial(&mut self) -> u32 {
        self.serial = self.serial.wrapping_add(1);
        self.serial
    }

    /// A tag for a consumer that did not choose one: 128 bits that no other connection will make.
    pub(super) fn next_consumer_tag(&mut self) -> String {
        let serial = u64::from(self.next_serial());
        let bits =
            [mix(self.seed, 2 * serial), mix(self.seed, 2 * serial + 1)].map(u64::to_be_bytes).concat();
        format!("amq.ctag-{}", URL_SAFE_NO_PAD.encode(bits))
    }

    /// The largest payload that decoding accepts.
    #[inline]
    fn frame_limit(&self) -> u32 {
        if self.frame_max == 0 { u32::MAX } else { self.frame_max }
    }
}

/// The `n`th number of the sequence that `seed` starts (splitmix64).
fn mix(seed: u64, n: u64) -> u64 {
    let mut z = seed.wrapping_add(n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn unexpected_frame(frame: Frame<'_>) -> Failure {
    let text = match frame.kind {
        FrameKind::Heartbeat => "heartbeat frame on a channel other than 0",
        FrameKind::Method => "method frame on a channel before the connection is open",
        FrameKind::Header | FrameKind::Body => "content frame where none is expected",
    };
    Failure::of_none(Fault::connection(ReplyCode::UnexpectedFrame, text))
}

/// The names that RabbitMQ gives the phases in reply texts.
impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::AwaitHeader { .. } | Phase::Starting { .. } => "starting",
            Phase::Authenticating { .. } => "securing",
            Phase::Tuning { .. } => "tuning",
            Phase::Opening { .. } => "opening",
            Phase::Running => "running",
            Phase::Closing { .. } | Phase::Refused { .. } => "closing",
            Phase::Closed => "closed",
        })
    }
}

/// How long a closed connection waits for the peer's close-ok.
const CLOSING_TIMEOUT_MS: u64 = 30_000;
/// The same for a peer whose input cannot be understood any more.
const DEAF_TIMEOUT_MS: u64 = 1000;

/// How long a refused login keeps the peer waiting.
const REFUSED_PAUSE_MS: u64 = 3_000;
