//! Publisher confirms: which published messages were answered, and what the others wait for.
//!
//! Publishes are numbered from 1. At every flush the numbers since the last one become a range that waits for the
//! store; ranges are acked in order, so that one `basic.ack` with `multiple` covers all that came due together.
//!
//! A message that a queue refused is answered at once with `basic.nack`, alone, and those of its flush behind it are
//! acked singly: an ack with `multiple` in that flush never reaches past a refused number.

use std::collections::VecDeque;

use leveret_protocol::method::Method;

use crate::session::host::Ticket;

#[derive(Debug, Default)]
pub(super) struct Confirms {
    /// The number of the latest publish.
    published: u64,
    /// Publishes up to this number were handed to their queues.
    flushed: u64,
    /// Neither acked nor nacked yet; numbers and tickets rise.
    pending: VecDeque<Pending>,
}

#[derive(Debug)]
struct Pending {
    first: u64,
    last: u64,
    after: Ticket,
    /// Acked one by one.
    single: bool,
}

impl Confirms {
    /// Counts a publish that the host accepted under [`Confirms::next_sequence`].
    #[inline]
    pub(super) fn published(&mut self) {
        self.published += 1;
    }

    /// The number of the next publish.
    #[inline]
    pub(super) fn next_sequence(&self) -> u64 {
        self.published + 1
    }

    /// All publishes so far reached their queues and are safe after `after`, except `rejected` (in rising order).
    pub(super) fn flushed(
        &mut self,
        after: Ticket,
        rejected: impl Iterator<Item = u64>,
        channel: u16,
        out: &mut Vec<u8>,
    ) {
        let mut single = false;
        for sequence in rejected {
            if sequence <= self.flushed || sequence > self.published {
                continue;
            }
            self.push(sequence - 1, after, single);
            Method::BasicNack { delivery_tag: sequence, multiple: false, requeue: false }
                .encode(channel, out);
            self.flushed = sequence;
            single = true;
        }
        self.push(self.published, after, single);
    }

    /// Acks what is safe now.
    pub(super) fn durable_advanced(&mut self, durable: Ticket, channel: u16, out: &mut Vec<u8>) {
        let mut run: Option<(u64, u64)> = None;
        while self.pending.front().is_some_and(|pending| pending.after <= durable) {
            let Some(pending) = self.pending.pop_front() else { break };
            if pending.single {
                ack_run(run.take(), channel, out);
                for sequence in pending.first..=pending.last {
                    ack_run(Some((sequence, sequence)), channel, out);
                }
            } else {
                let first = run.map_or(pending.first, |(first, _)| first);
                run = Some((first, pending.last));
            }
        }
        ack_run(run, channel, out);
    }

    /// How many publishes were answered.
    pub(super) fn answered(&self) -> u64 {
        self.published - self.unconfirmed()
    }

    /// How many publishes were not answered yet.
    pub(super) fn unconfirmed(&self) -> u64 {
        let pending: u64 = self.pending.iter().map(|pending| pending.last - pending.first + 1).sum();
        pending + self.published - self.flushed
    }

    /// The ticket that the last of them waits for.
    pub(super) fn awaited(&self) -> Option<Ticket> {
        self.pending.back().map(|pending| pending.after)
    }

    /// Lets the numbers after `flushed` up to `last` wait for `after`.
    fn push(&mut self, last: u64, after: Ticket, single: bool) {
        let first = self.flushed + 1;
        if first > last {
            return;
        }
        self.flushed = last;
        match self.pending.back_mut() {
            Some(back) if back.after >= after && back.single == single && back.last + 1 == first => {
                back.last = last;
            }
            back => {
                let after = back.map_or(after, |back| after.max(back.after));
                self.pending.push_back(Pending { first, last, after, single });
            }
        }
    }
}

fn ack_run(run: Option<(u64, u64)>, channel: u16, out: &mut Vec<u8>) {
    if let Some((first, last)) = run {
        Method::BasicAck { delivery_tag: last, multiple: last > first }.encode(channel, out);
    }
}

#[cfg(test)]
mod tests {
    use leveret_protocol::frame::decode_frame;

    use super::*;

    /// Publishes `count` messages and flushes them.
    fn publish(confirms: &mut Confirms, count: u64, after: u64, rejected: &[u64]) -> String {
        (0..count).for_each(|_| confirms.published());
        let mut out = Vec::new();
        confirms.flushed(Ticket(after), rejected.iter().copied(), 1, &mut out);
        shown(&out)
    }

    fn durable(confirms: &mut Confirms, durable: u64) -> String {
        let mut out = Vec::new();
        confirms.durable_advanced(Ticket(durable), 1, &mut out);
        shown(&out)
    }

    /// "ack 3* nack 4 ack 5": a star for multiple.
    fn shown(mut bytes: &[u8]) -> String {
        let mut shown = Vec::new();
        while let Some((frame, used)) = decode_frame(bytes, 4096).unwrap() {
            shown.push(match Method::decode(frame.payload).unwrap() {
                Method::BasicAck { delivery_tag, multiple: true } => format!("ack {delivery_tag}*"),
                Method::BasicAck { delivery_tag, .. } => format!("ack {delivery_tag}"),
                Method::BasicNack { delivery_tag, multiple: false, .. } => format!("nack {delivery_tag}"),
                other => panic!("unexpected {other:?}"),
            });
            bytes = &bytes[used..];
        }
        shown.join(" ")
    }

    #[test]
    fn one_ack_covers_all_that_came_due_together() {
        let mut confirms = Confirms::default();
        assert_eq!(publish(&mut confirms, 1, 1, &[]), "");
        assert_eq!(durable(&mut confirms, 1), "ack 1");
        publish(&mut confirms, 2, 2, &[]);
        publish(&mut confirms, 3, 3, &[]);
        publish(&mut confirms, 1, 5, &[]);
        assert_eq!(confirms.unconfirmed(), 6);
        assert_eq!(confirms.awaited(), Some(Ticket(5)));
        assert_eq!(durable(&mut confirms, 1), "");
        assert_eq!(durable(&mut confirms, 4), "ack 6*");
        assert_eq!(durable(&mut confirms, 5), "ack 7");
        assert_eq!((confirms.unconfirmed(), confirms.awaited()), (0, None));
    }

    #[test]
    fn rejected_publishes_are_nacked_alone_and_never_covered_by_an_ack() {
        let mut confirms = Confirms::default();
        assert_eq!(publish(&mut confirms, 8, 1, &[4, 6]), "nack 4 nack 6");
        assert_eq!(durable(&mut confirms, 1), "ack 3* ack 5 ack 7 ack 8");
        assert_eq!(publish(&mut confirms, 2, 2, &[9, 10]), "nack 9 nack 10");
        assert_eq!(durable(&mut confirms, 2), "");
        publish(&mut confirms, 2, 2, &[]);
        assert_eq!(durable(&mut confirms, 2), "ack 12*");
    }

    #[test]
    fn what_is_safe_at_once_still_waits_for_its_predecessors() {
        let mut confirms = Confirms::default();
        publish(&mut confirms, 1, 7, &[]);
        publish(&mut confirms, 1, 0, &[]);
        assert_eq!(durable(&mut confirms, 0), "");
        assert_eq!(durable(&mut confirms, 7), "ack 2*");
    }

    #[test]
    fn numbers_that_were_never_published_are_ignored() {
        let mut confirms = Confirms::default();
        assert_eq!(publish(&mut confirms, 1, 1, &[0, 1, 1, 2]), "nack 1");
        assert_eq!(durable(&mut confirms, 1), "");
    }
}
