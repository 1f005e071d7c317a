//! A log pipeline: four workers around a broker that may be killed at any moment.
//!
//! ```text
//!                             ┌─► logs.store ────► store      appends each line once, fsync, then ack
//!   file ► collector ► logs ──┤
//!          (confirms)  topic  └─► logs.analyser ─► analyser ─► alerts ─► alerts.print ─► alerts
//!                                                  (baselines) topic                     prints
//! ```
//!
//! Exchanges and queues are durable, messages persistent. Nothing is lost when the broker, or any worker, dies: the
//! collector publishes again what was not confirmed, the broker delivers again what was not acknowledged, and every
//! message carries an id by which each worker drops what it has seen.
//!
//! Try it, and kill -9 and restart the broker while it runs:
//!
//! ```sh
//! cargo run -p leveret-client --example log_pipeline -- all assets/sample.log --store /tmp/store.log
//! cargo run -p leveret-client --example log_pipeline -- all /var/log/dpkg.log --store /tmp/store.log --follow
//! ```

mod alerts;
mod analyser;
mod analyst;
mod baseline;
mod collector;
mod line;
mod seen;
mod store;
mod store_file;
mod tail;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use leveret_client::{Backoff, Binding, Connection, Exchange, Queue, Topology};
use std::{io::IsTerminal, path::PathBuf, time::Duration};
use tokio::{sync::watch, task::JoinSet};
use tracing::info;
use tracing_subscriber::EnvFilter;

/// Collect, store and analyse a log through a broker.
#[derive(Debug, Parser)]
struct Arguments {
    /// The broker
    #[arg(
        long,
        global = true,
        env = "LEVERET_URI",
        hide_env_values = true,
        default_value = "amqp://guest:guest@127.0.0.1:5672/%2f"
    )]
    uri: String,
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Publish the lines of a file
    Collector(collector::Options),
    /// Append every line once to a file
    Store {
        /// The file
        store: PathBuf,
    },
    /// Look for anomalies and publish them to the exchange `alerts`
    Analyser,
    /// Print what the analyser found
    Alerts,
    /// Everything in one process; ends when the file is through, unless it is followed
    All {
        #[command(flatten)]
        collector: collector::Options,
        /// Where to store the lines
        #[arg(long)]
        store: PathBuf,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,lapin=off"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        stop_requested().await;
        info!("stopping");
        stop.send_replace(true);
    });
    let connect = async |name: &str| connect(&arguments.uri, name).await;
    match &arguments.role {
        Role::Collector(options) => {
            let connection = connect("collector").await?;
            collector::run(&connection, options, stopped).await?;
            connection.close().await;
        }
        Role::Store { store } => {
            let connection = connect("store").await?;
            store::run(&connection, store, stopped, watch::channel(None).0).await?;
            connection.close().await;
        }
        Role::Analyser => {
            let connection = connect("analyser").await?;
            analyser::run(&connection, stopped, watch::channel(None).0).await?;
            connection.close().await;
        }
        Role::Alerts => {
            let connection = connect("alerts").await?;
            alerts::run(&connection, stopped, watch::channel(0).0).await?;
            connection.close().await;
        }
        Role::All { collector: options, store } => {
            let workers = Workers {
                collector: connect("collector").await?,
                store: connect("store").await?,
                analyser: connect("analyser").await?,
                alerts: connect("alerts").await?,
            };
            all(&workers, options, store.clone(), stopped).await?;
            for connection in [workers.collector, workers.store, workers.analyser, workers.alerts] {
                connection.close().await;
            }
        }
    }
    Ok(())
}

/// A connection for each worker, as if they were processes.
struct Workers {
    collector: Connection,
    store: Connection,
    analyser: Connection,
    alerts: Connection,
}

async fn all(
    connections: &Workers,
    options: &collector::Options,
    store: PathBuf,
    stopped: Stopped,
) -> anyhow::Result<()> {
    let (end, ended) = watch::channel(false);
    let (stored, store_progress) = watch::channel(None);
    let (analysed, analyser_progress) = watch::channel(None);
    let (printed, alert_progress) = watch::channel(0);
    let mut workers = JoinSet::new();
    let (connection, until) = (connections.store.clone(), ended.clone());
    workers.spawn(async move { store::run(&connection, &store, until, stored).await });
    let (connection, until) = (connections.analyser.clone(), ended.clone());
    workers.spawn(async move { analyser::run(&connection, until, analysed).await });
    let connection = connections.alerts.clone();
    workers.spawn(async move { alerts::run(&connection, ended, printed).await });

    let collecting = async {
        let collected = collector::run(&connections.collector, options, stopped.clone()).await?;
        let through =
            everything_handled(collected.last_id, store_progress, analyser_progress, alert_progress);
        let mut stopped = stopped.clone();
        tokio::select! {
            outcome = through => outcome,
            _ = stopped.wait_for(|stop| *stop) => Ok(()),
        }
    };
    let outcome = tokio::select! {
        outcome = collecting => outcome,
        Some(early) = workers.join_next() => early?.and_then(|()| bail!("a worker ended by itself")),
    };
    end.send_replace(true);
    while let Some(ended) = workers.join_next().await {
        ended??;
    }
    outcome
}

/// Waits until the line with the last id, and with it everything before, has gone through all workers.
async fn everything_handled(
    last_id: Option<String>,
    mut store: watch::Receiver<Option<Handled>>,
    mut analyser: watch::Receiver<Option<Handled>>,
    mut alerts: watch::Receiver<u64>,
) -> anyhow::Result<()> {
    let Some(last) = last_id else { return Ok(()) };
    let through = |progress: &Option<Handled>| progress.as_ref().is_some_and(|handled| handled.id == last);
    store.wait_for(through).await.context("the store worker ended")?;
    let published =
        analyser.wait_for(through).await.context("the analyser ended")?.as_ref().map(|h| h.alerts);
    alerts
        .wait_for(|printed| *printed >= published.unwrap_or_default())
        .await
        .context("the alert worker ended")?;
    Ok(())
}

/// How far a worker is.
#[derive(Debug, Clone)]
struct Handled {
    /// The id of the newest line that is done with.
    id: String,
    /// Alerts published so far.
    alerts: u64,
}

/// Turns true when the program is to end.
type Stopped = watch::Receiver<bool>;

const LOGS: &str = "logs";
const ALERTS: &str = "alerts";
const STORE_QUEUE: &str = "logs.store";
const ANALYSER_QUEUE: &str = "logs.analyser";
const ALERTS_QUEUE: &str = "alerts.print";

fn topology() -> Topology {
    Topology::new()
        .exchange(Exchange::topic(LOGS).durable())
        .exchange(Exchange::topic(ALERTS).durable())
        .queue(Queue::new(STORE_QUEUE).durable())
        .queue(Queue::new(ANALYSER_QUEUE).durable())
        .queue(Queue::new(ALERTS_QUEUE).durable())
        .binding(Binding::queue(LOGS, STORE_QUEUE, "#"))
        .binding(Binding::queue(LOGS, ANALYSER_QUEUE, "#"))
        .binding(Binding::queue(ALERTS, ALERTS_QUEUE, "#"))
}

async fn connect(uri: &str, name: &str) -> leveret_client::Result<Connection> {
    let backoff = Backoff { max: Duration::from_secs(1), ..Backoff::default() };
    let name = format!("log pipeline {name}");
    let connection = Connection::builder(uri).name(name).backoff(backoff).wait_for_broker().open().await?;
    connection.declare(&topology()).await?;
    Ok(connection)
}

/// Waits for Ctrl-C or SIGTERM.
async fn stop_requested() {
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate => {}
    }
}
