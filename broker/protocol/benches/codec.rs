//! What frames cost: `cargo bench -p leveret-protocol`. Figures are per batch of 64 messages.

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};

mod inputs;

const BATCH: u64 = 64;

fn main() {
    divan::main();
}

/// Publishes as a broker reads them: method, header with its properties, body.
#[divan::bench(args = [(16, false), (1024, false), (1024, true)])]
fn decode_publishes(bencher: Bencher, (body_bytes, is_rich): (usize, bool)) {
    let bytes = inputs::publishes(BATCH as usize, body_bytes, is_rich);
    bencher
        .counter(ItemsCount::new(BATCH))
        .counter(BytesCount::new(bytes.len()))
        .bench_local(|| inputs::decode(&bytes));
}

#[divan::bench]
fn decode_acks(bencher: Bencher) {
    let bytes = inputs::acks(BATCH);
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| inputs::decode(&bytes));
}

/// Deliveries as a broker writes them.
#[divan::bench(args = [16, 1024])]
fn encode_deliveries(bencher: Bencher, body_bytes: usize) {
    let (properties, body) = (inputs::properties(false), vec![b'x'; body_bytes]);
    let mut out = Vec::new();
    bencher.counter(ItemsCount::new(BATCH)).bench_local(|| {
        out.clear();
        inputs::encode(BATCH, &properties, &body, &mut out);
    });
}
