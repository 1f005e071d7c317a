//! Messages looked at, moved, copied, requeued, deleted and held back through the API.

use leveret_core::message::Message;
use leveret_core::session::host::{Consume, ConsumerKey, Host};
use leveret_protocol::properties::Properties;
use leveret_protocol::table::{RawTable, Table};

use super::*;
use crate::dispatch::ConnectionHost;
use crate::outbox::Outbox;
use crate::queue_host::{Publish, QueueCell};

impl Server {
    async fn declare(&self, queue: &str, arguments: Value) -> Arc<QueueCell> {
        let body = json!({"durable": true, "arguments": arguments});
        self.put(&format!("/api/queues/%2F/{queue}"), "root", body).await.is(201);
        self.cell(queue)
    }

    fn cell(&self, queue: &str) -> Arc<QueueCell> {
        self.broker.vhost("/").expect("there").topology().queue(queue).expect("declared").1.clone()
    }

    /// All pages of messages.
    async fn peek(&self, queue: &str, query: &str) -> Vec<Value> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/api/queues/%2F/{queue}/messages?{query}&cursor={cursor}");
            let page = self.get(&path, "root").await;
            assert_eq!(page.status, 200, "{page:?}");
            items.extend(page.json["items"].as_array().expect("a list").iter().cloned());
            match page.json["next"].as_str() {
                Some(next) => cursor = next.to_owned(),
                None => return items,
            }
        }
    }

    async fn bodies(&self, queue: &str) -> Vec<String> {
        let items = self.peek(queue, "limit=500&payload_max=8").await;
        items.iter().map(|item| item["payload"].as_str().expect("text").trim_end().to_owned()).collect()
    }

    /// Starts an operation and waits for its end.
    async fn operate(&self, queue: &str, verb: &str, request: Value) -> Value {
        let started = self.post(&format!("/api/queues/%2F/{queue}/{verb}"), "root", request).await;
        assert_eq!(started.status, 200, "{started:?}");
        self.end_of(started.json["id"].as_str().expect("a number")).await
    }

    async fn end_of(&self, id: &str) -> Value {
        for _ in 0..2000 {
            let operation = self.get(&format!("/api/operations/{id}"), "root").await.json;
            if operation["state"] != "running" {
                return operation;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("operation {id} does not end");
    }

    async fn plan(&self, queue: &str, verb: &str, mut request: Value) -> Value {
        request["dry_run"] = json!(true);
        let planned = self.post(&format!("/api/queues/%2F/{queue}/{verb}"), "root", request).await;
        assert_eq!(planned.status, 200, "{planned:?}");
        planned.json
    }
}

/// Publishes numbered messages, padded to `size` bytes, with the header `odd`.
fn fill(cell: &QueueCell, numbers: std::ops::Range<u32>, size: usize) {
    let mut batch = Vec::new();
    for number in numbers {
        let headers = Table::from([("odd", leveret_protocol::table::Value::Bool(number % 2 == 1))]);
        let properties =
            Properties { headers: Some(headers), delivery_mode: Some(2), ..Properties::default() };
        let mut raw = Vec::new();
        properties.encode(&mut raw);
        let body = format!("{number:<size$}");
        batch.push(Publish {
            message: Message::new("x", "a.b", &raw, body.as_bytes()),
            channel: 1,
            sequence: 0,
        });
    }
    cell.publish(&mut batch, &mut Vec::new());
}

fn numbers(range: impl Iterator<Item = u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// More than a queue keeps in memory.
const MANY: u32 = 3000;
const LARGE: usize = 8000;

#[tokio::test]
async fn a_peek_shows_messages_in_their_order_and_changes_nothing() {
    let server = Server::start().await;
    let cell = server.declare("q", json!({})).await;
    fill(&cell, 0..120, 10);
    let page = server.get("/api/queues/%2F/q/messages?limit=50", "root").await.json;
    let first = &page["items"][0];
    assert_eq!(page["items"].as_array().expect("a list").len(), 50);
    assert_eq!((&first["exchange"], &first["routing_key"]), (&json!("x"), &json!("a.b")));
    assert_eq!((&first["payload"], &first["payload_bytes"]), (&json!("0         "), &json!(10)));
    assert_eq!(first["properties"], json!({"headers": {"odd": false}, "delivery_mode": 2}));
    assert_eq!(server.bodies("q").await, numbers(0..120));
    let odd = server.peek("q", "limit=7&filter=%7B%22headers%22:%7B%22odd%22:true%7D%7D").await;
    assert_eq!(odd.len(), 60);
    let ids: std::collections::HashSet<_> = odd.iter().map(|item| item["id"].to_string()).collect();
    assert_eq!(ids.len(), 60);

    let got = json!({"count": 2, "ackmode": "ack_requeue_false", "encoding": "auto"});
    let got = server.post("/api/queues/%2F/q/get", "root", got).await.json;
    assert_eq!((&got[0]["payload"], &got[0]["redelivered"]), (&json!("0         "), &json!(false)));
    assert_eq!(server.bodies("q").await, numbers(2..120));
}

#[tokio::test]
async fn a_peek_reads_what_is_on_disk() {
    let server = Server::start().await;
    let cell = server.declare("q", json!({})).await;
    fill(&cell, 0..MANY, LARGE);
    assert!(cell.info().paged > 100);
    assert_eq!(server.bodies("q").await, numbers(0..MANY));
    let found = server.peek("q", "payload_max=4&filter=%7B%22text%22:%222998%20%22%7D").await;
    assert_eq!(found.len(), 1);
    assert_eq!((&found[0]["payload"], &found[0]["truncated"]), (&json!("2998"), &json!(true)));
    assert_eq!(cell.info().ready, u64::from(MANY));
}

#[tokio::test]
async fn higher_priorities_are_shown_first() {
    let server = Server::start().await;
    let cell = server.declare("q", json!({"x-max-priority": 3})).await;
    let message = |priority: u8, body: &str| Publish {
        message: Message::new("", "q", &[0x08, 0, priority], body.as_bytes()),
        channel: 1,
        sequence: 0,
    };
    let mut batch = vec![message(0, "low"), message(2, "high"), message(0, "later"), message(9, "first")];
    cell.publish(&mut batch, &mut Vec::new());
    assert_eq!(server.bodies("q").await, ["first", "high", "low", "later"]);
    assert_eq!(server.peek("q", "limit=1").await.len(), 4);
    let all = server.operate("q", "delete-messages", json!({"selection": {"filter": {"text": "l"}}})).await;
    assert_eq!(all["done"], 2);
    assert_eq!(server.bodies("q").await, ["first", "high"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn unacknowledged_messages_are_shown_with_who_holds_them() {
    let server = Server::start().await;
    let cell = server.declare("q", json!({})).await;
    fill(&cell, 0..5, 10);
    let outbox = Arc::new(Outbox::new());
    let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
    let id = server.broker.connections().add(address(1111), address(5672), false, outbox.clone());
    let mut host = ConnectionHost::new(server.broker.clone(), id, address(1111), None, outbox);
    host.logged_in("root");
    host.open("/").expect("may");
    host.channel_opened(3).expect("may");
    assert!(cell.get(id, 7, ConsumerKey(70), false).is_some());
    let consume = Consume {
        channel: 3,
        key: ConsumerKey(1),
        queue: "q",
        consumer_tag: "worker",
        no_ack: false,
        exclusive: false,
        prefetch_count: 2,
        arguments: RawTable::empty(),
    };
    host.consume(consume).map(|_| ()).expect("may");
    let unacked = server.get("/api/queues/%2F/q/unacked", "root").await.json;
    let items = unacked["items"].as_array().expect("a list");
    let held: Vec<_> = items
        .iter()
        .map(|item| {
            let channel = &item["holder"]["channel_details"];
            let tag = item["holder"]["consumer_tag"].as_str().expect("text");
            (
                item["payload"].as_str().expect("text").trim_end(),
                tag,
                channel["number"].as_u64(),
                channel["user"].as_str(),
            )
        })
        .collect();
    let root = Some("root");
    assert_eq!(
        held,
        [("0", "", Some(7), root), ("1", "worker", Some(3), root), ("2", "worker", Some(3), root)]
    );
    assert!(
        items.iter().all(|item| item["holder"]["since"].as_u64() > Some(0) && item["state"] == "unacked")
    );
    assert_eq!(server.bodies("q").await, ["3", "4"]);
    let old = "/api/queues/%2F/q/unacked?filter=%7B%22min_age_ms%22:60000%7D";
    assert_eq!(server.get(old, "root").await.json["items"], json!([]));
    assert_eq!(
        server.get("/api/queues/%2F/q/messages?state=unacked&limit=2", "root").await.json["next"],
        "2"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_moved_by_filter_from_memory_and_from_disk() {
    let server = Server::start().await;
    let (from, to) = (server.declare("from", json!({})).await, server.declare("to", json!({})).await);
    fill(&from, 0..MANY, LARGE);
    let odd = json!({"selection": {"filter": {"headers": {"odd": true}}}, "destination": {"queue": "to"}});
    let plan = server.plan("from", "move", odd.clone()).await;
    let half = u64::from(MANY / 2);
    let route = json!({"exchange": "", "routing_key": "to", "queues": ["to"], "messages": half});
    assert_eq!(
        plan,
        json!({"total": MANY, "selected": half, "routes": [route], "other": 0, "skipped": [], "complete": true})
    );
    assert_eq!((from.info().ready, to.info().ready), (u64::from(MANY), 0));

    let ended = server.operate("from", "move", odd).await;
    assert_eq!((&ended["state"], &ended["done"]), (&json!("done"), &json!(half)), "{ended}");
    assert_eq!(ended["seen"], MANY);
    assert_eq!((from.info().ready, to.info().ready), (half, half));
    assert_eq!(server.bodies("from").await, numbers((0..MANY).step_by(2)));
    assert_eq!(server.bodies("to").await, numbers((1..MANY).step_by(2)));
    let moved = &server.get("/api/queues/%2F/to/messages?limit=1", "root").await.json["items"][0];
    assert_eq!((&moved["exchange"], &moved["routing_key"]), (&json!("x"), &json!("a.b")));
    assert_eq!(moved["properties"], json!({"headers": {"odd": true}, "delivery_mode": 2}));
    // All that is left can be consumed, in order.
    for number in (0..MANY).step_by(2) {
        let got = tokio::task::block_in_place(|| {
            from.get(leveret_core::queue::ConnectionId(9), 1, ConsumerKey(1), true)
        });
        assert_eq!(
            got.map(|got| got.message.body()[..4].to_vec()),
            Some(format!("{number:<4}").into_bytes())
        );
    }
    assert_eq!((from.info().ready, from.info().ready_bytes), (0, 0));
}

#[tokio::test]
async fn copies_leave_the_original_and_go_by_any_key() {
    let server = Server::start().await;
    let from = server.declare("from", json!({})).await;
    server.declare("to", json!({})).await;
    server.post("/api/bindings/%2F/e/amq.topic/q/to", "root", json!({"routing_key": "new.#"})).await.is(201);
    fill(&from, 0..10, 10);
    let by = |key: Value| json!({"destination": {"exchange": {"name": "amq.topic", "routing_key": key}}});
    let ended = server.operate("from", "copy", by(json!("new.key"))).await;
    assert_eq!(ended["done"], 10);
    let ended = server.operate("from", "copy", by(Value::Null)).await;
    assert_eq!((&ended["done"], &ended["skipped"][0]["reason"]), (&json!(0), &json!("no route")), "{ended}");
    assert_eq!(ended["skipped"][0]["messages"], 10);
    assert_eq!(server.bodies("from").await, server.bodies("to").await);
    let copy = &server.get("/api/queues/%2F/to/messages", "root").await.json["items"][0];
    assert_eq!((&copy["exchange"], &copy["routing_key"]), (&json!("amq.topic"), &json!("new.key")));
    // Into its own queue: what arrives is not copied again.
    assert_eq!(server.operate("from", "copy", json!({"destination": {"queue": "from"}})).await["done"], 10);
    assert_eq!(from.info().ready, 20);
}

#[tokio::test]
async fn dead_letters_go_back_to_where_they_were_published() {
    let server = Server::start().await;
    let dead_letters = json!({"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dlq"});
    server.declare("work", dead_letters).await;
    server.declare("audit", json!({})).await;
    let dlq = server.declare("dlq", json!({})).await;
    server.put("/api/exchanges/%2F/orders", "root", json!({"type": "direct"})).await.is(201);
    for queue in ["work", "audit"] {
        let bind = format!("/api/bindings/%2F/e/orders/q/{queue}");
        server.post(&bind, "root", json!({"routing_key": "eu"})).await.is(201);
    }
    let message = json!({"routing_key": "eu", "properties": {"app_id": "a"}, "payload": "m", "payload_encoding": "string"});
    server.post("/api/exchanges/%2F/orders/publish", "root", message).await.is(200);
    let reject = json!({"count": 1, "ackmode": "reject_requeue_false", "encoding": "auto"});
    let die = async || server.post("/api/queues/%2F/work/get", "root", reject.clone()).await.is(200);
    die().await;
    fill(&dlq, 0..1, 4);
    let deaths = &server.get("/api/queues/%2F/dlq/messages", "root").await.json["items"][0]["deaths"];
    assert_eq!((&deaths[0]["queue"], &deaths[0]["routing_keys"]), (&json!("work"), &json!(["eu"])));

    let plan = server.plan("dlq", "requeue", json!({})).await;
    let route = &plan["routes"][0];
    assert_eq!((&route["exchange"], &route["routing_key"]), (&json!("orders"), &json!("eu")), "{plan}");
    assert_eq!((route["messages"].as_u64(), route["queues"].as_array().map(Vec::len)), (Some(1), Some(2)));
    assert_eq!((&plan["total"], &plan["skipped"][0]["reason"]), (&json!(2), &json!("never died")), "{plan}");

    let ended = server.operate("dlq", "requeue", json!({})).await;
    assert_eq!((&ended["done"], &ended["skipped"][0]["messages"]), (&json!(1), &json!(1)), "{ended}");
    assert_eq!((server.cell("work").info().ready, server.cell("audit").info().ready), (1, 2));
    let back = &server.get("/api/queues/%2F/work/messages", "root").await.json["items"][0];
    assert_eq!((&back["exchange"], &back["routing_key"]), (&json!("orders"), &json!("eu")));
    assert_eq!((&back["deaths"][0]["count"], &back["properties"]["app_id"]), (&json!(1), &json!("a")));

    // It dies again, and goes straight into its queue, as if it had never died.
    die().await;
    let again = json!({"into_queue": true, "forget_deaths": true});
    assert_eq!(server.operate("dlq", "requeue", again).await["done"], 1);
    assert_eq!((server.cell("work").info().ready, server.cell("audit").info().ready), (1, 2));
    let back = &server.get("/api/queues/%2F/work/messages", "root").await.json["items"][0];
    assert_eq!(back["properties"], json!({"app_id": "a", "headers": {}}));

    // Where the exchange is gone the queue is not.
    die().await;
    server.delete("/api/exchanges/%2F/orders", "root").await.is(204);
    let plan = server.plan("dlq", "requeue", json!({})).await;
    let route = json!({"exchange": "", "routing_key": "work", "queues": ["work"], "messages": 1});
    assert_eq!(plan["routes"], json!([route]));
    server.delete("/api/queues/%2F/work", "root").await.is(204);
    let plan = server.plan("dlq", "requeue", json!({"selection": {"filter": {"reason": "rejected"}}})).await;
    assert_eq!((&plan["selected"], &plan["skipped"][0]["reason"]), (&json!(1), &json!("no route")));
}

#[tokio::test]
async fn messages_are_deleted_by_their_names_once() {
    let server = Server::start().await;
    let cell = server.declare("q", json!({})).await;
    fill(&cell, 0..MANY, LARGE);
    let all = server.peek("q", "limit=500&payload_max=0").await;
    let ids: Vec<&Value> = [0, 7, 8, 100, 2500, 2999].iter().map(|at: &usize| &all[*at]["id"]).collect();
    let these = json!({"selection": {"ids": ids}});
    assert_eq!(server.plan("q", "delete-messages", these.clone()).await["selected"], 6);
    let ended = server.operate("q", "delete-messages", these.clone()).await;
    assert_eq!((&ended["done"], &ended["skipped"]), (&json!(6), &json!([])));
    let ended = server.operate("q", "delete-messages", these).await;
    assert_eq!((&ended["done"], &ended["skipped"][0]["reason"]), (&json!(0), &json!("gone")));
    assert_eq!(ended["skipped"][0]["examples"][0], *ids[0]);
    let left = (0..MANY).filter(|number| ![0, 7, 8, 100, 2500, 2999].contains(number));
    assert_eq!(server.bodies("q").await, numbers(left));
    assert_eq!(cell.info().ready, u64::from(MANY) - 6);
    let path = "/api/queues/%2F/q/delete-messages";
    server.post(path, "root", json!({"selection": {"ids": ["1.2"]}})).await.is(400);
}

#[tokio::test]
async fn what_a_full_queue_refuses_stays_where_it_was() {
    let server = Server::start().await;
    let from = server.declare("from", json!({})).await;
    let to = server.declare("to", json!({"x-max-length": 100, "x-overflow": "reject-publish"})).await;
    fill(&from, 0..MANY, LARGE);
    let ended = server.operate("from", "move", json!({"destination": {"queue": "to"}})).await;
    assert_eq!(
        (&ended["done"], &ended["skipped"][0]["reason"]),
        (&json!(100), &json!("target full")),
        "{ended}"
    );
    assert_eq!((from.info().ready, to.info().ready), (u64::from(MANY) - 100, 100));
    assert_eq!(server.bodies("from").await, numbers(100..MANY));
}

#[tokio::test]
async fn an_operation_is_paced_followed_and_cancelled() {
    let server = Server::start().await;
    let from = server.declare("from", json!({})).await;
    server.declare("to", json!({})).await;
    fill(&from, 0..50, 10);
    let slow = json!({"destination": {"queue": "to"}, "rate": 2});
    let started = server.post("/api/queues/%2F/from/move", "root", slow).await.json;
    assert_eq!(
        (&started["state"], &started["total"], &started["user"]),
        (&json!("running"), &json!(50), &json!("root"))
    );
    let path = format!("/api/operations/{}", started["id"].as_str().expect("a number"));
    server.get(&path, "dev").await.is(404);
    server.delete(&path, "eye").await.is(401);
    server.delete(&path, "root").await.is(204);
    let ended = server.end_of(started["id"].as_str().expect("a number")).await;
    assert_eq!(ended["state"], "cancelled");
    assert!(ended["done"].as_u64() < Some(50));
    assert_eq!(from.info().ready + server.cell("to").info().ready, 50);
    assert_eq!(server.get("/api/operations", "root").await.json[0], ended);
    assert_eq!(server.get("/api/operations", "dev").await.json, json!([]));
}

#[tokio::test]
async fn operations_need_rights_and_a_sensible_request() {
    let server = Server::start().await;
    for (vhost, queue) in [("dev", "readable"), ("dev", "secret"), ("%2F", "q")] {
        server.put(&format!("/api/queues/{vhost}/{queue}"), "root", json!({"durable": true})).await.is(201);
    }
    let to = |queue: &str| json!({"destination": {"queue": queue}});
    let check = async |path: &str, user: &str, body: Value, status: u16| {
        let answer = server.post(path, user, body.clone()).await;
        assert_eq!(answer.status, status, "{path} as {user} with {body}: {answer:?}");
    };
    check("/api/queues/dev/readable/move", "dev", to("secret"), 200).await;
    check("/api/queues/dev/secret/move", "dev", to("readable"), 401).await;
    check("/api/queues/%2F/q/move", "dev", to("q"), 401).await;
    check("/api/queues/dev/readable/move", "dev", to("none"), 404).await;
    check("/api/queues/dev/none/copy", "root", to("readable"), 404).await;
    check("/api/queues/dev/readable/move", "dev", json!({}), 400).await;
    check("/api/queues/dev/readable/requeue", "dev", to("secret"), 400).await;
    check(
        "/api/queues/dev/readable/copy",
        "dev",
        json!({"destination": {"exchange": {"name": "none"}}}),
        404,
    )
    .await;
    check("/api/queues/dev/readable/delete-messages", "dev", json!({"rate": 0}), 400).await;
    check("/api/queues/dev/readable/delete-messages", "dev", json!({"unknown": 0}), 400).await;
    let filter = json!({"selection": {"filter": {"routing_key": "("}}});
    check("/api/queues/dev/readable/delete-messages", "dev", filter, 400).await;
    server.get("/api/queues/dev/secret/messages", "dev").await.is(401);
    server.get("/api/queues/dev/readable/messages", "dev").await.is(200);
    server.get("/api/queues/dev/readable/messages?cursor=x", "dev").await.is(400);
    server.get("/api/queues/dev/readable/messages?filter=x", "dev").await.is(400);
    server.get("/api/queues/dev/readable/messages?limit=x", "dev").await.is(400);
}

#[tokio::test]
async fn a_paused_queue_takes_messages_in_and_gives_none_out() {
    let server = Server::start().await;
    let cell = server.declare("q", json!({})).await;
    let pause =
        async |verb: &str, user: &str| server.ask("PUT", &format!("/api/queues/%2F/q/{verb}"), user).await;
    pause("pause", "dev").await.is(401);
    pause("pause", "root").await.is(204);
    fill(&cell, 0..3, 10);
    let get = json!({"count": 5, "ackmode": "ack_requeue_false", "encoding": "auto"});
    assert_eq!(server.post("/api/queues/%2F/q/get", "root", get.clone()).await.json, json!([]));
    let queue = server.get("/api/queues/%2F/q", "root").await.json;
    assert_eq!((&queue["state"], &queue["messages_ready"]), (&json!("paused"), &json!(3)));
    assert_eq!(server.bodies("q").await, ["0", "1", "2"]);
    pause("resume", "root").await.is(204);
    assert_eq!(server.get("/api/queues/%2F/q", "root").await.json["state"], "running");
    assert_eq!(
        server.post("/api/queues/%2F/q/get", "root", get).await.json.as_array().map(Vec::len),
        Some(3)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_wait_for_their_next_try_are_seen_as_delayed() {
    let server = Server::start().await;
    let cell = server.declare("q", json!({"x-retry-delay": "1h"})).await;
    fill(&cell, 0..5, 8);
    let path = "/api/queues/%2F/q/get";
    let request = json!({"count": 3, "ackmode": "reject_requeue_true", "encoding": "auto"});
    let taken = server.post(path, "root", request).await;
    assert_eq!(taken.json.as_array().map(Vec::len), Some(3), "{taken:?}");
    for pages in ["limit=500", "limit=1"] {
        let waiting = server.peek("q", &format!("state=delayed&payload_max=8&{pages}")).await;
        let bodies: Vec<&str> =
            waiting.iter().map(|item| item["payload"].as_str().expect("text").trim()).collect();
        assert_eq!(bodies, ["0", "1", "2"], "{pages}");
        for item in &waiting {
            assert_eq!((&item["state"], &item["delivery_count"]), (&json!("delayed"), &json!(1)), "{item}");
            assert!(item["due_at"].as_u64().is_some_and(|due_at| due_at > crate::clock::now_ms()), "{item}");
        }
    }
    assert_eq!(server.bodies("q").await, numbers(3..5), "the others are ready");
    let broken = server.get("/api/queues/%2F/q/messages?state=delayed&cursor=1.x", "root").await;
    broken.refused(400, "bad_request", "the cursor is none that a page gave");
}
