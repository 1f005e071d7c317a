//! The asynchronous runtime: how many threads, what they are called, what may block.
//!
//! The only place that knows tokio's flavours. One thread gets the work-stealing runtime too, though it has nobody to
//! steal from: a `basic.get` whose message is on disk reads it in its turn, which only that flavour lets a task do.

use std::num::NonZeroUsize;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::runtime::{Builder, Runtime};

use crate::config;

/// Builds the runtime that connections, listeners and timers run on.
pub fn build(runtime: &config::Runtime) -> std::io::Result<Runtime> {
    let threads = threads(runtime);
    Builder::new_multi_thread()
        .worker_threads(threads)
        .max_blocking_threads(password_checks() + BLOCKING_THREADS_BESIDE)
        .thread_name("leveret-io")
        .enable_all()
        .build()
}

/// Threads that serve connections: as configured, else one per core this process may use.
pub fn threads(runtime: &config::Runtime) -> usize {
    match runtime.threads {
        0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
        threads => threads,
    }
}

/// Lets this process open as many files as it may: each connection is one. The limit that a shell hands out, often
/// 1,024, is meant for programs that wait with `select`. Returns how many there may be, where there is a bound.
pub fn raise_file_limit() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    // Refused only where a process may not even use what it was given; then the lower limit holds.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    file_limit()
}

/// How many files this process may open, where there is a bound.
pub fn file_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Passwords that may be checked at a time: one per core. Each check keeps a core busy and takes 19 MiB, so that more
/// at once would be no faster and a thousand would take all memory.
pub fn password_checks() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get).min(PASSWORD_CHECKS_MAX)
}

const PASSWORD_CHECKS_MAX: usize = 16;
/// Blocking threads for the admin API's lists, which do not wait for passwords.
const BLOCKING_THREADS_BESIDE: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_as_configured_or_as_many_as_cores() {
        assert_eq!(threads(&config::Runtime { threads: 3 }), 3);
        assert!(threads(&config::Runtime { threads: 0 }) >= 1);
    }

    #[test]
    fn the_limit_on_files_is_raised_to_what_is_allowed() {
        assert_eq!(raise_file_limit(), getrlimit(Resource::Nofile).maximum);
    }

    #[test]
    fn one_thread_and_several_run_tasks_that_may_block() {
        for threads in [1, 2] {
            let runtime = build(&config::Runtime { threads }).unwrap();
            let answer = runtime.block_on(async {
                let task = tokio::spawn(async { tokio::task::block_in_place(|| 42) });
                tokio::time::timeout(std::time::Duration::from_secs(60), task).await.unwrap().unwrap()
            });
            assert_eq!(answer, 42);
        }
    }
}
