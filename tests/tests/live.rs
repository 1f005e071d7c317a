//! What the admin API tells while it happens: the live feed, the graph of a vhost, alarms, and where a message would go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use leveret_client::admin::types::events::{EventData, Topic};
use leveret_client::admin::types::topology::{RouteRequest, TopologyEdge, TopologyGraph, TopologyLink};
use leveret_client::admin::types::{Arguments, Permission};
use leveret_client::admin::{
    Client, DeclareExchange, DeclareQueue, EventQuery, Events, NewBinding, PublishRequest,
};
use leveret_tests::{Content, RawClient, TestBroker};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LIMIT: Duration = Duration::from_secs(30);

fn client(broker: &TestBroker) -> Client {
    Client::builder(format!("http://{}", broker.admin())).build().expect("a good address")
}

/// A message in UTF-8.
fn message(routing_key: &str) -> PublishRequest {
    PublishRequest {
        routing_key: routing_key.to_owned(),
        properties: Arguments::default(),
        payload: "hello".to_owned(),
        payload_encoding: "string".to_owned(),
    }
}

/// The first event that `wanted` finds something in.
async fn next_where<T>(events: &mut Events, mut wanted: impl FnMut(EventData) -> Option<T>) -> T {
    let found = tokio::time::timeout(LIMIT, async {
        loop {
            let event = events.next().await.expect("the feed goes on").expect("it can be read");
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    });
    found.await.expect("it is told in time")
}

#[tokio::test]
async fn the_feed_begins_with_what_is_and_goes_on_with_what_changes() {
    let broker = TestBroker::start();
    let client = client(&broker);
    client.declare_queue("/", "a/订单", &DeclareQueue::default()).await.expect("declared");
    let query = EventQuery { topics: vec![Topic::Queues, Topic::Topology], ..EventQuery::default() };
    let mut events = client.events(&query).await.expect("the feed is open");
    let queue = next_where(&mut events, |event| match event {
        EventData::Queues(change) if change.snapshot => Some(change.changed),
        EventData::Queues(_) => panic!("a change before the snapshot"),
        _ => None,
    });
    let queue = queue.await;
    assert_eq!((queue.len(), queue[0].name.as_str(), queue[0].durable), (1, "a/订单", true));

    for _ in 0..5 {
        assert!(client.publish("/", "", &message("a/订单")).await.expect("published"));
    }
    let figures = next_where(&mut events, |event| match event {
        EventData::Queues(change) => change.figures.into_iter().find(|figures| figures.messages_ready == 5),
        _ => None,
    })
    .await;
    assert_eq!((figures.name.as_str(), figures.publish), ("a/订单", 5));
    let still = next_where(&mut events, |event| match event {
        EventData::Queues(change) => change.figures.into_iter().find(|figures| figures.publish_rate == 0.0),
        _ => None,
    })
    .await;
    assert_eq!(still.messages_ready, 5, "that nothing more comes is a change, too");

    client.declare_queue("/", "other", &DeclareQueue::default()).await.expect("declared");
    let name = next_where(&mut events, |event| match event {
        EventData::Queues(change) => change.changed.into_iter().next().map(|queue| queue.name),
        _ => None,
    });
    assert_eq!(name.await, "other");
    client.delete_queue("/", "other", false, false).await.expect("deleted");
    let gone = next_where(&mut events, |event| match event {
        EventData::Queues(change) => change.removed.into_iter().next(),
        _ => None,
    });
    assert_eq!(gone.await, "/\nother");
    next_where(&mut events, |event| matches!(event, EventData::Topology { .. }).then_some(())).await;
}

#[tokio::test]
async fn every_topic_has_a_snapshot_and_connections_come_and_go() {
    let broker = TestBroker::start();
    let client = client(&broker);
    let mut events = client.events(&EventQuery::default()).await.expect("the feed is open");
    let mut missing: Vec<&str> = Topic::ALL.iter().map(|topic| topic.name()).collect();
    next_where(&mut events, |event| {
        let told = match event {
            EventData::Overview(_) => Topic::Overview,
            EventData::Queues(_) => Topic::Queues,
            EventData::Exchanges(_) => Topic::Exchanges,
            EventData::Connections(_) => Topic::Connections,
            EventData::Channels(_) => Topic::Channels,
            EventData::Consumers(_) => Topic::Consumers,
            EventData::Alarms(_) => Topic::Alarms,
            EventData::Operations(_) => Topic::Operations,
            EventData::Topology { .. } => Topic::Topology,
        };
        missing.retain(|name| *name != told.name());
        missing.is_empty().then_some(())
    })
    .await;

    let mut amqp = RawClient::open(broker.amqp()).expect("connects");
    amqp.declare_queue("q", true).expect("declares");
    amqp.consume("q", 1, false).expect("consumes");
    let consumer = next_where(&mut events, |event| match event {
        EventData::Consumers(change) => change.changed.into_iter().next(),
        _ => None,
    })
    .await;
    assert_eq!(consumer.queue.name, "q");
    drop(amqp);
    let gone = next_where(&mut events, |event| match event {
        EventData::Connections(change) => change.removed.into_iter().next(),
        _ => None,
    });
    assert!(gone.await.contains(&broker.amqp().to_string()));
}

#[tokio::test]
async fn a_reader_who_wants_little_still_hears_that_the_broker_is_there() {
    let broker = TestBroker::start();
    let mut socket = TcpStream::connect(broker.admin()).await.expect("connects");
    let request = "GET /api/events?topics=topology&max_rate=0.01 HTTP/1.1\r\nhost: broker\r\n\
                   authorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\r\n";
    socket.write_all(request.as_bytes()).await.expect("writes");
    let mut heard = Vec::new();
    let sign_of_life = tokio::time::timeout(LIMIT, async {
        while !String::from_utf8_lossy(&heard).contains(": still here") {
            assert!(socket.read_buf(&mut heard).await.expect("reads") > 0, "the feed goes on");
        }
    });
    sign_of_life.await.expect("it is heard in time");
}

#[tokio::test]
async fn a_reader_sees_what_they_may_see() {
    let broker = TestBroker::start();
    let root = client(&broker);
    root.put_vhost("dev", "", &[]).await.expect("made");
    root.put_user("dev", Some("pw"), &["management".to_owned()]).await.expect("made");
    let everything = || ".*".to_owned();
    let permission = Permission {
        user: "dev".to_owned(),
        vhost: "dev".to_owned(),
        configure: everything(),
        write: everything(),
        read: everything(),
    };
    root.put_permission(&permission).await.expect("given");
    root.declare_queue("/", "hidden", &DeclareQueue::default()).await.expect("declared");
    root.declare_queue("dev", "shown", &DeclareQueue::default()).await.expect("declared");

    let url = format!("http://{}", broker.admin());
    let dev = Client::builder(url).login("dev", "pw").build().expect("a good address");
    let query = EventQuery { topics: vec![Topic::Queues], ..EventQuery::default() };
    let mut events = dev.events(&query).await.expect("the feed is open");
    let seen = next_where(&mut events, |event| match event {
        EventData::Queues(change) => Some(change.changed),
        _ => None,
    });
    let names: Vec<String> = seen.await.into_iter().map(|queue| queue.name).collect();
    assert_eq!(names, ["shown"]);
    let foreign = EventQuery { vhost: Some("/".to_owned()), ..query };
    let error = dev.events(&foreign).await.expect_err("another's vhost");
    assert!(error.is_not_authorised(), "{error}");
    let error = dev.alarms().await.expect_err("for monitors");
    assert!(error.is_not_authorised(), "{error}");

    // Who may not use the API any more reads on no longer.
    root.delete_user("dev").await.expect("deleted");
    let ended = tokio::time::timeout(LIMIT, async { while events.next().await.is_some() {} });
    ended.await.expect("the feed ends");
}

fn edge<'a>(graph: &'a TopologyGraph, from: &str, to: &str, link: TopologyLink) -> Option<&'a TopologyEdge> {
    graph
        .edges
        .iter()
        .find(|edge| edge.from.starts_with(from) && edge.to.starts_with(to) && edge.link == link)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_graph_shows_what_flows_from_publisher_to_consumer() {
    let broker = TestBroker::start();
    let client = client(&broker);
    client.declare_exchange("/", "orders", &DeclareExchange::new("topic")).await.expect("declared");
    client.declare_exchange("/", "paid", &DeclareExchange::new("fanout")).await.expect("declared");
    client.declare_queue("/", "mail", &DeclareQueue::default()).await.expect("declared");
    let through = NewBinding {
        source: "orders".to_owned(),
        destination: "paid".to_owned(),
        to_exchange: true,
        routing_key: "*.paid".to_owned(),
        ..NewBinding::default()
    };
    client.bind("/", &through).await.expect("bound");
    let last =
        NewBinding { source: "paid".to_owned(), destination: "mail".to_owned(), ..NewBinding::default() };
    client.bind("/", &last).await.expect("bound");

    let mut consumer = RawClient::open(broker.amqp()).expect("connects");
    consumer.consume("mail", 0, true).expect("consumes");
    let done = Arc::new(AtomicBool::new(false));
    let publisher = std::thread::spawn({
        let (amqp, done) = (broker.amqp(), done.clone());
        move || {
            let mut client = RawClient::open(amqp).expect("connects");
            let content = Content { properties: vec![0, 0], body: b"x".to_vec() };
            while !done.load(Ordering::Relaxed) {
                client.publish("orders", "eu.paid", &content).expect("publishes");
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
    let flows = [
        ("publisher:", "exchange:orders", TopologyLink::Publish),
        ("exchange:orders", "exchange:paid", TopologyLink::Binding),
        ("exchange:paid", "queue:mail", TopologyLink::Binding),
        ("queue:mail", "consumer:mail:", TopologyLink::Consume),
    ];
    let found = tokio::time::timeout(LIMIT, async {
        loop {
            let graph = client.topology("/").await.expect("a graph");
            let rates =
                flows.map(|(from, to, link)| edge(&graph, from, to, link).map_or(0.0, |edge| edge.rate));
            if rates.iter().all(|rate| *rate > 1.0) {
                return graph;
            }
        }
    });
    let graph = found.await.expect("every edge carries something");
    done.store(true, Ordering::Relaxed);
    publisher.join().expect("no panic");
    let keys = edge(&graph, "exchange:orders", "exchange:paid", TopologyLink::Binding).map(|edge| &edge.keys);
    assert_eq!(keys, Some(&vec!["*.paid".to_owned()]));
    let nodes: Vec<&str> = graph.nodes.iter().map(|node| node.id.as_str()).collect();
    assert!(!nodes.contains(&"exchange:amq.direct"), "what nobody uses is not shown: {nodes:?}");
    let queue = graph.nodes.iter().find(|node| node.id == "queue:mail").expect("it is there");
    assert!(queue.rate_in > 1.0 && queue.rate_out > 1.0, "{queue:?}");
    // The exchanges count what went through them.
    let exchange = client.exchange("/", "orders").await.expect("there");
    let stats = exchange.message_stats.expect("counted");
    assert!(stats.publish_in > 0 && stats.publish_in == stats.publish_out, "{stats:?}");
}

#[tokio::test]
async fn a_message_that_is_not_sent_tells_its_way() {
    let broker = TestBroker::start();
    let client = client(&broker);
    client.declare_queue("/", "errors", &DeclareQueue::default()).await.expect("declared");
    let binding = NewBinding {
        source: "amq.topic".to_owned(),
        destination: "errors".to_owned(),
        routing_key: "*.error".to_owned(),
        ..NewBinding::default()
    };
    client.bind("/", &binding).await.expect("bound");
    let ask = |key: &str| RouteRequest { routing_key: key.to_owned(), ..RouteRequest::default() };
    let answer = client.route_test("/", "amq.topic", &ask("web.error")).await.expect("an answer");
    assert_eq!(
        (answer.queues[0].queue.as_str(), answer.queues[0].routing_key.as_str()),
        ("errors", "*.error")
    );
    let answer = client.route_test("/", "amq.topic", &ask("web.info")).await.expect("an answer");
    assert!(answer.queues.is_empty());
    assert_eq!(answer.unmatched[0].reason, "word 2 is 'error', the message has 'info'");
    let answer = client.route_test("/", "", &ask("errors")).await.expect("an answer");
    assert_eq!(answer.queues[0].path, [""]);
    let error = client.route_test("/", "none", &ask("k")).await.expect_err("no such exchange");
    assert!(error.is_not_found(), "{error}");
    assert_eq!(client.queue("/", "errors").await.expect("there").totals.messages, 0);
}

#[tokio::test]
async fn an_alarm_comes_with_its_cause_and_with_who_fills_the_broker() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("leveret.toml");
    std::fs::write(&file, "").expect("writes");
    let mut broker = TestBroker::start_with(&["--config", file.to_str().expect("a plain path")]);
    let client = client(&broker);
    client.declare_queue("/", "full", &DeclareQueue::default()).await.expect("declared");
    let mut kept = message("full");
    kept.properties.insert("delivery_mode".to_owned(), 2.into());
    client.publish("/", "", &kept).await.expect("published");
    broker.stop();
    // More than any disk has.
    std::fs::write(&file, "[disk]\nfree_limit_bytes = 9000000000000000000\n").expect("writes");
    broker.restart();
    let found = tokio::time::timeout(LIMIT, async {
        loop {
            let report = client.alarms().await.expect("a report");
            if !report.alarms.is_empty() {
                return report;
            }
        }
    });
    let report = found.await.expect("the alarm rises");
    let alarm = &report.alarms[0];
    assert_eq!(alarm.resource, "disk");
    assert!(alarm.since > 0 && alarm.cause.contains("free") && alarm.remedy.contains("disk"), "{alarm:?}");
    assert_eq!((report.top_queues[0].name.as_str(), report.top_queues[0].messages), ("full", 1));
}
