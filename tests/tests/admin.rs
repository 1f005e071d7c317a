//! The admin API of the real broker: what it says about what clients do over AMQP.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use leveret_protocol::method::Method;
use leveret_tests::{Content, Login, RawClient, TestBroker, eventually};
use serde_json::{Value, json};

/// `guest:guest` and `guest:wrong`, as basic authentication writes them.
const GUEST: &str = "Z3Vlc3Q6Z3Vlc3Q=";
const WRONG: &str = "Z3Vlc3Q6d3Jvbmc=";
const PERSISTENT: &[u8] = &[0x10, 0x00, 2];
const LIMIT: Duration = Duration::from_secs(20);

/// Status and body of one request; `login` is left out when empty.
fn ask(broker: &TestBroker, method: &str, path: &str, login: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(broker.admin()).expect("the admin listener is open");
    socket.set_read_timeout(Some(LIMIT)).expect("a socket has time-outs");
    let login = if login.is_empty() { String::new() } else { format!("Authorization: Basic {login}\r\n") };
    let request = format!("{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{login}\r\n");
    socket.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an answer in text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(!head.to_lowercase().contains("transfer-encoding"), "the client here reads whole bodies: {head}");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no status in {head}")), body.to_owned())
}

#[track_caller]
fn get(broker: &TestBroker, path: &str) -> Value {
    let (status, body) = ask(broker, "GET", path, GUEST);
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{path}: {error} in {body}"))
}

/// The answer of `path` once it is as `wanted` says.
#[track_caller]
fn get_once(broker: &TestBroker, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    let found = eventually(LIMIT, || {
        last = get(broker, path);
        wanted(&last).then(|| last.clone())
    });
    found.unwrap_or_else(|| panic!("{path} stays at {last:#}"))
}

/// A client on channel 1 that published `count` messages to the durable queue `q`, all confirmed.
fn publisher(broker: &TestBroker, count: u64) -> RawClient {
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    client.declare_queue("q", true).expect("declares");
    client.select_confirms().expect("confirm mode");
    for _ in 0..count {
        let content = Content { properties: PERSISTENT.to_vec(), body: b"hello".to_vec() };
        client.publish("", "q", &content).expect("publishes");
    }
    let mut confirmed = 0;
    while confirmed < count {
        let frame = client.read().expect("a confirm");
        let Method::BasicAck { delivery_tag, .. } = frame.method().expect("a method") else {
            panic!("unexpected: {frame:?}");
        };
        confirmed = delivery_tag;
    }
    client
}

#[test]
fn a_user_is_known_by_a_right_password_only() {
    let broker = TestBroker::start();
    assert_eq!(get(&broker, "/api/whoami"), json!({"name": "guest", "tags": ["administrator"]}));
    for login in ["", WRONG] {
        let (status, body) = ask(&broker, "GET", "/api/whoami", login);
        assert_eq!(status, 401, "{body}");
    }
    // Whatever was refused in between.
    assert_eq!(get(&broker, "/api/whoami")["name"], "guest");
}

#[test]
fn overview_node_and_metrics_count_what_clients_did() {
    let broker = TestBroker::start();
    let _client = publisher(&broker, 3);
    let overview = get_once(&broker, "/api/overview", |overview| {
        overview["object_totals"]["channels"] == 1 && overview["message_stats"]["confirm"] == 3
    });
    assert_eq!(overview["product_name"], "Leveret");
    assert_eq!(overview["queue_totals"]["messages_ready"], 3);
    assert_eq!(overview["message_stats"]["publish"], 3);
    assert_eq!(
        overview["object_totals"],
        json!({"connections": 1, "channels": 1, "queues": 1, "exchanges": 7, "consumers": 0})
    );
    let listeners = overview["listeners"].as_array().expect("a list").clone();
    for (protocol, address) in [("amqp", broker.amqp()), ("http", broker.admin())] {
        let found = listeners.iter().find(|listener| listener["protocol"] == protocol);
        assert_eq!(found.expect("listed")["port"], address.port());
    }

    let nodes = get(&broker, "/api/nodes");
    let node = &nodes[0];
    assert_eq!((&node["running"], &node["os_pid"]), (&json!(true), &json!(broker.pid().to_string())));
    assert_eq!((&node["mem_alarm"], &node["disk_free_alarm"]), (&json!(false), &json!(false)));
    for figure in ["fd_used", "fd_total", "mem_used", "mem_limit", "disk_free", "disk_free_limit"] {
        assert!(node[figure].as_u64().is_some_and(|figure| figure > 0), "{figure} in {node:#}");
    }

    let (status, text) = ask(&broker, "GET", "/metrics", "");
    assert_eq!(status, 200);
    for line in [
        "rabbitmq_queue_messages_ready 3",
        "rabbitmq_connections 1",
        "rabbitmq_global_messages_received_total{protocol=\"amqp091\"} 3",
        "rabbitmq_global_messages_confirmed_total{protocol=\"amqp091\"} 3",
    ] {
        assert!(text.lines().any(|other| other == line), "{line} is not in\n{text}");
    }
}

#[test]
fn a_queue_shows_its_messages_and_consumers_until_it_is_purged() {
    let mut broker = TestBroker::start();
    let mut client = publisher(&broker, 5);
    let queue = get(&broker, "/api/queues/%2F/q");
    assert_eq!((&queue["messages"], &queue["messages_ready"]), (&json!(5), &json!(5)));
    assert_eq!((&queue["message_bytes_ready"], &queue["durable"]), (&json!(25), &json!(true)));
    assert_eq!(queue["message_stats"]["publish"], 5);
    assert_eq!(get(&broker, "/api/bindings/%2F")[0]["routing_key"], "q");

    client.consume("q", 2, false).expect("consumes");
    let queue = get_once(&broker, "/api/queues/%2F/q", |queue| queue["messages_unacknowledged"] == 2);
    assert_eq!((&queue["messages_ready"], &queue["consumers"]), (&json!(3), &json!(1)));
    assert_eq!(queue["consumer_details"][0]["consumer_tag"], "c");
    let consumers = get(&broker, "/api/consumers");
    assert_eq!((&consumers[0]["prefetch_count"], &consumers[0]["ack_required"]), (&json!(2), &json!(true)));
    assert_eq!(consumers[0]["channel_details"]["number"], 1);
    let channels = get_once(&broker, "/api/channels", |channels| channels[0]["consumer_count"] == 1);
    assert_eq!((&channels[0]["confirm"], &channels[0]["prefetch_count"]), (&json!(true), &json!(2)));

    let (status, body) = ask(&broker, "DELETE", "/api/queues/%2F/q/contents", GUEST);
    assert_eq!((status, body.as_str()), (204, ""));
    assert_eq!(get(&broker, "/api/queues/%2F/q")["messages_ready"], 0);
    assert_eq!(ask(&broker, "DELETE", "/api/queues/%2F/none/contents", GUEST).0, 404);

    // What was purged stays so after a crash; what a consumer held comes back.
    broker.crash();
    broker.restart();
    assert_eq!(get(&broker, "/api/queues/%2F/q")["messages_ready"], 2);
}

#[test]
fn another_connections_queue_is_not_purged() {
    let broker = TestBroker::start();
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    let declare = Method::QueueDeclare {
        queue: "mine",
        passive: false,
        durable: false,
        exclusive: true,
        auto_delete: false,
        no_wait: false,
        arguments: leveret_protocol::table::RawTable::empty(),
    };
    client.send(1, &declare).expect("sends");
    client.expect(1, |method| matches!(method, Method::QueueDeclareOk { .. })).expect("declares");
    let connections = get(&broker, "/api/connections");
    let queue = get(&broker, "/api/queues/%2F/mine");
    assert_eq!((&queue["exclusive"], &queue["durable"]), (&json!(true), &json!(false)));
    assert_eq!(queue["owner_pid_details"]["name"], connections[0]["name"]);
    let (status, body) = ask(&broker, "DELETE", "/api/queues/%2F/mine/contents", GUEST);
    assert_eq!(status, 400, "{body}");
    assert!(body.contains("cannot obtain exclusive access to locked queue"), "{body}");
}

#[test]
fn connections_are_listed_while_they_are_open() {
    let broker = TestBroker::start();
    let login = Login { heartbeat: 30, channel_max: 9, ..Login::default() };
    let mut client = RawClient::open_with(broker.amqp(), &login).expect("connects");
    client.open_channel(4).expect("opens");
    let connections = get_once(&broker, "/api/connections", |list| list[0]["channels"] == 2);
    let connection = &connections[0];
    assert_eq!((&connection["user"], &connection["vhost"]), (&json!("guest"), &json!("/")));
    assert_eq!((&connection["state"], &connection["protocol"]), (&json!("running"), &json!("AMQP 0-9-1")));
    assert_eq!((&connection["timeout"], &connection["channel_max"]), (&json!(30), &json!(9)));
    assert_eq!(connection["auth_mechanism"], "PLAIN");
    assert_eq!(connection["client_properties"]["capabilities"]["connection.blocked"], true);
    assert_eq!(connection["port"], broker.amqp().port());
    assert!(connection["recv_oct"].as_u64().is_some_and(|bytes| bytes > 0), "{connection:#}");
    let name = connection["name"].as_str().expect("text");
    let channels = get(&broker, "/api/channels");
    assert_eq!(
        (&channels[0]["name"], &channels[1]["name"]),
        (&json!(format!("{name} (1)")), &json!(format!("{name} (4)")))
    );
    drop(client);
    get_once(&broker, "/api/connections", |list| *list == json!([]));
    get_once(&broker, "/api/channels", |list| *list == json!([]));
}

#[test]
fn what_a_busy_connection_did_last_is_shown_within_a_moment() {
    let broker = TestBroker::start();
    let mut client = publisher(&broker, 3);
    client.consume("q", 3, false).expect("consumes");
    for _ in 0..3 {
        client.expect(1, |method| matches!(method, Method::BasicDeliver { .. })).expect("a delivery");
        client.content().expect("its content");
    }
    get_once(&broker, "/api/channels", |list| list[0]["messages_unacknowledged"] == 3);
    client.send(1, &Method::BasicAck { delivery_tag: 3, multiple: true }).expect("acks");
    // Nothing follows that would make the connection look at itself again.
    get_once(&broker, "/api/channels", |list| list[0]["messages_unacknowledged"] == 0);
}

#[test]
fn exchanges_and_channels_count_what_goes_through_them_and_how_fast() {
    let broker = TestBroker::start();
    let mut client = publisher(&broker, 3);
    client.consume("q", 2, false).expect("consumes");
    client.expect(1, |method| matches!(method, Method::BasicDeliver { .. })).expect("a delivery");
    client.send(1, &Method::BasicAck { delivery_tag: 1, multiple: false }).expect("acks");
    // One is acknowledged, two are held.
    let channels = get_once(&broker, "/api/channels", |list| {
        let stats = &list[0]["message_stats"];
        (&stats["ack"], &stats["deliver"]) == (&json!(1), &json!(3))
    });
    let stats = &channels[0]["message_stats"];
    assert_eq!((&stats["publish"], &stats["confirm"]), (&json!(3), &json!(3)));
    assert_eq!(stats["deliver_get"], 3);
    let path = "/api/exchanges/%2F/amq.default";
    let exchange = get_once(&broker, path, |exchange| exchange["message_stats"]["publish_in"] == 3);
    assert_eq!(exchange["message_stats"]["publish_out"], 3);

    // It goes on until somebody has looked twice while it did.
    let both_rise = eventually(LIMIT, || {
        let content = Content { properties: PERSISTENT.to_vec(), body: b"hello".to_vec() };
        client.publish("", "q", &content).expect("publishes");
        let exchange = get(&broker, path);
        let channels = get(&broker, "/api/channels");
        let rates = [
            &exchange["message_stats"]["publish_in_details"]["rate"],
            &exchange["message_stats"]["publish_out_details"]["rate"],
            &channels[0]["message_stats"]["publish_details"]["rate"],
        ];
        rates.into_iter().all(|rate| rate.as_f64().is_some_and(|rate| rate > 0.0)).then_some(())
    });
    both_rise.expect("rates of the exchange and the channel");
    let window = "lengths_age=60&lengths_incr=5&msg_rates_age=60&msg_rates_incr=5";
    let queues = get(&broker, &format!("/api/queues?page=1&{window}"));
    let samples = queues["items"][0]["messages_details"]["samples"].as_array().map(Vec::len);
    assert!(samples.is_some_and(|samples| samples >= 2), "{queues:#}");
    for list in ["/api/exchanges?name=&", "/api/channels?"] {
        let list = get(&broker, &format!("{list}{window}"));
        let has_samples = |item: &Value| {
            let stats = &item["message_stats"];
            let details = [&stats["publish_details"], &stats["publish_in_details"]];
            details.into_iter().any(|details| details["samples"].as_array().is_some_and(|all| all.len() >= 2))
        };
        assert!(list.as_array().expect("a list").iter().any(has_samples), "{list:#}");
    }
}

#[test]
fn health_checks_tell_of_alarms() {
    let broker = TestBroker::start();
    for path in ["/api/health/checks/alarms", "/api/health/checks/is-in-service"] {
        assert_eq!(get(&broker, path), json!({"status": "ok"}));
    }
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("leveret.toml");
    // More than any disk has.
    std::fs::write(&file, "[disk]\nfree_limit_bytes = 9000000000000000000\n").expect("writes");
    let broker = TestBroker::start_with(&["--config", file.to_str().expect("a plain path")]);
    let failed = eventually(LIMIT, || {
        let (status, body) = ask(&broker, "GET", "/api/health/checks/alarms", GUEST);
        (status == 503).then_some(body)
    });
    let failed: Value = serde_json::from_str(&failed.expect("the alarm rises")).expect("JSON");
    assert_eq!((&failed["status"], &failed["alarms"][0]["resource"]), (&json!("failed"), &json!("disk")));
    assert_eq!(get(&broker, "/api/nodes")[0]["disk_free_alarm"], true);
}

#[test]
fn many_logins_at_once_are_all_answered() {
    let broker = TestBroker::start();
    std::thread::scope(|scope| {
        let wrong: Vec<_> =
            (0..8).map(|_| scope.spawn(|| ask(&broker, "GET", "/api/whoami", WRONG).0)).collect();
        let right: Vec<_> =
            (0..8).map(|_| scope.spawn(|| RawClient::open(broker.amqp()).map(drop))).collect();
        for answer in wrong {
            assert_eq!(answer.join().expect("no panic"), 401);
        }
        for opened in right {
            opened.join().expect("no panic").expect("logs in behind those who guess");
        }
    });
}

#[test]
fn a_first_start_recovers_from_nothing() {
    let mut broker = TestBroker::start();
    let unclean = |broker: &TestBroker| {
        let banner = |log: String| log.lines().find(|line| line.contains("recovered")).map(str::to_owned);
        eventually(LIMIT, || banner(broker.log())).expect("the banner").contains("unclean")
    };
    assert!(!unclean(&broker));
    broker.crash();
    broker.restart();
    assert!(unclean(&broker));
    broker.stop();
    broker.restart();
    assert!(!unclean(&broker));
}
