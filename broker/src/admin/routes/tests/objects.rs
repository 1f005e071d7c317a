//! Exchanges, queues, bindings and messages, changed through the API.

use super::*;

#[tokio::test]
async fn exchanges_are_declared_and_deleted() {
    let server = Server::start().await;
    let path = "/api/exchanges/%2F/x";
    server
        .put(path, "root", json!({"type": "topic", "durable": true, "arguments": {"a": [1, {"b": "c"}]}}))
        .await
        .is(201);
    server
        .put(path, "root", json!({"type": "topic", "durable": "true", "arguments": {"a": [1, {"b": "c"}]}}))
        .await
        .is(204);
    let shown = server.get(path, "root").await.json;
    assert_eq!((&shown["type"], &shown["durable"]), (&json!("topic"), &json!(true)));
    assert_eq!(
        (&shown["arguments"], &shown["user_who_performed_action"]),
        (&json!({"a": [1, {"b": "c"}]}), &json!("root"))
    );
    let refused = async |path: &str, body: Value, status: u16, reason: &str| {
        let answer = server.put(path, "root", body).await;
        assert_eq!((answer.status, answer.json["reason"].as_str()), (status, Some(reason)), "{path}");
    };
    let reason =
        "inequivalent arg 'type' for exchange 'x' in vhost '/': received 'direct' but current is 'topic'";
    refused(path, json!({}), 400, reason).await;
    refused("/api/exchanges/%2F/y", json!({"type": "nope"}), 400, "unknown exchange type 'nope'").await;
    refused("/api/exchanges/%2F/y", json!([]), 400, "not_json").await;
    refused("/api/exchanges/%2F/y", json!({"arguments": {"a": null}}), 400, "null_not_allowed").await;
    assert_eq!(server.put("/api/exchanges/%2F/amq.y", "root", json!({})).await.status, 401);
    assert_eq!(server.put("/api/exchanges/none/y", "root", json!({})).await.status, 404);

    server.put("/api/queues/%2F/q", "root", json!({})).await.is(201);
    server.post("/api/bindings/%2F/e/x/q/q", "root", json!({})).await.is(201);
    let in_use = server.delete(&format!("{path}?if-unused=true"), "root").await;
    assert_eq!((in_use.status, &in_use.json["error"]), (400, &json!("bad_request")));
    server.delete(path, "root").await.is(204);
    server.delete(path, "root").await.is(404);
    assert_eq!(server.delete("/api/exchanges/%2F/amq.topic", "root").await.status, 401);
}

#[tokio::test]
async fn queues_are_declared_and_deleted_under_conditions() {
    let server = Server::start().await;
    let path = "/api/queues/%2F/q";
    server.put(path, "root", json!({"durable": true, "arguments": {"x-max-length": 5}})).await.is(201);
    server.put(path, "root", json!({"durable": true, "arguments": {"x-max-length": 5}})).await.is(204);
    let shown = server.get(path, "root").await.json;
    assert_eq!((&shown["durable"], &shown["exclusive"]), (&json!(true), &json!(false)));
    assert_eq!(shown["arguments"], json!({"x-max-length": 5}));
    assert_eq!(server.put(path, "root", json!({})).await.status, 400);
    assert_eq!(
        server.put(path, "root", json!({"durable": true, "arguments": {"x-max-length": -1}})).await.status,
        400
    );
    let message = json!({"routing_key": "q", "properties": {}, "payload": "x", "payload_encoding": "string"});
    server.post("/api/exchanges/%2F/amq.default/publish", "root", message).await.is(200);
    let full = server.delete(&format!("{path}?if-empty=true"), "root").await;
    assert_eq!(full.json["reason"], "queue 'q' in vhost '/' not empty");
    let message = json!({"routing_key": "q", "properties": {}, "payload": "x", "payload_encoding": "string"});
    let published = server.post("/api/exchanges/%2F//publish", "root", message).await;
    assert_eq!(
        published.json,
        json!({"routed": true}),
        "an empty name is the default exchange's: {published:?}"
    );
    assert_eq!(server.get("/api/exchanges/%2F//?columns=name", "root").await.json, json!({"name": ""}));
    server.delete(&format!("{path}?if-unused=true"), "root").await.is(204);
    server.delete(path, "root").await.is(404);
    // In `dev` others may declare, but only where they have the right.
    server.put("/api/queues/dev/q", "dev", json!({})).await.is(201);
    server.put("/api/queues/%2F/q", "dev", json!({})).await.is(401);
    server.put("/api/queues/dev/actions", "dev", json!({})).await.is(201);
    server.post("/api/queues/dev/actions/actions", "dev", json!({"action": "sync"})).await.is(204);
    server.post("/api/queues/dev/actions/actions", "dev", json!({"action": "dance"})).await.is(400);
}

#[tokio::test]
async fn a_binding_is_found_by_its_properties_key() {
    let server = Server::start().await;
    server.put("/api/queues/%2F/q%2F1", "root", json!({"durable": true})).await.is(201);
    let ends = "/api/bindings/%2F/e/amq.topic/q/q%2F1";
    for (spec, location) in
        [(json!({}), "q%2F1/~"), (json!({"routing_key": "a b/c.#~"}), "q%2F1/a%2Bb%252Fc.%2523%257E")]
    {
        let bound = server.post(ends, "root", spec).await;
        bound.is(201);
        assert!(bound.head.contains(&format!("location: {}", location.to_lowercase())), "{}", bound.head);
    }
    server.post(ends, "root", json!({"routing_key": "k", "arguments": {"x": 1}})).await.is(201);
    server.post(ends, "root", json!({"routing_key": "k", "arguments": {"x": 1}})).await.is(201);
    server.post(ends, "root", json!({"routing_key": "k"})).await.is(201);
    let bindings = server.get(ends, "root").await.json;
    let bindings = bindings.as_array().expect("a list");
    assert_eq!(bindings.len(), 4);
    for binding in bindings {
        let key = binding["properties_key"].as_str().expect("text");
        let one = format!("{ends}/{}", key.replace('%', "%25"));
        assert_eq!(server.get(&one, "root").await.json, *binding);
        server.delete(&one, "root").await.is(204);
        server.delete(&one, "root").await.is(404);
    }
    assert_eq!(server.get(ends, "root").await.json, json!([]));
    server.post("/api/bindings/%2F/e/amq.topic/q/none", "root", json!({})).await.is(404);
    server.post("/api/bindings/%2F/e/none/q/q%2F1", "root", json!({})).await.is(404);
    server.post("/api/bindings/%2F/e/amq.default/q/q%2F1", "root", json!({})).await.is(401);

    server.put("/api/exchanges/%2F/to", "root", json!({"type": "fanout"})).await.is(201);
    server.post("/api/bindings/%2F/e/amq.direct/e/to", "root", json!({"routing_key": "k"})).await.is(201);
    for path in [
        "bindings/%2F/e/amq.direct/e/to",
        "exchanges/%2F/to/bindings/destination",
        "exchanges/%2F/amq.direct/bindings/source",
    ] {
        let found = server.get(&format!("/api/{path}"), "root").await.json;
        assert_eq!(
            (&found[0]["destination"], &found[0]["properties_key"]),
            (&json!("to"), &json!("k")),
            "{path}"
        );
    }
    server.delete("/api/bindings/%2F/e/amq.direct/e/to/k", "root").await.is(204);
    assert_eq!(server.get("/api/queues/%2F/q%2F1/bindings", "root").await.json[0]["source"], "");
}

async fn publish(server: &Server, exchange: &str, body: Value) -> Answer {
    let mut message =
        json!({"routing_key": "q", "properties": {}, "payload": "x", "payload_encoding": "string"});
    for (name, value) in body.as_object().expect("an object") {
        message[name] = value.clone();
    }
    server.post(&format!("/api/exchanges/%2F/{exchange}/publish"), "root", message).await
}

#[tokio::test]
async fn a_published_message_comes_back_as_it_was_sent() {
    let server = Server::start().await;
    server.put("/api/queues/%2F/q", "root", json!({"durable": true})).await.is(201);
    let properties =
        json!({"delivery_mode": 2, "headers": {"n": 1, "l": ["a", true]}, "content_type": "text/plain"});
    let sent = publish(&server, "amq.default", json!({"properties": properties, "payload": "grün"})).await;
    assert_eq!(sent.json, json!({"routed": true}));
    let binary = json!({"payload": "/wA=", "payload_encoding": "base64"});
    assert_eq!(publish(&server, "amq.default", binary).await.json, json!({"routed": true}));
    assert_eq!(
        publish(&server, "amq.default", json!({"routing_key": "none"})).await.json,
        json!({"routed": false})
    );

    let get = async |mode: &str, more: Value| {
        let mut body = json!({"count": "5", "ackmode": mode, "encoding": "auto"});
        for (name, value) in more.as_object().expect("an object") {
            body[name] = value.clone();
        }
        server.post("/api/queues/%2F/q/get", "root", body).await
    };
    let shown = get("ack_requeue_true", json!({})).await.json;
    assert_eq!(
        shown[0],
        json!({"payload_bytes": 5, "redelivered": false, "exchange": "", "routing_key": "q", "message_count": 1,
               "properties": properties, "payload": "grün", "payload_encoding": "string"})
    );
    assert_eq!((&shown[1]["payload"], &shown[1]["payload_encoding"]), (&json!("/wA="), &json!("base64")));
    assert_eq!((&shown[1]["message_count"], &shown[1]["properties"]), (&json!(0), &json!({})));
    let again = get("reject_requeue_true", json!({"truncate": 2, "encoding": "base64"})).await.json;
    assert_eq!((&again[0]["payload"], &again[0]["payload_bytes"]), (&json!("Z3I="), &json!(5)));
    assert_eq!(again[0]["redelivered"], true);
    assert_eq!(get("ack_requeue_false", json!({"count": 1})).await.json.as_array().map(Vec::len), Some(1));
    assert_eq!(get("reject_requeue_false", json!({})).await.json.as_array().map(Vec::len), Some(1));
    assert_eq!(get("ack_requeue_true", json!({})).await.json, json!([]));
    assert_eq!(server.get("/api/queues/%2F/q", "root").await.json["messages"], 0);

    for body in [
        json!({"encoding": "hex"}),
        json!({"count": "many"}),
        json!({"ackmode": "foo"}),
        json!({"truncate": []}),
    ] {
        assert_eq!(get("ack_requeue_true", body.clone()).await.status, 400, "{body}");
    }
    server
        .post(
            "/api/queues/%2F/none/get",
            "root",
            json!({"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto"}),
        )
        .await
        .is(404);
}

#[tokio::test]
async fn what_is_wrong_with_a_publish_is_told() {
    let server = Server::start().await;
    let limited = json!({"arguments": {"x-max-length": 1, "x-overflow": "reject-publish"}});
    server.put("/api/queues/%2F/q", "root", limited).await.is(201);
    let refused = async |exchange: &str, body: Value, reason: &str| {
        let answer = publish(&server, exchange, body).await;
        assert_eq!((answer.status, answer.json["reason"].as_str()), (400, Some(reason)), "{answer:?}");
    };
    refused("none", json!({}), "404 NOT_FOUND - no exchange 'none' in vhost '/'").await;
    refused("amq.default", json!({"payload_encoding": "hex"}), "unsupported_encoding: hex").await;
    refused(
        "amq.default",
        json!({"payload_encoding": "base64", "payload": "?"}),
        "payload is not valid base64",
    )
    .await;
    refused("amq.default", json!({"properties": {"priority": "high"}}), "not_int: priority").await;
    refused(
        "amq.default",
        json!({"properties": {"expiration": "soon"}}),
        "406 PRECONDITION_FAILED - invalid expiration 'soon': no_integer",
    )
    .await;
    let reason = "406 PRECONDITION_FAILED - user_id property set to 'eve' but authenticated user was 'root'";
    refused("amq.default", json!({"properties": {"user_id": "eve"}}), reason).await;
    publish(&server, "amq.default", json!({})).await.is(200);
    refused("amq.default", json!({}), "rejected Unable to publish message. Check queue limits.").await;
    let missing =
        server.post("/api/exchanges/%2F/amq.default/publish", "root", json!({"payload": "x"})).await;
    assert_eq!(missing.status, 400);
    assert!(
        missing.json["reason"].as_str().is_some_and(|reason| reason.contains("routing_key")),
        "{missing:?}"
    );
}

#[tokio::test]
async fn rates_and_samples_are_shown_where_they_are_asked_for() {
    let server = Server::start().await;
    server.put("/api/queues/%2F/q", "root", json!({})).await.is(201);
    let cell = server
        .broker
        .vhost("/")
        .expect("there")
        .queue("q", leveret_core::queue::ConnectionId(0))
        .expect("there");
    for step in 1..4_u64 {
        let mut figures = [0; crate::history::QUEUE_FIGURES];
        figures[crate::history::QUEUE.published] = step * 50;
        figures[crate::history::QUEUE.ready] = step * 50;
        let history = server.broker.history();
        let queues = vec![(cell.uid(), figures)];
        history.note_objects(
            4_000_000_000_000 + step * 5000,
            crate::history::Objects { queues, ..crate::history::Objects::default() },
        );
    }
    let path = "/api/queues/%2F/q?lengths_age=60&lengths_incr=5&msg_rates_age=10&msg_rates_incr=5";
    let shown = server.get(path, "root").await.json;
    assert_eq!(shown["message_stats"]["publish_details"]["rate"], 10.0);
    let samples = json!([
        {"sample": 150, "timestamp": 4_000_000_015_000_u64}, {"sample": 100, "timestamp": 4_000_000_010_000_u64},
        {"sample": 50, "timestamp": 4_000_000_005_000_u64},
    ]);
    assert_eq!(shown["message_stats"]["publish_details"]["samples"], samples);
    assert_eq!(shown["messages_ready_details"]["avg"], 100.0);
    assert_eq!(shown["messages_details"]["avg_rate"], 10.0);
    assert!(server.get("/api/queues/%2F/q", "root").await.json["messages_details"].get("samples").is_none());
    server.get("/api/queues/%2F/q?lengths_age=x&lengths_incr=5", "root").await.is(400);
    for path in [path.replace("/%2F/q?", "?"), path.replace("/%2F/q?", "/%2F?page=1&")] {
        let list = server.get(&path, "root").await.json;
        let item = list.get("items").unwrap_or(&list)[0].clone();
        assert_eq!(item["message_stats"]["publish_details"]["samples"], samples, "{path}");
    }
    let overview = server
        .get("/api/overview?lengths_age=60&lengths_incr=5&msg_rates_age=600&msg_rates_incr=5", "root")
        .await;
    assert_eq!(overview.status, 200);
    let node = server.get("/api/nodes", "root").await.json[0]["name"].as_str().expect("text").to_owned();
    server.get(&format!("/api/nodes/{node}?node_stats_age=60&node_stats_incr=1"), "root").await.is(200);
}

#[tokio::test]
async fn a_page_of_queues_is_ordered_by_any_field() {
    let server = Server::start().await;
    for (queue, messages) in [("a", 2), ("b", 0), ("c", 1)] {
        server.put(&format!("/api/queues/%2F/{queue}"), "root", json!({})).await.is(201);
        for _ in 0..messages {
            publish(&server, "amq.default", json!({"routing_key": queue})).await.is(200);
        }
    }
    for (query, expected) in [
        ("sort=messages&sort_reverse=true", ["a", "c"]),
        ("sort=messages_ready", ["b", "c"]),
        ("sort=name", ["a", "b"]),
        ("sort_reverse=true", ["c", "b"]),
        ("sort=message_stats.publish_details.rate", ["a", "b"]),
        ("name=[ac]&use_regex=true&sort=memory&sort_reverse=true", ["a", "c"]),
    ] {
        let page = server.get(&format!("/api/queues?page=1&page_size=2&{query}"), "root").await.json;
        let names: Vec<&str> =
            page["items"].as_array().expect("items").iter().filter_map(|it| it["name"].as_str()).collect();
        assert_eq!(names, expected, "{query}");
        assert_eq!(page["total_count"], 3);
    }
    server.get("/api/queues?page=3&page_size=2", "root").await.is(400);
    let columns = server.get("/api/queues/%2F?page=1&page_size=1&columns=name", "root").await.json;
    assert_eq!(columns["items"], json!([{"name": "a"}]));
}

#[tokio::test]
async fn prometheus_gets_single_objects_from_who_may_see_them() {
    let server = Server::start().await;
    server.put("/api/queues/%2F/q", "root", json!({})).await.is(201);
    server.put("/api/queues/dev/q", "root", json!({})).await.is(201);
    server.get("/metrics/per-object", "").await.is(401);
    let all = server.get("/metrics/per-object", "eye").await.text;
    assert!(all.contains("\nrabbitmq_queue_messages_ready{vhost=\"dev\",queue=\"q\"} 0\n"), "{all}");
    assert!(all.contains("\nleveret_store_backlog_bytes "), "{all}");
    assert!(all.contains("\nleveret_store_syncs_total "), "{all}");
    let some = server
        .get("/metrics/detailed?family=queue_coarse_metrics&family=vhost_status&family=none&vhost=dev", "eye")
        .await
        .text;
    assert!(some.contains("\nrabbitmq_detailed_queue_messages{vhost=\"dev\",queue=\"q\"} 0\n"), "{some}");
    assert!(some.contains("\nrabbitmq_cluster_vhost_status{vhost=\"dev\"} 1\n"), "{some}");
    assert!(!some.contains("vhost=\"/\"") && !some.contains("consumers"), "{some}");
    assert_eq!(server.get("/metrics/detailed", "eye").await.text, "");
}
