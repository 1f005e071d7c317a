//! The task of one connection: socket ↔ session ↔ broker.
//!
//! One future owns both directions, so a channel's state needs no lock. A turn takes what other tasks left in the
//! outbox, reads, and writes; it repeats while anything moved and yields after a budget. Nothing waits for a write
//! to finish, so a slow reader never keeps its own acknowledgements from being seen.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use leveret_core::session::connection::Connection;
use leveret_core::session::host::Ticket;
use leveret_core::session::state::State;
use leveret_protocol::reply_code::ReplyCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::clock;
use crate::connections::Traffic;
use crate::dispatch::ConnectionHost;
use crate::outbox::{Notice, Outbox};

/// One connection, as a future that ends with it.
pub struct Driver<S> {
    socket: S,
    session: Connection<ConnectionHost>,
    host: ConnectionHost,
    outbox: Arc<Outbox>,
    /// The beginning of a frame whose rest has not arrived.
    carry: Vec<u8>,
    sleep: Pin<Box<Sleep>>,
    sleeps_until_ms: Option<u64>,
    /// The peer sends nothing more.
    input_ended: bool,
    traffic: Traffic,
    shown: Shown,
}

/// What the admin API was shown of the connection, and when.
#[derive(Default)]
struct Shown {
    /// Something may have changed since then.
    outdated: bool,
    at_ms: u64,
    channels: usize,
}

/// Why a connection ended.
#[derive(Debug)]
pub enum End {
    /// The closing handshake was done, or the session gave up on the peer.
    Closed,
    /// The peer went away without it.
    Reset(Option<io::Error>),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Driver<S> {
    /// A driver for a fresh socket.
    pub fn new(socket: S, mut session: Connection<ConnectionHost>, host: ConnectionHost) -> Driver<S> {
        let outbox = host.outbox().clone();
        // Later changes come as notices.
        session.blocked(host.alarm());
        Driver {
            socket,
            session,
            host,
            outbox,
            carry: Vec::new(),
            sleep: Box::pin(sleep_until(Instant::now() + FAR)),
            sleeps_until_ms: None,
            input_ended: false,
            traffic: Traffic::default(),
            shown: Shown::default(),
        }
    }

    /// Runs the connection to its end and gives everything back that it held.
    pub async fn run(mut self) -> End {
        let end = std::future::poll_fn(|context| self.poll_turns(context)).await;
        self.session.disconnected(&mut self.host);
        self.host.disconnected();
        end
    }

    fn poll_turns(&mut self, context: &mut Context<'_>) -> Poll<End> {
        for _ in 0..TURNS_MAX {
            let mut moved = self.outbox.poll_woken(context);
            if moved {
                self.take_outbox();
            }
            moved |= self.poll_timer(context);
            match self.poll_read(context) {
                Ok(read) => moved |= read,
                Err(error) => return Poll::Ready(End::Reset(Some(error))),
            }
            match self.poll_write(context) {
                Ok(wrote) => moved |= wrote,
                Err(error) => return Poll::Ready(End::Reset(Some(error))),
            }
            if matches!(self.session.state(), State::Closed) && self.session.poll_transmit().is_empty() {
                // Telling the peer that nothing follows; whether it still listens does not matter any more.
                let _ = Pin::new(&mut self.socket).poll_shutdown(context);
                return Poll::Ready(End::Closed);
            }
            if self.input_ended && self.session.poll_transmit().is_empty() {
                return Poll::Ready(End::Reset(None));
            }
            self.shown.outdated |= moved;
            if !moved {
                self.show(context);
                return Poll::Pending;
            }
        }
        self.show(context);
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn take_outbox(&mut self) {
        for notice in self.outbox.take_notices() {
            match notice {
                Notice::ConsumerCancelled(key) => {
                    self.host.consumer_cancelled(key);
                    self.session.consumer_cancelled(key);
                }
                Notice::AckTimedOut { key, timeout_ms } => {
                    self.session.ack_timed_out(key, timeout_ms, &mut self.host);
                }
                Notice::CloseChannel { channel, text } => {
                    self.session.close_channel(channel, &text, &mut self.host);
                }
                Notice::EndConsumer { channel, consumer_tag } => {
                    self.session.end_consumer(channel, &consumer_tag, &mut self.host);
                }
                Notice::Close(text) => self.session.close(ReplyCode::ConnectionForced, &text, &mut self.host),
                Notice::Blocked(reason) => self.session.blocked(reason),
                Notice::Authenticated(result) => {
                    if let Ok(user) = &result {
                        self.host.logged_in(user);
                    }
                    self.session.authenticated(result.map(drop), &mut self.host);
                    self.use_carry();
                }
                Notice::Failed => {
                    self.session.close(ReplyCode::InternalError, "the message store failed", &mut self.host);
                }
            }
        }
        self.take_deliveries();
        self.session.durable_advanced(self.host.store().durable());
        self.await_durable();
    }

    /// Fills the session's output with waiting deliveries. A little at a time: it goes to the socket while it is in the
    /// processor's cache, and in a buffer that need not grow.
    fn take_deliveries(&mut self) {
        loop {
            let room = OUTPUT_MAX.saturating_sub(self.session.pending_output());
            let mut taken = false;
            self.session.deliver(self.host.next_deliveries(room).inspect(|_| taken = true));
            if !taken {
                break;
            }
        }
        // Those of a channel that is gone become no output, whose writing would count them as done.
        if self.session.pending_output() == 0 {
            self.host.deliveries_written();
        }
    }

    fn poll_timer(&mut self, context: &mut Context<'_>) -> bool {
        let Some(at_ms) = self.session.poll_timeout() else { return false };
        let now_ms = clock::monotonic_ms();
        if at_ms <= now_ms {
            self.session.handle_timeout(now_ms);
            return true;
        }
        self.poll_sleep(at_ms, now_ms, context)
    }

    /// True when the timer fired, which need not be at `at_ms`: deadlines move with every byte; the timer is only ever
    /// brought forward, and its owner looks again when it fires.
    fn poll_sleep(&mut self, at_ms: u64, now_ms: u64, context: &mut Context<'_>) -> bool {
        if self.sleeps_until_ms.is_none_or(|until| at_ms < until) {
            self.sleep.as_mut().reset(Instant::now() + Duration::from_millis(at_ms - now_ms));
            self.sleeps_until_ms = Some(at_ms);
        }
        if self.sleep.as_mut().poll(context).is_ready() {
            self.sleeps_until_ms = None;
            return true;
        }
        false
    }

    /// Shows the admin API how the connection is: at once when channels came or went, otherwise once a second at most
    /// and within a second of the latest change.
    fn show(&mut self, context: &mut Context<'_>) {
        if !self.shown.outdated {
            return;
        }
        let now_ms = clock::monotonic_ms();
        let due_ms = self.shown.at_ms + SHOW_INTERVAL_MS;
        let channels = self.host.channel_count();
        if now_ms < due_ms && channels == self.shown.channels {
            if self.poll_sleep(due_ms, now_ms, context) {
                context.waker().wake_by_ref();
            }
            return;
        }
        self.shown = Shown { outdated: false, at_ms: now_ms, channels };
        let channels = self.session.channels().filter(|channel| !channel.closing).collect();
        let traffic = Traffic { unsent_bytes: self.session.pending_output() as u64, ..self.traffic };
        let (blocked, publishes) = (self.session.is_blocked(), self.session.has_published());
        self.host.show(|info| {
            info.channels = channels;
            info.traffic = traffic;
            info.blocked = blocked;
            info.publishes = publishes;
        });
    }

    /// True when something was read.
    fn poll_read(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        if self.input_ended || !self.may_read(context) {
            return Ok(false);
        }
        let read = if self.carry.len() <= CARRY_COPIED_MAX {
            READ_BUFFER.with_borrow_mut(|buffer| self.poll_read_shared(buffer, context))?
        } else {
            self.poll_read_on(context)?
        };
        let Some(read) = read else { return Ok(false) };
        self.input_ended = read == 0;
        self.host.note_traffic(read as u64, 0);
        self.traffic.read_bytes += read as u64;
        self.traffic.reads += 1;
        self.take_deliveries();
        self.session.durable_advanced(self.host.store().durable());
        self.await_durable();
        Ok(true)
    }

    /// Reads into a buffer that all connections of the thread share, behind what was left of the last read, and keeps
    /// only the beginning of a frame.
    fn poll_read_shared(
        &mut self,
        buffer: &mut Vec<u8>,
        context: &mut Context<'_>,
    ) -> io::Result<Option<usize>> {
        buffer.resize(CARRY_COPIED_MAX + READ_BYTES_MAX, 0);
        let kept = self.carry.len();
        let space = &mut buffer[kept..kept + READ_BYTES_MAX];
        let Some(read) = poll_fill(&mut self.socket, space, context)? else { return Ok(None) };
        buffer[..kept].copy_from_slice(&self.carry);
        let input = &buffer[..kept + read];
        let used = self.session.handle_bytes(clock::monotonic_ms(), input, &mut self.host);
        self.carry.clear();
        self.carry.extend_from_slice(&input[used..]);
        if self.carry.is_empty() {
            self.carry = Vec::new();
        }
        Ok(Some(read))
    }

    /// Reads on where much was left.
    fn poll_read_on(&mut self, context: &mut Context<'_>) -> io::Result<Option<usize>> {
        let kept = self.carry.len();
        self.carry.resize(kept + READ_BYTES_MAX, 0);
        let read = poll_fill(&mut self.socket, &mut self.carry[kept..], context);
        self.carry.truncate(kept + read.as_ref().map_or(0, |read| read.unwrap_or(0)));
        let Some(read) = read? else { return Ok(None) };
        self.use_carry();
        Ok(Some(read))
    }

    /// Gives the session what it left unread while a login was checked.
    fn use_carry(&mut self) {
        if !self.carry.is_empty() {
            let used = self.session.handle_bytes(clock::monotonic_ms(), &self.carry, &mut self.host);
            self.carry.drain(..used);
        }
        if self.carry.is_empty() {
            self.carry = Vec::new();
        }
    }

    /// Publishers wait while memory or disk is short, while the store is behind, while the consumers of a queue catch
    /// up, and while they do not read what is sent to them. Consumers go on.
    fn may_read(&mut self, context: &mut Context<'_>) -> bool {
        if self.session.pending_output() > OUTPUT_UNREAD_MAX || self.carry.len() > CARRY_MAX {
            return false;
        }
        if self.session.is_blocked() {
            return false;
        }
        if !self.session.has_published() {
            return true;
        }
        let store = self.host.store();
        if store.backlog_bytes() > STORE_BACKLOG_MAX {
            let next = Ticket(store.durable().0 + 1);
            self.host.wake_when_durable(next);
            return false;
        }
        !self.host.may_be_held_up() || !self.poll_held_up(context)
    }

    /// True while the consumers of a queue have to catch up before more is published.
    fn poll_held_up(&mut self, context: &mut Context<'_>) -> bool {
        let now_ms = clock::monotonic_ms();
        let Some(until_ms) = self.host.held_up_until(now_ms) else { return false };
        if self.poll_sleep(until_ms, now_ms, context) {
            context.waker().wake_by_ref();
        }
        true
    }

    /// True when something was written.
    fn poll_write(&mut self, context: &mut Context<'_>) -> io::Result<bool> {
        let mut wrote = false;
        loop {
            let output = self.session.poll_transmit();
            if output.is_empty() {
                break;
            }
            let Poll::Ready(written) = Pin::new(&mut self.socket).poll_write(context, output) else { break };
            let written = written?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.session.transmitted(written);
            self.host.note_traffic(0, written as u64);
            self.traffic.written_bytes += written as u64;
            self.traffic.writes += 1;
            wrote = true;
        }
        if wrote {
            self.session.note_sent(clock::monotonic_ms());
            if let Poll::Ready(Err(error)) = Pin::new(&mut self.socket).poll_flush(context) {
                return Err(error);
            }
            if self.session.pending_output() <= OUTPUT_MAX / 4 {
                self.host.deliveries_written();
            }
            self.take_deliveries();
        }
        Ok(wrote)
    }

    fn await_durable(&mut self) {
        if let Some(ticket) = self.session.awaited() {
            self.host.wake_when_durable(ticket);
        }
    }
}

/// What a read brought, `None` when nothing is there yet; 0 at the end of the input.
fn poll_fill<S: AsyncRead + Unpin>(
    socket: &mut S,
    buffer: &mut [u8],
    context: &mut Context<'_>,
) -> io::Result<Option<usize>> {
    let mut into = ReadBuf::new(buffer);
    match Pin::new(socket).poll_read(context, &mut into) {
        Poll::Pending => Ok(None),
        Poll::Ready(result) => result.map(|()| Some(into.filled().len())),
    }
}

thread_local! {
    /// One read buffer for all connections of a thread: an idle connection holds none.
    static READ_BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// How many bytes one read may bring.
const READ_BYTES_MAX: usize = 128 << 10;
/// How much of a frame is copied in front of the rest of it, rather than kept where the rest is appended.
const CARRY_COPIED_MAX: usize = 16 << 10;
/// Output at which a connection takes no more deliveries for now.
const OUTPUT_MAX: usize = 64 << 10;
/// Output at which nothing more is read from a peer that does not read either. Far above what deliveries come to: a
/// client may well write for a while before it reads, and would wait for us for ever.
const OUTPUT_UNREAD_MAX: usize = 64 << 20;
/// What a session may leave unread: while a login is checked it reads nothing, and clients wait for the answer.
const CARRY_MAX: usize = 64 << 20;
/// Bytes waiting to be written at which publishers wait for the store.
const STORE_BACKLOG_MAX: usize = 64 << 20;
/// Turns before a busy connection lets others run.
const TURNS_MAX: usize = 16;
/// How often a busy connection shows itself to the admin API.
const SHOW_INTERVAL_MS: u64 = 1000;
/// A deadline for a timer that nobody needs yet.
const FAR: Duration = Duration::from_secs(86_400);
