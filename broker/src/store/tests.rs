//! The store through its own interface, on real directories.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use leveret_core::delayed::{Delayed, DelayedKey};
use leveret_core::message::Message;
use leveret_core::queue::Run;
use leveret_core::record::Record;
use parking_lot::Mutex;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// A queue that only stores.
struct TestQueue {
    uid: QueueUid,
    state: Mutex<(Pending, bool)>,
}

impl PendingSource for TestQueue {
    fn uid(&self) -> QueueUid {
        self.uid
    }

    fn take_pending(&self, into: &mut Pending) {
        let mut state = self.state.lock();
        state.1 = false;
        std::mem::swap(&mut state.0, into);
    }
}

struct Signal(Mutex<Sender<()>>);

impl Wake for Signal {
    fn wake(&self) {
        let _ = self.0.lock().send(());
    }
}

impl LoadSink for Mutex<Sender<(Vec<Loaded>, u64)>> {
    fn loaded(&self, _: u8, messages: Vec<Loaded>, next_position: u64) {
        let _ = self.lock().send((messages, next_position));
    }
}

fn signal() -> (Arc<Signal>, Receiver<()>) {
    let (sender, receiver) = mpsc::channel();
    (Arc::new(Signal(Mutex::new(sender))), receiver)
}

const PATIENCE: Duration = Duration::from_secs(60);

/// A store on a temporary directory that outlives it.
struct World {
    directory: TempDir,
    store: Option<Store>,
    recovered: Recovered,
    lanes: BTreeMap<QueueUid, Vec<RecoveredLane>>,
    last: Mutex<Ticket>,
}

impl World {
    fn new() -> World {
        World::open(tempfile::tempdir().unwrap(), &[])
    }

    fn open(directory: TempDir, uids: &[QueueUid]) -> World {
        let (store, recovered) = Store::open(options(&directory)).unwrap();
        let lanes = store.recover_queues(uids).unwrap().into_iter().collect();
        World { directory, store: Some(store), recovered, lanes, last: Mutex::default() }
    }

    /// Ends and starts it again, cleanly or not.
    fn restart(mut self, clean: bool, uids: &[QueueUid]) -> World {
        let store = self.store.take().unwrap();
        if clean {
            store.close().unwrap();
        } else {
            store.crash();
        }
        World::open(self.directory, uids)
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn queue(&self, uid: QueueUid) -> Arc<TestQueue> {
        Arc::new(TestQueue { uid, state: Mutex::default() })
    }

    fn change(&self, queue: &Arc<TestQueue>, change: impl FnOnce(&mut Pending)) {
        let mut state = queue.state.lock();
        change(&mut state.0);
        if !std::mem::replace(&mut state.1, true) {
            let ticket = self.store().mark_dirty(queue.clone());
            *self.last.lock() = ticket;
        }
    }

    fn append(&self, queue: &Arc<TestQueue>, positions: Range<u64>) {
        self.append_to(queue, 0, false, positions);
    }

    fn append_to(&self, queue: &Arc<TestQueue>, lane: u8, transient: bool, positions: Range<u64>) {
        self.change(queue, |pending| {
            for position in positions {
                let message = message(position);
                let expires_at_ms = position * 2;
                pending.bytes += message.body().len();
                self.store().inbox_bytes().fetch_add(message.body().len(), Ordering::Relaxed);
                pending.appends.push(Append { lane, position, transient, expires_at_ms, message });
            }
        });
    }

    fn settle(&self, queue: &Arc<TestQueue>, positions: Range<u64>) {
        self.change(queue, |pending| pending.settled.push((0, positions)));
    }

    /// Waits until everything handed in is durable.
    fn commit(&self) {
        let ticket = *self.last.lock();
        wait_for(self.store(), ticket);
    }

    fn load(&self, uid: QueueUid, positions: Range<u64>, max_messages: usize) -> (Vec<Loaded>, u64) {
        let (sender, receiver) = mpsc::channel();
        self.store().load(LoadRequest {
            uid,
            lane: 0,
            from: positions.start,
            upto: positions.end,
            max_messages,
            max_bytes: usize::MAX,
            after: *self.last.lock(),
            sink: Arc::new(Mutex::new(sender)),
        });
        receiver.recv_timeout(PATIENCE).unwrap()
    }

    /// Positions of everything live, checked against what was stored there.
    fn positions(&self, uid: QueueUid) -> Vec<u64> {
        let (messages, next) = self.load(uid, 0..1_000_000, usize::MAX);
        assert_eq!(next, 1_000_000);
        for loaded in &messages {
            assert_eq!(loaded.message.body(), message(loaded.position).body());
            assert_eq!(loaded.message.routing_key(), "key");
            assert_eq!(loaded.expires_at_ms, loaded.position * 2);
        }
        messages.iter().map(|loaded| loaded.position).collect()
    }

    /// Chunks in the index and in the log, without what the reclaimer has yet to clear away in files of the log.
    fn chunks(&self) -> (usize, usize) {
        let threads = self.store().handle.threads.lock();
        let rocks = threads.rocks.as_ref().unwrap();
        super::reclaim::bury_all(rocks).unwrap();
        let count = |family| {
            rocks.db().iterator_cf(family, ::rocksdb::IteratorMode::Start).filter(Result::is_ok).count()
        };
        (count(rocks.idx()), count(rocks.log()))
    }

    fn lane(&self, uid: QueueUid) -> RecoveredLane {
        match self.lanes.get(&uid).map(Vec::as_slice) {
            Some([lane]) => *lane,
            other => panic!("one lane was expected, not {other:?}"),
        }
    }
}

fn options(directory: &TempDir) -> StoreOptions {
    StoreOptions {
        write_buffer_bytes: 1 << 20,
        block_cache_bytes: 1 << 20,
        ..StoreOptions::new(directory.path())
    }
}

fn wait_for(store: &Store, ticket: Ticket) {
    let (waker, woken) = signal();
    store.wake_when_durable(ticket, waker);
    woken.recv_timeout(PATIENCE).unwrap();
    assert!(store.durable() >= ticket);
}

/// Bodies differ in size and content by position.
fn message(position: u64) -> Message {
    Message::new("", "key", &[0x10, 0, 2], &vec![position as u8; (position % 7) as usize * 30])
}

fn body_bytes(positions: impl IntoIterator<Item = u64>) -> u64 {
    positions.into_iter().map(|position| message(position).body().len() as u64).sum()
}

#[test]
fn what_was_appended_is_loaded_and_what_was_settled_is_not() {
    let world = World::new();
    let queue = world.queue(7);
    world.append(&queue, 0..1000);
    world.commit();
    assert_eq!(world.positions(7), (0..1000).collect::<Vec<_>>());

    world.settle(&queue, 0..300);
    world.settle(&queue, 500..501);
    world.settle(&queue, 990..2000);
    world.commit();
    let left: Vec<_> = (300..500).chain(501..990).collect();
    assert_eq!(world.positions(7), left);
    assert!(world.positions(8).is_empty(), "another queue");

    world.settle(&queue, 0..1000);
    world.commit();
    assert!(world.positions(7).is_empty());
    assert_eq!(world.chunks(), (0, 0));
}

#[test]
fn a_load_stops_at_its_limits_and_says_where_to_go_on() {
    let world = World::new();
    let queue = world.queue(7);
    world.append(&queue, 100..700);
    let mut from = 0;
    let mut seen = Vec::new();
    while from < 650 {
        let (messages, next) = world.load(7, from..650, 97);
        assert!(messages.len() < 97 + 256 && next > from);
        assert!(messages.iter().all(|loaded| (from..next).contains(&loaded.position)));
        seen.extend(messages.iter().map(|loaded| loaded.position));
        from = next;
    }
    assert_eq!(seen, (100..650).collect::<Vec<_>>());
    assert_eq!(world.load(7, 700..900, 10), (vec![], 900));
}

impl PartialEq for Loaded {
    fn eq(&self, other: &Loaded) -> bool {
        self.position == other.position
    }
}

#[test]
fn what_is_settled_before_it_is_taken_is_never_written() {
    let world = World::new();
    let queue = world.queue(7);
    world.append(&queue, 0..100);
    world.settle(&queue, 0..100);
    world.commit();
    assert_eq!(world.chunks(), (0, 0));
    let stats = world.store().stats();
    assert_eq!((stats.messages_elided, stats.messages_written, stats.syncs), (100, 0, 0));
    assert_eq!(world.store().backlog_bytes(), 0);

    world.append(&queue, 100..200);
    for odd in (101..200).step_by(2) {
        world.settle(&queue, odd..odd + 1);
    }
    world.commit();
    assert_eq!(world.positions(7), (100..200).step_by(2).collect::<Vec<_>>());
    assert_eq!(world.chunks(), (1, 1), "gaps do not split a chunk");
    let world = world.restart(false, &[7]);
    assert_eq!(world.lane(7).messages, 50);
    assert_eq!(world.positions(7), (100..200).step_by(2).collect::<Vec<_>>());
}

#[test]
fn totals_survive_a_crash_and_a_clean_shutdown() {
    for clean in [false, true] {
        let world = World::new();
        let queue = world.queue(7);
        world.append(&queue, 0..2000);
        world.commit();
        world.settle(&queue, 0..700);
        world.settle(&queue, 1000..1001);
        world.change(&queue, |pending| pending.delivered_upto.push((0, 705)));
        world.commit();

        let world = world.restart(clean, &[7]);
        assert_eq!(world.recovered.clean, clean);
        let live: Vec<_> = (700..1000).chain(1001..2000).collect();
        let expected = RecoveredLane {
            lane: 0,
            first_position: 700,
            next_position: 2000,
            messages: 1299,
            bytes: body_bytes(live.iter().copied()),
            delivered_upto: 705,
        };
        assert_eq!(world.lane(7), expected, "clean: {clean}");
        assert_eq!(world.positions(7), live);

        let queue = world.queue(7);
        world.settle(&queue, 0..1990);
        world.append(&queue, 2000..2010);
        world.commit();
        assert_eq!(world.positions(7), (1990..2010).collect::<Vec<_>>());
        let world = world.restart(clean, &[7]);
        assert_eq!((world.lane(7).messages, world.lane(7).bytes), (20, body_bytes(1990..2010)));
    }
}

#[test]
fn a_delivery_mark_is_kept_even_before_the_first_message() {
    let world = World::new();
    let queue = world.queue(7);
    world.change(&queue, |pending| pending.delivered_upto.push((0, 1000)));
    world.commit();
    world.append(&queue, 0..10);
    world.commit();
    let world = world.restart(false, &[7]);
    assert_eq!((world.lane(7).messages, world.lane(7).delivered_upto), (10, 1000));
    assert_eq!(world.lane(7).next_position, 1000, "new messages are not taken for delivered ones");
}

#[test]
fn an_emptied_queue_goes_on_where_it_was_after_a_clean_shutdown() {
    let world = World::new();
    let queue = world.queue(7);
    world.append(&queue, 0..10);
    world.commit();
    world.settle(&queue, 0..10);
    world.commit();
    let world = world.restart(true, &[7]);
    let lane = world.lane(7);
    assert_eq!((lane.first_position, lane.next_position, lane.messages, lane.bytes), (10, 10, 0, 0));
}

#[test]
fn what_was_durable_survives_a_crash_and_the_order_of_generations_holds() {
    let world = World::new();
    let queue = world.queue(7);
    let mut tickets = Vec::new();
    for generation in 0..50 {
        world.append(&queue, generation * 10..generation * 10 + 10);
        tickets.push(*world.last.lock());
        world.commit();
    }
    assert!(tickets.windows(2).all(|pair| pair[0] < pair[1]), "{tickets:?}");
    let world = world.restart(false, &[7]);
    assert_eq!(world.positions(7), (0..500).collect::<Vec<_>>());
}

#[test]
fn transient_messages_are_interleaved_and_dropped_by_a_restart() {
    for clean in [false, true] {
        let world = World::new();
        let queue = world.queue(7);
        for position in 0..300 {
            world.append_to(&queue, 0, position % 3 == 0, position..position + 1);
        }
        world.commit();
        assert_eq!(world.positions(7), (0..300).collect::<Vec<_>>());
        let (messages, next) = world.load(7, 50..300, 10);
        let seen: Vec<_> = messages.iter().map(|loaded| loaded.position).collect();
        assert!(seen.len() >= 10);
        assert_eq!(seen, (50..next).collect::<Vec<_>>());

        world.settle(&queue, 100..150);
        world.commit();
        let left = || (0..100).chain(150..300);
        assert_eq!(world.positions(7), left().collect::<Vec<_>>());

        let world = world.restart(clean, &[7]);
        let left: Vec<_> = left().filter(|position| position % 3 != 0).collect();
        assert_eq!(world.positions(7), left);
        assert_eq!(world.lane(7).messages, left.len() as u64);
        let (idx, log) = world.chunks();
        assert_eq!((idx, log), (2, 2), "persistent chunks only");
    }
}

#[test]
fn loads_of_overlapping_chunks_always_make_progress() {
    let world = World::new();
    let queue = world.queue(7);
    for position in 0..200 {
        world.append_to(&queue, 0, position % 2 == 1, position..position + 1);
    }
    world.settle(&queue, 0..0);
    world.commit();
    world.settle(&queue, 0..150);
    world.commit();
    let (mut from, mut seen) = (0, Vec::new());
    while from < 200 {
        let (messages, next) = world.load(7, from..200, 1);
        assert!(next > from);
        seen.extend(messages.iter().map(|loaded| loaded.position));
        from = next;
    }
    assert_eq!(seen, (150..200).collect::<Vec<_>>());
}

#[test]
fn lanes_of_a_queue_are_apart() {
    let world = World::new();
    let queue = world.queue(7);
    for position in 0..20 {
        for lane in [9, 0] {
            world.append_to(&queue, lane, false, position..position + 1);
        }
    }
    world.commit();
    world.settle(&queue, 0..15);
    world.commit();
    let world = world.restart(false, &[7]);
    let lanes: Vec<_> =
        world.lanes[&7].iter().map(|lane| (lane.lane, lane.first_position, lane.messages)).collect();
    assert_eq!(lanes, [(0, 15, 5), (9, 0, 20)]);
}

#[test]
fn queues_that_do_not_exist_are_dropped() {
    for clean in [false, true] {
        let world = World::new();
        for uid in [1, 2, 3] {
            world.append(&world.queue(uid), 0..100);
        }
        world.commit();
        let world = world.restart(clean, &[2]);
        assert_eq!(world.lanes.keys().copied().collect::<Vec<_>>(), [2]);
        // The next start is after the end of the deletion in the background, which a clean shutdown waits for.
        let world = world.restart(true, &[1, 2, 3]);
        assert_eq!(world.lanes.keys().copied().collect::<Vec<_>>(), [2]);
        assert_eq!(world.chunks(), (1, 1));
        assert_eq!(world.positions(2), (0..100).collect::<Vec<_>>());
    }
}

#[test]
fn a_deleted_queue_leaves_nothing_small_or_large() {
    for generations in [1, 1500] {
        let world = World::new();
        let (kept, deleted) = (world.queue(1), world.queue(2));
        for generation in 0..generations {
            world.append(&deleted, generation..generation + 1);
            world.append(&kept, generation..generation + 1);
            if generation % 50 == 0 {
                world.commit();
            } else {
                // One chunk for each message.
                wait_for(world.store(), *world.last.lock());
            }
        }
        let before = world.chunks();
        wait_for(world.store(), world.store().delete_queue(2));
        assert_eq!(world.positions(1).len() as u64, generations);
        let world = world.restart(true, &[1, 2]);
        assert_eq!(world.lanes.keys().copied().collect::<Vec<_>>(), [1]);
        assert_eq!(world.chunks(), (before.0 / 2, before.1 / 2));
    }
}

#[test]
fn a_deletion_interrupted_by_a_crash_is_completed() {
    let world = World::new();
    let queue = world.queue(2);
    for position in 0..1100 {
        world.append(&queue, position..position + 1);
        world.commit();
    }
    wait_for(world.store(), world.store().delete_queue(2));
    let world = world.restart(false, &[]);
    let world = world.restart(true, &[2]);
    assert!(world.lanes.is_empty());
    assert_eq!(world.chunks(), (0, 0));
}

#[test]
fn a_backlog_larger_than_the_window_is_settled_in_any_way() {
    // One chunk for each message, so that a few thousand messages are many chunks.
    let world = World::new();
    let queue = world.queue(7);
    for position in 0..2500 {
        world.append(&queue, position..position + 1);
        world.commit();
    }
    let world = world.restart(false, &[7]);
    let queue = world.queue(7);
    let mut left: std::collections::BTreeSet<u64> = (0..2500).collect();
    let ranges = [
        2000..2001,
        0..1,
        1200..1300,
        5..6,
        1..100,
        2499..2500,
        900..2100,
        200..300,
        2400..9999,
        100..200,
        0..2450,
    ];
    for range in ranges {
        world.settle(&queue, range.clone());
        world.commit();
        left.retain(|position| !range.contains(position));
        assert_eq!(world.positions(7), left.iter().copied().collect::<Vec<_>>(), "after {range:?}");
        assert_eq!(world.chunks(), (left.len(), left.len()));
    }
}

#[test]
fn a_purge_of_a_large_backlog_happens_in_the_background() {
    for clean in [false, true] {
        let world = World::new();
        let queue = world.queue(7);
        let end = 150_000;
        for start in (0..end).step_by(10_000) {
            world.append(&queue, start..start + 10_000);
            world.commit();
        }
        let world = world.restart(true, &[7]);
        let queue = world.queue(7);
        world.append(&queue, end..end + 100);
        // Messages at both ends stay: the first are unacknowledged, the last came later.
        world.settle(&queue, 50..end + 30);
        world.commit();
        let left: Vec<_> = (0..50).chain(end + 30..end + 100).collect();
        if clean {
            let world = world.restart(true, &[7]);
            assert_eq!(world.positions(7), left);
            assert_eq!((world.lane(7).messages, world.lane(7).bytes), (120, body_bytes(left)));
            assert_eq!(world.chunks(), (2, 2));
        } else {
            let world = world.restart(false, &[7]);
            assert_eq!((world.lane(7).messages, world.lane(7).bytes), (120, body_bytes(left.clone())));
            let world = world.restart(true, &[7]);
            assert_eq!((world.lane(7).messages, world.lane(7).bytes), (120, body_bytes(left.clone())));
            assert_eq!(world.positions(7), left);
        }
    }
}

#[test]
fn records_are_written_in_order_and_come_back() {
    let world = World::new();
    let put = |key: &str, value: &str| Record::put(key.into(), value.into());
    world.store().write_meta(vec![put("a", "1"), put("b", "1")]);
    world.store().write_meta(vec![put("a", "2"), Record::remove("b".into())]);
    let ticket = world.store().write_meta(vec![put("c", "3")]);
    wait_for(world.store(), ticket);
    let world = world.restart(false, &[]);
    let expected: Vec<KeyValue> = vec![(b"a".to_vec(), b"2".to_vec()), (b"c".to_vec(), b"3".to_vec())];
    assert_eq!(world.recovered.meta, expected);
    let world = world.restart(true, &[]);
    assert_eq!(world.recovered.meta, expected);
}

#[test]
fn tickets_rise_and_wake_once() {
    let world = World::new();
    let (waker, woken) = signal();
    world.store().wake_when_durable(Ticket(0), waker.clone());
    assert!(woken.try_recv().is_ok(), "ticket 0 is durable from the start");
    let mut last = Ticket(0);
    for _ in 0..20 {
        let ticket = world.store().write_meta(vec![Record::put(b"k".to_vec(), vec![])]);
        assert!(ticket > last);
        world.store().wake_when_durable(ticket, waker.clone());
        woken.recv_timeout(PATIENCE).unwrap();
        assert!(world.store().durable() >= ticket);
        last = ticket;
    }
    world.store().wake_when_durable(last, waker.clone());
    assert!(woken.try_recv().is_ok());
    assert!(woken.try_recv().is_err(), "once");
}

#[test]
fn nobody_has_to_wait_for_a_generation_to_be_written() {
    let world = World::new();
    let queue = world.queue(7);
    world.append(&queue, 0..10);
    let (sender, receiver) = mpsc::channel();
    // Only what is written can be loaded, and asking for it does not wait for a sync.
    world.store().load(LoadRequest {
        uid: 7,
        lane: 0,
        from: 0,
        upto: 10,
        max_messages: 10,
        max_bytes: 1 << 20,
        after: *world.last.lock(),
        sink: Arc::new(Mutex::new(sender)),
    });
    assert_eq!(receiver.recv_timeout(PATIENCE).unwrap().0.len(), 10);
}

#[test]
fn the_other_sync_modes_raise_the_watermark_too() {
    for sync in [SyncMode::Never, SyncMode::Interval(5)] {
        let directory = tempfile::tempdir().unwrap();
        let (store, _) = Store::open(StoreOptions { sync, ..options(&directory) }).unwrap();
        store.recover_queues(&[]).unwrap();
        let ticket = store.write_meta(vec![Record::put(b"k".to_vec(), b"v".to_vec())]);
        wait_for(&store, ticket);
        store.crash();
        let (store, recovered) = Store::open(options(&directory)).unwrap();
        assert_eq!(recovered.meta, [(b"k".to_vec(), b"v".to_vec())]);
        store.close().unwrap();
    }
}

/// Waits until `ticket` is durable, or never will be: then false.
fn is_safe_at_last(store: &Store, ticket: Ticket) -> bool {
    let (waker, woken) = signal();
    store.wake_when_durable(ticket, waker.clone());
    store.wake_when_poisoned(waker);
    woken.recv_timeout(PATIENCE).unwrap();
    store.durable() >= ticket
}

#[test]
fn a_transfer_is_whole_whichever_write_fails() {
    let (moved, stays) = (0..300, 300..600);
    for failing in 1.. {
        let world = World::new();
        let [from, to, other] = [1, 2, 3].map(|uid| world.queue(uid));
        world.append(&from, 0..600);
        world.append(&to, 0..10);
        world.commit();
        world.store().fail_write(failing);
        let transfer = world.store().begin_transfer();
        world.append(&other, 0..20_000);
        world.change(&to, |pending| pending.transfers = true);
        world.append(&to, 10..10_010);
        world.settle(&from, moved.clone());
        drop(transfer);
        let is_safe = is_safe_at_last(world.store(), *world.last.lock());

        let world = world.restart(false, &[1, 2, 3]);
        let (left, arrived) = (world.positions(1), world.positions(2).len());
        if is_safe {
            assert!(failing > 3, "the others take several batches");
            assert_eq!((left, arrived), (stays.collect(), 10_010));
            return;
        }
        assert_eq!((left, arrived), ((0..600).collect(), 10), "write {failing}");
    }
}

#[test]
fn a_crash_between_transfers_leaves_every_message_once() {
    const TOKENS: usize = 4;
    for round in 0..8 {
        let world = World::new();
        let queues: Vec<_> = (1..=3).map(|uid| world.queue(uid)).collect();
        let next: Vec<_> = queues.iter().map(|_| Mutex::new(0)).collect();
        // The next position is taken under the queue's lock, as a queue does.
        let append = |queue: usize, token: usize| {
            let mut at = 0;
            world.change(&queues[queue], |pending| {
                let mut next = next[queue].lock();
                at = *next;
                *next += 1;
                pending.transfers = true;
                let message = Message::new("", &token.to_string(), &[0x10, 0, 2], &[0; 300]);
                let (lane, transient, expires_at_ms) = (0, false, 0);
                pending.appends.push(Append { lane, position: at, transient, expires_at_ms, message });
            });
            at
        };
        let begun: Vec<u64> = (0..TOKENS).map(|token| append(0, token)).collect();
        world.commit();
        let crashed = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for (token, mut position) in begun.into_iter().enumerate() {
                let (world, queues, append, crashed) = (&world, &queues, &append, &crashed);
                scope.spawn(move || {
                    let mut here = 0;
                    for step in (0..100_000).take_while(|_| !crashed.load(Ordering::Relaxed)) {
                        let there = (here + 1 + step % 2) % queues.len();
                        let transfer = world.store().begin_transfer();
                        let arrived = append(there, token);
                        world.settle(&queues[here], position..position + 1);
                        drop(transfer);
                        (here, position) = (there, arrived);
                        let ticket = *world.last.lock();
                        world.store().wake_when_durable(ticket, signal().0);
                    }
                });
            }
            for _ in 0..3 + round * 3 {
                let ticket = *world.last.lock();
                wait_for(world.store(), ticket);
            }
            world.store().clone().crash();
            crashed.store(true, Ordering::Relaxed);
        });
        let world = world.restart(false, &[1, 2, 3]);
        let mut found: Vec<String> = (1..=3)
            .flat_map(|uid| world.load(uid, 0..1_000_000, usize::MAX).0)
            .map(|loaded| loaded.message.routing_key().to_owned())
            .collect();
        found.sort();
        assert_eq!(found, ["0", "1", "2", "3"], "round {round}");
    }
}

#[test]
fn settling_here_and_there_reads_every_chunk_once() {
    let world = World::new();
    let queue = world.queue(7);
    world.append(&queue, 0..300_000);
    world.commit();
    let mut left: std::collections::BTreeSet<u64> = (0..300_000).collect();
    // Past the window, inside of it, before it, and all three in one generation.
    for ranges in [
        vec![299_000..299_010, 299_020..299_030, 299_990..300_000],
        vec![5..6, 7..8, 100_000..100_300, 100_310..100_311, 299_500..299_600],
        (0..300_000).step_by(10_000).flat_map(|at| [at..at + 3, at + 4..at + 5]).collect(),
        vec![0..270, 290_000..300_000],
    ] {
        for range in ranges {
            world.settle(&queue, range.clone());
            left.retain(|position| !range.contains(position));
        }
        world.commit();
        assert!(world.positions(7).into_iter().eq(left.iter().copied()));
    }
    let world = world.restart(false, &[7]);
    assert_eq!(world.lane(7).messages, left.len() as u64);
}

#[test]
fn a_failed_write_poisons_for_ever() {
    let world = World::new();
    let queue = world.queue(7);
    world.append(&queue, 0..10);
    world.commit();
    let (poisoned, told) = signal();
    world.store().wake_when_poisoned(poisoned.clone());
    world.store().fail_write(1);
    let (waker, woken) = signal();
    let ticket = world.store().write_meta(vec![Record::put(b"k".to_vec(), vec![])]);
    world.store().wake_when_durable(ticket, waker);
    told.recv_timeout(PATIENCE).unwrap();
    assert!(world.store().poisoned());
    world.append(&queue, 10..20);
    assert!(world.store().durable() < ticket);
    assert!(woken.try_recv().is_err(), "nobody is told that it is durable");
    world.store().wake_when_poisoned(poisoned);
    told.recv_timeout(PATIENCE).unwrap();

    let directory = {
        let mut world = world;
        assert!(world.store.take().unwrap().close().is_err());
        world.directory
    };
    let world = World::open(directory, &[7]);
    assert!(!world.recovered.clean);
    assert_eq!(world.positions(7), (0..10).collect::<Vec<_>>());
}

#[test]
fn a_position_that_does_not_rise_poisons_rather_than_corrupts() {
    let world = World::new();
    let queue = world.queue(7);
    world.append(&queue, 5..6);
    world.commit();
    let (poisoned, told) = signal();
    world.store().wake_when_poisoned(poisoned);
    world.append(&queue, 5..6);
    told.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(world.store().failure().as_deref(), Some(StoreError::Panicked(_))));
}

#[test]
fn a_damaged_chunk_poisons_instead_of_vanishing() {
    let world = World::new();
    let queue = world.queue(7);
    world.append(&queue, 0..10);
    world.commit();
    let rocks = world.store().handle.threads.lock().rocks.clone().unwrap();
    let id = rocks.db().iterator_cf(rocks.log(), ::rocksdb::IteratorMode::Start).next().unwrap().unwrap().0;
    rocks.db().put_cf(rocks.log(), id, b"\x01\x00\x00\x05rubbish").unwrap();
    let (poisoned, told) = signal();
    world.store().wake_when_poisoned(poisoned);
    let (sender, receiver) = mpsc::channel();
    let sink = Arc::new(Mutex::new(sender));
    let after = Ticket(0);
    world.store().load(LoadRequest {
        uid: 7,
        lane: 0,
        from: 0,
        upto: 10,
        max_messages: 10,
        max_bytes: 1000,
        after,
        sink,
    });
    told.recv_timeout(PATIENCE).unwrap();
    assert!(receiver.recv().is_err(), "no answer");
    assert!(matches!(world.store().failure().as_deref(), Some(StoreError::Damaged { .. })));
}

#[test]
fn a_directory_in_use_is_named() {
    let world = World::new();
    let error = Store::open(options(&world.directory)).map(|_| ()).unwrap_err();
    let path = world.directory.path().display().to_string();
    assert_eq!(error.to_string(), format!("data directory {path} is in use by another leveret"));
}

#[test]
fn lost_synced_data_is_noticed() {
    let world = World::new();
    let queue = world.queue(7);
    world.append(&queue, 0..10);
    world.commit();
    let directory = {
        let mut world = world;
        world.store.take().unwrap().crash();
        world.directory
    };
    // The log is where nothing was lost, and one byte of what had been synced is flipped.
    let wal = directory.path().join(super::rocks::newest_wal(directory.path()).unwrap());
    let mut bytes = std::fs::read(&wal).unwrap();
    let at = bytes.iter().rposition(|byte| *byte != 0).unwrap() - 100;
    bytes[at] ^= 0x10;
    std::fs::write(&wal, bytes).unwrap();
    let error = Store::open(options(&directory)).map(|_| ()).unwrap_err();
    assert!(matches!(error, StoreError::LostData { found, synced, .. } if found < synced), "{error}");
    std::fs::remove_file(directory.path().join("synced")).unwrap();
    World::open(directory, &[7]);
}

#[test]
fn large_messages_come_back() {
    let world = World::new();
    let queue = world.queue(7);
    let body: Vec<u8> = (0..3_000_000u32).map(|byte| byte as u8).collect();
    world.change(&queue, |pending| {
        for position in 0..3 {
            let message = Message::new("x", "key", &[0, 0], &body[..body.len() - position as usize]);
            pending.appends.push(Append { lane: 0, position, transient: false, expires_at_ms: 0, message });
        }
    });
    world.commit();
    let (messages, _) = world.load(7, 0..10, 10);
    let bodies: Vec<_> = messages.iter().map(|loaded| loaded.message.body()).collect();
    assert_eq!(bodies, [&body[..], &body[..body.len() - 1], &body[..body.len() - 2]]);
}

#[test]
fn a_handle_dropped_anywhere_ends_the_threads() {
    let world = World::new();
    let queue = world.queue(7);
    world.append(&queue, 0..10);
    world.commit();
    let World { directory, store, .. } = world;
    drop(store);
    let world = World::open(directory, &[7]);
    assert_eq!(world.positions(7).len(), 10);
}

/// What a queue may do, for the comparison with a map.
#[derive(Debug, Clone)]
enum Step {
    Append(u64),
    Skip(u64),
    Transient(u64),
    Settle(u64, u64),
    Commit,
    Restart(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1u64..400).prop_map(Step::Append),
        1 => (1u64..300).prop_map(Step::Skip),
        1 => (1u64..50).prop_map(Step::Transient),
        6 => (0u64..2000, 1u64..500).prop_map(|(from, len)| Step::Settle(from, from + len)),
        4 => Just(Step::Commit),
        1 => any::<bool>().prop_map(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_queue_holds_what_a_map_holds(steps in proptest::collection::vec(step(), 1..40)) {
        let mut world = World::new();
        let mut queue = world.queue(7);
        let mut model: BTreeMap<u64, bool> = BTreeMap::new();
        let mut next = 0;
        for step in steps.into_iter().chain([Step::Commit, Step::Restart(false), Step::Restart(true)]) {
            match step {
                Step::Append(count) => {
                    world.append(&queue, next..next + count);
                    model.extend((next..next + count).map(|position| (position, false)));
                    next += count;
                }
                Step::Skip(count) => next += count,
                Step::Transient(count) => {
                    world.append_to(&queue, 0, true, next..next + count);
                    model.extend((next..next + count).map(|position| (position, true)));
                    next += count;
                }
                Step::Settle(from, upto) => {
                    let upto = upto.min(next);
                    world.settle(&queue, from..upto.max(from));
                    model.retain(|position, _| !(from..upto).contains(position));
                }
                Step::Commit => {
                    world.commit();
                    prop_assert_eq!(world.positions(7), model.keys().copied().collect::<Vec<_>>());
                }
                Step::Restart(clean) => {
                    world.commit();
                    world = world.restart(clean, &[7]);
                    queue = world.queue(7);
                    model.retain(|_, transient| !*transient);
                    prop_assert_eq!(world.positions(7), model.keys().copied().collect::<Vec<_>>());
                    if let Some(lane) = world.lanes.get(&7).map(|lanes| lanes[0]) {
                        prop_assert_eq!(lane.messages, model.len() as u64);
                        prop_assert_eq!(lane.bytes, body_bytes(model.keys().copied()));
                        prop_assert!(model.keys().next().is_none_or(|first| lane.first_position == *first));
                        prop_assert!(model.keys().last().is_none_or(|last| lane.next_position > *last));
                        next = next.max(lane.next_position);
                    }
                }
            }
        }
    }
}

// ---- delayed exchanges -------------------------------------------------------------------------------------------

impl DelayedSink for Mutex<Sender<(Vec<Delayed>, Option<DelayedKey>)>> {
    fn loaded(&self, messages: Vec<Delayed>, next: Option<DelayedKey>) {
        let _ = self.lock().send((messages, next));
    }
}

impl World {
    fn load_delayed(&self, uid: QueueUid, from: DelayedKey, max: usize) -> (Vec<u64>, Option<DelayedKey>) {
        let (sender, receiver) = mpsc::channel();
        self.store().load_delayed(DelayedLoad {
            uid,
            from,
            upto: DelayedKey::END,
            max_messages: max,
            max_bytes: usize::MAX,
            after: *self.last.lock(),
            sink: Arc::new(Mutex::new(sender)),
        });
        let (messages, next) = receiver.recv_timeout(PATIENCE).unwrap();
        for delayed in &messages {
            assert_eq!(delayed.message.body(), message(delayed.key.id).body());
        }
        (messages.iter().map(|delayed| delayed.key.id).collect(), next)
    }

    fn delayed(&self, uid: QueueUid) -> Vec<u64> {
        self.load_delayed(uid, DelayedKey::FIRST, usize::MAX).0
    }

    fn hold(&self, exchange: &Arc<TestQueue>, keys: &[(u64, u64)]) {
        self.change(exchange, |pending| {
            pending.delayed.added.extend(
                keys.iter()
                    .map(|&(due_ms, id)| Delayed { key: DelayedKey { due_ms, id }, message: message(id) }),
            );
        });
    }

    fn depart(&self, exchange: &Arc<TestQueue>, keys: &[(u64, u64)]) {
        self.change(exchange, |pending| {
            pending.delayed.removed.extend(
                keys.iter().map(|&(due_ms, id)| (DelayedKey { due_ms, id }, message(id).body().len() as u64)),
            );
        });
    }
}

#[test]
fn delayed_messages_come_back_by_time_with_their_totals_after_any_stop() {
    let mut world = World::new();
    let (exchange, other) = (world.queue(7), world.queue(8));
    world.hold(&exchange, &[(300, 1), (100, 2), (200, 3), (100, 4)]);
    world.hold(&other, &[(50, 5)]);
    world.commit();
    assert_eq!(world.delayed(7), [2, 4, 3, 1]);
    assert_eq!(
        world.load_delayed(7, DelayedKey::FIRST, 2),
        (vec![2, 4], Some(DelayedKey { due_ms: 200, id: 3 }))
    );
    world.depart(&exchange, &[(100, 2)]);
    world.commit();
    let bytes = body_bytes([4, 3, 1]);
    let first_id = world.store().next_delayed_id();
    for clean in [false, true, false] {
        world = world.restart(clean, &[7]);
        assert_eq!(world.delayed(7), [4, 3, 1]);
        assert_eq!(world.store().delayed_volume(7), (3, bytes));
        assert_eq!(world.delayed(8), [0; 0], "its exchange is gone");
        assert!(world.store().next_delayed_id() > first_id);
    }
}

#[test]
fn what_is_held_and_leaves_in_one_generation_is_gone_after_it() {
    let world = World::new();
    let (exchange, queue) = (world.queue(7), world.queue(1));
    world.hold(&exchange, &[(100, 1), (100, 2)]);
    world.append(&queue, 0..1);
    world.depart(&exchange, &[(100, 1)]);
    world.commit();
    assert_eq!((world.delayed(7), world.positions(1)), (vec![2], vec![0]));
    assert_eq!(world.store().delayed_volume(7), (1, body_bytes([2])));
}

#[test]
fn purging_drops_what_came_before_and_deleting_drops_all() {
    let mut world = World::new();
    let exchange = world.queue(7);
    world.hold(&exchange, &[(100, 1), (200, 2)]);
    world.commit();
    world.change(&exchange, |pending| pending.delayed.purge = true);
    world.hold(&exchange, &[(150, 3)]);
    world.commit();
    assert_eq!(world.delayed(7), [3]);
    assert_eq!(world.store().delayed_volume(7), (1, body_bytes([3])));
    wait_for(world.store(), world.store().delete_queue(7));
    assert_eq!(world.delayed(7), [0; 0]);
    world = world.restart(false, &[7]);
    assert_eq!((world.delayed(7), world.store().delayed_volume(7)), (vec![], (0, 0)));
}

// ---- returned and expired messages -------------------------------------------------------------------------------

impl ExpirySink for Mutex<Sender<(Vec<u64>, u64, Vec<Run>)>> {
    fn expired(&self, _: u8, messages: Vec<Loaded>, upto: u64, runs: Vec<Run>) {
        let positions = messages.iter().map(|loaded| loaded.position).collect();
        let _ = self.lock().send((positions, upto, runs));
    }
}

impl World {
    fn give_back(&self, queue: &Arc<TestQueue>, position: u64, returns: u32, ready_at_ms: u64) {
        self.change(queue, |pending| {
            pending.returned.push(Returned { lane: 0, position, returns, ready_at_ms });
        });
    }

    /// Positions that were returned, how often, and when they are ready.
    fn returns(&self, uid: QueueUid) -> Vec<(u64, u32, u64)> {
        let (messages, _) = self.load(uid, 0..1_000_000, usize::MAX);
        let returned = messages.iter().filter(|loaded| loaded.returns > 0);
        returned.map(|loaded| (loaded.position, loaded.returns, loaded.ready_at_ms)).collect()
    }

    fn look(&self, uid: QueueUid, positions: Range<u64>, now_ms: u64) -> (Vec<u64>, u64, Vec<Run>) {
        let (sender, receiver) = mpsc::channel();
        self.store().look_for_expired(ExpiryRequest {
            uid,
            lane: 0,
            positions,
            now_ms,
            after: *self.last.lock(),
            sink: Arc::new(Mutex::new(sender)),
        });
        receiver.recv_timeout(PATIENCE).unwrap()
    }

    /// Entries for returned messages.
    fn returned_entries(&self) -> usize {
        let threads = self.store().handle.threads.lock();
        let rocks = threads.rocks.as_ref().unwrap();
        rocks.db().iterator_cf(rocks.returned(), ::rocksdb::IteratorMode::Start).filter(Result::is_ok).count()
    }
}

#[test]
fn returns_are_remembered_until_the_message_is_settled() {
    let mut world = World::new();
    let (queue, other) = (world.queue(1), world.queue(2));
    world.append(&queue, 0..10);
    world.append(&other, 0..10);
    world.give_back(&queue, 3, 1, 500);
    world.give_back(&queue, 5, 7, 0);
    world.give_back(&other, 3, 2, 0);
    world.commit();
    world.give_back(&queue, 3, 2, 900);
    world.commit();
    assert_eq!(world.returns(1), [(3, 2, 900), (5, 7, 0)]);
    for clean in [false, true] {
        world = world.restart(clean, &[1, 2]);
        assert_eq!(world.returns(1), [(3, 2, 900), (5, 7, 0)]);
    }
    let queue = world.queue(1);
    world.settle(&queue, 0..4);
    world.commit();
    assert_eq!((world.returns(1), world.returned_entries()), (vec![(5, 7, 0)], 2));
    world.give_back(&queue, 6, 1, 0);
    world.settle(&queue, 6..7);
    world.commit();
    assert_eq!(world.returns(1), [(5, 7, 0)], "returned and settled in one generation");
    world.change(&queue, |pending| {
        pending.transfers = true;
        pending.returned.push(Returned { lane: 0, position: 7, returns: 1, ready_at_ms: 0 });
        pending.settled.push((0, 7..8));
    });
    world.commit();
    assert_eq!(world.returned_entries(), 2);
    wait_for(world.store(), world.store().delete_queue(2));
    assert_eq!(world.returned_entries(), 1);
    world = world.restart(false, &[]);
    assert_eq!(world.returned_entries(), 0, "its queue is gone");
}

#[test]
fn expired_messages_are_found_without_reading_chunks_in_which_none_has() {
    let world = World::new();
    let queue = world.queue(1);
    // Position p expires at 2 p; chunks are of 256 positions.
    world.append(&queue, 0..2_000);
    world.commit();
    let before = world.store().stats().messages_loaded;
    let (expired, upto, runs) = world.look(1, 0..2_000, 600);
    assert_eq!((expired, upto), ((1..=300).collect::<Vec<u64>>(), 2_000), "position 0 never expires");
    assert_eq!(world.store().stats().messages_loaded - before, 300);
    assert_eq!(runs.iter().map(|run| run.expires_at_ms).min(), Some(602));
    assert!(runs.windows(2).all(|pair| pair[0].positions.end <= pair[1].positions.start), "{runs:?}");
    world.settle(&queue, 1..301);
    world.commit();
    assert_eq!(world.look(1, 0..2_000, 600).0, [0; 0]);
    assert_eq!(world.look(1, 0..2_000, 602).0, [301]);
    assert_eq!(world.look(1, 302..2_000, 602).0, [0; 0], "only where it was asked to look");
    assert_eq!(world.look(1, 310..320, 5_000).0, (310..320).collect::<Vec<u64>>());
}

#[test]
fn many_expired_messages_are_brought_in_parts() {
    let world = World::new();
    let queue = world.queue(1);
    world.append(&queue, 0..3_000);
    world.append_to(&queue, 0, true, 3_000..6_000);
    world.commit();
    let (mut found, mut from) = (Vec::new(), 0);
    while from < 6_000 {
        let (expired, upto, _) = world.look(1, from..6_000, u64::MAX);
        assert!(upto > from && expired.len() <= 3_000);
        found.extend(expired);
        from = upto;
    }
    assert_eq!(found, (1..6_000).collect::<Vec<u64>>());
}
