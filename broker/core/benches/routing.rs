//! How long routing takes: `cargo bench -p leveret-core --bench routing`.

use divan::Bencher;
use divan::counter::ItemsCount;

mod inputs;

use inputs::routing::{Routing, bound_queue, remove_queue};

const MESSAGES: usize = 1 << 16;
/// Messages of one measurement: enough to make the clock's own cost small.
const BATCH: usize = 256;

fn main() {
    divan::main();
}

/// By the default exchange, to a tenth as many queues.
#[divan::bench(args = [10, 1_000, 100_000])]
fn default(bencher: Bencher, bindings: usize) {
    measure(bencher, "", bindings);
}

#[divan::bench(args = [10, 1_000, 100_000])]
fn direct(bencher: Bencher, bindings: usize) {
    measure(bencher, "direct", bindings);
}

/// Half of the patterns are plain keys, the others end in `*` and `#`; a message matches two of four.
#[divan::bench(args = [10, 1_000, 100_000])]
fn topic(bencher: Bencher, bindings: usize) {
    measure(bencher, "topic", bindings);
}

#[divan::bench(args = [10, 1_000, 100_000])]
fn headers(bencher: Bencher, bindings: usize) {
    measure(bencher, "headers", bindings);
}

/// Ten bindings a queue: 10, 100 and 10,000 queues get each message.
#[divan::bench(args = [100, 1_000, 100_000], sample_count = 20)]
fn fanout(bencher: Bencher, bindings: usize) {
    let mut routing = Routing::new("fanout", bindings, 16);
    bencher.counter(ItemsCount::new(bindings / 10)).bench_local(|| routing.route());
}

/// All bindings of a queue go with it.
#[divan::bench(args = ["direct", "topic"], sample_count = 5)]
fn remove_a_queue_with_100_000_bindings(bencher: Bencher, kind: &str) {
    bencher.with_inputs(|| bound_queue(kind, 100_000)).bench_local_refs(remove_queue);
}

fn measure(bencher: Bencher, kind: &str, bindings: usize) {
    let mut routing = Routing::new(kind, bindings, MESSAGES);
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        let mut reached = 0;
        for _ in 0..BATCH {
            reached += routing.route();
        }
        reached
    });
}
