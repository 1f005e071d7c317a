//! The examples in the guides do what the guides say.
//!
//! Every page of `assets/docs` has examples for pika and for lapin. Those of a page are run in order against a broker of
//! their own: first what the page takes for granted is prepared, in the end its promise is checked. Those in Rust are
//! compiled by the build script of this crate, those in Python are run by `guides/guide.py`.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use lapin::options::*;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use leveret_client::admin::types::messages::QueuedMessage;
use leveret_client::admin::{Client, PeekQuery};
use leveret_tests::{TestBroker, packages};

/// What the Rust examples have around them.
mod scope {
    #![allow(unused_imports, reason = "each page uses some of it")]
    pub use anyhow::Result;
    pub use futures_util::StreamExt;
    pub use lapin::options::*;
    pub use lapin::types::{AMQPValue, FieldTable};
    pub use lapin::{BasicProperties, Channel, Connection, Event, ExchangeKind};

    use std::sync::atomic::{AtomicU32, Ordering};

    /// What a consumer does with a message: none of them can be worked on.
    pub async fn process(body: &[u8]) -> Result<()> {
        anyhow::bail!("{} bytes cannot be worked on", body.len())
    }

    /// How often [`work`] was tried.
    static ATTEMPTS: AtomicU32 = AtomicU32::new(0);

    /// The same, where only the first attempt fails.
    pub async fn work(_: &[u8]) -> Result<()> {
        anyhow::ensure!(ATTEMPTS.fetch_add(1, Ordering::Relaxed) > 0, "not just now");
        Ok(())
    }
}

/// An example with the line at which it begins.
struct Example {
    line: usize,
    /// It consumes until somebody stops it.
    is_endless: bool,
    run: for<'a> fn(&'a Connection, &'a Channel, &'a str) -> Running<'a>,
}

type Running<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

/// A page with its examples in Rust.
struct Page {
    name: &'static str,
    examples: &'static [Example],
}

/// What the build script makes of the pages.
#[allow(unused_variables, unused_must_use, clippy::all, reason = "examples show one thing at a time")]
mod pages {
    use super::{Example, Page, scope};

    include!(concat!(env!("OUT_DIR"), "/guides.rs"));
}

#[test]
fn the_examples_in_rust_do_what_their_page_says() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    for page in pages::ALL {
        assert!(!page.examples.is_empty(), "{}.md has no example for lapin", page.name);
        runtime.block_on(rust_page(page)).unwrap_or_else(|error| panic!("{}.md: {error:#}", page.name));
    }
}

#[test]
fn the_examples_in_python_do_what_their_page_says() {
    let python = packages::python_with_packages().unwrap_or_else(|error| panic!("{error:#}"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let run = |name: &str, file: &Path| {
        let world = World::start();
        runtime.block_on(world.prepare(name))?;
        let mut command = Command::new(&python);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("guides/guide.py")).arg(file);
        command.args([world.broker.amqp().port(), world.broker.admin().port()].map(|port| port.to_string()));
        let output = command.env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null()).output()?;
        let (said, errors) = (&output.stdout, &output.stderr);
        ensure!(
            output.status.success(),
            "{}\n{}{}",
            output.status,
            String::from_utf8_lossy(said),
            String::from_utf8_lossy(errors)
        );
        runtime.block_on(world.kept(name))
    };
    for page in pages::ALL {
        let file = root.join("assets/docs").join(page.name).with_extension("md");
        run(page.name, &file).unwrap_or_else(|error| panic!("{}.md: {error:#}", page.name));
    }
    run("README", &root.join("README.md")).unwrap_or_else(|error| panic!("README.md: {error:#}"));
}

async fn rust_page(page: &Page) -> Result<()> {
    let world = World::start();
    world.prepare(page.name).await?;
    for example in page.examples {
        let connection = world.connect().await?;
        let channel = connection.create_channel().await?;
        let at = || format!("the example at line {}", example.line);
        let running = (example.run)(&connection, &channel, world.admin.url());
        if example.is_endless {
            tokio::select! {
                ended = running => bail!("{} ended: {ended:?}", at()),
                done = world.kept(page.name) => done.with_context(at)?,
            }
        } else {
            running.await.with_context(at)?;
        }
        connection.close(200, "done".into()).await?;
    }
    world.kept(page.name).await
}

/// The broker of one page.
struct World {
    broker: TestBroker,
    admin: Client,
}

impl World {
    fn start() -> World {
        let broker = TestBroker::start();
        let admin = Client::builder(format!("http://{}", broker.admin())).login("guest", "guest").build();
        World { broker, admin: admin.expect("an address that is in order") }
    }

    async fn connect(&self) -> Result<Connection> {
        Ok(Connection::connect(&self.broker.uri(), ConnectionProperties::default()).await?)
    }

    /// Makes what the page takes for granted.
    async fn prepare(&self, page: &str) -> Result<()> {
        let connection = self.connect().await?;
        let channel = connection.create_channel().await?;
        match page {
            "dead-letters" => {
                let auto = [
                    ("x-dead-letter-auto", AMQPValue::Boolean(true)),
                    ("x-delivery-limit", AMQPValue::LongLongInt(5)),
                ];
                declare(&channel, "orders", auto).await?;
                publish(&channel, "orders", &["broken", "later"]).await?;
            }
            "leveretctl" => {
                declare(&channel, "greetings", []).await?;
                publish(&channel, "greetings", &["hello from the shell"]).await?;
            }
            "pause" => {
                declare(&channel, "orders", []).await?;
                publish(&channel, "orders", &["one"]).await?;
                self.admin.pause_queue("/", "orders").await?;
            }
            "peek-and-move" => {
                let dead = [
                    ("x-dead-letter-exchange", AMQPValue::LongString("".into())),
                    ("x-dead-letter-routing-key", AMQPValue::LongString("orders.dlq".into())),
                ];
                declare(&channel, "orders.dlq", []).await?;
                declare(&channel, "orders", dead).await?;
                publish(&channel, "orders", &["one", "two"]).await?;
                for _ in 0..2 {
                    let message = channel.basic_get("orders".into(), BasicGetOptions::default()).await?;
                    let message = message.context("a message")?;
                    message.reject(BasicRejectOptions { requeue: false }).await?;
                }
                self.has("orders.dlq", 2).await?;
            }
            // The page declares the queue in its own way: the message comes when that is done.
            "retry" => {
                let (uri, admin) = (self.broker.uri(), self.admin.clone());
                tokio::spawn(async move {
                    while admin.queue("/", "work").await.is_err() {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    let connection = Connection::connect(&uri, ConnectionProperties::default()).await?;
                    publish(&connection.create_channel().await?, "work", &["one"]).await?;
                    anyhow::Ok(())
                });
            }
            _ => {}
        }
        connection.close(200, "done".into()).await?;
        Ok(())
    }

    /// Waits until what the page promises has come true.
    async fn kept(&self, page: &str) -> Result<()> {
        match page {
            "README" => self.has("greetings", 0).await,
            "dead-letters" => {
                until("the dead letter", async || {
                    let dead = self.messages("orders.dlq").await.unwrap_or_default();
                    dead.iter().flat_map(|message| &message.deaths).any(|death| death.reason == "rejected")
                })
                .await
            }
            "deduplication" => self.has("payments", 1).await,
            "delayed-messages" => {
                let waiting = self.admin.delayed("/", "reminders", None, None).await?;
                ensure!(!waiting.items.is_empty(), "nothing waits");
                self.has("mail", 0).await
            }
            "exchange-types" => {
                let sum = async |queues: &[&str]| {
                    let mut sum = 0;
                    for queue in queues {
                        sum += self.ready(queue).await.unwrap_or(0);
                    }
                    sum
                };
                until("a message each", async || {
                    sum(&["orders.1", "orders.2", "orders.3"]).await == 1
                        && sum(&["work.1", "work.2"]).await == 1
                })
                .await
            }
            "expiry" => {
                self.has("offers.over", 1).await?;
                self.has("offers", 1).await?;
                ensure!(self.admin.queue("/", "strict").await?.arguments["x-expiry-mode"] == "head");
                Ok(())
            }
            "http-api" => self.has("invoices", 0).await,
            "leveretctl" => self.has("greetings", 0).await,
            "pause" => self.has("orders", 1).await,
            "peek-and-move" => {
                self.has("orders.dlq", 0).await?;
                self.has("orders", 0).await
            }
            "policies" => {
                let timeout = self.admin.queue("/", "reports").await?.arguments["x-consumer-timeout"].clone();
                ensure!(timeout == 6 * 3600 * 1000, "it is {timeout}");
                Ok(())
            }
            "retry" => {
                let deliveries = async || {
                    let queue = self.admin.queue("/", "work").await;
                    queue.map_or(0, |queue| queue.message_stats.ack)
                };
                until("the second attempt", async || deliveries().await == 1).await
            }
            // Nothing happens there until the broker runs short of something.
            "watching" => Ok(()),
            other => bail!("nobody says what the examples in {other}.md are there for"),
        }
    }

    async fn ready(&self, queue: &str) -> Result<u64> {
        Ok(self.admin.queue("/", queue).await?.totals.messages)
    }

    /// Waits until so many messages are in a queue, unacknowledged ones included.
    async fn has(&self, queue: &str, messages: u64) -> Result<()> {
        let what = format!("{messages} messages in {queue}");
        until(&what, async || self.ready(queue).await.is_ok_and(|there| there == messages)).await
    }

    async fn messages(&self, queue: &str) -> Result<Vec<QueuedMessage>> {
        Ok(self.admin.messages("/", queue, &PeekQuery::default()).await?.items)
    }
}

/// Asks until the answer is yes.
async fn until(what: &str, mut check: impl AsyncFnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + LIMIT;
    while !check().await {
        ensure!(Instant::now() < deadline, "no {what} within {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn declare<const N: usize>(
    channel: &Channel,
    queue: &str,
    arguments: [(&str, AMQPValue); N],
) -> Result<()> {
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        table.insert(name.into(), value);
    }
    channel.queue_declare(queue.into(), QueueDeclareOptions::durable(), table).await?;
    Ok(())
}

/// Publishes persistent messages and waits until they are safe.
async fn publish(channel: &Channel, queue: &str, bodies: &[&str]) -> Result<()> {
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    for body in bodies {
        let properties = BasicProperties::default().with_delivery_mode(2);
        let options = BasicPublishOptions::default();
        channel.basic_publish("".into(), queue.into(), options, body.as_bytes(), properties).await?.await?;
    }
    Ok(())
}

/// How long anything may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
