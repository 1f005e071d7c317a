//! What the message store costs: CPU per message, by thread, of publishing, settling, loading and recovering.
//!
//! ```text
//! cargo run --release -p leveret-broker --example store_bench -- [--messages N] [--body BYTES] [--dir DIR]
//!     [--window N] [--batch N] [--sync always|never] [SCENARIO ...]
//! ```
//!
//! Scenarios: publish, lag, queues, drain, recover, purge, which are the default, and lag100k, queueslag, drain100,
//! mixed (a queue that nobody consumes between others that are), latency (each batch confirmed before the next). CPU is
//! user and system time of all threads, RocksDB's included, until the data directory is closed. Wall-clock rates on a
//! shared machine mean little.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::time::Instant;

use leveret_broker::store::{
    Append, LoadRequest, LoadSink, Loaded, Pending, PendingSource, QueueUid, Store, StoreOptions, SyncMode,
    Ticket, Wake,
};
use leveret_core::message::Message;
use parking_lot::Mutex;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let mut bench = Bench {
        messages: 1_000_000,
        body: 1024,
        window: 10_000,
        batch: 100,
        dir: std::env::temp_dir().join(format!("store-bench-{}", std::process::id())),
        sync: SyncMode::Always,
    };
    let mut scenarios = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|value| value.parse().ok()).expect("a number");
        match arg.as_str() {
            "--messages" => bench.messages = number(),
            "--body" => bench.body = number() as usize,
            "--window" => bench.window = number(),
            "--batch" => bench.batch = number(),
            "--dir" => bench.dir = PathBuf::from(args.next().expect("a directory")),
            "--sync" => {
                bench.sync =
                    if args.next().as_deref() == Some("never") { SyncMode::Never } else { SyncMode::Always }
            }
            _ => scenarios.push(arg),
        }
    }
    if scenarios.is_empty() {
        scenarios = ["publish", "lag", "queues", "drain", "recover", "purge"].map(str::to_owned).to_vec();
    }
    println!(
        "{} messages of {} bytes, {} unconfirmed, {:?}",
        bench.messages, bench.body, bench.window, bench.sync
    );
    for scenario in scenarios {
        match scenario.as_str() {
            "publish" => bench.publish("publish, 1 queue", 1, None),
            "lag" => bench.publish("publish and settle 1,000 behind", 1, Some(1000)),
            "lag100k" => bench.publish("publish and settle 100,000 behind", 1, Some(100_000)),
            "queues" => bench.publish("publish, 100 queues", 100, None),
            "queueslag" => bench.publish("publish and settle 1,000 behind, 100 queues", 100, Some(1000)),
            "drain" => bench.drain(1),
            "drain100" => bench.drain(100),
            "recover" => bench.recover(),
            "purge" => bench.purge(),
            "mixed" => bench.mixed(),
            "latency" => bench.latency(),
            other => panic!("unknown scenario {other}"),
        }
        let _ = std::fs::remove_dir_all(&bench.dir);
    }
}

struct Bench {
    messages: u64,
    body: usize,
    window: u64,
    /// Messages handed in at once, as one read of a connection would.
    batch: u64,
    dir: PathBuf,
    sync: SyncMode,
}

impl Bench {
    fn open(&self) -> Store {
        let (store, _) =
            Store::open(StoreOptions { sync: self.sync, ..StoreOptions::new(&self.dir) }).unwrap();
        store
    }

    fn fill(&self, queues: u64) {
        let store = self.open();
        store.recover_queues(&[]).unwrap();
        Publisher::new(self, &store, queues).run(self, None);
        store.close().unwrap();
    }

    fn publish(&self, name: &str, queues: u64, lag: Option<u64>) {
        let store = self.open();
        store.recover_queues(&[]).unwrap();
        let meter = Meter::start();
        Publisher::new(self, &store, queues).run(self, lag);
        meter.report(name, self.messages, &self.dir);
        println!("    {:?}", store.stats());
        store.close().unwrap();
        meter.report("  until closed", self.messages, &self.dir);
    }

    fn drain(&self, queues: u64) {
        self.fill(queues);
        let store = self.open();
        let uids: Vec<_> = (1..=queues).collect();
        let lanes = store.recover_queues(&uids).unwrap();
        let meter = Meter::start();
        let (sender, receiver) = mpsc::sync_channel(64);
        let sink: Arc<dyn LoadSink> = Arc::new(Sink(sender));
        let mut first_ms = None;
        let start = Instant::now();
        let mut left = 0;
        let mut queues: Vec<_> = uids
            .iter()
            .map(|uid| (Queue::new(*uid, &store), lanes[uid][0].first_position, lanes[uid][0].next_position))
            .collect();
        while !queues.is_empty() {
            queues.retain_mut(|(queue, from, upto)| {
                store.load(LoadRequest {
                    uid: queue.uid,
                    lane: 0,
                    from: *from,
                    upto: *upto,
                    max_messages: 1000,
                    max_bytes: 1 << 20,
                    after: Ticket(0),
                    sink: sink.clone(),
                });
                let (messages, next) = receiver.recv().unwrap();
                first_ms.get_or_insert(start.elapsed().as_secs_f64() * 1e3);
                left += messages.len() as u64;
                for batch in messages.chunks(self.batch as usize) {
                    let (first, last) = (batch[0].position, batch[batch.len() - 1].position);
                    queue.change(&store, |pending| pending.settled.push((0, first..last + 1)));
                }
                *from = next;
                *from < *upto
            });
        }
        assert_eq!(left, self.messages);
        meter.report(&format!("drain, {} queues", uids.len()), self.messages, &self.dir);
        println!("    first messages after {:.1} ms", first_ms.unwrap_or(0.0));
        let wait = Instant::now();
        while bytes_on_disk(&self.dir) > 700 << 20 && wait.elapsed().as_secs() < 60 {
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        println!(
            "    disk {} MiB {:.1} s later",
            bytes_on_disk(&self.dir) >> 20,
            wait.elapsed().as_secs_f64()
        );
        store.close().unwrap();
        meter.report("  until closed", self.messages, &self.dir);
    }

    fn recover(&self) {
        let store = self.open();
        store.recover_queues(&[]).unwrap();
        Publisher::new(self, &store, 1).run(self, None);
        store.crash();
        for name in ["recover after a crash", "recover again"] {
            let meter = Meter::start();
            let store = self.open();
            let opened = meter.wall.elapsed();
            let lanes = store.recover_queues(&[1]).unwrap();
            assert_eq!(lanes[&1][0].messages, self.messages);
            meter.report(name, self.messages, &self.dir);
            println!("    of which opening {} ms", opened.as_millis());
            if name == "recover again" {
                store.close().unwrap();
            } else {
                store.crash();
            }
        }
        let meter = Meter::start();
        let store = self.open();
        let lanes = store.recover_queues(&[1]).unwrap();
        assert_eq!(lanes[&1][0].messages, self.messages);
        meter.report("recover after a clean shutdown", self.messages, &self.dir);
        store.close().unwrap();
    }

    /// Batches one after the other, each confirmed before the next, on a store that has been in use.
    fn latency(&self) {
        let store = self.open();
        store.recover_queues(&[]).unwrap();
        let warm_up = Bench { messages: 400_000, window: 10_000, batch: 100, dir: self.dir.clone(), ..*self };
        Publisher::new(&warm_up, &store, 1).run(&warm_up, None);
        let publisher = Publisher { queues: vec![Queue::new(2, &store)], ..Publisher::new(self, &store, 0) };
        let meter = Meter::start();
        publisher.run(&Bench { window: 1, dir: self.dir.clone(), ..*self }, None);
        meter.report("one batch after the other", self.messages, &self.dir);
        println!(
            "    {:.0} us a batch",
            meter.wall.elapsed().as_secs_f64() * 1e6 / (self.messages / self.batch) as f64
        );
        store.close().unwrap();
    }

    /// One message in ten stays, the others are settled 200,000 behind.
    fn mixed(&self) {
        let store = self.open();
        store.recover_queues(&[]).unwrap();
        let meter = Meter::start();
        let publisher = Publisher::new(self, &store, 10);
        publisher.run_with(self, |uid| (uid != 1).then_some(200_000));
        meter.report("one queue in ten is not consumed", self.messages, &self.dir);
        println!("    {:?}", store.stats());
        let wait = Instant::now();
        while wait.elapsed().as_secs() < 10 {
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        meter.report("  10 s later", self.messages, &self.dir);
        store.close().unwrap();
    }

    fn purge(&self) {
        self.fill(1);
        let store = self.open();
        store.recover_queues(&[1]).unwrap();
        let meter = Meter::start();
        wait_for(&store, store.delete_queue(1));
        println!("delete a queue: answered after {:.1} ms", meter.wall.elapsed().as_secs_f64() * 1e3);
        let wait = Instant::now();
        while bytes_on_disk(&self.dir) > 700 << 20 && wait.elapsed().as_secs() < 60 {
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        println!(
            "    disk {} MiB {:.1} s later",
            bytes_on_disk(&self.dir) >> 20,
            wait.elapsed().as_secs_f64()
        );
        meter.report("delete a queue", self.messages, &self.dir);
        store.close().unwrap();
    }
}

/// A connection that publishes to queues in turn and keeps a window of unconfirmed messages.
struct Publisher {
    store: Store,
    queues: Vec<Arc<Queue>>,
    messages: Vec<Message>,
    confirmed: Arc<Confirms>,
    woken: Receiver<()>,
}

struct Confirms(SyncSender<()>);

impl Wake for Confirms {
    fn wake(&self) {
        let _ = self.0.try_send(());
    }
}

impl Publisher {
    fn new(bench: &Bench, store: &Store, queues: u64) -> Publisher {
        let (sender, woken) = mpsc::sync_channel(1);
        Publisher {
            store: store.clone(),
            queues: (1..=queues).map(|uid| Queue::new(uid, store)).collect(),
            messages: (0..1024)
                .map(|seed: u32| {
                    let body: Vec<u8> = (0..bench.body).map(|at| (at as u32 ^ seed) as u8).collect();
                    Message::new("", "bench", &[0x10, 0, 2], &body)
                })
                .collect(),
            confirmed: Arc::new(Confirms(sender)),
            woken,
        }
    }

    fn run(&self, bench: &Bench, lag: Option<u64>) {
        self.run_with(bench, |_| lag);
    }

    fn run_with(&self, bench: &Bench, lag: impl Fn(QueueUid) -> Option<u64>) {
        let queues = self.queues.len() as u64;
        let mut unconfirmed: std::collections::VecDeque<(u64, Ticket)> = Default::default();
        let mut published = 0;
        while published < bench.messages {
            let batch = bench.batch.min(bench.messages - published);
            let mut ticket = Ticket(0);
            // One message for each queue in turn, or the whole batch for the only one.
            let (per_queue, turns) = if queues == 1 { (batch, 1) } else { (1, batch) };
            for turn in 0..turns {
                let number = published + turn;
                let queue = &self.queues[(number % queues) as usize];
                let position = number / queues;
                let added = queue.change(&self.store, |pending| {
                    for position in position..position + per_queue {
                        let message = self.messages[((position * queues + turn) % 1024) as usize].clone();
                        pending.bytes += message.body().len();
                        pending.appends.push(Append {
                            lane: 0,
                            position,
                            transient: false,
                            expires_at_ms: 0,
                            message,
                        });
                    }
                    if let Some(settled) = lag(queue.uid).and_then(|lag| position.checked_sub(lag / queues)) {
                        pending.settled.push((0, settled..settled + per_queue));
                    }
                });
                queue.inbox_bytes.fetch_add(per_queue as usize * bench.body, Ordering::Relaxed);
                ticket = ticket.max(added);
            }
            published += batch;
            unconfirmed.push_back((published, ticket));
            self.store.wake_when_durable(ticket, self.confirmed.clone());
            loop {
                let durable = self.store.durable();
                while unconfirmed.front().is_some_and(|(_, ticket)| *ticket <= durable) {
                    unconfirmed.pop_front();
                }
                let confirmed =
                    unconfirmed.front().map_or(published, |(upto, _)| upto.saturating_sub(bench.batch));
                if published - confirmed < bench.window {
                    break;
                }
                self.woken.recv().unwrap();
            }
        }
        if let Some((_, ticket)) = unconfirmed.back() {
            wait_for(&self.store, *ticket);
        }
    }
}

fn wait_for(store: &Store, ticket: Ticket) {
    let (sender, receiver) = mpsc::sync_channel(1);
    store.wake_when_durable(ticket, Arc::new(Confirms(sender)));
    receiver.recv().unwrap();
}

struct Queue {
    uid: QueueUid,
    pending: Mutex<(Pending, Option<Ticket>)>,
    inbox_bytes: Arc<AtomicUsize>,
}

impl Queue {
    fn new(uid: QueueUid, store: &Store) -> Arc<Queue> {
        Arc::new(Queue { uid, pending: Mutex::default(), inbox_bytes: store.inbox_bytes().clone() })
    }

    fn change(self: &Arc<Queue>, store: &Store, change: impl FnOnce(&mut Pending)) -> Ticket {
        let mut pending = self.pending.lock();
        change(&mut pending.0);
        *pending.1.get_or_insert_with(|| store.mark_dirty(self.clone()))
    }
}

impl PendingSource for Queue {
    fn uid(&self) -> QueueUid {
        self.uid
    }

    fn take_pending(&self, into: &mut Pending) {
        let mut pending = self.pending.lock();
        pending.1 = None;
        std::mem::swap(&mut pending.0, into);
    }
}

struct Sink(SyncSender<(Vec<Loaded>, u64)>);

impl LoadSink for Sink {
    fn loaded(&self, _: u8, messages: Vec<Loaded>, next_position: u64) {
        let _ = self.0.send((messages, next_position));
    }
}

/// CPU, time, memory and disk since it was started.
struct Meter {
    wall: Instant,
    cpu: BTreeMap<String, f64>,
    total: f64,
    written: u64,
}

impl Meter {
    fn start() -> Meter {
        Meter { wall: Instant::now(), cpu: cpu_by_thread(), total: cpu_total(), written: bytes_written() }
    }

    fn report(&self, name: &str, messages: u64, dir: &Path) {
        let cpu = cpu_total() - self.total;
        let wall = self.wall.elapsed().as_secs_f64();
        let per_message = |seconds: f64| seconds * 1e6 / messages as f64;
        println!(
            "{name}: {:.2} us CPU a message, {:.0} k/s, {wall:.2} s; written {:.0} bytes a message; memory {} MiB, \
             peak {} MiB; disk {} MiB",
            per_message(cpu),
            messages as f64 / wall / 1e3,
            (bytes_written() - self.written) as f64 / messages as f64,
            status("VmRSS") >> 10,
            status("VmHWM") >> 10,
            bytes_on_disk(dir) >> 20,
        );
        let mut threads: Vec<_> = cpu_by_thread()
            .into_iter()
            .map(|(name, seconds)| (seconds - self.cpu.get(&name).unwrap_or(&0.0), name))
            .filter(|(seconds, _)| per_message(*seconds) >= 0.01)
            .collect();
        threads.sort_by(|a, b| b.0.total_cmp(&a.0));
        let threads: Vec<_> =
            threads.iter().map(|(seconds, name)| format!("{name} {:.2}", per_message(*seconds))).collect();
        println!("    {}", threads.join(", "));
    }
}

/// Seconds of user and system time in a `stat` file of /proc.
fn cpu_seconds(stat: &str) -> f64 {
    let after_name = stat.rsplit(')').next().unwrap_or("");
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn cpu_total() -> f64 {
    cpu_seconds(&std::fs::read_to_string("/proc/self/stat").unwrap_or_default())
}

/// Of the threads that are alive.
fn cpu_by_thread() -> BTreeMap<String, f64> {
    let mut threads = BTreeMap::new();
    for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let name = stat.split(['(', ')']).nth(1).unwrap_or("").to_owned();
        *threads.entry(name).or_default() += cpu_seconds(&stat);
    }
    threads
}

fn bytes_written() -> u64 {
    number_after(&std::fs::read_to_string("/proc/self/io").unwrap_or_default(), "write_bytes:")
}

/// A line of /proc/self/status, in KiB.
fn status(name: &str) -> u64 {
    number_after(&std::fs::read_to_string("/proc/self/status").unwrap_or_default(), name)
}

fn number_after(text: &str, name: &str) -> u64 {
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or("");
    line.split(|c: char| !c.is_ascii_digit()).find_map(|word| word.parse().ok()).unwrap_or(0)
}

fn bytes_on_disk(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
}
