//! The console as people use it: the real program in a real window, with pointer and keyboard, on the real broker. What
//! is done is checked where it counts, over the admin API; a picture of each step is kept below the target directory.

mod desktop;

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use leveret_client::admin::Client;
use leveret_client::admin::types::{Queue, topology::TopologyEdge};
use leveret_protocol::method::Method;
use leveret_tests::{Content, RawClient, TestBroker, console_binary, eventually};
use serde_json::json;

use desktop::{Desktop, LIMIT, Node, Window, pictures};

/// The broker behind the window.
struct Api {
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Api {
    fn of(broker: &TestBroker) -> Api {
        let client = Client::builder(format!("http://{}", broker.admin())).build().expect("a good address");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Api { client, runtime }
    }

    fn queue(&self, name: &str) -> Option<Queue> {
        self.runtime.block_on(self.client.queue("/", name)).ok()
    }

    /// Waits until `check` finds something.
    #[track_caller]
    fn until<T>(&self, what: &str, check: impl Fn(&Api) -> Option<T>) -> T {
        eventually(LIMIT, || check(self)).unwrap_or_else(|| panic!("the broker never had {what}"))
    }

    /// Waits until so many messages are ready.
    #[track_caller]
    fn until_ready(&self, queue: &str, ready: u64) {
        self.until(&format!("{ready} messages in {queue}"), |api| {
            api.queue(queue).filter(|queue| queue.totals.messages_ready == ready)
        });
    }
}

/// Gets a message: its delivery tag and its text.
fn take(amqp: &mut RawClient, queue: &str) -> (u64, String) {
    amqp.send(1, &Method::BasicGet { queue, no_ack: false }).expect("asks");
    let reply = amqp.expect(1, |method| matches!(method, Method::BasicGetOk { .. })).expect("a message");
    let Ok(Method::BasicGetOk { delivery_tag, .. }) = reply.method() else { unreachable!() };
    let content = amqp.content().expect("its content");
    (delivery_tag, String::from_utf8(content.body).expect("text"))
}

/// Keeps a picture of a step.
fn done(window: &Window<'_>, step: &str) {
    let file = pictures().join(format!("{step}.png"));
    window.desktop.picture(&file);
    println!("{}", file.display());
}

#[test]
fn an_operator_builds_a_route_sees_it_fail_and_repairs_it() {
    let broker = TestBroker::start();
    let api = Api::of(&broker);
    let mut desktop = Desktop::start();
    let window = desktop.open(&console_binary(), &[]);

    window.fill("Address", &format!("http://{}", broker.admin()));
    window.fill("User", "guest");
    window.fill("Password", "guest");
    window.press("Connect");
    window.see("live");
    done(&window, "01-connected");

    window.go("Exchanges");
    window.press("New exchange");
    window.fill("Name", "orders");
    window.press("Type");
    window.press("topic");
    window.keys("ctrl+Return");
    let exchange =
        api.until("the exchange", |api| api.runtime.block_on(api.client.exchange("/", "orders")).ok());
    assert_eq!((exchange.kind.as_str(), exchange.durable), ("topic", true));
    window.see("Declared: orders");
    done(&window, "02-exchange-declared");

    window.go("Queues");
    for (name, arguments) in [
        ("orders.dead", vec![]),
        ("orders.paid", vec![("x-dead-letter-exchange", ""), ("x-dead-letter-routing-key", "orders.dead")]),
    ] {
        window.press("New queue");
        window.fill("Name", name);
        for (at, (argument, value)) in arguments.iter().enumerate() {
            window.press("Add an argument");
            window.fill(&format!("Argument {}", at + 1), argument);
            window.fill(&format!("Value of argument {}", at + 1), value);
        }
        window.keys("ctrl+Return");
        let queue = api.until(name, |api| api.queue(name));
        let declared: serde_json::Map<String, serde_json::Value> =
            arguments.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        assert_eq!((queue.durable, queue.arguments), (true, declared));
        window.see(&format!("Declared: {name}"));
    }
    done(&window, "03-queues-declared");

    window.go("Bindings");
    window.press("New binding");
    window.fill("From exchange", "orders");
    window.fill("To queue", "orders.paid");
    window.fill("Routing key", "*.paid");
    window.fill("Try a key", "eu.paid");
    window.see("It takes this key.");
    window.keys("ctrl+Return");
    api.until("the binding", |api| {
        let bindings = api.runtime.block_on(api.client.bindings(Some("/"))).ok()?;
        bindings.into_iter().find(|binding| {
            (binding.source.as_str(), binding.destination.as_str(), binding.routing_key.as_str())
                == ("orders", "orders.paid", "*.paid")
        })
    });
    window.see("Bound: orders → orders.paid");
    done(&window, "04-bound");

    window.go("Messages");
    window.fill("Exchange", "orders");
    window.fill("Routing key", "eu.paid");
    for number in 1..=3 {
        window.fill("Payload", &format!("{{\"order\": {number}}}"));
        window.keys("ctrl+Return");
        window.see("It was routed to at least one queue.");
        api.until_ready("orders.paid", number);
    }
    done(&window, "05-published");

    window.go("orders.paid");
    window.see("Ready: 3");
    done(&window, "06-depth");
    window.go("Message flow");
    window.see("Queue orders.paid; 3 ready");
    window.see("Exchange orders");
    done(&window, "07-flow");

    let mut amqp = RawClient::open(broker.amqp()).expect("connects");
    for _ in 0..3 {
        let (tag, _) = take(&mut amqp, "orders.paid");
        amqp.send(1, &Method::BasicReject { delivery_tag: tag, requeue: false }).expect("rejects");
    }
    api.until_ready("orders.dead", 3);
    api.until_ready("orders.paid", 0);
    window.see("Queue orders.paid; 0 ready");
    done(&window, "08-dead-lettered");

    window.go("Dead letters");
    window.see("3 messages in 1 queue");
    window.see("rejected in orders.paid: 3 of the 3 looked at");
    window.press("Requeue…");
    window.see("3 messages of 3 in the queue");
    done(&window, "09-plan");
    window.press("Requeue 3 messages");
    api.until_ready("orders.paid", 3);
    api.until_ready("orders.dead", 0);
    window.see("Nothing died");
    done(&window, "10-requeued");

    for number in 1..=3 {
        let (tag, body) = take(&mut amqp, "orders.paid");
        assert_eq!(body, format!("{{\"order\": {number}}}"));
        amqp.send(1, &Method::BasicAck { delivery_tag: tag, multiple: false }).expect("acknowledges");
    }
    api.until("an empty queue", |api| api.queue("orders.paid").filter(|queue| queue.totals.messages == 0));
    window.go("orders.paid");
    window.see("Ready: 0");
    window.see("Unacked: 0");
    done(&window, "11-consumed");

    window.go("Message flow");
    window.node("a queue at rest", |node| is_queue(node) && rates(&node.name).is_none());
    while_flowing(&broker, ("orders", "eu.paid"), "orders.paid", || {
        api.until("messages that flow all the way", |api| {
            let graph = api.runtime.block_on(api.client.topology("/")).ok()?;
            let flows = |from: &str, to: &str| {
                let edge = |edge: &&TopologyEdge| edge.from.starts_with(from) && edge.to.starts_with(to);
                graph.edges.iter().find(edge).is_some_and(|edge| edge.rate > 0.0)
            };
            let way = ["publisher:", "exchange:orders", "queue:orders.paid", "consumer:"];
            way.windows(2).all(|ends| flows(ends[0], ends[1])).then_some(())
        });
        let flows = |node: &Node| rates(&node.name).is_some_and(|(come, go)| come > 0.0 && go > 0.0);
        window.node("messages that pass the queue", |node| is_queue(node) && flows(node));
        window.node("messages that pass the exchange", |node| {
            node.name.starts_with("Exchange orders;") && flows(node)
        });
        done(&window, "12-flowing");
    });
    window.node("the queue at rest again", |node| is_queue(node) && rates(&node.name).is_none());
    done(&window, "13-at-rest");
}

fn is_queue(node: &Node) -> bool {
    node.name.starts_with("Queue orders.paid;")
}

/// Messages a second that come and go, as the drawing says them of a node: `…; 50/s in, 49.8/s out; …`.
fn rates(name: &str) -> Option<(f64, f64)> {
    let said = name.split("; ").find_map(|part| part.strip_suffix(" out"))?;
    let (come, go) = said.split_once(" in, ")?;
    let number = |rate: &str| rate.strip_suffix("/s").and_then(|rate| rate.parse().ok());
    Some((number(come)?, number(go)?))
}

/// While `look` runs, messages are published and consumed, some fifty a second.
fn while_flowing(broker: &TestBroker, (exchange, key): (&str, &str), queue: &str, look: impl FnOnce()) {
    let [mut publisher, mut consumer] = [(), ()].map(|()| RawClient::open(broker.amqp()).expect("connects"));
    consumer.consume(queue, 10, false).expect("consumes");
    let (stop, stopped) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            let content = Content { properties: vec![0, 0], body: b"x".to_vec() };
            while stopped.recv_timeout(Duration::from_millis(20)) == Err(RecvTimeoutError::Timeout) {
                publisher.publish(exchange, key, &content).expect("publishes");
                let delivery = consumer.expect(1, |method| matches!(method, Method::BasicDeliver { .. }));
                let delivery = delivery.expect("a message");
                let Ok(Method::BasicDeliver { delivery_tag, .. }) = delivery.method() else { unreachable!() };
                consumer.content().expect("its content");
                consumer.send(1, &Method::BasicAck { delivery_tag, multiple: false }).expect("acknowledges");
            }
        });
        // Ends with what looks, however that ends.
        let _stop = stop;
        look();
    });
}

#[test]
fn ten_thousand_queues_fit() {
    const QUEUES: usize = 10_000;
    let broker = TestBroker::start();
    let api = Api::of(&broker);
    let queues: Vec<serde_json::Value> = (0..QUEUES)
        .map(|at| json!({"vhost": "/", "name": format!("tenant.{:04}.events.{at}", at % 977), "durable": false}))
        .collect();
    let definitions = json!({"queues": queues});
    api.runtime.block_on(api.client.import_definitions(None, &definitions)).expect("they are declared");

    let mut desktop = Desktop::start();
    let url = format!("http://guest:guest@{}", broker.admin());
    let window = desktop.open(&console_binary(), &["--connect", &url, "--route", "queues"]);
    window.see("10,000 queues");
    println!("a window after {:?}, {:?} of CPU time", window.opened_in, window.opened_for);
    assert!(window.opened_for <= Duration::from_secs(1), "{:?}", window.opened_for);
    assert!(window.opened_in < Duration::from_secs(15), "{:?}", window.opened_in);

    // Goes on until the list was fetched again a few times, and what changed in it is seen.
    window.fill("Filter", "tenant.0007.events.9777");
    window.see("1 of 10,000 queues");
    let before = window.cpu();
    for ready in 1..=5 {
        publish(&broker, "tenant.0007.events.9777");
        api.until_ready("tenant.0007.events.9777", ready);
        window.node("its depth", |node| node.name == ready.to_string());
    }
    for (name, spent) in window.cpu() {
        let earlier = before.iter().filter(|(known, _)| *known == name).map(|(_, spent)| *spent).sum();
        println!("{name}: {:?}", spent.saturating_sub(earlier));
    }
    let resident = window.resident_mib();
    println!("{resident} MiB");
    assert!(resident <= 250, "{resident} MiB");
    done(&window, "20-ten-thousand-queues");
}

fn publish(broker: &TestBroker, queue: &str) {
    let mut amqp = RawClient::open(broker.amqp()).expect("connects");
    let content = Content { properties: vec![0, 0], body: b"x".to_vec() };
    amqp.publish("", queue, &content).expect("publishes");
}
