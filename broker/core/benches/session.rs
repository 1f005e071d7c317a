//! What a session costs per message: `cargo bench -p leveret-core --bench session`.
//!
//! The host takes every publish as a delivery for the one consumer, so that the numbers are those of decoding,
//! assembling, confirming, delivering, encoding and settling alone.

use divan::Bencher;
use divan::counter::ItemsCount;

mod inputs;

use inputs::session::{Delivering, Publishing};

/// Bytes of a body, and messages in one read.
const READS: [(usize, usize); 5] = [(16, 1), (16, 64), (128, 64), (1024, 64), (16_384, 8)];

fn main() {
    divan::main();
}

#[divan::bench(args = READS)]
fn publish(bencher: Bencher, (body_bytes, batch): (usize, usize)) {
    let mut publishing = Publishing::new(body_bytes, batch, false);
    bencher.counter(ItemsCount::new(batch)).bench_local(|| publishing.read());
}

#[divan::bench(args = READS)]
fn publish_with_confirms(bencher: Bencher, (body_bytes, batch): (usize, usize)) {
    let mut publishing = Publishing::new(body_bytes, batch, true);
    bencher.counter(ItemsCount::new(batch)).bench_local(|| publishing.read());
}

/// Deliveries go out, and their acknowledgements come in.
#[divan::bench(args = READS)]
fn deliver_and_ack(bencher: Bencher, (body_bytes, batch): (usize, usize)) {
    let mut delivering = Delivering::new(body_bytes, batch);
    bencher.counter(ItemsCount::new(batch)).bench_local(|| {
        delivering.deliver();
        delivering.ack();
    });
}
