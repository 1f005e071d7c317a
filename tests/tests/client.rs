//! The client library against the broker, through a proxy that can be cut.
//!
//! `LEVERET_TEST_AMQP=HOST:PORT` runs it against a broker that is running already, RabbitMQ for instance.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use leveret_client::lapin::options::QueueDeclareOptions;
use leveret_client::{
    Backoff, Binding, Connection, Consumer, Error, Exchange, Message, OnLoss, Publisher, PublisherOptions,
    Queue, RpcClient, RpcServer, Topology,
};
use leveret_tests::{Proxy, TestBroker};
use tokio::sync::{mpsc, watch};

/// The broker of one test.
struct Broker {
    address: SocketAddr,
    /// Stops when the test ends; `None` when somebody else's broker is used.
    _own: Option<TestBroker>,
}

impl Broker {
    fn start() -> Broker {
        match std::env::var("LEVERET_TEST_AMQP") {
            Ok(address) => {
                Broker { address: address.parse().expect("LEVERET_TEST_AMQP is HOST:PORT"), _own: None }
            }
            Err(_) => {
                let own = TestBroker::start();
                Broker { address: own.amqp(), _own: Some(own) }
            }
        }
    }

    fn uri(&self) -> String {
        format!("amqp://guest:guest@{}/%2f", self.address)
    }
}

/// A name no other test uses.
fn unique(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("client-test-{name}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

fn queue(name: &str) -> Topology {
    // Expires by itself when a test fails before it deletes the queue.
    Topology::new().queue(Queue::new(name).durable().argument("x-expires", 60_000))
}

async fn connect(uri: &str) -> Connection {
    let quick =
        Backoff { initial: Duration::from_millis(10), max: Duration::from_millis(100), ..Backoff::default() };
    Connection::builder(uri).backoff(quick).open().await.expect("the broker is there")
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("it takes less than 20 s")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_mandatory_messages_get_exactly_their_own_returns() {
    let broker = Broker::start();
    let connection = connect(&broker.uri()).await;
    let name = unique("returns");
    connection.declare(&queue(&name)).await.expect("declared");
    let publisher =
        Publisher::with_options(&connection, PublisherOptions { window: 500, on_loss: OnLoss::Fail });
    let mut confirms = Vec::new();
    for n in 0..5000_u32 {
        let routable = n % 3 != 0;
        let target = if routable { name.clone() } else { format!("{name}-missing") };
        // Persistent ones are confirmed late and out of step with the returned ones.
        let mut message = Message::to_queue(target, format!("{n}")).mandatory();
        if n % 2 == 0 {
            message = message.persistent();
        }
        confirms.push((n, routable, publisher.send(message).await.expect("sent")));
    }
    for (n, routable, confirm) in confirms {
        match within(confirm).await {
            Ok(()) => assert!(routable, "{n} was confirmed although its queue does not exist"),
            Err(Error::Unroutable(returned)) => {
                assert!(!routable, "{n} came back although its queue exists");
                assert_eq!(returned.message.body, format!("{n}"));
                assert_eq!(returned.reply_code, 312);
            }
            Err(error) => panic!("{n}: {error}"),
        }
    }
    connection.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_in_order_although_the_connection_is_cut_again_and_again() {
    let broker = Broker::start();
    let proxy = Proxy::start(broker.address).await;
    let (name, through_proxy) = (unique("cut"), connect(&proxy.uri()).await);
    through_proxy.declare(&queue(&name)).await.expect("declared");
    let publisher = Publisher::new(&through_proxy);
    let mut consumer =
        Consumer::builder(&through_proxy, &name).prefetch(50).start().await.expect("subscribed");
    const COUNT: u64 = 20_000;
    let publishing = tokio::spawn(async move {
        let mut confirms = Vec::new();
        for n in 0..COUNT {
            let message = Message::to_queue(&name, n.to_string()).persistent().mandatory();
            confirms.push(publisher.send(message).await.expect("sent"));
        }
        for confirm in confirms {
            confirm.await.expect("confirmed in the end");
        }
    });
    let mut seen = HashSet::new();
    let mut newest = 0;
    let mut cuts = 0;
    while seen.len() < COUNT as usize {
        let delivery = within(consumer.next()).await.expect("not closed").expect("no error");
        let n: u64 = String::from_utf8_lossy(&delivery.body).parse().expect("a number");
        if seen.insert(n) {
            assert!(n >= newest, "{n} arrived for the first time after {newest}");
            newest = n;
        }
        delivery.ack();
        if seen.len() as u64 > (cuts + 1) * COUNT / 8 && cuts < 7 {
            cuts += 1;
            proxy.cut();
        }
    }
    within(publishing).await.expect("the publisher got all its confirms");
    assert_eq!(cuts, 7);
    through_proxy.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_ack_does_nothing_and_the_message_comes_again() {
    let broker = Broker::start();
    let proxy = Proxy::start(broker.address).await;
    let connection = connect(&proxy.uri()).await;
    let name = unique("stale");
    connection.declare(&queue(&name)).await.expect("declared");
    let publisher = Publisher::new(&connection);
    publisher.publish(Message::to_queue(&name, "one").persistent()).await.expect("published");
    let mut consumer = Consumer::builder(&connection, &name).start().await.expect("subscribed");
    let first = within(consumer.next()).await.expect("open").expect("delivered");
    assert!(!first.redelivered && !first.acker.is_stale());
    proxy.cut();
    let again = within(consumer.next()).await.expect("open").expect("delivered again");
    assert!(again.redelivered);
    assert!(first.acker.is_stale());
    // Same tag, old epoch: must neither settle the new delivery nor close the channel.
    assert!(!first.ack());
    publisher.publish(Message::to_queue(&name, "two").persistent()).await.expect("published");
    let second = within(consumer.next()).await.expect("open").expect("delivered");
    assert_eq!(second.body, "two");
    assert!(again.ack() && second.ack());
    assert!(again.ack(), "settling twice is harmless");
    consumer.close().await;
    let left = connection
        .on_channel(async |channel| {
            let queue = channel
                .queue_declare(
                    name.as_str().into(),
                    QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() },
                    Default::default(),
                )
                .await?;
            Ok(queue.message_count())
        })
        .await
        .expect("the queue exists");
    assert_eq!(left, 0, "both acknowledgements were sent before the consumer closed");
    connection.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_message_the_broker_refuses_fails_alone() {
    let broker = Broker::start();
    let connection = connect(&broker.uri()).await;
    let name = unique("guilty");
    connection.declare(&queue(&name)).await.expect("declared");
    let publisher = Publisher::new(&connection);
    let mut confirms = Vec::new();
    for n in 0..200 {
        let exchange = if n == 100 { format!("{name}-no-such-exchange") } else { String::new() };
        confirms.push(publisher.send(Message::new(exchange, &name, n.to_string())).await.expect("sent"));
    }
    for (n, confirm) in confirms.into_iter().enumerate() {
        match within(confirm).await {
            Ok(()) => assert_ne!(n, 100),
            Err(error) => {
                assert_eq!(n, 100, "{error}");
                assert!(error.is_not_found(), "{error}");
            }
        }
    }
    connection.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_told_to_fail_reports_what_was_not_confirmed() {
    let broker = Broker::start();
    let proxy = Proxy::start(broker.address).await;
    let connection = connect(&proxy.uri()).await;
    let name = unique("at-most-once");
    connection.declare(&queue(&name)).await.expect("declared");
    let options = PublisherOptions { on_loss: OnLoss::Fail, ..PublisherOptions::default() };
    let publisher = Publisher::with_options(&connection, options);
    let (confirmed, mut progress) = watch::channel(0_u32);
    let (sender, target) = (publisher.clone(), name.clone());
    let sending = tokio::spawn(async move {
        loop {
            match sender.publish(Message::to_queue(&target, "more")).await {
                Ok(()) => confirmed.send_modify(|count| *count += 1),
                Err(error) => return error,
            }
        }
    });
    // A cut may find nothing under way: then the next message just goes to the next connection.
    while !sending.is_finished() {
        let sent = *progress.borrow_and_update();
        proxy.cut();
        // An error means that the sender has ended.
        let _ = within(progress.wait_for(|count| *count > sent + 10)).await;
    }
    let error = within(sending).await.expect("no panic");
    assert!(matches!(error, Error::Unconfirmed), "{error}");
    within(publisher.publish(Message::to_queue(&name, "again"))).await.expect("works on the next connection");
    connection.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topology_is_declared_again_and_a_deleted_queue_comes_back_with_its_consumer() {
    let broker = Broker::start();
    let proxy = Proxy::start(broker.address).await;
    let connection = connect(&proxy.uri()).await;
    let (exchange, name) = (unique("exchange"), unique("topology"));
    let topology = queue(&name)
        .exchange(Exchange::topic(&exchange).auto_delete())
        .binding(Binding::queue(&exchange, &name, "#"));
    connection.declare(&topology).await.expect("declared");
    let mut consumer = Consumer::builder(&connection, &name).start().await.expect("subscribed");
    let admin = connect(&broker.uri()).await;
    // Nobody may bring it back before the connection is lost.
    proxy.redirect(None);
    admin
        .on_channel(async |channel| {
            channel.queue_delete(name.as_str().into(), Default::default()).await?;
            Ok(())
        })
        .await
        .expect("deleted");
    proxy.redirect(Some(broker.address));
    let publisher = Publisher::new(&connection);
    within(publisher.publish(Message::new(&exchange, "a.b", "hello").mandatory()))
        .await
        .expect("routed again");
    let delivery = within(consumer.next()).await.expect("open").expect("delivered");
    assert_eq!(delivery.body, "hello");
    delivery.ack();
    consumer.close().await;
    connection.close().await;
    admin.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_of_a_missing_queue_is_refused_at_once() {
    let broker = Broker::start();
    let connection = connect(&broker.uri()).await;
    let refused = Consumer::builder(&connection, unique("missing")).start().await.expect_err("no such queue");
    assert!(refused.is_not_found(), "{refused}");
    connection.close().await;
    let closed = Consumer::builder(&connection, "any").start().await.expect_err("closed");
    assert!(matches!(closed, Error::Closed), "{closed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_a_consumer_gives_back_what_was_not_taken() {
    let broker = Broker::start();
    let connection = connect(&broker.uri()).await;
    let name = unique("drop");
    connection.declare(&queue(&name)).await.expect("declared");
    let publisher = Publisher::new(&connection);
    for n in 0..10 {
        publisher.publish(Message::to_queue(&name, n.to_string())).await.expect("published");
    }
    let mut consumer = Consumer::builder(&connection, &name).start().await.expect("subscribed");
    let held = within(consumer.next()).await.expect("open").expect("delivered");
    drop(consumer);
    let mut next = Consumer::builder(&connection, &name).start().await.expect("subscribed");
    let mut given_back = HashSet::new();
    for _ in 1..10 {
        let delivery = within(next.next()).await.expect("open").expect("delivered");
        given_back.insert(String::from_utf8_lossy(&delivery.body).into_owned());
        delivery.ack();
    }
    assert_eq!(given_back, (1..10).map(|n| n.to_string()).collect());
    assert!(held.nack(true), "the dropped consumer's delivery can still be settled");
    let back = within(next.next()).await.expect("open").expect("delivered");
    assert!(back.redelivered && back.body == "0");
    connection.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_are_answered_fail_and_time_out() {
    let broker = Broker::start();
    let proxy = Proxy::start(broker.address).await;
    let (serving, calling) = (connect(&broker.uri()).await, connect(&proxy.uri()).await);
    let name = unique("rpc");
    serving.declare(&queue(&name)).await.expect("declared");
    let (silent, mut silences) = mpsc::unbounded_channel();
    let server = RpcServer::start(&serving, &name, 8, move |request| {
        let silent = silent.clone();
        async move {
            match &request.body[..] {
                b"never" => std::future::pending().await,
                b"silence" => {
                    silent.send(()).expect("the test goes on");
                    std::future::pending().await
                }
                b"fail" => Err("cannot do that"),
                body => Ok(format!("{}!", String::from_utf8_lossy(body))),
            }
        }
    })
    .await
    .expect("serving");
    let client = RpcClient::start(&calling).await.expect("calling");
    let long = Duration::from_secs(20);
    let calls = (0..100).map(|n| {
        let (client, name) = (client.clone(), name.clone());
        tokio::spawn(async move { client.call(Message::to_queue(name, n.to_string()), long).await })
    });
    for (n, call) in calls.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(call.await.expect("no panic").expect("answered").body, format!("{n}!"));
    }
    let failed = client.call(Message::to_queue(&name, "fail"), long).await.expect_err("the handler failed");
    assert!(matches!(&failed, Error::Remote(text) if text == "cannot do that"), "{failed}");
    let nobody =
        client.call(Message::to_queue(unique("nobody"), "x"), long).await.expect_err("no such queue");
    assert!(matches!(nobody, Error::Unroutable(_)), "{nobody}");
    let short = Duration::from_millis(200);
    let late = client.call(Message::to_queue(&name, "never"), short).await.expect_err("no answer");
    assert!(matches!(late, Error::Timeout(_)), "{late}");

    let waiting = {
        let (client, name) = (client.clone(), name.clone());
        tokio::spawn(async move { client.call(Message::to_queue(name, "silence"), long).await })
    };
    within(silences.recv()).await.expect("the handler has the waiting call");
    proxy.cut();
    let interrupted = within(waiting).await.expect("no panic").expect_err("the connection is gone");
    assert!(matches!(interrupted, Error::Interrupted), "{interrupted}");
    let again = within(client.call(Message::to_queue(&name, "back"), long)).await.expect("answered again");
    assert_eq!(again.body, "back!");
    calling.close().await;
    serving.close().await;
    drop(server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_an_error_at_once_and_giving_up_ends_everything() {
    let broker = Broker::start();
    let wrong = format!("amqp://guest:wrong@{}/%2f", broker.address);
    let refused = Connection::builder(&wrong).wait_for_broker().open().await.expect_err("refused");
    assert_eq!(refused.reply_code(), Some(403), "{refused}");

    let proxy = Proxy::start(broker.address).await;
    let limited = Backoff {
        initial: Duration::from_millis(10),
        max: Duration::from_millis(50),
        give_up_after: Some(Duration::from_millis(300)),
    };
    let connection = Connection::builder(&proxy.uri()).backoff(limited).open().await.expect("connected");
    let publisher = Publisher::new(&connection);
    proxy.redirect(None);
    let gave_up = within(publisher.publish(Message::to_queue("any", "x"))).await.expect_err("nobody there");
    assert!(matches!(gave_up, Error::GaveUp { .. }), "{gave_up}");
    let closed = publisher.publish(Message::to_queue("any", "x")).await.expect_err("closed");
    assert!(matches!(closed, Error::Closed), "{closed}");
}
