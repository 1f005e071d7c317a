//! What a queue costs per message: `cargo bench -p leveret-core --bench queue`.
//!
//! The store and the consumer's connection take everything at once: what is measured is the machine.

use divan::Bencher;
use divan::counter::ItemsCount;
use leveret_core::queue::Config;
use leveret_core::session::host::Settle;

mod inputs;

use inputs::queue::Queue;

/// Messages of one call, as one read of a connection brings them.
const BATCHES: [usize; 3] = [1, 64, 1024];

fn main() {
    divan::main();
}

/// In, out, acknowledged.
#[divan::bench(args = BATCHES)]
fn publish_deliver_ack(bencher: Bencher, batch: usize) {
    measure(bencher, Config::default(), batch, Settle::Ack);
}

#[divan::bench(args = BATCHES)]
fn the_same_with_priorities(bencher: Bencher, batch: usize) {
    measure(bencher, Config { max_priority: Some(9), ..Config::default() }, batch, Settle::Ack);
}

#[divan::bench(args = BATCHES)]
fn the_same_with_time_to_live_and_length_limit(bencher: Bencher, batch: usize) {
    let config = Config { message_ttl_ms: Some(60_000), max_length: Some(1 << 20), ..Config::default() };
    measure(bencher, config, batch, Settle::Ack);
}

/// In, out, rejected to a dead-letter exchange.
#[divan::bench(args = BATCHES)]
fn publish_deliver_reject(bencher: Bencher, batch: usize) {
    measure(bencher, Config { dead_letters: true, ..Config::default() }, batch, Settle::Reject);
}

/// A batch goes out, comes back to its places, and goes out again.
#[divan::bench(args = BATCHES)]
fn deliver_requeue(bencher: Bencher, batch: usize) {
    let mut queue = Queue::new(Config::default(), batch, 1024);
    queue.publish();
    bencher.counter(ItemsCount::new(batch)).bench_local(|| {
        let delivered = queue.deliver();
        queue.settle(Settle::Requeue);
        delivered
    });
}

fn measure(bencher: Bencher, config: Config, batch: usize, outcome: Settle) {
    let mut queue = Queue::new(config, batch, 1024);
    bencher.counter(ItemsCount::new(batch)).bench_local(|| {
        queue.publish();
        let delivered = queue.deliver();
        queue.settle(outcome);
        delivered
    });
}
