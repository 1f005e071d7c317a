//! Random lives of a queue whose messages are paged, expire anywhere, die and wait between retries, with a store that
//! answers late: nothing is lost, nothing comes twice, and what is dead stays dead.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::queue::retry::RetryDelay;

/// What the store holds: body, and when the message expires.
type Stored = BTreeMap<u64, (Message, u64)>;

#[derive(Default)]
struct World {
    now_ms: u64,
    stored: Stored,
    returned: BTreeMap<u64, (u32, u64)>,
    /// Reads, each with what the store held when it was asked.
    loads: Vec<(Range<u64>, Stored)>,
    looks: Vec<(Range<u64>, u64, Stored)>,
    marks: Vec<(u8, u64)>,
    room: usize,
    held: Vec<(u64, u64)>,
    dead: BTreeSet<u64>,
    /// Dead and stored: the store is told later.
    untold: Vec<u64>,
    acked: BTreeSet<u64>,
    violations: Vec<String>,
}

impl World {
    fn end(&mut self, id: u64, what: &str) {
        if self.dead.contains(&id) || self.acked.contains(&id) {
            self.violations.push(format!("{id} is over and {what}"));
        }
    }
}

fn id_of(message: &Message) -> u64 {
    u64::from_be_bytes(message.body().try_into().expect("eight bytes"))
}

impl Effects for World {
    fn may_deliver(&mut self, _: u32) -> bool {
        let may = self.room > 0;
        self.room -= usize::from(may);
        may
    }
    fn deliver(&mut self, _: u32, delivery: Delivery) {
        let id = id_of(&delivery.message);
        self.end(id, "delivered");
        if self.held.iter().any(|(other, _)| *other == id) {
            self.violations.push(format!("{id} is delivered twice at once"));
        }
        self.held.push((id, delivery.id.0));
    }
    fn store(&mut self, _: u8, position: u64, expires_at_ms: u64, _: bool, message: &Message) {
        assert!(self.stored.insert(position, (message.clone(), expires_at_ms)).is_none());
    }
    fn forget(&mut self, _: u8, positions: Range<u64>) {
        let over: Vec<u64> = self.stored.range(positions).map(|(position, _)| *position).collect();
        for position in over {
            if let Some((message, expires_at_ms)) = self.stored.remove(&position) {
                // Acknowledged ones are noted by the test; what else is forgotten has expired.
                let is_over = expires_at_ms != 0 && expires_at_ms <= self.now_ms;
                let id = id_of(&message);
                if !self.acked.contains(&id) && !self.dead.contains(&id) && !is_over {
                    self.violations.push(format!("{id} is forgotten"));
                }
            }
        }
    }
    fn load(&mut self, _: u8, positions: Range<u64>) {
        self.loads.push((positions, self.stored.clone()));
    }
    fn look(&mut self, _: u8, positions: Range<u64>) {
        self.looks.push((positions, self.now_ms, self.stored.clone()));
    }
    fn returned(&mut self, _: u8, position: u64, returns: u32, ready_at_ms: u64) {
        self.returned.insert(position, (returns, ready_at_ms));
    }
    fn delivered_upto(&mut self, lane: u8, position: u64) {
        self.marks.push((lane, position));
    }
    fn dead_letter(&mut self, _: u8, entry: Entry, reason: DeadReason) {
        let message = entry.message.or_else(|| Some(self.stored.get(&entry.position)?.0.clone()));
        let Some(message) = message else {
            self.violations.push(format!("position {} died and is nowhere", entry.position));
            return;
        };
        let id = id_of(&message);
        self.end(id, "dead");
        if reason == DeadReason::Expired && (entry.expires_at_ms == 0 || entry.expires_at_ms > self.now_ms) {
            self.violations.push(format!("{id} expired early"));
        }
        self.dead.insert(id);
        if entry.stored {
            self.untold.push(entry.position);
        }
    }
    fn consumer_gone(&mut self, _: u32) {}
}

#[derive(Debug, Clone)]
enum Step {
    /// How long it lives, and whether it is persistent.
    Publish(u64, bool),
    Advance(u64),
    Room(usize),
    Settle(usize, Settle),
    AnswerLoad(usize, usize),
    AnswerLook(usize),
    TellDead,
    Memory(usize, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        Just(Settle::Ack),
        Just(Settle::Requeue),
        Just(Settle::RejectRequeue),
        Just(Settle::Reject)
    ];
    prop_oneof![
        6 => (prop_oneof![Just(0u64), 1u64..200, 1u64..200], any::<bool>()).prop_map(|(ms, p)| Step::Publish(ms, p)),
        2 => (0u64..60).prop_map(Step::Advance),
        2 => (1usize..4).prop_map(Step::Room),
        3 => (0usize..8, outcome).prop_map(|(at, outcome)| Step::Settle(at, outcome)),
        3 => (0usize..3, 1usize..4).prop_map(|(at, max)| Step::AnswerLoad(at, max)),
        2 => (0usize..3).prop_map(Step::AnswerLook),
        2 => Just(Step::TellDead),
        1 => (prop_oneof![Just(64usize), Just(300), Just(1 << 20)], any::<bool>())
            .prop_map(|(bytes, tight)| Step::Memory(bytes, tight)),
    ]
}

struct Storm {
    machine: Machine,
    world: World,
    meta: Meta,
    consumer: u32,
    published: u64,
}

impl Storm {
    fn new(config: Config) -> Storm {
        let mut storm = Storm {
            machine: Machine::new(config),
            world: World { now_ms: 1000, ..World::default() },
            meta: Meta { now_ms: 1000, window_bytes: 300, tight: false },
            consumer: 0,
            published: 0,
        };
        let subscription = Subscription {
            connection: ConnectionId(1),
            key: ConsumerKey(1),
            no_ack: false,
            exclusive: false,
            prefetch: 0,
            priority: 0,
            subscribed: true,
        };
        storm.consumer =
            storm.machine.subscribe(subscription, &mut storm.world).expect("nobody is exclusive");
        storm.deliver();
        storm
    }

    fn deliver(&mut self) {
        self.machine.deliver(self.meta, &mut self.world);
        while let Some((lane, position)) = self.world.marks.pop() {
            self.machine.marked(lane, position);
            self.machine.deliver(self.meta, &mut self.world);
        }
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Publish(ms, persistent) => {
                let expiration = (ms > 0).then(|| ms.to_string());
                let delivery_mode = persistent.then_some(2);
                let mut raw = Vec::new();
                leveret_protocol::properties::Properties { expiration, delivery_mode, ..Default::default() }
                    .encode(&mut raw);
                let message = Message::new("", "q", &raw, &self.published.to_be_bytes());
                self.published += 1;
                self.machine.publish(self.meta, message, &mut self.world);
            }
            Step::Advance(ms) => {
                self.meta.now_ms += ms;
                self.world.now_ms = self.meta.now_ms;
            }
            Step::Room(room) => {
                self.world.room += room;
                self.machine.resume(self.consumer);
            }
            Step::Settle(at, outcome) => {
                if self.world.held.is_empty() {
                    return;
                }
                let at = at % self.world.held.len();
                let (id, delivery) = self.world.held.remove(at);
                if outcome == Settle::Ack {
                    self.world.acked.insert(id);
                }
                let range = delivery..delivery + 1;
                self.machine.settle(
                    self.meta,
                    self.consumer,
                    outcome,
                    std::slice::from_ref(&range),
                    &mut self.world,
                );
            }
            Step::AnswerLoad(at, max) => self.answer_load(at, max),
            Step::AnswerLook(at) => self.answer_look(at),
            Step::TellDead => {
                for position in std::mem::take(&mut self.world.untold) {
                    self.world.stored.remove(&position);
                    self.machine.told(0, position);
                }
            }
            Step::Memory(window_bytes, tight) => self.meta = Meta { window_bytes, tight, ..self.meta },
        }
        self.deliver();
    }

    fn loaded(&self, position: u64, stored: &(Message, u64)) -> LoadedMessage {
        let (returns, ready_at_ms) = self.world.returned.get(&position).copied().unwrap_or_default();
        LoadedMessage { position, expires_at_ms: stored.1, returns, ready_at_ms, message: stored.0.clone() }
    }

    fn answer_load(&mut self, at: usize, max: usize) {
        if self.world.loads.is_empty() {
            return;
        }
        let (range, stored) = self.world.loads.remove(at % self.world.loads.len());
        let all: Vec<(&u64, &(Message, u64))> = stored.range(range.clone()).collect();
        let upto = all.get(max).map_or(range.end, |(position, _)| **position);
        let messages: Vec<LoadedMessage> =
            all.into_iter().take(max).map(|(position, stored)| self.loaded(*position, stored)).collect();
        self.machine.loaded(0, messages.into_iter(), upto, &mut self.world);
    }

    fn answer_look(&mut self, at: usize) {
        if self.world.looks.is_empty() {
            return;
        }
        let (range, now_ms, stored) = self.world.looks.remove(at % self.world.looks.len());
        let (over, rest): (Vec<_>, Vec<_>) = stored
            .range(range.clone())
            .map(|(position, stored)| self.loaded(*position, stored))
            .partition(|loaded| loaded.expires_at_ms != 0 && loaded.expires_at_ms <= now_ms);
        let runs = rest.iter().map(|loaded| Run {
            positions: loaded.position..loaded.position + 1,
            expires_at_ms: loaded.expires_at_ms,
        });
        let runs = runs.collect();
        self.machine.looked(0, over.into_iter(), range.end, runs, &mut self.world);
        self.machine.look_for_expired(self.meta, &mut self.world);
    }

    /// Answers everything, lets all waits end, and acknowledges all that comes.
    fn finish(&mut self) {
        for _ in 0..10_000 {
            self.apply(Step::TellDead);
            self.apply(Step::Room(100));
            self.apply(Step::AnswerLook(0));
            self.apply(Step::AnswerLoad(0, 100));
            while !self.world.held.is_empty() {
                self.apply(Step::Settle(0, Settle::Ack));
            }
            let info = self.machine.info();
            if info.ready + info.waiting + info.unacked == 0 && self.world.looks.is_empty() {
                return self.apply(Step::TellDead);
            }
            self.apply(Step::Advance(1));
        }
    }
}

fn check(expires_anywhere: bool, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let retry = Retry::new(RetryDelay::parse("10ms,40ms").expect("a ladder"));
    let config = Config {
        durable: true,
        dead_letters: true,
        retry: Some(retry),
        retry_limit: Some(3),
        expires_anywhere,
        ..Config::default()
    };
    let mut storm = Storm::new(config);
    for step in steps {
        storm.apply(step);
        prop_assert!(storm.world.violations.is_empty(), "{:?}", storm.world.violations);
    }
    storm.finish();
    prop_assert!(storm.world.violations.is_empty(), "{:?}", storm.world.violations);
    let over: BTreeSet<u64> = storm.world.acked.union(&storm.world.dead).copied().collect();
    let missing: Vec<u64> = (0..storm.published).filter(|id| !over.contains(id)).collect();
    prop_assert!(missing.is_empty(), "lost: {missing:?}, {:?}", storm.machine.info());
    prop_assert_eq!(storm.machine.resident_bytes(), 0);
    prop_assert_eq!(storm.machine.info().ready_bytes, 0);
    prop_assert!(storm.world.stored.is_empty(), "left in the store: {:?}", storm.world.stored.keys());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 200 } else { 2_000 }))]

    #[test]
    fn nothing_is_lost_or_doubled_while_messages_are_paged_expire_and_wait(
        expires_anywhere: bool,
        steps in prop::collection::vec(step(), 1..150),
    ) {
        check(expires_anywhere, steps)?;
    }
}
