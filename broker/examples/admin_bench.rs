//! How long the admin API takes to list many queues, and what the past of their figures costs.
//!
//! `cargo run --release -p leveret-broker --example admin_bench -- 10000`

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use leveret_broker::broker::Broker;
use leveret_broker::config::{Config, SyncPolicy};
use leveret_core::queue::ConnectionId;
use leveret_core::session::host::QueueDeclare;
use leveret_protocol::table::RawTable;

fn main() -> anyhow::Result<()> {
    let count: usize = std::env::args().nth(1).map_or(Ok(10_000), |count| count.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let directory = tempfile::tempdir()?;
        let mut config = Config { data_dir: directory.path().join("data"), ..Config::default() };
        config.amqp.listen = Vec::new();
        config.admin.listen = vec!["127.0.0.1:0".parse()?];
        config.store.sync = SyncPolicy::Never;
        let running = Broker::start(config).await?;
        let broker = running.broker().clone();
        let vhost = broker.vhost("/").expect("every new broker has it");
        for number in 0..count {
            let name = format!("orders.region-{:02}.customer-{number:05}", number % 16);
            let declare = QueueDeclare {
                queue: &name,
                passive: false,
                durable: false,
                exclusive: false,
                auto_delete: false,
                arguments: RawTable::empty(),
            };
            let may_use = |_, _: leveret_core::auth::Resource<'_>| Ok(());
            let declared = broker.queue_declare(&vhost, &declare, ConnectionId(0), "guest", &may_use);
            declared.map_err(|fault| anyhow::anyhow!("{fault}"))?;
        }
        let address = running.listeners()[0].address;
        tokio::task::spawn_blocking(move || {
            for (what, path) in [
                ("one queue", "/api/queues/%2F/orders.region-00.customer-00000"),
                ("100 by depth", "/api/queues?page=1&page_size=100&sort=messages&sort_reverse=true"),
                ("100 by name", "/api/queues?page=1&page_size=100&name=region-07"),
                ("all", "/api/queues"),
                ("all, basic", "/api/queues?disable_stats=true"),
                ("overview", "/api/overview"),
                ("per object", "/metrics/per-object"),
            ] {
                let worked = on_cpu();
                let mut times: Vec<(Duration, usize)> = (0..9).map(|_| ask(address, path)).collect();
                let worked = (on_cpu() - worked) / 9;
                times.sort();
                let (median, bytes) = times[times.len() / 2];
                println!("{what:<14} {median:>10.2?} {worked:>10.2?} of a core {bytes:>10} bytes");
            }
        })
        .await?;
        println!("past figures   {:>10} bytes", broker.history().memory_bytes());
        running.stop().await
    })
}

/// How long this process has worked on any core, this client of it included: what a machine that is busy with other
/// things leaves unchanged.
fn on_cpu() -> Duration {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let worked = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    });
    Duration::from_nanos(worked.sum())
}

/// Asks once; how long it took, and how much came.
fn ask(address: SocketAddr, path: &str) -> (Duration, usize) {
    let began = Instant::now();
    let mut socket = TcpStream::connect(address).expect("it listens");
    let login = "Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=";
    let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n{login}\r\n\r\n");
    socket.write_all(request.as_bytes()).expect("sent");
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).expect("an answer");
    assert!(
        answer.starts_with(b"HTTP/1.1 200"),
        "{path}: {}",
        String::from_utf8_lossy(&answer[..200.min(answer.len())])
    );
    (began.elapsed(), answer.len())
}
