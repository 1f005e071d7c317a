//! What the store costs: `cargo bench -p leveret-broker --bench store`.
//!
//! Batches go one after the other, each durable before the next: on a disk that syncs, that is what is seen.
//! `examples/store_bench.rs` measures the processor's share, with many batches under way.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};

use divan::Bencher;
use divan::counter::ItemsCount;
use leveret_broker::store::{
    Append, LoadRequest, LoadSink, Loaded, Pending, PendingSource, QueueUid, Store, StoreOptions, SyncMode,
    Ticket, Wake,
};
use leveret_core::message::Message;
use parking_lot::Mutex;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Messages of a batch.
const BATCHES: [u64; 3] = [1, 64, 1024];

fn main() {
    divan::main();
}

/// Appended, written, synced.
#[divan::bench(args = BATCHES, sample_count = 50)]
fn append_and_sync(bencher: Bencher, batch: u64) {
    let mut world = World::new(SyncMode::Always);
    bencher.counter(ItemsCount::new(batch)).bench_local(|| world.append(batch));
}

/// The same without a sync.
#[divan::bench(args = BATCHES, sample_count = 50)]
fn append_and_write(bencher: Bencher, batch: u64) {
    let mut world = World::new(SyncMode::Never);
    bencher.counter(ItemsCount::new(batch)).bench_local(|| world.append(batch));
}

/// Appended by one batch and settled by the next, so that nothing is left.
#[divan::bench(args = BATCHES, sample_count = 50)]
fn append_and_settle(bencher: Bencher, batch: u64) {
    let mut world = World::new(SyncMode::Never);
    bencher.counter(ItemsCount::new(2 * batch)).bench_local(|| {
        world.append(batch);
        world.settle(batch);
    });
}

/// Read back from where it lies.
#[divan::bench(args = [64, 1024], sample_count = 50)]
fn load(bencher: Bencher, batch: u64) {
    let mut world = World::new(SyncMode::Never);
    world.append(4096);
    bencher.counter(ItemsCount::new(batch)).bench_local(|| {
        let found = world.load(batch);
        assert_eq!(found as u64, batch);
    });
}

/// A store with one queue.
struct World {
    store: Option<Store>,
    queue: Arc<Queue>,
    message: Message,
    next: u64,
    _directory: tempfile::TempDir,
}

impl World {
    fn new(sync: SyncMode) -> World {
        let directory = tempfile::tempdir().expect("a directory");
        let options = StoreOptions { sync, ..StoreOptions::new(directory.path()) };
        let (store, _) = Store::open(options).expect("an empty store");
        store.recover_queues(&[]).expect("nothing there");
        let message = Message::new("", "bench", &[0x10, 0, 2], &[b'x'; 1024]);
        World { store: Some(store), queue: Arc::default(), message, next: 0, _directory: directory }
    }

    fn append(&mut self, count: u64) {
        let (first, message) = (self.next, self.message.clone());
        self.next += count;
        self.change(|pending| {
            for position in first..first + count {
                pending.bytes += message.body().len();
                let message = message.clone();
                pending.appends.push(Append {
                    lane: 0,
                    position,
                    transient: false,
                    expires_at_ms: 0,
                    message,
                });
            }
        });
    }

    /// The latest `count`.
    fn settle(&mut self, count: u64) {
        let range = self.next - count..self.next;
        self.change(|pending| pending.settled.push((0, range)));
    }

    fn load(&self, count: u64) -> usize {
        let (sender, receiver) = mpsc::sync_channel(1);
        self.store().load(LoadRequest {
            uid: self.queue.uid(),
            lane: 0,
            from: 0,
            upto: count,
            max_messages: count as usize,
            max_bytes: usize::MAX,
            after: Ticket(0),
            sink: Arc::new(Sink(sender)),
        });
        receiver.recv().expect("the store answers")
    }

    fn change(&self, change: impl FnOnce(&mut Pending)) {
        let before = self.queue.pending.lock().bytes;
        change(&mut self.queue.pending.lock());
        let added = self.queue.pending.lock().bytes - before;
        self.store().inbox_bytes().fetch_add(added, std::sync::atomic::Ordering::Relaxed);
        let ticket = self.store().mark_dirty(self.queue.clone());
        let (sender, receiver): (SyncSender<()>, Receiver<()>) = mpsc::sync_channel(1);
        self.store().wake_when_durable(ticket, Arc::new(Woken(sender)));
        receiver.recv().expect("the store goes on");
    }

    fn store(&self) -> &Store {
        self.store.as_ref().expect("open until it is dropped")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(store) = self.store.take() {
            store.crash();
        }
    }
}

#[derive(Default)]
struct Queue {
    pending: Mutex<Pending>,
}

impl PendingSource for Queue {
    fn uid(&self) -> QueueUid {
        1
    }

    fn take_pending(&self, into: &mut Pending) {
        std::mem::swap(&mut *self.pending.lock(), into);
    }
}

struct Woken(SyncSender<()>);

impl Wake for Woken {
    fn wake(&self) {
        let _ = self.0.try_send(());
    }
}

struct Sink(SyncSender<usize>);

impl LoadSink for Sink {
    fn loaded(&self, _: u8, messages: Vec<Loaded>, _: u64) {
        let _ = self.0.send(messages.len());
    }
}
