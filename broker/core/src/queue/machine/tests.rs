use super::*;

/// Records effects and answers loads from what was stored.
#[derive(Default)]
struct World {
    delivered: Vec<(u32, String, bool, u64)>,
    stored: std::collections::BTreeMap<(u8, u64), Message>,
    transient: usize,
    loads: Vec<(u8, Range<u64>)>,
    dead: Vec<(String, DeadReason)>,
    gone: Vec<u32>,
    marks: Vec<(u8, u64)>,
    /// Returns and the moment at which the message is ready, by position.
    returned: std::collections::BTreeMap<u64, (u32, u64)>,
    expires: std::collections::BTreeMap<u64, u64>,
    looks: Vec<(u8, Range<u64>)>,
    /// Messages that each consumer's connection takes before it is full.
    room: Option<usize>,
}

impl Effects for World {
    fn may_deliver(&mut self, _: u32) -> bool {
        match &mut self.room {
            None => true,
            Some(0) => false,
            Some(room) => {
                *room -= 1;
                true
            }
        }
    }
    fn deliver(&mut self, consumer: u32, d: Delivery) {
        let body = String::from_utf8_lossy(d.message.body()).into_owned();
        self.delivered.push((consumer, body, d.redelivered, d.id.0));
    }
    fn store(&mut self, lane: u8, position: u64, expires: u64, transient: bool, message: &Message) {
        self.expires.insert(position, expires);
        self.transient += usize::from(transient);
        assert!(self.stored.insert((lane, position), message.clone()).is_none());
    }
    fn forget(&mut self, lane: u8, positions: Range<u64>) {
        self.stored.retain(|(l, p), _| !(*l == lane && positions.contains(p)));
    }
    fn load(&mut self, lane: u8, positions: Range<u64>) {
        self.loads.push((lane, positions));
    }
    fn delivered_upto(&mut self, lane: u8, position: u64) {
        self.marks.push((lane, position));
    }
    fn returned(&mut self, _: u8, position: u64, returns: u32, ready_at_ms: u64) {
        self.returned.insert(position, (returns, ready_at_ms));
    }
    fn look(&mut self, lane: u8, positions: Range<u64>) {
        self.looks.push((lane, positions));
    }
    fn dead_letter(&mut self, _: u8, entry: Entry, reason: DeadReason) {
        let message = entry.message.expect("the tests keep bodies in memory");
        self.dead.push((String::from_utf8_lossy(message.body()).into_owned(), reason));
    }
    fn consumer_gone(&mut self, consumer: u32) {
        self.gone.push(consumer);
    }
}

impl World {
    fn loaded(&self, position: u64, message: &Message) -> LoadedMessage {
        let (returns, ready_at_ms) = self.returned.get(&position).copied().unwrap_or_default();
        let expires_at_ms = self.expires.get(&position).copied().unwrap_or_default();
        LoadedMessage { position, expires_at_ms, returns, ready_at_ms, message: message.clone() }
    }
}

struct Rig {
    machine: Machine,
    world: World,
    meta: Meta,
}

impl Rig {
    fn new(config: Config) -> Rig {
        let meta = Meta { now_ms: 1000, window_bytes: 1 << 20, tight: false };
        Rig { machine: Machine::new(config), world: World::default(), meta }
    }
    fn publish_with(&mut self, body: &str, properties: &[u8]) -> Published {
        let message = Message::new("", "q", properties, body.as_bytes());
        let published = self.machine.publish(self.meta, message, &mut self.world);
        self.deliver();
        published
    }
    fn publish(&mut self, bodies: &str) {
        for body in bodies.split(' ') {
            self.publish_with(body, PERSISTENT);
        }
    }
    fn consume(&mut self, key: u64, prefetch: u32) -> u32 {
        self.subscribe(key, prefetch, false).expect("nobody is exclusive")
    }
    fn subscribe(&mut self, key: u64, prefetch: u32, exclusive: bool) -> Result<u32, Refused> {
        let subscription = Subscription {
            connection: ConnectionId(1),
            key: ConsumerKey(key),
            no_ack: false,
            exclusive,
            prefetch,
            priority: 0,
            subscribed: true,
        };
        let slot = self.machine.subscribe(subscription, &mut self.world)?;
        self.deliver();
        Ok(slot)
    }
    /// Delivers, with a store that is done at once.
    fn deliver(&mut self) {
        self.machine.deliver(self.meta, &mut self.world);
        while let Some((lane, position)) = self.world.marks.pop() {
            self.machine.marked(lane, position);
            self.machine.deliver(self.meta, &mut self.world);
        }
    }
    fn settle(&mut self, consumer: u32, outcome: Settle, ids: &[u64]) {
        let ranges: Vec<Range<u64>> = ids.iter().map(|id| *id..*id + 1).collect();
        self.machine.settle(self.meta, consumer, outcome, &ranges, &mut self.world);
        self.deliver();
    }
    fn answer_loads(&mut self) {
        while let Some((lane, range)) = self.world.loads.pop() {
            let found: Vec<LoadedMessage> = self
                .world
                .stored
                .range((lane, range.start)..(lane, range.end))
                .take(3)
                .map(|((_, position), m)| self.world.loaded(*position, m))
                .collect();
            let upto = if found.len() == 3 { found[2].position + 1 } else { range.end };
            self.machine.loaded(lane, found.into_iter(), upto, &mut self.world);
            self.deliver();
        }
    }
    /// Answers what was asked about expired messages: runs of two positions.
    fn answer_looks(&mut self) {
        while let Some((lane, range)) = self.world.looks.pop() {
            let (world, now_ms) = (&self.world, self.meta.now_ms);
            let stored = world.stored.range((lane, range.start)..(lane, range.end));
            let (over, rest): (Vec<_>, Vec<_>) = stored
                .map(|((_, position), m)| world.loaded(*position, m))
                .partition(|loaded| loaded.expires_at_ms != 0 && loaded.expires_at_ms <= now_ms);
            let runs = rest.iter().map(|loaded| Run {
                positions: loaded.position..loaded.position + 1,
                expires_at_ms: loaded.expires_at_ms,
            });
            let runs: Vec<Run> = runs.collect();
            self.machine.looked(lane, over.into_iter(), range.end, runs, &mut self.world);
            self.machine.look_for_expired(self.meta, &mut self.world);
        }
    }
    fn at(&mut self, now_ms: u64) {
        self.meta.now_ms = now_ms;
        self.deliver();
    }
    fn dead(&mut self) -> String {
        let dead = std::mem::take(&mut self.world.dead);
        let words = dead.into_iter().map(|(body, reason)| format!("{body}:{}", reason.name()));
        words.collect::<Vec<_>>().join(" ")
    }
    fn delivered(&mut self) -> String {
        let taken = std::mem::take(&mut self.world.delivered);
        let words =
            taken.into_iter().map(|(_, body, redelivered, _)| body + if redelivered { "!" } else { "" });
        words.collect::<Vec<_>>().join(" ")
    }
}

const PERSISTENT: &[u8] = &[0x10, 0x00, 2];
const TRANSIENT: &[u8] = &[0, 0];

fn durable() -> Config {
    Config { durable: true, ..Config::default() }
}

#[test]
fn messages_are_delivered_in_order_and_forgotten_when_acked() {
    let mut rig = Rig::new(durable());
    rig.publish("a b c");
    assert_eq!(rig.world.stored.len(), 3);
    let consumer = rig.consume(1, 0);
    assert_eq!(rig.delivered(), "a b c");
    rig.settle(consumer, Settle::Ack, &[0, 1, 2]);
    assert!(rig.world.stored.is_empty());
    assert_eq!(rig.machine.info().unacked, 0);
}

#[test]
fn nack_with_requeue_puts_messages_back_in_place() {
    let mut rig = Rig::new(durable());
    rig.publish("a b c d");
    let consumer = rig.consume(1, 3);
    assert_eq!(rig.delivered(), "a b c");
    rig.settle(consumer, Settle::Requeue, &[0, 2]);
    assert_eq!(rig.delivered(), "a! c!");
    rig.settle(consumer, Settle::Ack, &[1]);
    assert_eq!(rig.delivered(), "d");
}

#[test]
fn a_lost_consumer_gives_everything_back_in_order() {
    let mut rig = Rig::new(durable());
    rig.publish("a b c d");
    let first = rig.consume(1, 2);
    let _second = rig.consume(2, 1);
    assert_eq!(rig.delivered(), "a b c");
    rig.machine.drop_consumer(rig.meta, first, &mut rig.world);
    assert_eq!(rig.world.gone, [first]);
    rig.consume(3, 0);
    assert_eq!(rig.delivered(), "a! b! d");
}

#[test]
fn settling_what_another_consumer_holds_changes_nothing() {
    let mut rig = Rig::new(Config::default());
    rig.publish("a");
    rig.consume(1, 0);
    let other = rig.consume(2, 0);
    rig.settle(other, Settle::Ack, &[0]);
    assert_eq!(rig.machine.info().unacked, 1);
}

#[test]
fn a_cancelled_consumer_can_still_settle() {
    let mut rig = Rig::new(durable());
    rig.publish("a");
    let consumer = rig.consume(1, 0);
    rig.machine.cancel(consumer, &mut rig.world);
    rig.publish("b");
    assert_eq!(rig.delivered(), "a");
    rig.settle(consumer, Settle::Ack, &[0]);
    assert_eq!((rig.world.gone.clone(), rig.world.stored.len()), (vec![consumer], 1));
}

#[test]
fn an_exclusive_consumer_excludes_others_both_ways() {
    let mut rig = Rig::new(Config::default());
    rig.subscribe(1, 0, true).expect("the first one");
    assert_eq!(rig.subscribe(2, 0, false), Err(Refused::InExclusiveUse));
    let mut rig = Rig::new(Config::default());
    rig.consume(1, 0);
    assert_eq!(rig.subscribe(2, 0, true), Err(Refused::InExclusiveUse));
}

#[test]
fn get_leaves_the_rest_and_does_not_count_as_a_consumer() {
    let mut rig = Rig::new(durable());
    rig.publish("a b");
    let slot = rig.machine.getter(ConnectionId(1), ConsumerKey(9));
    let first = rig.machine.get(rig.meta, slot, false, &mut rig.world);
    assert!(matches!(first, GetOutcome::NotMarked));
    rig.deliver();
    let GetOutcome::Message(delivery, remaining) = rig.machine.get(rig.meta, slot, false, &mut rig.world)
    else {
        panic!("a message is ready")
    };
    assert_eq!((delivery.message.body(), remaining, rig.machine.consumer_count()), (&b"a"[..], 1, 0));
    rig.machine.drop_consumer(rig.meta, slot, &mut rig.world);
    rig.consume(1, 0);
    assert_eq!(rig.delivered(), "a! b");
}

#[test]
fn a_backlog_beyond_the_window_is_read_back_in_order() {
    let mut rig = Rig::new(durable());
    rig.meta.window_bytes = 300;
    rig.publish("a b c d e f g h i j k l");
    rig.publish_with("m", TRANSIENT);
    assert_eq!(rig.world.transient, 1, "a transient message is stored only because the page is there");
    assert!(rig.machine.info().paged > 5);
    assert_eq!(rig.machine.ready(), 13);
    let consumer = rig.consume(1, 0);
    rig.answer_loads();
    assert_eq!(rig.delivered(), "a b c d e f g h i j k l m");
    rig.settle(consumer, Settle::Ack, &(0..13).collect::<Vec<_>>());
    assert!(rig.world.stored.is_empty());
    assert_eq!(rig.machine.info(), Info { consumers: 1, ..Info::default() });
}

#[test]
fn bodies_given_up_in_memory_come_back_when_requeued() {
    let mut rig = Rig::new(durable());
    rig.meta.tight = true;
    rig.publish("a b c");
    let consumer = rig.consume(1, 0);
    assert_eq!(rig.delivered(), "a b c");
    rig.settle(consumer, Settle::Requeue, &[0, 1, 2]);
    assert_eq!(rig.delivered(), "");
    rig.answer_loads();
    assert_eq!(rig.delivered(), "a! b! c!");
}

#[test]
fn recovered_messages_below_the_mark_count_as_redelivered() {
    let mut rig = Rig::new(durable());
    for (position, body) in ["a", "b", "c"].into_iter().enumerate() {
        let message = Message::new("", "q", PERSISTENT, body.as_bytes());
        rig.world.stored.insert((0, position as u64), message);
    }
    rig.machine.recover(0, Paged { from: 0, upto: 3, count: 3, body_bytes: 3 }, 3, 2);
    rig.consume(1, 0);
    rig.answer_loads();
    assert_eq!(rig.delivered(), "a! b! c");
    rig.publish("d");
    assert_eq!(rig.delivered(), "d");
}

#[test]
fn a_full_connection_waits_and_resumes() {
    let mut rig = Rig::new(Config::default());
    rig.world.room = Some(2);
    rig.publish("a b c");
    let consumer = rig.consume(1, 0);
    assert_eq!(rig.delivered(), "a b");
    rig.world.room = None;
    rig.machine.resume(consumer);
    rig.machine.deliver(rig.meta, &mut rig.world);
    assert_eq!(rig.delivered(), "c");
}

#[test]
fn purge_forgets_ready_messages_and_keeps_unacked_ones() {
    let mut rig = Rig::new(durable());
    rig.meta.window_bytes = 300;
    let consumer = rig.consume(1, 1);
    rig.publish("a b c d e f g h i j");
    assert_eq!(rig.machine.purge(&mut rig.world), 9);
    assert_eq!((rig.machine.ready(), rig.world.stored.len()), (0, 1));
    rig.publish("z");
    rig.settle(consumer, Settle::Ack, &[0]);
    assert_eq!(rig.delivered(), "a z");
}

#[test]
fn higher_priority_first_and_capped_at_the_maximum() {
    let mut rig = Rig::new(Config { max_priority: Some(5), ..Config::default() });
    rig.publish_with("low", &[0x08, 0, 1]);
    rig.publish_with("none", TRANSIENT);
    rig.publish_with("high", &[0x08, 0, 5]);
    rig.publish_with("above", &[0x08, 0, 200]);
    rig.consume(1, 0);
    assert_eq!(rig.delivered(), "high above low none");
}

#[test]
fn time_to_live_zero_delivers_now_or_never() {
    let mut rig = Rig::new(Config { message_ttl_ms: Some(0), dead_letters: true, ..Config::default() });
    rig.publish("a");
    assert_eq!(rig.world.dead, [("a".to_owned(), DeadReason::Expired)]);
    rig.consume(1, 0);
    rig.publish("b");
    assert_eq!(rig.delivered(), "b");
}

#[test]
fn messages_expire_at_the_front() {
    let mut rig = Rig::new(Config { message_ttl_ms: Some(50), ..durable() });
    rig.publish("a b");
    assert_eq!(rig.machine.next_deadline(), Some(1050));
    rig.meta.now_ms = 1050;
    rig.machine.deliver(rig.meta, &mut rig.world);
    assert_eq!((rig.machine.ready(), rig.world.stored.len()), (0, 0));
}

#[test]
fn a_message_that_comes_back_while_others_are_read_is_read_too() {
    let mut rig = Rig::new(durable());
    rig.meta = Meta { window_bytes: 300, tight: true, ..rig.meta };
    let consumer = rig.consume(1, 1);
    rig.publish("a b c d e f");
    assert_eq!(rig.delivered(), "a");
    assert_eq!(rig.world.loads.len(), 0, "the window is full");
    rig.machine.cancel(consumer, &mut rig.world);
    let other = rig.consume(2, 3);
    assert_eq!((rig.delivered().as_str(), rig.world.loads.len()), ("b c d", 1), "the page is asked for");
    rig.settle(consumer, Settle::Requeue, &[0]);
    rig.answer_loads();
    assert_eq!(rig.machine.ready(), 3);
    rig.settle(other, Settle::Ack, &[1, 2, 3]);
    assert_eq!(rig.delivered(), "a! e f");
}

#[test]
fn a_full_queue_drops_its_head_or_refuses() {
    let full = |overflow| Config { max_length: Some(2), overflow, dead_letters: true, ..Config::default() };
    let mut rig = Rig::new(full(Overflow::DropHead));
    rig.publish("a b c");
    assert_eq!(rig.world.dead, [("a".to_owned(), DeadReason::MaxLen)]);
    let mut rig = Rig::new(full(Overflow::RejectPublish));
    rig.publish("a b");
    assert_eq!(rig.publish_with("c", TRANSIENT), Published::Rejected);
    assert_eq!(rig.machine.ready(), 2);
}

#[test]
fn a_message_that_comes_back_to_a_full_queue_pushes_its_head_out() {
    let mut rig = Rig::new(Config { max_length: Some(1), dead_letters: true, ..Config::default() });
    rig.publish("a");
    let consumer = rig.consume(1, 1);
    rig.publish("b");
    rig.world.room = Some(0);
    rig.settle(consumer, Settle::Requeue, &[0]);
    assert_eq!(rig.world.dead, [("a".to_owned(), DeadReason::MaxLen)]);
    assert_eq!(rig.machine.ready(), 1);
}

#[test]
fn a_message_returned_too_often_dies() {
    let mut rig = Rig::new(Config { delivery_limit: Some(1), dead_letters: true, ..Config::default() });
    rig.publish("a");
    let consumer = rig.consume(1, 0);
    rig.settle(consumer, Settle::RejectRequeue, &[0]);
    assert!(rig.world.dead.is_empty());
    rig.settle(consumer, Settle::RejectRequeue, &[1]);
    assert_eq!(rig.world.dead, [("a".to_owned(), DeadReason::DeliveryLimit)]);
}

#[test]
fn a_stored_message_leaves_only_when_a_crash_would_show_it_as_redelivered() {
    let mut rig = Rig::new(durable());
    let message = Message::new("", "q", PERSISTENT, b"a");
    rig.machine.publish(rig.meta, message, &mut rig.world);
    let subscription = Subscription {
        connection: ConnectionId(1),
        key: ConsumerKey(1),
        no_ack: false,
        exclusive: false,
        prefetch: 0,
        priority: 0,
        subscribed: true,
    };
    rig.machine.subscribe(subscription, &mut rig.world).expect("nobody is exclusive");
    rig.machine.deliver(rig.meta, &mut rig.world);
    assert_eq!(rig.delivered(), "");
    let (lane, position) = rig.world.marks.pop().expect("the store is told");
    assert!(position > 0 && rig.world.marks.is_empty());
    rig.machine.marked(lane, position);
    rig.machine.deliver(rig.meta, &mut rig.world);
    assert_eq!(rig.delivered(), "a");
}

#[test]
fn a_full_queue_may_dead_letter_what_it_refuses() {
    let config = Config {
        max_length: Some(1),
        overflow: Overflow::RejectPublishDlx,
        dead_letters: true,
        ..Config::default()
    };
    let mut rig = Rig::new(config);
    rig.publish("a");
    assert_eq!(rig.publish_with("b", PERSISTENT), Published::Rejected);
    assert_eq!(rig.world.dead, [("b".to_owned(), DeadReason::MaxLen)]);
    assert_eq!(rig.machine.ready(), 1);
}

#[test]
fn nobody_consumes_exclusively_where_consumers_take_turns() {
    let mut rig = Rig::new(Config { single_active: true, ..Config::default() });
    assert_eq!(rig.subscribe(1, 0, true), Err(Refused::InExclusiveUse));
    assert!(rig.subscribe(2, 0, false).is_ok());
}

#[test]
fn a_lowered_length_limit_drops_the_oldest_at_once() {
    let mut rig = Rig::new(durable());
    rig.publish("a b c d");
    rig.machine
        .reconfigure(Config { max_length: Some(2), dead_letters: true, ..Config::default() }, &mut rig.world);
    assert_eq!(rig.world.dead, [("a".to_owned(), DeadReason::MaxLen), ("b".to_owned(), DeadReason::MaxLen)]);
    assert_eq!(rig.machine.ready(), 2);
    rig.publish("e");
    assert_eq!(rig.world.stored.len(), 5, "it is as durable as before, and the dead are told elsewhere");
    assert_eq!(rig.machine.ready(), 2);
}

#[test]
fn a_queue_that_refuses_drops_nothing_when_its_limit_is_lowered() {
    let mut rig = Rig::new(durable());
    rig.publish("a b c");
    let config = Config { max_length: Some(1), overflow: Overflow::RejectPublish, ..Config::default() };
    rig.machine.reconfigure(config, &mut rig.world);
    assert_eq!(rig.machine.ready(), 3);
    assert_eq!(rig.publish_with("d", PERSISTENT), Published::Rejected);
}

#[test]
fn a_new_time_to_live_is_for_messages_to_come() {
    let mut rig = Rig::new(durable());
    rig.publish("a");
    rig.machine.reconfigure(Config { message_ttl_ms: Some(10), ..Config::default() }, &mut rig.world);
    rig.publish("b");
    assert_eq!(rig.machine.next_deadline(), Some(1010), "the one in front waits for ever");
    let consumer = rig.consume(1, 1);
    assert_eq!(rig.delivered(), "a");
    assert_eq!(rig.machine.next_deadline(), Some(1010));
    rig.meta.now_ms = 1011;
    rig.settle(consumer, Settle::Ack, &[0]);
    assert_eq!(rig.delivered(), "");
}

#[test]
fn whoever_holds_a_message_too_long_is_named_once() {
    let mut rig = Rig::new(Config { consumer_timeout_ms: Some(100), ..durable() });
    rig.publish("a b");
    assert_eq!(rig.machine.ack_deadline(), None);
    let first = rig.consume(1, 2);
    assert_eq!(rig.machine.ack_deadline(), Some(1100));
    rig.meta.now_ms = 1050;
    rig.publish("c");
    rig.consume(2, 1);
    assert_eq!(rig.machine.overdue(1099), []);
    assert_eq!(rig.machine.overdue(1100), [(ConnectionId(1), ConsumerKey(1))]);
    assert_eq!(
        rig.machine.overdue(1150),
        [(ConnectionId(1), ConsumerKey(1)), (ConnectionId(1), ConsumerKey(2))]
    );
    rig.settle(first, Settle::Ack, &[0, 1]);
    assert_eq!(rig.machine.ack_deadline(), Some(1150));
    rig.machine.reconfigure(Config::default(), &mut rig.world);
    assert_eq!((rig.machine.ack_deadline(), rig.machine.overdue(9999)), (None, Vec::new()));
}

// ---- retries ---------------------------------------------------------------------------------------------------

fn retrying(delay: &str, limit: Option<u32>) -> Config {
    let retry = Retry::new(crate::queue::retry::RetryDelay::parse(delay).unwrap());
    let shows = Config { retry: Some(retry), retry_limit: limit, shows_delivery_count: true, ..durable() };
    Config { dead_letters: true, ..shows }
}

#[test]
fn a_returned_message_waits_and_those_behind_it_do_not() {
    for outcome in [Settle::Requeue, Settle::RejectRequeue] {
        let mut rig = Rig::new(retrying("100ms,1s", None));
        rig.publish("a b c");
        let consumer = rig.consume(1, 1);
        rig.settle(consumer, outcome, &[0]);
        assert_eq!(rig.delivered(), "a b");
        let info = rig.machine.info();
        assert_eq!((info.ready, info.unacked, info.waiting), (1, 1, 1));
        assert_eq!(rig.machine.next_deadline(), Some(1100));
        rig.at(1099);
        assert_eq!(rig.machine.info().waiting, 1);
        rig.at(1100);
        assert_eq!((rig.machine.info().waiting, rig.machine.info().ready), (0, 2));
        rig.settle(consumer, Settle::Ack, &[1]);
        assert_eq!(rig.delivered(), "a!", "it is back in front of the others");
        rig.settle(consumer, outcome, &[2]);
        assert_eq!(rig.machine.next_deadline(), Some(2100), "the second time it waits for longer");
    }
}

#[test]
fn a_message_that_came_back_too_often_is_dead() {
    let mut rig = Rig::new(retrying("100ms", Some(2)));
    rig.publish("a");
    let consumer = rig.consume(1, 0);
    for (delivery, now_ms) in [(0, 1100), (1, 1200)] {
        rig.settle(consumer, Settle::Requeue, &[delivery]);
        rig.at(now_ms);
    }
    assert_eq!((rig.delivered().as_str(), rig.dead().as_str()), ("a a! a!", ""));
    rig.settle(consumer, Settle::Requeue, &[2]);
    assert_eq!(rig.dead(), "a:delivery_limit");
    assert_eq!(rig.machine.info(), Info { consumers: 1, ..Info::default() });
}

#[test]
fn without_a_delay_a_retry_limit_counts_all_returns() {
    let mut rig = Rig::new(Config { retry_limit: Some(0), dead_letters: true, ..durable() });
    rig.publish("a");
    let consumer = rig.consume(1, 0);
    rig.settle(consumer, Settle::Requeue, &[0]);
    assert_eq!(rig.dead(), "a:delivery_limit");
}

#[test]
fn what_a_lost_consumer_held_counts_and_is_ready_at_once() {
    let mut rig = Rig::new(retrying("1h", Some(1)));
    rig.publish("a");
    for _ in 0..2 {
        let consumer = rig.consume(1, 0);
        rig.machine.drop_consumer(rig.meta, consumer, &mut rig.world);
    }
    assert_eq!((rig.delivered().as_str(), rig.dead().as_str()), ("a a!", "a:delivery_limit"));
}

#[test]
fn counts_and_waits_survive_a_restart() {
    let mut rig = Rig::new(retrying("1s", Some(2)));
    rig.publish("a b");
    let consumer = rig.consume(1, 0);
    rig.settle(consumer, Settle::Requeue, &[0]);
    assert_eq!(rig.world.returned.get(&0), Some(&(1, 2000)));

    let stored = std::mem::take(&mut rig.world);
    let mut rig = Rig { machine: Machine::new(retrying("1s", Some(2))), ..rig };
    rig.world.stored = stored.stored;
    rig.world.returned = stored.returned;
    let paged = Paged { from: 0, upto: 2, count: 2, body_bytes: 2 };
    rig.machine.recover(0, paged, 2, 2);
    let consumer = rig.consume(1, 0);
    rig.answer_loads();
    assert_eq!(rig.delivered(), "b!");
    assert_eq!((rig.machine.info().waiting, rig.machine.info().ready), (1, 0));
    rig.at(2000);
    assert_eq!(rig.delivered(), "a!");
    rig.settle(consumer, Settle::Requeue, &[1]);
    rig.at(3000);
    rig.settle(consumer, Settle::Requeue, &[2]);
    assert_eq!(rig.dead(), "a:delivery_limit", "the return before the restart counted");
}

#[test]
fn waiting_messages_that_are_stored_need_no_memory_for_their_bodies() {
    let mut rig = Rig::new(retrying("1s", None));
    rig.publish("a b");
    let consumer = rig.consume(1, 0);
    assert_eq!(rig.delivered(), "a b");
    rig.meta.tight = true;
    rig.settle(consumer, Settle::Requeue, &[0, 1]);
    assert!(rig.machine.waiting.values().all(|entry| entry.message.is_none()));
    rig.at(2000);
    rig.answer_loads();
    assert_eq!(rig.delivered(), "a! b!");
    assert_eq!(rig.machine.waiting_bytes, 0);
}

#[test]
fn purging_drops_waiting_messages_too() {
    let mut rig = Rig::new(retrying("1s", None));
    rig.publish("a b");
    let consumer = rig.consume(1, 1);
    rig.settle(consumer, Settle::Requeue, &[0]);
    rig.settle(consumer, Settle::Requeue, &[1]);
    assert_eq!(rig.machine.purge(&mut rig.world), 2);
    assert!(rig.world.stored.is_empty() && rig.machine.waiting.is_empty());
    assert_eq!(rig.machine.resident_bytes(), 0);
}

// ---- expiry ----------------------------------------------------------------------------------------------------

/// Persistent, and to live so many milliseconds.
fn living(ms: u64) -> Vec<u8> {
    let mut raw = Vec::new();
    let expiration = (ms > 0).then(|| ms.to_string());
    leveret_protocol::properties::Properties { delivery_mode: Some(2), expiration, ..Default::default() }
        .encode(&mut raw);
    raw
}

/// A queue without consumers; each message is a body and how long it lives.
fn expiring(expires_anywhere: bool, messages: &[(&str, u64)]) -> Rig {
    let mut rig = Rig::new(Config { expires_anywhere, dead_letters: true, ..durable() });
    for (body, ms) in messages {
        rig.publish_with(body, &living(*ms));
    }
    rig
}

#[test]
fn messages_expire_wherever_they_stand() {
    let mut rig = expiring(true, &[("a", 0), ("b", 50), ("c", 300), ("d", 20), ("e", 50)]);
    assert_eq!(rig.machine.next_deadline(), Some(1020));
    rig.at(1020);
    assert_eq!(rig.dead(), "d:expired");
    rig.at(1050);
    assert_eq!(rig.dead(), "b:expired e:expired");
    assert_eq!((rig.machine.ready(), rig.machine.next_deadline()), (2, Some(1300)));
    rig.consume(1, 0);
    assert_eq!(rig.delivered(), "a c");
    assert_eq!(rig.machine.next_deadline(), None, "what is held does not expire");
}

#[test]
fn messages_expire_at_the_front_only_where_that_was_asked_for() {
    let mut rig = expiring(false, &[("a", 300), ("b", 50)]);
    assert_eq!(rig.machine.next_deadline(), Some(1300));
    rig.at(1200);
    assert_eq!((rig.dead().as_str(), rig.machine.ready()), ("", 2));
    rig.at(1300);
    assert_eq!(rig.dead(), "a:expired b:expired");
}

#[test]
fn many_messages_that_expire_in_the_middle_go_at_once() {
    let mut rig = expiring(true, &[("first", 0)]);
    for at in 0..100 {
        rig.publish_with("even", &living(0));
        rig.publish_with("odd", &living(100 - at % 7));
    }
    rig.at(1100);
    assert_eq!((rig.world.dead.len(), rig.machine.ready()), (100, 101));
    assert!(rig.world.dead.iter().all(|(body, _)| body == "odd"));
    assert_eq!(rig.machine.next_deadline(), None);
}

#[test]
fn a_returned_message_expires_in_its_place() {
    let mut rig = expiring(true, &[("a", 0), ("b", 50)]);
    let consumer = rig.consume(1, 2);
    rig.machine.cancel(consumer, &mut rig.world);
    rig.settle(consumer, Settle::Requeue, &[0, 1]);
    rig.at(1050);
    assert_eq!((rig.dead().as_str(), rig.machine.ready()), ("b:expired", 1));
}

#[test]
fn messages_on_disk_expire_too() {
    let mut rig = Rig::new(Config { dead_letters: true, ..durable() });
    rig.meta.window_bytes = 1;
    for (body, ms) in [("a", 0), ("b", 0), ("c", 50), ("d", 0), ("e", 80)] {
        rig.publish_with(body, &living(ms));
    }
    assert_eq!(rig.machine.info().paged, 4);
    assert_eq!(rig.machine.next_deadline(), Some(1050));
    rig.at(1049);
    assert!(rig.world.looks.is_empty(), "nobody looks before something is over");
    rig.at(1050);
    assert_eq!(rig.world.looks.len(), 1);
    rig.answer_looks();
    assert_eq!((rig.dead().as_str(), rig.machine.ready(), rig.machine.info().paged), ("c:expired", 4, 3));
    assert_eq!(rig.machine.next_deadline(), Some(1080));

    // A read that began before the store was told brings the dead one again.
    rig.meta.window_bytes = 1 << 20;
    rig.deliver();
    assert!(rig.world.stored.contains_key(&(0, 2)), "dead letters are settled once they are safe");
    rig.machine.told(0, 2);
    rig.answer_loads();
    rig.consume(1, 0);
    assert_eq!(rig.delivered(), "a b d e");
    assert_eq!(rig.machine.info().ready, 0);
}

#[test]
fn messages_expire_after_a_restart_without_being_read_into_memory() {
    let mut rig = expiring(true, &[("a", 0), ("b", 500), ("c", 20), ("d", 500)]);
    let (stored, expires) = (std::mem::take(&mut rig.world.stored), std::mem::take(&mut rig.world.expires));
    let mut rig = Rig::new(Config { dead_letters: true, ..durable() });
    (rig.world.stored, rig.world.expires) = (stored, expires);
    rig.machine.recover(0, Paged { from: 0, upto: 4, count: 4, body_bytes: 4 }, 4, 0);
    rig.meta.now_ms = 1100;
    rig.machine.look_for_expired(rig.meta, &mut rig.world);
    rig.answer_looks();
    assert_eq!(rig.dead(), "c:expired");
    assert_eq!((rig.machine.info().paged, rig.machine.next_deadline()), (3, Some(1500)));
    rig.meta.now_ms = 1500;
    rig.machine.look_for_expired(rig.meta, &mut rig.world);
    rig.answer_looks();
    assert_eq!((rig.dead().as_str(), rig.machine.ready()), ("b:expired d:expired", 1));
    assert_eq!(rig.machine.next_deadline(), None);
}

// ---- the middle, and pauses --------------------------------------------------------------------------------------

#[test]
fn a_paused_queue_takes_messages_in_and_hands_none_out() {
    let mut rig = Rig::new(durable());
    rig.consume(1, 0);
    rig.machine.pause(true);
    rig.publish("a b");
    assert_eq!((rig.delivered().as_str(), rig.machine.ready()), ("", 2));
    let slot = rig.machine.getter(ConnectionId(1), ConsumerKey(9));
    assert!(matches!(rig.machine.get(rig.meta, slot, true, &mut rig.world), GetOutcome::Empty));
    rig.machine.pause(false);
    rig.deliver();
    assert_eq!(rig.delivered(), "a b");
}

#[test]
fn a_paused_queue_lets_its_messages_expire() {
    let mut rig = Rig::new(Config { message_ttl_ms: Some(50), dead_letters: true, ..durable() });
    rig.machine.pause(true);
    rig.publish("a");
    rig.meta.now_ms = 1050;
    rig.deliver();
    assert_eq!(rig.world.dead, [("a".to_owned(), DeadReason::Expired)]);
}

#[test]
fn messages_taken_from_the_middle_are_not_delivered() {
    let mut rig = Rig::new(durable());
    rig.meta.window_bytes = 300;
    rig.publish("a b c d e f g h");
    assert!(rig.machine.info().paged >= 4);
    let taken = rig.machine.take_ready(0, &[(1, 1), (2, 1), (6, 1), (100, 1)]);
    assert_eq!(taken.iter().map(|entry| entry.position).collect::<Vec<_>>(), [1, 2, 6]);
    assert_eq!(rig.machine.ready(), 5);
    let c = rig.world.stored.get(&(0, 2)).cloned();
    rig.machine.give_back(0, Entry { message: c, ..taken[1].clone() });
    rig.consume(1, 0);
    rig.answer_loads();
    assert_eq!(rig.delivered(), "a c d e f h", "the store still has what was taken from the page");
    assert_eq!(rig.machine.ready(), 0);
}
