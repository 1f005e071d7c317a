//! Who gets the next message: round robin inside a priority, higher priorities first, one at a time where the queue
//! says so.

use std::collections::{BTreeMap, VecDeque};

use std::cmp::Reverse;

use crate::session::host::ConsumerKey;

/// One connection of one broker run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// What a consumer asked for.
#[derive(Debug, Clone)]
pub struct Subscription {
    pub connection: ConnectionId,
    pub key: ConsumerKey,
    pub no_ack: bool,
    pub exclusive: bool,
    /// How many messages it may hold, 0 for no bound.
    pub prefetch: u32,
    /// `x-priority`: higher ones are served first.
    pub priority: i32,
    /// False for the holder of a channel's `basic.get`s, which asks for each message.
    pub subscribed: bool,
}

/// A consumer of a queue.
#[derive(Debug)]
pub struct Consumer {
    pub subscription: Subscription,
    /// Messages it holds.
    pub held: u32,
    /// Its connection has no room at present.
    stalled: bool,
    /// It stands in the ready line.
    in_line: bool,
    /// It was cancelled and is kept for what it still holds.
    gone: bool,
    /// Order of arrival, which decides who is active next.
    arrival: u64,
}

impl Consumer {
    fn is_able(&self) -> bool {
        let window = self.subscription.no_ack
            || self.subscription.prefetch == 0
            || self.held < self.subscription.prefetch;
        self.subscription.subscribed && !self.gone && !self.stalled && window
    }
}

/// The consumers of a queue.
#[derive(Debug, Default)]
pub struct Consumers {
    slots: Vec<Option<Consumer>>,
    free: Vec<u32>,
    /// Consumers able to take a message, by priority; some may have lost that ability since they queued up.
    line: BTreeMap<Reverse<i32>, VecDeque<u32>>,
    single_active: bool,
    active: Option<u32>,
    subscribed: usize,
    arrivals: u64,
}

impl Consumers {
    /// No consumers; with `single_active` only one at a time is served.
    pub fn new(single_active: bool) -> Consumers {
        Consumers { single_active, ..Consumers::default() }
    }

    /// Adds one and returns its slot.
    pub fn insert(&mut self, subscription: Subscription) -> u32 {
        self.arrivals += 1;
        self.subscribed += usize::from(subscription.subscribed);
        let consumer = Consumer {
            subscription,
            held: 0,
            stalled: false,
            in_line: false,
            gone: false,
            arrival: self.arrivals,
        };
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(consumer);
                slot
            }
            None => {
                self.slots.push(Some(consumer));
                (self.slots.len() - 1) as u32
            }
        };
        self.elect();
        self.offer(slot);
        slot
    }

    /// Stops serving one; its slot lives on while it holds messages. True when the slot is free now.
    pub fn cancel(&mut self, slot: u32) -> bool {
        let Some(Some(consumer)) = self.slots.get_mut(slot as usize) else { return false };
        if consumer.subscription.subscribed && !consumer.gone {
            self.subscribed -= 1;
        }
        consumer.gone = true;
        if self.active == Some(slot) {
            self.active = None;
            self.elect();
        }
        self.release(slot)
    }

    /// Takes note that it holds one more or `returned` fewer messages. True when its slot is free now.
    pub fn returned(&mut self, slot: u32, returned: u32) -> bool {
        let Some(Some(consumer)) = self.slots.get_mut(slot as usize) else { return false };
        consumer.held = consumer.held.saturating_sub(returned);
        self.offer(slot);
        self.release(slot)
    }

    /// Its connection has no room: it is not served until [`Consumers::resume`].
    pub fn stall(&mut self, slot: u32) {
        if let Some(Some(consumer)) = self.slots.get_mut(slot as usize) {
            consumer.stalled = true;
        }
    }

    /// Its connection has room again.
    pub fn resume(&mut self, slot: u32) {
        if let Some(Some(consumer)) = self.slots.get_mut(slot as usize) {
            consumer.stalled = false;
            self.offer(slot);
        }
    }

    /// The consumer that the next message goes to. It keeps its place in front until [`Consumers::served`].
    pub fn next(&mut self) -> Option<u32> {
        if self.single_active {
            return self.active.filter(|slot| self.get(*slot).is_some_and(Consumer::is_able));
        }
        for line in self.line.values_mut() {
            while let Some(&slot) = line.front() {
                match &mut self.slots[slot as usize] {
                    Some(consumer) if consumer.is_able() => return Some(slot),
                    Some(consumer) => consumer.in_line = false,
                    None => {}
                }
                line.pop_front();
            }
        }
        None
    }

    /// A consumer got a message: it holds it when `holds`, and if it was in front, the next one has its turn.
    pub fn served(&mut self, slot: u32, holds: bool) {
        let Some(Some(consumer)) = self.slots.get_mut(slot as usize) else { return };
        consumer.held += u32::from(holds);
        if self.single_active {
            return;
        }
        let able = consumer.is_able();
        // Gets take messages too, and are in no line.
        if let Some(line) = self.line.get_mut(&Reverse(consumer.subscription.priority))
            && line.front() == Some(&slot)
        {
            if able && line.len() == 1 {
                return;
            }
            line.pop_front();
            consumer.in_line = able;
            if able {
                line.push_back(slot);
            }
        }
    }

    /// The consumer in a slot.
    pub fn get(&self, slot: u32) -> Option<&Consumer> {
        self.slots.get(slot as usize)?.as_ref()
    }

    /// The slot of a connection's consumer, also of one that was cancelled and still holds messages.
    pub fn find(&self, connection: ConnectionId, key: ConsumerKey) -> Option<u32> {
        self.iter().find_map(|(slot, consumer)| {
            let subscription = &consumer.subscription;
            (subscription.connection == connection && subscription.key == key).then_some(slot)
        })
    }

    /// All slots in use.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Consumer)> {
        self.slots.iter().enumerate().filter_map(|(slot, consumer)| Some((slot as u32, consumer.as_ref()?)))
    }

    /// Consumers that are subscribed.
    pub fn len(&self) -> usize {
        self.subscribed
    }

    /// True when nobody is subscribed.
    pub fn is_empty(&self) -> bool {
        self.subscribed == 0
    }

    /// True when somebody consumes exclusively.
    pub fn has_exclusive(&self) -> bool {
        self.iter().any(|(_, consumer)| consumer.subscription.exclusive && !consumer.gone)
    }

    /// True when the consumer in this slot is the one being served, or all are.
    pub fn is_active(&self, slot: u32) -> bool {
        !self.single_active || self.active == Some(slot)
    }

    fn offer(&mut self, slot: u32) {
        let Some(Some(consumer)) = self.slots.get_mut(slot as usize) else { return };
        if !self.single_active && !consumer.in_line && consumer.is_able() {
            consumer.in_line = true;
            self.line.entry(Reverse(consumer.subscription.priority)).or_default().push_back(slot);
        }
    }

    fn elect(&mut self) {
        if !self.single_active || self.active.is_some() {
            return;
        }
        self.active = self
            .iter()
            .filter(|(_, consumer)| consumer.subscription.subscribed && !consumer.gone)
            .min_by_key(|(_, consumer)| (Reverse(consumer.subscription.priority), consumer.arrival))
            .map(|(slot, _)| slot);
    }

    fn release(&mut self, slot: u32) -> bool {
        let Some(Some(consumer)) = self.slots.get(slot as usize) else { return false };
        if !consumer.gone || consumer.held > 0 {
            return false;
        }
        if consumer.in_line
            && let Some(line) = self.line.get_mut(&Reverse(consumer.subscription.priority))
        {
            line.retain(|other| *other != slot);
        }
        self.slots[slot as usize] = None;
        self.free.push(slot);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscription(key: u64, prefetch: u32, priority: i32) -> Subscription {
        Subscription {
            connection: ConnectionId(1),
            key: ConsumerKey(key),
            no_ack: false,
            exclusive: false,
            prefetch,
            priority,
            subscribed: true,
        }
    }

    fn serve(consumers: &mut Consumers, times: usize) -> Vec<u32> {
        let mut order = Vec::new();
        for _ in 0..times {
            let Some(slot) = consumers.next() else { break };
            consumers.served(slot, true);
            order.push(slot);
        }
        order
    }

    #[test]
    fn consumers_take_turns() {
        let mut consumers = Consumers::new(false);
        for key in 0..3 {
            consumers.insert(subscription(key, 0, 0));
        }
        assert_eq!(serve(&mut consumers, 6), [0, 1, 2, 0, 1, 2]);
    }

    #[test]
    fn a_full_window_skips_the_consumer_until_it_settles() {
        let mut consumers = Consumers::new(false);
        consumers.insert(subscription(0, 1, 0));
        consumers.insert(subscription(1, 2, 0));
        assert_eq!(serve(&mut consumers, 9), [0, 1, 1]);
        consumers.returned(0, 1);
        assert_eq!(serve(&mut consumers, 9), [0]);
    }

    #[test]
    fn higher_priority_is_served_while_it_can_take() {
        let mut consumers = Consumers::new(false);
        consumers.insert(subscription(0, 0, -1));
        consumers.insert(subscription(1, 2, 5));
        assert_eq!(serve(&mut consumers, 4), [1, 1, 0, 0]);
        consumers.returned(1, 1);
        assert_eq!(serve(&mut consumers, 2), [1, 0]);
    }

    #[test]
    fn the_next_in_order_of_arrival_becomes_active() {
        let mut consumers = Consumers::new(true);
        let first = consumers.insert(subscription(0, 0, 0));
        let second = consumers.insert(subscription(1, 0, 0));
        assert_eq!(serve(&mut consumers, 2), [first, first]);
        consumers.cancel(first);
        assert_eq!(serve(&mut consumers, 1), [second]);
    }

    #[test]
    fn a_cancelled_consumer_keeps_its_slot_while_it_holds_messages() {
        let mut consumers = Consumers::new(false);
        let slot = consumers.insert(subscription(0, 0, 0));
        serve(&mut consumers, 1);
        assert!(!consumers.cancel(slot));
        assert!(consumers.is_empty() && consumers.next().is_none());
        assert!(consumers.returned(slot, 1));
    }

    #[test]
    fn a_get_takes_nobody_out_of_line() {
        let mut consumers = Consumers::new(false);
        let slot = consumers.insert(subscription(0, 0, 0));
        let getter = consumers.insert(Subscription { subscribed: false, ..subscription(1, 0, 0) });
        consumers.served(getter, true);
        assert_eq!(serve(&mut consumers, 2), [slot, slot]);
    }

    #[test]
    fn a_stalled_consumer_waits_for_room() {
        let mut consumers = Consumers::new(false);
        let slot = consumers.insert(subscription(0, 0, 0));
        consumers.stall(slot);
        assert_eq!(consumers.next(), None);
        consumers.resume(slot);
        assert_eq!(consumers.next(), Some(slot));
    }
}
