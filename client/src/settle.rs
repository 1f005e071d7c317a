//! Which acknowledgements to send for what the program settled. No IO.
//!
//! The program settles deliveries one by one, in any order and as often as it likes. On the wire one
//! `basic.ack(multiple)` covers everything up to a tag, so a batch that settles the oldest deliveries in order costs
//! one frame. A tag is never settled twice: the broker would answer 406 and close the channel.

use std::collections::VecDeque;

/// What the program decided about a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Settlement {
    Ack,
    Nack { requeue: bool },
}

/// A frame to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    Ack { tag: u64, multiple: bool },
    Nack { tag: u64, requeue: bool },
}

/// The deliveries of one channel that are not settled yet.
#[derive(Debug, Default)]
pub(crate) struct Unsettled {
    /// Sorted by tag, which the broker counts up from 1. The front one is open.
    deliveries: VecDeque<(u64, State)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// Acknowledged by the program in this batch, not on the wire yet.
    Acked,
    /// Settled on the wire, behind an open one.
    Done,
}

impl Unsettled {
    pub(crate) fn delivered(&mut self, tag: u64) {
        debug_assert!(self.deliveries.back().is_none_or(|(last, _)| *last < tag));
        self.deliveries.push_back((tag, State::Open));
    }

    /// Turns one batch of decisions into frames, appended to `commands`.
    pub(crate) fn settle(
        &mut self,
        batch: impl IntoIterator<Item = (u64, Settlement)>,
        commands: &mut Vec<Command>,
    ) {
        let mut acked = Vec::new();
        for (tag, settlement) in batch {
            let Ok(index) = self.deliveries.binary_search_by_key(&tag, |(tag, _)| *tag) else { continue };
            let state = &mut self.deliveries[index].1;
            match (*state, settlement) {
                (State::Acked | State::Done, _) => {}
                (State::Open, Settlement::Ack) => {
                    *state = State::Acked;
                    acked.push(tag);
                }
                (State::Open, Settlement::Nack { requeue }) => {
                    *state = State::Done;
                    commands.push(Command::Nack { tag, requeue });
                }
            }
        }
        let mut covered = None;
        let mut covered_count = 0;
        while let Some((tag, State::Acked | State::Done)) = self.deliveries.front().copied() {
            if self.deliveries.pop_front() == Some((tag, State::Acked)) {
                covered = Some(tag);
                covered_count += 1;
            }
        }
        if let Some(tag) = covered {
            commands.push(Command::Ack { tag, multiple: covered_count > 1 });
        }
        for tag in acked {
            // Those the multiple ack covered are not in the list any more.
            if let Ok(index) = self.deliveries.binary_search_by_key(&tag, |(tag, _)| *tag) {
                self.deliveries[index].1 = State::Done;
                commands.push(Command::Ack { tag, multiple: false });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACK: Settlement = Settlement::Ack;
    const REQUEUE: Settlement = Settlement::Nack { requeue: true };

    fn unsettled(tags: std::ops::RangeInclusive<u64>) -> Unsettled {
        let mut unsettled = Unsettled::default();
        tags.for_each(|tag| unsettled.delivered(tag));
        unsettled
    }

    fn settle(unsettled: &mut Unsettled, batch: &[(u64, Settlement)]) -> Vec<Command> {
        let mut commands = Vec::new();
        unsettled.settle(batch.iter().copied(), &mut commands);
        commands
    }

    fn ack(tag: u64, multiple: bool) -> Command {
        Command::Ack { tag, multiple }
    }

    #[test]
    fn acks_in_order_become_one_frame() {
        let mut open = unsettled(1..=5);
        assert_eq!(settle(&mut open, &[(1, ACK), (2, ACK), (3, ACK)]), [ack(3, true)]);
        assert_eq!(settle(&mut open, &[(4, ACK)]), [ack(4, false)]);
        assert_eq!(open.deliveries.len(), 1);
    }

    #[test]
    fn an_ack_behind_an_open_delivery_is_sent_singly() {
        let mut open = unsettled(1..=4);
        assert_eq!(settle(&mut open, &[(3, ACK), (2, ACK)]), [ack(3, false), ack(2, false)]);
        assert_eq!(settle(&mut open, &[(1, ACK)]), [ack(1, false)], "2 and 3 are settled already");
        assert_eq!(settle(&mut open, &[(4, ACK)]), [ack(4, false)]);
        assert!(open.deliveries.is_empty());
    }

    #[test]
    fn a_multiple_ack_never_covers_an_unsettled_delivery() {
        let mut open = unsettled(1..=5);
        assert_eq!(settle(&mut open, &[(1, ACK), (2, ACK), (4, ACK)]), [ack(2, true), ack(4, false)]);
    }

    #[test]
    fn nacks_go_out_singly_and_before_acks_that_might_cover_them() {
        let mut open = unsettled(1..=3);
        let commands = settle(&mut open, &[(1, ACK), (2, REQUEUE), (3, ACK)]);
        assert_eq!(commands, [Command::Nack { tag: 2, requeue: true }, ack(3, true)]);
        assert!(open.deliveries.is_empty());
    }

    #[test]
    fn settling_twice_or_what_was_never_delivered_does_nothing() {
        let mut open = unsettled(1..=2);
        assert_eq!(settle(&mut open, &[(2, ACK), (2, REQUEUE), (2, ACK)]), [ack(2, false)]);
        assert_eq!(settle(&mut open, &[(2, ACK), (9, ACK), (0, REQUEUE)]), []);
        assert_eq!(settle(&mut open, &[(1, REQUEUE)]), [Command::Nack { tag: 1, requeue: true }]);
        assert_eq!(settle(&mut open, &[(1, ACK)]), []);
    }

    #[test]
    fn every_tag_is_settled_on_the_wire_exactly_once() {
        // A small broker model: applies the frames and refuses unknown tags, over all batches of three decisions.
        let decisions: Vec<(u64, Settlement)> =
            (1..=4).flat_map(|tag| [(tag, ACK), (tag, REQUEUE)]).collect();
        for first in &decisions {
            for second in &decisions {
                for third in &decisions {
                    for split in 0..=3 {
                        let mut open = unsettled(1..=4);
                        let mut unacked: Vec<u64> = (1..=4).collect();
                        let all = [*first, *second, *third];
                        for batch in [&all[..split], &all[split..]] {
                            for command in settle(&mut open, batch) {
                                let covers = |tag: u64| match command {
                                    Command::Ack { tag: up_to, multiple: true } => tag <= up_to,
                                    Command::Ack { tag: one, .. } | Command::Nack { tag: one, .. } => {
                                        tag == one
                                    }
                                };
                                assert!(unacked.iter().any(|tag| covers(*tag)), "{all:?} sent {command:?}");
                                unacked.retain(|tag| !covers(*tag));
                            }
                        }
                        let decided: Vec<u64> = all.iter().map(|(tag, _)| *tag).collect();
                        assert!(unacked.iter().all(|tag| !decided.contains(tag)), "{all:?} left {unacked:?}");
                        assert!(
                            (1..=4).all(|tag| decided.contains(&tag) || unacked.contains(&tag)),
                            "{all:?}"
                        );
                    }
                }
            }
        }
    }
}
