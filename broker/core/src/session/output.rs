//! Bytes on their way to the peer, some of which have to wait for the disk.
//!
//! ```text
//!   bytes  | sent | sendable ........ | held .................. |
//!                                     ^ first barrier: held until its ticket is durable
//! ```
//!
//! The answer to a durable declare is encoded at once, behind a barrier; so is everything after it, whatever channel
//! it is for. Order on the wire is the order of encoding.

use std::collections::VecDeque;

use crate::session::host::Ticket;

#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    /// How much of `bytes` the peer has.
    sent: usize,
    /// Offset of `bytes[0]` in everything ever written.
    base: u64,
    /// Offsets that nothing may pass before a ticket is durable. Both rise.
    barriers: VecDeque<(u64, Ticket)>,
    durable: Ticket,
}

impl Output {
    /// Where to append encoded frames.
    #[inline]
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Holds what is written from here on until `after` is durable.
    pub(super) fn hold_until(&mut self, after: Ticket) {
        let held_anyway = self.awaited().unwrap_or(self.durable);
        if after > held_anyway {
            self.barriers.push_back((self.base + self.bytes.len() as u64, after));
        }
    }

    /// Lets go what waited for tickets up to `durable`.
    pub(super) fn durable_advanced(&mut self, durable: Ticket) {
        self.durable = self.durable.max(durable);
        while self.barriers.front().is_some_and(|(_, after)| *after <= self.durable) {
            self.barriers.pop_front();
        }
    }

    /// Forgets the first `n` sendable bytes, which were written to the socket.
    pub(super) fn transmitted(&mut self, n: usize) {
        self.sent += n.min(self.sendable().len());
        if self.sent == self.bytes.len() {
            self.base += self.sent as u64;
            self.bytes.clear();
            self.sent = 0;
            if self.bytes.capacity() > KEPT_CAPACITY_MAX {
                self.bytes = Vec::new();
            }
        } else if self.sent >= COMPACT_BYTES && self.sent * 2 >= self.bytes.len() {
            self.base += self.sent as u64;
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Gives the memory back when there is nothing to send.
    pub(super) fn release(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
    }

    /// What may be written to the socket now.
    pub(super) fn sendable(&self) -> &[u8] {
        let end = match self.barriers.front() {
            Some((offset, _)) => (offset - self.base) as usize,
            None => self.bytes.len(),
        };
        &self.bytes[self.sent..end]
    }

    /// Bytes not sent yet, held or not.
    pub(super) fn pending(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// The ticket of the last barrier.
    pub(super) fn awaited(&self) -> Option<Ticket> {
        self.barriers.back().map(|(_, after)| *after)
    }
}

/// The buffer is kept between batches up to this size.
const KEPT_CAPACITY_MAX: usize = 256 * 1024;

/// A sent prefix shorter than this is not worth moving the rest for.
const COMPACT_BYTES: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn write(output: &mut Output, text: &str) {
        output.buffer().extend_from_slice(text.as_bytes());
    }

    #[test]
    fn bytes_wait_behind_a_barrier_until_its_ticket_is_durable() {
        let mut output = Output::default();
        write(&mut output, "now");
        output.hold_until(Ticket(2));
        write(&mut output, "two");
        output.hold_until(Ticket(1));
        write(&mut output, "also two");
        output.hold_until(Ticket(3));
        write(&mut output, "three");

        assert_eq!(output.sendable(), b"now");
        assert_eq!(output.awaited(), Some(Ticket(3)));
        output.transmitted(3);
        assert_eq!(output.sendable(), b"");
        output.durable_advanced(Ticket(1));
        assert_eq!(output.sendable(), b"");
        output.durable_advanced(Ticket(2));
        assert_eq!(output.sendable(), b"twoalso two");
        output.transmitted(3);
        output.durable_advanced(Ticket(9));
        assert_eq!(output.sendable(), b"also twothree");
        assert_eq!((output.awaited(), output.pending()), (None, 13));
    }

    #[test]
    fn durable_tickets_hold_nothing() {
        let mut output = Output::default();
        output.durable_advanced(Ticket(5));
        output.hold_until(Ticket(5));
        write(&mut output, "x");
        assert_eq!(output.sendable(), b"x");
    }

    #[test]
    fn partly_sent_output_is_compacted_without_losing_its_place() {
        let mut output = Output::default();
        output.buffer().resize(3 * COMPACT_BYTES, b'a');
        output.hold_until(Ticket(1));
        write(&mut output, "held");
        output.transmitted(2 * COMPACT_BYTES);
        assert_eq!(output.sendable().len(), COMPACT_BYTES);
        output.transmitted(usize::MAX);
        assert_eq!(output.sendable(), b"");
        output.durable_advanced(Ticket(1));
        assert_eq!(output.sendable(), b"held");
        output.transmitted(4);
        output.release();
        assert_eq!((output.pending(), output.bytes.capacity()), (0, 0));
    }
}
