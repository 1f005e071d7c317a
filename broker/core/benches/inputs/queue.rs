//! A queue with a consumer, and a world that asks nothing of it.

use std::ops::Range;

use leveret_core::message::Message;
use leveret_core::queue::{Config, ConnectionId, DeadReason, Effects, Entry, Machine, Meta, Subscription};
use leveret_core::session::host::{ConsumerKey, Delivery, Settle};

const PERSISTENT: [u8; 3] = [0x10, 0, 2];
/// Wide enough for all that a benchmark leaves in a queue.
const WINDOW_BYTES: usize = 1 << 30;

/// A durable queue that messages go through.
pub struct Queue {
    machine: Machine,
    world: World,
    meta: Meta,
    consumer: u32,
    messages: Vec<Message>,
}

impl Queue {
    /// Messages come in batches of `batch`, for one consumer without a prefetch.
    pub fn new(config: Config, batch: usize, body_bytes: usize) -> Queue {
        let config = Config { durable: true, ..config };
        let mut world = World::default();
        let mut machine = Machine::new(config);
        let subscription = Subscription {
            connection: ConnectionId(1),
            key: ConsumerKey(1),
            no_ack: false,
            exclusive: false,
            prefetch: 0,
            priority: 0,
            subscribed: true,
        };
        let consumer = machine.subscribe(subscription, &mut world).expect("the first one");
        let body = vec![b'x'; body_bytes];
        let messages = (0..batch).map(|_| Message::new("amq.topic", "sensors.7", &PERSISTENT, &body));
        let messages = messages.collect();
        let meta = Meta { now_ms: 1_700_000_000_000, window_bytes: WINDOW_BYTES, tight: false };
        Queue { machine, world, meta, consumer, messages }
    }

    /// A batch comes in.
    pub fn publish(&mut self) {
        for message in &self.messages {
            self.machine.publish(self.meta, message.clone(), &mut self.world);
        }
    }

    /// What the consumer can take goes to it. Returns how many that were.
    pub fn deliver(&mut self) -> usize {
        let Queue { machine, world, meta, .. } = self;
        machine.deliver(*meta, world);
        // A store that is never late: what may have been delivered is durable at once.
        while let Some((lane, position)) = world.marks.pop() {
            machine.marked(lane, position);
            machine.deliver(*meta, world);
        }
        world.delivered.len()
    }

    /// The consumer settles what it has, as one range where ids follow each other.
    pub fn settle(&mut self, outcome: Settle) {
        let Queue { machine, world, meta, consumer, .. } = self;
        world.ids.clear();
        for delivery in world.delivered.drain(..) {
            match world.ids.last_mut() {
                Some(last) if last.end == delivery.id.0 => last.end += 1,
                _ => world.ids.push(delivery.id.0..delivery.id.0 + 1),
            }
        }
        let ids = std::mem::take(&mut world.ids);
        machine.settle(*meta, *consumer, outcome, &ids, world);
        world.ids = ids;
    }
}

/// Keeps deliveries, and counts the rest.
#[derive(Default)]
struct World {
    delivered: Vec<Delivery>,
    ids: Vec<Range<u64>>,
    stored: u64,
    forgotten: u64,
    marks: Vec<(u8, u64)>,
}

impl Effects for World {
    fn may_deliver(&mut self, _: u32) -> bool {
        true
    }
    fn deliver(&mut self, _: u32, delivery: Delivery) {
        self.delivered.push(delivery);
    }
    fn store(&mut self, _: u8, _: u64, _: u64, _: bool, _: &Message) {
        self.stored += 1;
    }
    fn forget(&mut self, _: u8, positions: Range<u64>) {
        self.forgotten += positions.end - positions.start;
    }
    fn load(&mut self, _: u8, _: Range<u64>) {}
    fn delivered_upto(&mut self, lane: u8, position: u64) {
        self.marks.push((lane, position));
    }
    fn returned(&mut self, _: u8, _: u64, _: u32, _: u64) {}
    fn look(&mut self, _: u8, _: Range<u64>) {}
    fn dead_letter(&mut self, _: u8, _: Entry, _: DeadReason) {}
    fn consumer_gone(&mut self, _: u32) {}
}
