//! Fixed work, whose instructions are counted: `cargo xtask instructions` runs this below callgrind.
//!
//! ```text
//! instructions          lists the workloads
//! instructions NAME     does one, and prints how often it allocated memory
//! ```
//!
//! Counting begins and ends with [`leveret_counted`]; what a workload needs is made before, and has been used once, so
//! that nothing grows while it is counted.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use leveret_core::queue::Config;
use leveret_core::session::host::Settle;

#[path = "../../protocol/benches/inputs/mod.rs"]
mod codec;
#[path = "../benches/inputs/mod.rs"]
mod inputs;

use inputs::queue::Queue;
use inputs::routing::Routing;
use inputs::session::{Delivering, Publishing};

/// Makes what a workload works on, and returns one round of it.
type Workload = fn() -> Box<dyn FnMut()>;

const WORKLOADS: &[(&str, Workload)] = &[
    ("codec-decode-publishes", || {
        let bytes = codec::publishes(BATCH, 128, false);
        Box::new(move || _ = black_box(codec::decode(&bytes)))
    }),
    ("codec-decode-publishes-with-headers", || {
        let bytes = codec::publishes(BATCH, 128, true);
        Box::new(move || _ = black_box(codec::decode(&bytes)))
    }),
    ("codec-decode-acks", || {
        let bytes = codec::acks(BATCH as u64);
        Box::new(move || _ = black_box(codec::decode(&bytes)))
    }),
    ("codec-encode-deliveries", || {
        let (properties, body, mut out) = (codec::properties(false), [b'x'; 128], Vec::new());
        Box::new(move || {
            out.clear();
            codec::encode(BATCH as u64, &properties, &body, &mut out);
        })
    }),
    ("routing-direct", || routing("direct", 1_000)),
    ("routing-topic", || routing("topic", 10_000)),
    ("routing-headers", || routing("headers", 1_000)),
    ("routing-fanout", || routing("fanout", 100)),
    ("queue-publish-deliver-ack", || queue(Config::default(), Settle::Ack)),
    ("queue-priorities", || queue(Config { max_priority: Some(9), ..Config::default() }, Settle::Ack)),
    ("queue-requeue", || queue(Config::default(), Settle::Requeue)),
    ("session-publish-with-confirms", || {
        let mut publishing = Publishing::new(128, BATCH, true);
        Box::new(move || publishing.read())
    }),
    ("session-deliver-and-ack", || {
        let mut delivering = Delivering::new(128, BATCH);
        Box::new(move || {
            delivering.deliver();
            delivering.ack();
        })
    }),
];

fn routing(kind: &str, bindings: usize) -> Box<dyn FnMut()> {
    let mut routing = Routing::new(kind, bindings, BATCH);
    Box::new(move || {
        for _ in 0..BATCH {
            black_box(routing.route());
        }
    })
}

fn queue(config: Config, outcome: Settle) -> Box<dyn FnMut()> {
    let mut queue = Queue::new(config, BATCH, 128);
    if outcome == Settle::Requeue {
        queue.publish();
    }
    Box::new(move || {
        if outcome != Settle::Requeue {
            queue.publish();
        }
        black_box(queue.deliver());
        queue.settle(outcome);
    })
}

/// What is counted. Its name is found in the program's symbols.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn leveret_counted(round: &mut Box<dyn FnMut()>) {
    for _ in 0..ROUNDS {
        round();
    }
}

fn main() -> ExitCode {
    let Some(wanted) = std::env::args().nth(1) else {
        WORKLOADS.iter().for_each(|(name, _)| println!("{name}"));
        return ExitCode::SUCCESS;
    };
    let Some((_, workload)) = WORKLOADS.iter().find(|(name, _)| *name == wanted) else {
        eprintln!("there is no workload {wanted}");
        return ExitCode::FAILURE;
    };
    let mut round = workload();
    for _ in 0..ROUNDS {
        round();
    }
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    leveret_counted(black_box(&mut round));
    println!("{}", ALLOCATIONS.load(Ordering::Relaxed) - before);
    ExitCode::SUCCESS
}

/// Messages of a round.
const BATCH: usize = 64;
/// Rounds that are counted: what happens once in a while is in it.
const ROUNDS: usize = 32;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// The system's allocator, counted: what it does inside is not ours, how often we ask for it is.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call is passed on to `System` with the arguments it came with.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `System`, as all pointers of this allocator do.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the pointer came from `System`, and the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
