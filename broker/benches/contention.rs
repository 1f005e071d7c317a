//! Queues under many threads: `cargo bench -p leveret-broker --bench contention`.
//!
//! Each thread hands batches to a queue and takes what its consumer got out of the mailbox, as connections do. With a
//! queue for each thread nothing is shared but what all queues of a broker share: the time of a batch should not rise
//! before there are more threads than processors. With one queue for all, its lock is what they wait for.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use divan::Bencher;
use divan::counter::ItemsCount;
use leveret_broker::deadlines::Deadlines;
use leveret_broker::outbox::Outbox;
use leveret_broker::queue_host::{
    ChannelWindow, Link, Publish, QueueCell, QueueSetup, Shared, delivery_bytes,
};
use leveret_broker::store::{Store, StoreOptions, SyncMode};
use leveret_core::message::Message;
use leveret_core::queue::{Config, ConnectionId, Subscription};
use leveret_core::session::host::ConsumerKey;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const THREADS: [usize; 5] = [1, 2, 4, 8, 16];
/// Messages that a connection hands in at once.
const BATCH: usize = 32;

fn main() {
    divan::main();
}

#[divan::bench(threads = THREADS, sample_size = 200)]
fn a_queue_for_each_thread(bencher: Bencher) {
    let world = World::new(THREADS[THREADS.len() - 1]);
    let next = AtomicUsize::new(0);
    thread_local! {
        static MINE: Cell<Option<usize>> = const { Cell::new(None) };
    }
    bencher.counter(ItemsCount::new(BATCH)).bench(|| {
        let mine = MINE.get().unwrap_or_else(|| {
            let mine = next.fetch_add(1, Ordering::Relaxed) % world.queues.len();
            MINE.set(Some(mine));
            mine
        });
        world.hand_over(mine)
    });
}

#[divan::bench(threads = THREADS, sample_size = 200)]
fn one_queue_for_all(bencher: Bencher) {
    let world = World::new(1);
    bencher.counter(ItemsCount::new(BATCH)).bench(|| world.hand_over(0));
}

/// Queues of one broker, each with a consumer that acknowledges nothing.
struct World {
    queues: Vec<(Arc<QueueCell>, Arc<Outbox>)>,
    message: Message,
    store: Option<Store>,
    _directory: tempfile::TempDir,
}

impl World {
    fn new(queues: usize) -> World {
        let directory = tempfile::tempdir().expect("a directory");
        let options = StoreOptions { sync: SyncMode::Never, ..StoreOptions::new(directory.path()) };
        let (store, _) = Store::open(options).expect("an empty store");
        let shared = Arc::new(Shared {
            store: store.clone(),
            resident_bytes: AtomicUsize::new(0),
            resident_bytes_max: usize::MAX,
            deadlines: Deadlines::default(),
            broker: OnceLock::new(),
        });
        let queues = (1..=queues).map(|uid| queue(uid as u64, shared.clone())).collect();
        let message = Message::new("", "q", &[0, 0], &[b'x'; 128]);
        World { queues, message, store: Some(store), _directory: directory }
    }

    /// A batch goes in, and what the consumer has got by then goes out. Returns how many that were.
    fn hand_over(&self, queue: usize) -> usize {
        let (cell, outbox) = &self.queues[queue];
        let publish = || Publish { message: self.message.clone(), channel: 1, sequence: 0 };
        let mut batch: Vec<Publish> = std::iter::repeat_with(publish).take(BATCH).collect();
        cell.publish(&mut batch, &mut Vec::new());
        let mut deliveries = Vec::new();
        outbox.take_deliveries(&mut deliveries);
        for (stalled, key) in outbox.written(deliveries.iter().map(delivery_bytes).sum()) {
            stalled.resume(ConnectionId(stalled.uid()), key);
        }
        deliveries.len()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.queues.clear();
        if let Some(store) = self.store.take() {
            store.crash();
        }
    }
}

fn queue(uid: u64, shared: Arc<Shared>) -> (Arc<QueueCell>, Arc<Outbox>) {
    let setup = QueueSetup {
        machine: Config::default(),
        dead_letter_target: None,
        expires_ms: None,
        deduplication: None,
    };
    let cell = QueueCell::new(uid, "/".into(), format!("q{uid}").into(), setup, shared, &[]);
    let outbox = Arc::new(Outbox::new());
    let subscription = Subscription {
        connection: ConnectionId(uid),
        key: ConsumerKey(1),
        no_ack: true,
        exclusive: false,
        prefetch: 0,
        priority: 0,
        subscribed: true,
    };
    let link = Link {
        outbox: outbox.clone(),
        window: Arc::new(ChannelWindow::new()),
        consumer_tag: "consumer".into(),
        channel: 1,
    };
    cell.subscribe(subscription, link).expect("the first one");
    (cell, outbox)
}
