//! Random operations on a queue with random options, against a model that keeps a plain list of messages.
//!
//! The model does not foretell whom the queue serves. It checks each thing that the queue does when it does it (is this
//! the message in front, may this consumer have it, had this one to die?), and after each operation that nothing was
//! left undone and that both hold the same.
//!
//! - `LEVERET_TEST_LONG=1` does 1,000,000 operations instead of 20,000, with seeds that differ from run to run.
//! - `LEVERET_MODEL_SEED=N` does the one run that failed with that seed, and prints what happens in it; with a `w` behind
//!   it the one in which the queue pauses, and returned messages wait.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use leveret_protocol::properties::Properties;

use super::*;
use crate::queue::retry::RetryDelay;

#[test]
fn a_queue_does_what_a_plain_list_would() {
    if let Ok(seed) = std::env::var("LEVERET_MODEL_SEED") {
        let (number, make): (&str, fn(u64) -> Trial) = match seed.strip_suffix('w') {
            Some(number) => (number, Trial::that_waits),
            None => (&seed, Trial::new),
        };
        let mut run = make(number.parse().expect("LEVERET_MODEL_SEED is a number"));
        println!("{:?}, {} bytes in memory", run.world.config, run.window_bytes);
        run.is_traced = true;
        return run.all();
    }
    let is_long = std::env::var_os("LEVERET_TEST_LONG").is_some();
    let (first, operations) = if is_long { (rand::random::<u32>().into(), 1_000_000) } else { (0, 20_000) };
    for seed in first..first + operations / OPERATIONS {
        let result = std::panic::catch_unwind(|| Trial::new(seed).all());
        assert!(result.is_ok(), "failed with LEVERET_MODEL_SEED={seed}");
        let result = std::panic::catch_unwind(|| Trial::that_waits(seed).all());
        assert!(result.is_ok(), "failed with LEVERET_MODEL_SEED={seed}w");
    }
}

/// When what stood in front has expired, the next message goes to a consumer that can take it.
#[test]
fn nothing_waits_behind_what_has_expired() {
    [1501, 1665, 2234, 1_484_738_594].into_iter().for_each(|seed| Trial::new(seed).all());
}

/// A message as the model knows it.
#[derive(Debug, Clone)]
struct Known {
    lane: u8,
    position: u64,
    expires_at_ms: u64,
    bytes: u64,
    persistent: bool,
    delivery_count: u32,
    redelivered: Redelivered,
    was_delivered: bool,
}

#[derive(Debug)]
struct Stored {
    message: Message,
    expires_at_ms: u64,
    transient: bool,
    returns: u32,
}

impl Stored {
    fn loaded(&self, position: u64) -> LoadedMessage {
        let Stored { message, expires_at_ms, returns, .. } = self;
        let (expires_at_ms, returns) = (*expires_at_ms, *returns);
        LoadedMessage { position, expires_at_ms, returns, ready_at_ms: 0, message: message.clone() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Redelivered {
    No,
    Yes,
    /// Nobody can know after a crash.
    Maybe,
}

#[derive(Debug, Clone)]
struct Client {
    key: u64,
    prefetch: u32,
    priority: i32,
    no_ack: bool,
    exclusive: bool,
    subscribed: bool,
    held: BTreeSet<u64>,
    stalled: bool,
    arrival: u64,
}

/// What the queue should hold, and the world around it.
#[derive(Default)]
struct World {
    config: Config,
    now_ms: u64,
    random: Random,
    /// The highest priority first, then the oldest.
    ready: BTreeMap<(Reverse<u8>, u64), Known>,
    held: BTreeMap<u64, Known>,
    /// Returned, by the moment at which they are ready, lane and position.
    waiting: BTreeMap<(u64, u8, u64), Known>,
    /// Nothing is handed out.
    paused: bool,
    /// By slot.
    clients: BTreeMap<u32, Client>,
    active: Option<u32>,
    next_position: BTreeMap<u8, u64>,
    stored: BTreeMap<(u8, u64), Stored>,
    loads: Vec<(u8, Range<u64>)>,
    looks: Vec<(u8, Range<u64>)>,
    /// Stored messages that died, of which the store was told.
    told: Vec<(u8, u64)>,
    marks: Vec<(u8, u64)>,
    durable_marks: BTreeMap<u8, u64>,
    /// What has to die of what is being settled.
    doomed: Vec<(u8, u64, DeadReason)>,
    /// The message that is being published is refused.
    refuses: bool,
    refused_letters: u32,
}

impl World {
    fn ready_bytes(&self) -> u64 {
        self.ready.values().map(|known| known.bytes).sum()
    }

    fn is_full_for(&self, bytes: u64) -> bool {
        self.config.max_length.is_some_and(|max| self.ready.len() as u64 >= max)
            || self.config.max_length_bytes.is_some_and(|max| self.ready_bytes() + bytes > max)
    }

    fn is_too_long(&self) -> bool {
        self.config.overflow == Overflow::DropHead
            && (self.config.max_length.is_some_and(|max| self.ready.len() as u64 > max)
                || self.config.max_length_bytes.is_some_and(|max| self.ready_bytes() > max))
    }

    fn is_able(&self, slot: u32) -> bool {
        let Some(client) = self.clients.get(&slot) else { return false };
        let has_room =
            client.prefetch == 0 || client.no_ack || (client.held.len() as u64) < u64::from(client.prefetch);
        let is_served = !self.config.single_active || self.active == Some(slot);
        client.subscribed && !client.stalled && has_room && is_served && !self.paused
    }

    fn elect(&mut self) {
        if self.active.is_none() {
            let subscribed = self.clients.iter().filter(|(_, client)| client.subscribed);
            let first = subscribed.min_by_key(|(_, client)| (Reverse(client.priority), client.arrival));
            self.active = first.map(|(slot, _)| *slot);
        }
    }

    /// The message in front leaves; checks what it says of itself.
    fn take_front(&mut self, delivery: &Delivery) -> Known {
        let (_, mut known) = self.ready.pop_first().expect("something was ready");
        let name = String::from_utf8_lossy(delivery.message.body()).into_owned();
        assert!(
            name.starts_with(&format!("{}:{} ", known.lane, known.position)),
            "{name} came, not {known:?}"
        );
        assert!(known.expires_at_ms == 0 || known.expires_at_ms >= self.now_ms, "{known:?} has expired");
        match known.redelivered {
            Redelivered::No => assert!(!delivery.redelivered, "{known:?} is new"),
            Redelivered::Yes => assert!(delivery.redelivered, "{known:?} was delivered before"),
            Redelivered::Maybe => {}
        }
        let shown = if self.config.shows_delivery_count { known.delivery_count } else { 0 };
        assert_eq!(delivery.delivery_count, shown, "{known:?}");
        known.was_delivered = true;
        known
    }

    fn hold(&mut self, slot: u32, delivery: &Delivery) {
        let known = self.take_front(delivery);
        let client = self.clients.get_mut(&slot).expect("a slot in use");
        if !client.no_ack {
            client.held.insert(delivery.id.0);
            assert!(self.held.insert(delivery.id.0, known).is_none(), "ids are not used twice");
        }
    }

    /// Puts a message back, at once or after a wait, or dooms it.
    fn put_back(&mut self, mut known: Known, counts: bool, waits: bool) {
        known.redelivered = Redelivered::Yes;
        let Config { delivery_limit, retry_limit, .. } = self.config;
        let retry = self.config.retry.clone();
        let counts = counts || retry_limit.is_some() || retry.is_some();
        known.delivery_count += u32::from(counts);
        let is_over = |limit: Option<u32>| limit.is_some_and(|limit| known.delivery_count > limit);
        if counts && (is_over(delivery_limit) || is_over(retry_limit)) {
            self.doomed.push((known.lane, known.position, DeadReason::DeliveryLimit));
        } else if let Some(retry) = retry.filter(|_| waits) {
            let ready_at_ms = self.now_ms + retry.delay_ms(known.delivery_count, known.position);
            self.waiting.insert((ready_at_ms, known.lane, known.position), known);
        } else {
            self.ready.insert((Reverse(known.lane), known.position), known);
        }
    }

    /// Messages that have waited long enough are ready again.
    fn end_waits(&mut self) {
        while let Some(first) = self.waiting.first_entry().filter(|first| first.key().0 <= self.now_ms) {
            let known = first.remove();
            self.ready.insert((Reverse(known.lane), known.position), known);
        }
    }

    fn settle(&mut self, slot: u32, outcome: Settle, ids: &[u64], waits: bool) {
        for id in ids {
            let Some(client) = self.clients.get_mut(&slot).filter(|client| client.held.contains(id)) else {
                continue;
            };
            client.held.remove(id);
            let known = self.held.remove(id).expect("what is held is known");
            match outcome {
                Settle::Ack => {}
                Settle::Reject => self.doomed.push((known.lane, known.position, DeadReason::Rejected)),
                Settle::Requeue => self.put_back(known, false, waits),
                Settle::RejectRequeue => self.put_back(known, true, waits),
            }
        }
    }

    fn cancel(&mut self, slot: u32) {
        if let Some(client) = self.clients.get_mut(&slot) {
            client.subscribed = false;
            client.exclusive = false;
        }
        if self.active == Some(slot) {
            self.active = None;
            self.elect();
        }
    }
}

impl Effects for World {
    fn may_deliver(&mut self, consumer: u32) -> bool {
        let may = self.random.below(10) > 0;
        self.clients.get_mut(&consumer).expect("only consumers are asked about").stalled = !may;
        may
    }

    fn deliver(&mut self, consumer: u32, delivery: Delivery) {
        assert!(self.is_able(consumer), "{consumer} cannot take it: {:?}", self.clients[&consumer]);
        let client = &self.clients[&consumer];
        assert_eq!(client.key, delivery.consumer.0);
        let higher = self.clients.iter().filter(|(_, other)| other.priority > client.priority);
        if !self.config.single_active {
            assert!(
                higher.clone().all(|(slot, _)| !self.is_able(*slot)),
                "a consumer of higher priority waits"
            );
        }
        self.hold(consumer, &delivery);
    }

    fn store(&mut self, lane: u8, position: u64, expires_at_ms: u64, transient: bool, message: &Message) {
        assert!(transient || (self.config.durable && message.is_persistent()));
        let stored = Stored { message: message.clone(), expires_at_ms, transient, returns: 0 };
        assert!(self.stored.insert((lane, position), stored).is_none(), "stored twice");
    }

    fn forget(&mut self, lane: u8, positions: Range<u64>) {
        self.stored.retain(|(other, position), _| *other != lane || !positions.contains(position));
    }

    fn load(&mut self, lane: u8, positions: Range<u64>) {
        self.loads.push((lane, positions));
    }

    fn delivered_upto(&mut self, lane: u8, position: u64) {
        self.marks.push((lane, position));
    }

    fn returned(&mut self, lane: u8, position: u64, returns: u32, ready_at_ms: u64) {
        assert!(ready_at_ms == 0 || (self.config.retry.is_some() && ready_at_ms > self.now_ms));
        self.stored.get_mut(&(lane, position)).expect("what is noted of is stored").returns = returns;
    }

    fn look(&mut self, lane: u8, positions: Range<u64>) {
        self.looks.push((lane, positions));
    }

    fn dead_letter(&mut self, lane: u8, entry: Entry, reason: DeadReason) {
        assert!(self.config.dead_letters);
        if self.refuses {
            assert_eq!((reason, entry.position), (DeadReason::MaxLen, u64::MAX));
            self.refused_letters += 1;
            return;
        }
        let key = (Reverse(lane), entry.position);
        match reason {
            DeadReason::Expired => {
                let known = self.ready.remove(&key).expect("what expires was ready");
                assert!(known.expires_at_ms != 0 && known.expires_at_ms <= self.now_ms, "{known:?}");
                let before = (Reverse(lane), 0)..key;
                let is_in_front = self.ready.range(before).next().is_none();
                assert!(is_in_front || self.config.expires_anywhere, "{known:?} was not in front");
            }
            DeadReason::MaxLen => {
                assert!(self.is_too_long(), "{entry:?} need not have gone");
                let (first, _) = self.ready.pop_first().expect("what goes was ready");
                assert_eq!(first, key, "the head goes");
            }
            DeadReason::Rejected | DeadReason::DeliveryLimit => {
                let at = self.doomed.iter().position(|doomed| *doomed == (lane, entry.position, reason));
                self.doomed.remove(at.expect("it had not to die"));
            }
        }
        // The shell has the store forget it, once it is safe elsewhere.
        if entry.stored {
            assert!(self.stored.remove(&(lane, entry.position)).is_some(), "{entry:?} is not stored");
            self.told.push((lane, entry.position));
        }
    }

    fn consumer_gone(&mut self, consumer: u32) {
        let client = self.clients.remove(&consumer).expect("a slot in use");
        assert!(!client.subscribed && client.held.is_empty(), "{client:?}");
    }
}

struct Trial {
    machine: Machine,
    world: World,
    window_bytes: usize,
    tight: bool,
    keys: u64,
    may_expire: bool,
    may_pause: bool,
    is_traced: bool,
}

impl Trial {
    fn new(seed: u64) -> Trial {
        let mut random = Random(seed);
        let mut maybe = |bound: u64| random.option(|random| random.below(bound));
        let mut config = Config {
            max_priority: maybe(6).map(|max| max as u8),
            message_ttl_ms: maybe(60),
            max_length: maybe(8),
            max_length_bytes: maybe(200),
            delivery_limit: maybe(3).map(|limit| limit as u32),
            ..Config::default()
        };
        config.retry_limit = random.option(|random| random.below(4) as u32);
        config.expires_anywhere = random.flip();
        config.durable = random.flip();
        config.single_active = random.below(4) == 0;
        config.shows_delivery_count = random.flip();
        config.overflow = [Overflow::DropHead, Overflow::RejectPublish, Overflow::RejectPublishDlx]
            [random.below(3) as usize];
        // Where nothing dies unseen, nobody need be told.
        let dies = config.message_ttl_ms.is_some()
            || config.max_length.is_some()
            || config.max_length_bytes.is_some();
        config.dead_letters = dies || random.flip();
        let window_bytes = [1 << 20, 600, 300][random.below(3) as usize];
        let may_expire = config.dead_letters && random.flip();
        let world = World { config: config.clone(), now_ms: 1_000, random, ..World::default() };
        Trial {
            machine: Machine::new(config),
            world,
            window_bytes,
            tight: false,
            keys: 0,
            may_expire,
            may_pause: false,
            is_traced: false,
        }
    }

    /// The run of this seed with a queue that pauses, and on which most returned messages wait.
    fn that_waits(seed: u64) -> Trial {
        let mut trial = Trial::new(seed);
        let random = &mut trial.world.random;
        let delay = RetryDelay::fixed(1 + random.below(60));
        let retry = (random.below(4) > 0).then(|| Retry::new(delay));
        trial.world.config.retry = retry;
        trial.machine = Machine::new(trial.world.config.clone());
        trial.may_pause = true;
        trial
    }

    fn all(mut self) {
        for _ in 0..OPERATIONS {
            self.one();
            if self.is_traced {
                let in_memory: Vec<u64> =
                    self.machine.ready_in_memory().map(|(_, entry)| entry.position).collect();
                println!("   {} ms, {:?} in memory: {in_memory:?}", self.world.now_ms, self.machine.info());
            }
            self.check();
        }
    }

    fn meta(&self) -> Meta {
        Meta { now_ms: self.world.now_ms, window_bytes: self.window_bytes, tight: self.tight }
    }

    fn one(&mut self) {
        let operation = self.world.random.below(100);
        if self.is_traced {
            println!("{operation}: {:?}", self.world.clients);
        }
        match operation {
            0..40 => self.publish(),
            40..48 => self.subscribe(),
            48..68 => self.settle(),
            68..76 => self.get(),
            76..79 => self.cancel(),
            79..82 => self.drop_consumer(),
            82..88 => self.pass_time(),
            88..92 => self.resume(),
            92..94 => self.tight = self.world.random.flip(),
            94..95 => self.purge(),
            // The model does not know what waits on disk.
            95..96 if self.world.config.retry.is_none() => self.crash(),
            96..97 => self.reconfigure(),
            97..99 if self.may_pause => self.pause(),
            _ => self.answer(true),
        }
        self.deliver();
        self.answer(false);
    }

    fn pause(&mut self) {
        self.world.paused = self.world.random.flip();
        self.machine.pause(self.world.paused);
    }

    fn deliver(&mut self) {
        let meta = self.meta();
        self.world.end_waits();
        self.machine.deliver(meta, &mut self.world);
    }

    fn publish(&mut self) {
        let random = &mut self.world.random;
        let priority = random.option(|random| random.below(8) as u8);
        let expiration = if self.may_expire { random.option(|random| random.below(80)) } else { None };
        let persistent = random.flip();
        let padding = random.below(60) as usize;
        let lane = self.world.config.max_priority.map_or(0, |max| priority.unwrap_or(0).min(max));
        let position = *self.world.next_position.entry(lane).or_default();
        let body = format!("{lane}:{position} {}", "x".repeat(padding));
        let mut properties = Vec::new();
        Properties {
            priority,
            expiration: expiration.map(|ms| ms.to_string()),
            delivery_mode: persistent.then_some(2),
            ..Properties::default()
        }
        .encode(&mut properties);
        let message = Message::new("", "q", &properties, body.as_bytes());
        let bytes = body.len() as u64;
        let ttl = expiration.into_iter().chain(self.world.config.message_ttl_ms).min();
        let is_refused = self.world.config.overflow != Overflow::DropHead && self.world.is_full_for(bytes);
        self.world.refuses = is_refused;
        if !is_refused {
            *self.world.next_position.entry(lane).or_default() += 1;
            let known = Known {
                lane,
                position,
                expires_at_ms: ttl.map_or(0, |ttl| self.world.now_ms + ttl),
                bytes,
                persistent,
                delivery_count: 0,
                redelivered: Redelivered::No,
                was_delivered: false,
            };
            self.world.ready.insert((Reverse(lane), position), known);
        }
        let meta = self.meta();
        let letters = self.world.refused_letters;
        let published = self.machine.publish(meta, message, &mut self.world);
        assert_eq!(published == Published::Rejected, is_refused);
        let dead_letters = is_refused
            && self.world.config.overflow == Overflow::RejectPublishDlx
            && self.world.config.dead_letters;
        assert_eq!(self.world.refused_letters - letters, u32::from(dead_letters));
        self.world.refuses = false;
    }

    fn subscribe(&mut self) {
        let random = &mut self.world.random;
        self.keys += 1;
        let client = Client {
            key: self.keys,
            prefetch: random.below(4) as u32,
            priority: random.below(3) as i32 - 1,
            no_ack: random.below(5) == 0,
            exclusive: random.below(12) == 0,
            subscribed: true,
            held: BTreeSet::new(),
            stalled: false,
            arrival: self.keys,
        };
        if self.world.clients.len() > 6 {
            return;
        }
        let subscription = Subscription {
            connection: ConnectionId(1),
            key: ConsumerKey(client.key),
            no_ack: client.no_ack,
            exclusive: client.exclusive,
            prefetch: client.prefetch,
            priority: client.priority,
            subscribed: true,
        };
        let mut others = self.world.clients.values().filter(|other| other.subscribed);
        let is_refused = others.clone().any(|other| other.exclusive)
            || (client.exclusive && (self.world.config.single_active || others.next().is_some()));
        match self.machine.subscribe(subscription, &mut self.world) {
            Err(Refused::InExclusiveUse) => assert!(is_refused),
            Ok(slot) => {
                assert!(!is_refused);
                assert!(self.world.clients.insert(slot, client).is_none(), "the slot was free");
                self.world.elect();
            }
        }
    }

    fn any_slot(&mut self, wanted: impl Fn(&Client) -> bool) -> Option<u32> {
        let slots: Vec<u32> =
            self.world.clients.iter().filter(|(_, client)| wanted(client)).map(|(slot, _)| *slot).collect();
        self.world.random.one_of(&slots)
    }

    fn settle(&mut self) {
        let Some(slot) = self.any_slot(|client| !client.held.is_empty()) else { return };
        let held: Vec<u64> = self.world.clients[&slot].held.iter().copied().collect();
        let random = &mut self.world.random;
        let mut ids: Vec<u64> = held.into_iter().filter(|_| random.below(3) > 0).collect();
        // Ids of nobody, and of others.
        if random.below(10) == 0 {
            ids.push(random.below(50));
            ids.sort_unstable();
            ids.dedup();
        }
        let outcomes = [Settle::Ack, Settle::Ack, Settle::Requeue, Settle::RejectRequeue, Settle::Reject];
        let outcome = outcomes[random.below(5) as usize];
        let expected = ids.iter().filter(|id| self.world.clients[&slot].held.contains(id)).count();
        self.world.settle(slot, outcome, &ids, true);
        let ranges: Vec<Range<u64>> = ids.iter().map(|id| *id..*id + 1).collect();
        let meta = self.meta();
        let settled = self.machine.settle(meta, slot, outcome, &ranges, &mut self.world);
        assert_eq!(settled as usize, expected);
        self.bury();
    }

    /// What had to die has died; unseen where nobody is told.
    fn bury(&mut self) {
        if self.world.config.dead_letters {
            assert_eq!(self.world.doomed, [], "did not die");
        }
        self.world.doomed.clear();
    }

    fn get(&mut self) {
        let getter = self.any_slot(|client| client.arrival == 0);
        let key = getter.map_or(GETTER + self.keys, |slot| self.world.clients[&slot].key);
        self.keys += 1;
        let slot = self.machine.getter(ConnectionId(1), ConsumerKey(key));
        self.world.clients.entry(slot).or_insert_with(|| Client {
            key,
            prefetch: 0,
            priority: 0,
            no_ack: false,
            exclusive: false,
            subscribed: false,
            held: BTreeSet::new(),
            stalled: false,
            arrival: 0,
        });
        let no_ack = self.world.random.flip();
        loop {
            let meta = self.meta();
            self.world.end_waits();
            match self.machine.get(meta, slot, no_ack, &mut self.world) {
                GetOutcome::Empty => {
                    let first = self.world.ready.first_key_value();
                    assert!(first.is_none() || self.world.paused, "there is {first:?}");
                    return;
                }
                GetOutcome::NotMarked => self.answer(true),
                GetOutcome::NotLoaded(lane, range) => self.load(lane, range),
                GetOutcome::Message(delivery, remaining) => {
                    if no_ack {
                        self.world.take_front(&delivery);
                    } else {
                        self.world.hold(slot, &delivery);
                    }
                    assert_eq!(remaining, self.world.ready.len() as u64);
                    return;
                }
            }
        }
    }

    fn cancel(&mut self) {
        if let Some(slot) = self.any_slot(|client| client.subscribed) {
            self.world.cancel(slot);
            self.machine.cancel(slot, &mut self.world);
        }
    }

    fn drop_consumer(&mut self) {
        let Some(slot) = self.any_slot(|_| true) else { return };
        let held: Vec<u64> = self.world.clients[&slot].held.iter().copied().collect();
        self.world.cancel(slot);
        self.world.settle(slot, Settle::RejectRequeue, &held, false);
        let meta = self.meta();
        self.machine.drop_consumer(meta, slot, &mut self.world);
        self.bury();
        assert!(!self.world.clients.contains_key(&slot), "its slot is free");
    }

    fn pass_time(&mut self) {
        self.world.now_ms += self.world.random.below(40);
    }

    fn resume(&mut self) {
        if let Some(slot) = self.any_slot(|client| client.stalled) {
            self.world.clients.get_mut(&slot).expect("just found").stalled = false;
            self.machine.resume(slot);
        }
    }

    fn purge(&mut self) {
        let expected = (self.world.ready.len() + self.world.waiting.len()) as u64;
        self.world.ready.clear();
        self.world.waiting.clear();
        assert_eq!(self.machine.purge(&mut self.world), expected);
    }

    /// A policy changes limits.
    fn reconfigure(&mut self) {
        let random = &mut self.world.random;
        let config = Config {
            max_length: random.option(|random| random.below(8)),
            delivery_limit: random.option(|random| random.below(3) as u32),
            ..self.world.config.clone()
        };
        if self.world.config.dead_letters {
            self.world.config = config.clone();
            self.machine.reconfigure(config, &mut self.world);
        }
    }

    /// What is left is what the store has of durable messages.
    fn crash(&mut self) {
        let World { config, stored, durable_marks, next_position, .. } = &mut self.world;
        stored.retain(|_, stored| config.durable && !stored.transient);
        self.machine = Machine::new(config.clone());
        if !config.durable {
            next_position.clear();
        }
        for (lane, next) in next_position.iter_mut() {
            let lane = *lane;
            // As the store says it.
            *next = (*next).max(durable_marks.get(&lane).copied().unwrap_or(0));
            let next = *next;
            let here = || stored.range((lane, 0)..=(lane, u64::MAX));
            let paged = Paged {
                from: here().next().map_or(next, |((_, position), _)| *position),
                upto: next,
                count: here().count() as u64,
                body_bytes: here().map(|(_, stored)| stored.message.body().len() as u64).sum(),
            };
            self.machine.recover(lane, paged, next, durable_marks.get(&lane).copied().unwrap_or(0));
        }
        let world = &mut self.world;
        let all = std::mem::take(&mut world.ready)
            .into_values()
            .chain(std::mem::take(&mut world.held).into_values());
        let left = all.filter(|known| world.stored.contains_key(&(known.lane, known.position)));
        let left: Vec<Known> = left.collect();
        assert_eq!(left.len(), world.stored.len(), "the store has what nobody knows");
        for mut known in left {
            assert!(known.persistent);
            known.redelivered = if known.was_delivered { Redelivered::Yes } else { Redelivered::Maybe };
            known.delivery_count = world.stored[&(known.lane, known.position)].returns;
            world.ready.insert((Reverse(known.lane), known.position), known);
        }
        world.clients.clear();
        world.active = None;
        world.paused = false;
        world.loads.clear();
        world.looks.clear();
        world.told.clear();
        world.marks.clear();
    }

    /// The store answers some of what it was asked, or all.
    fn answer(&mut self, all: bool) {
        loop {
            if !all && self.world.random.below(4) == 0 {
                return;
            }
            if let Some((lane, position)) = self.world.marks.pop() {
                let mark = self.world.durable_marks.entry(lane).or_default();
                *mark = (*mark).max(position);
                self.machine.marked(lane, position);
            } else if let Some((lane, range)) = self.world.loads.pop() {
                self.load(lane, range);
            } else if let Some((lane, range)) = self.world.looks.pop() {
                self.look(lane, range);
            } else if let Some((lane, position)) = self.world.told.pop() {
                self.machine.told(lane, position);
            } else {
                return;
            }
            self.deliver();
        }
    }

    fn load(&mut self, lane: u8, range: Range<u64>) {
        let max = 1 + self.world.random.below(5) as usize;
        let here = self.world.stored.range((lane, range.start)..(lane, range.end));
        let found: Vec<LoadedMessage> =
            here.take(max).map(|((_, position), stored)| stored.loaded(*position)).collect();
        let upto = match found.last() {
            Some(last) if found.len() == max => last.position + 1,
            _ => range.end,
        };
        self.machine.loaded(lane, found.into_iter(), upto, &mut self.world);
    }

    fn look(&mut self, lane: u8, range: Range<u64>) {
        let now_ms = self.world.now_ms;
        let here = self.world.stored.range((lane, range.start)..(lane, range.end));
        let (over, rest): (Vec<LoadedMessage>, Vec<LoadedMessage>) = here
            .map(|((_, position), stored)| stored.loaded(*position))
            .partition(|loaded| loaded.expires_at_ms != 0 && loaded.expires_at_ms <= now_ms);
        let runs = rest.iter().map(|loaded| Run {
            positions: loaded.position..loaded.position + 1,
            expires_at_ms: loaded.expires_at_ms,
        });
        let runs: Vec<Run> = runs.collect();
        self.machine.looked(lane, over.into_iter(), range.end, runs, &mut self.world);
        let meta = self.meta();
        self.machine.look_for_expired(meta, &mut self.world);
    }

    fn check(&mut self) {
        let world = &self.world;
        let info = self.machine.info();
        assert_eq!(info.ready, world.ready.len() as u64, "ready");
        assert_eq!(info.ready_bytes, world.ready_bytes(), "bytes that are ready");
        assert_eq!(info.unacked, world.held.len() as u64, "unacknowledged");
        assert_eq!(info.waiting, world.waiting.len() as u64, "waiting");
        assert_eq!(info.paused, world.paused, "paused");
        let held_bytes: u64 = world.held.values().map(|known| known.bytes).sum();
        assert_eq!(info.unacked_bytes, held_bytes, "bytes unacknowledged");
        let subscribed = world.clients.values().filter(|client| client.subscribed).count();
        assert_eq!(info.consumers, subscribed as u64, "consumers");
        let in_memory = self.machine.ready_in_memory().map(|(lane, entry)| (Reverse(lane), entry.position));
        let in_memory: Vec<(Reverse<u8>, u64)> = in_memory.collect();
        assert!(in_memory.iter().all(|key| world.ready.contains_key(key)), "in memory is what is ready");
        assert!(in_memory.is_sorted(), "in order");
        let live: BTreeSet<(u8, u64)> = world
            .ready
            .values()
            .chain(world.held.values())
            .chain(world.waiting.values())
            .map(|known| (known.lane, known.position))
            .collect();
        assert!(world.stored.keys().all(|key| live.contains(key)), "the store keeps what is over");
        let all = world.ready.values().chain(world.held.values()).chain(world.waiting.values());
        let lost = all.into_iter().find(|known| {
            world.config.durable
                && known.persistent
                && !world.stored.contains_key(&(known.lane, known.position))
        });
        assert!(lost.is_none(), "not stored: {lost:?}");
        for client in world.clients.values() {
            let room = if client.prefetch == 0 { usize::MAX } else { client.prefetch as usize };
            assert!(client.held.len() <= room, "{client:?} holds more than its window");
        }
        if world.loads.is_empty() && world.marks.is_empty() && world.looks.is_empty() {
            assert!(!world.is_too_long(), "too long");
            let front = world.ready.first_key_value();
            let waits =
                front.filter(|(_, known)| known.expires_at_ms == 0 || known.expires_at_ms > world.now_ms);
            let able = world.clients.keys().find(|slot| world.is_able(**slot));
            assert!(waits.is_none() || able.is_none(), "{waits:?} could go to {able:?}");
            assert!(front.is_none() || waits.is_some(), "{front:?} has expired");
        }
    }
}

/// SplitMix64.
#[derive(Debug, Clone, Default)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        crate::exchange::mix(self.0)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn flip(&mut self) -> bool {
        self.below(2) == 0
    }

    fn option<T>(&mut self, value: impl FnOnce(&mut Random) -> T) -> Option<T> {
        if self.flip() { Some(value(self)) } else { None }
    }

    fn one_of<T: Copy>(&mut self, values: &[T]) -> Option<T> {
        values.get(self.below(values.len() as u64) as usize).copied()
    }
}

/// Operations of one run.
const OPERATIONS: u64 = 200;
/// Keys of getters are above those of consumers.
const GETTER: u64 = 1 << 32;
