//! What waits in delayed exchanges.

use super::*;

const PATH: &str = "/api/exchanges/%2F/later";

/// A delayed exchange `later`, bound to queue `q` with key `k`.
async fn declare(server: &Server) {
    let body = json!({"type": "x-delayed-message", "arguments": {"x-delayed-type": "direct"}});
    server.put(PATH, "root", body).await.is(201);
    server.put("/api/queues/%2F/q", "root", json!({})).await.is(201);
    server.post("/api/bindings/%2F/e/later/q/q", "root", json!({"routing_key": "k"})).await.is(201);
}

async fn publish(server: &Server, delay_ms: u64, payload: &str) {
    let body = json!({
        "routing_key": "k", "payload": payload, "payload_encoding": "string",
        "properties": {"headers": {"x-delay": delay_ms}},
    });
    let answer = server.post(&format!("{PATH}/publish"), "root", body).await;
    assert_eq!((answer.status, &answer.json["routed"]), (200, &json!(true)));
}

async fn list(server: &Server, query: &str) -> Value {
    server.get(&format!("{PATH}/delayed{query}"), "root").await.json
}

fn payloads(page: &Value) -> Vec<&str> {
    page["items"].as_array().expect("items").iter().filter_map(|item| item["payload"].as_str()).collect()
}

async fn ready(server: &Server) -> Value {
    server.get("/api/queues/%2F/q", "root").await.json["messages_ready"].clone()
}

#[tokio::test]
async fn waiting_messages_are_counted_and_listed_in_pages() {
    let server = Server::start().await;
    declare(&server).await;
    for (delay_ms, payload) in [(3_000_000, "third"), (1_000_000, "first"), (2_000_000, "second")] {
        publish(&server, delay_ms, payload).await;
    }
    assert_eq!(server.get(PATH, "root").await.json["messages_delayed"], json!(3));
    let all = list(&server, "").await;
    assert_eq!(
        (payloads(&all), &all["total"], all.get("next")),
        (vec!["first", "second", "third"], &json!(3), None)
    );
    let item = &all["items"][0];
    assert_eq!(
        (&item["exchange"], &item["routing_key"], &item["payload_bytes"], &item["truncated"]),
        (&json!("later"), &json!("k"), &json!(5), &json!(false))
    );
    assert_eq!(item["properties"]["headers"]["x-delay"], json!(1_000_000));
    let page = list(&server, "?limit=2&truncate=2").await;
    assert_eq!((payloads(&page), &page["items"][0]["truncated"]), (vec!["fi", "se"], &json!(true)));
    let next = page["next"].as_str().expect("there is more");
    assert_eq!(payloads(&list(&server, &format!("?limit=2&cursor={next}")).await), ["third"]);
}

#[tokio::test]
async fn waiting_messages_are_dropped_and_released() {
    let server = Server::start().await;
    declare(&server).await;
    for (delay_ms, payload) in [(1_000_000, "a"), (2_000_000, "b"), (3_000_000, "c")] {
        publish(&server, delay_ms, payload).await;
    }
    let all = list(&server, "").await;
    let path = |at: usize| format!("{PATH}/delayed/{}", all["items"][at]["id"].as_str().expect("an id"));
    server.delete(&path(0), "root").await.is(204);
    server.delete(&path(0), "root").await.is(404);
    assert_eq!(payloads(&list(&server, "").await), ["b", "c"]);
    server.post(&format!("{}/release", path(1)), "root", json!({})).await.is(204);
    server.post(&format!("{}/release", path(1)), "root", json!({})).await.is(404);
    assert_eq!(ready(&server).await, json!(1));
    let purged = server.delete(&format!("{PATH}/delayed"), "root").await;
    assert_eq!((purged.status, &purged.json["purged"]), (200, &json!(1)));
    assert_eq!(list(&server, "").await["total"], json!(0));
    assert_eq!(
        (server.get(PATH, "root").await.json["messages_delayed"].clone(), ready(&server).await),
        (json!(0), json!(1))
    );
}

#[tokio::test]
async fn waiting_messages_go_with_their_vhost() {
    let server = Server::start().await;
    let path = "/api/exchanges/dev/later";
    let body = json!({"type": "x-delayed-message", "arguments": {"x-delayed-type": "fanout"}});
    server
        .put("/api/permissions/dev/root", "root", json!({"configure": ".*", "write": ".*", "read": ".*"}))
        .await;
    server.put(path, "root", body).await.is(201);
    let message = json!({
        "routing_key": "", "payload": "held", "payload_encoding": "string",
        "properties": {"headers": {"x-delay": 1_000_000}},
    });
    assert_eq!(server.post(&format!("{path}/publish"), "root", message).await.status, 200);
    let uid = server.broker.vhost("dev").and_then(|vhost| Some(vhost.topology().exchange("later")?.uid));
    let uid = uid.expect("the exchange is there");
    assert_eq!(server.broker.delayed_exchange(uid).map(|exchange| exchange.held().messages), Some(1));
    server.delete("/api/vhosts/dev", "root").await.is(204);
    assert!(server.broker.delayed_exchange(uid).is_none());
}

#[tokio::test]
async fn what_is_asked_amiss_is_refused() {
    let server = Server::start().await;
    declare(&server).await;
    let status = async |path: &str| server.get(path, "root").await.status;
    assert_eq!(status("/api/exchanges/%2F/amq.direct/delayed").await, 404);
    assert_eq!(status("/api/exchanges/%2F/none/delayed").await, 404);
    assert_eq!(status(&format!("{PATH}/delayed?cursor=x")).await, 400);
    assert_eq!(status(&format!("{PATH}/delayed?limit=x")).await, 400);
    server.delete(&format!("{PATH}/delayed/7"), "root").await.is(404);
    server.delete(&format!("{PATH}/delayed/7-8"), "root").await.is(404);
    assert_eq!(server.get(&format!("{PATH}/delayed"), "dev").await.status, 401);
    assert_eq!(server.get("/api/exchanges/%2F/amq.direct", "root").await.json.get("messages_delayed"), None);
}
