//! Users, permissions, vhosts and what else administrators do.

use std::path::Path;

use super::*;

#[tokio::test]
async fn users_come_and_go() {
    let server = Server::start().await;
    server
        .put("/api/users/ada", "root", json!({"password": "secret", "tags": "management, extra"}))
        .await
        .is(201);
    server.put("/api/users/ada", "root", json!({"password": "secret", "tags": ["management"]})).await.is(204);
    let shown = server.get("/api/users/ada", "root").await.json;
    assert_eq!((&shown["tags"], &shown["hashing_algorithm"]), (&json!(["management"]), &json!("argon2id")));
    assert_eq!(server.get("/api/whoami", "ada:secret").await.status, 200);
    let hash = "AAAAALEkKvUBGEzMSFzin0zK97z+wnfsndrUYKOF2RUry1wo";
    server.put("/api/users/ada", "root", json!({"password_hash": hash, "tags": "management"})).await.is(204);
    assert_eq!(server.get("/api/whoami", "ada").await.json["name"], "ada");
    // SHA-512, which tools do not say.
    let long = "AAAAAYR/p8jDKKx2htPmRSIlB48/xMnFc3GPAEEjdjq0IDnErKQWkEc1F0BPeuA3w16aRfm5YKLli3A0hRmPbDPq19I=";
    server.put("/api/users/ada", "root", json!({"password_hash": long, "tags": "management"})).await.is(204);
    assert_eq!(server.get("/api/whoami", "ada:guest").await.json["name"], "ada");
    server.put("/api/users/ada", "root", json!({"password_hash": "", "tags": ""})).await.is(204);
    assert_eq!(server.get("/api/whoami", "ada").await.status, 401);

    let refused = async |body: Value, reason: &str| {
        let answer = server.put("/api/users/eve", "root", body).await;
        assert_eq!((answer.status, answer.json["reason"].as_str()), (400, Some(reason)));
    };
    refused(json!({"password": "x"}), "tags_not_present").await;
    refused(
        json!({"password": "x", "password_hash": hash, "tags": ""}),
        "both_password_and_password_hash_are_provided",
    )
    .await;
    refused(json!({"password": "", "tags": ""}), "406 PRECONDITION_FAILED - password must not be empty")
        .await;
    refused(
        json!({"password_hash": "x", "tags": "", "hashing_algorithm": "md5"}),
        "hashing_algorithm 'md5' is not supported",
    )
    .await;
    server.get("/api/users/eve", "root").await.is(404);

    assert_eq!(server.names("/api/users/without-permissions", "root").await, ["ada", "eye", "nobody"]);
    let page = server.get("/api/users?page=2&page_size=3&columns=name", "root").await.json;
    assert_eq!((&page["items"][0]["name"], &page["total_count"]), (&json!("guest"), &json!(7)));
    server.delete("/api/users/ada", "root").await.is(204);
    server.delete("/api/users/ada", "root").await.is(404);
    server.post("/api/users/bulk-delete", "root", json!({"users": ["eye", "ada", "nobody"]})).await.is(204);
    assert_eq!(server.names("/api/users", "root").await, ["dev", "guest", "root", "rules"]);
}

#[tokio::test]
async fn permissions_are_given_and_taken() {
    let server = Server::start().await;
    let path = "/api/permissions/%2F/eye";
    let rights = json!({"configure": "", "write": ".*", "read": "^a"});
    server.get(path, "root").await.is(404);
    server.put(path, "root", rights.clone()).await.is(201);
    server.put(path, "root", rights).await.is(204);
    let expected = json!({"user": "eye", "vhost": "/", "configure": "", "write": ".*", "read": "^a"});
    assert_eq!(server.get(path, "root").await.json, expected);
    assert_eq!(server.get("/api/users/eye/permissions", "root").await.json, json!([expected]));
    assert_eq!(server.names("/api/vhosts/%2F/permissions", "root").await, ["eye", "guest", "root"]);
    server.put(path, "root", json!({"configure": "(", "write": "", "read": ""})).await.is(400);
    server.put(path, "root", json!({"configure": ""})).await.is(400);
    let nobody = server
        .put("/api/permissions/%2F/none", "root", json!({"configure": "", "write": "", "read": ""}))
        .await;
    assert_eq!((nobody.status, &nobody.json["reason"]), (400, &json!("vhost_or_user_not_found")));
    server.delete(path, "root").await.is(204);
    server.delete(path, "root").await.is(404);

    let path = "/api/topic-permissions/%2F/eye";
    server.get(path, "root").await.is(404);
    server.put(path, "root", json!({"exchange": "amq.topic", "write": "^a", "read": ".*"})).await.is(201);
    server.put(path, "root", json!({"exchange": "other", "write": "^a", "read": ".*"})).await.is(204);
    assert_eq!(server.get(path, "root").await.json.as_array().map(Vec::len), Some(2));
    assert_eq!(server.get("/api/users/eye/topic-permissions", "root").await.json[0]["exchange"], "amq.topic");
    assert_eq!(server.get("/api/vhosts/%2F/topic-permissions", "root").await.json[1]["exchange"], "other");
    server.delete(&format!("{path}/amq.topic"), "root").await.is(204);
    server.delete(&format!("{path}/amq.topic"), "root").await.is(404);
    server.delete(path, "root").await.is(204);
    server.get("/api/users/none/permissions", "root").await.is(404);
    server.get("/api/vhosts/none/permissions", "root").await.is(404);
}

#[tokio::test]
async fn vhosts_come_and_go_with_all_that_is_in_them() {
    let server = Server::start().await;
    let path = "/api/vhosts/eu";
    let spec = json!({"description": "Europe", "tags": "production,fast", "default_queue_type": "quorum"});
    server.put(path, "root", spec).await.is(201);
    server.put(path, "root", json!({"description": "the whole of it"})).await.is(204);
    let shown = server.get(path, "root").await.json;
    assert_eq!(
        (&shown["description"], &shown["tags"]),
        (&json!("the whole of it"), &json!(["production", "fast"]))
    );
    assert_eq!(shown["default_queue_type"], "quorum");
    server.put(path, "root", json!({"default_queue_type": "wood"})).await.is(400);

    // Who made it may use it, and its queues are of its default type.
    server.put("/api/queues/eu/q", "root", json!({"durable": true})).await.is(201);
    assert_eq!(server.get("/api/queues/eu/q", "root").await.json["type"], "quorum");
    server.put("/api/exchanges/eu/x", "root", json!({"durable": true})).await.is(201);
    server.post("/api/bindings/eu/e/amq.topic/e/x", "root", json!({"routing_key": "k"})).await.is(201);
    server.post("/api/bindings/eu/e/x/q/q", "root", json!({"routing_key": "k"})).await.is(201);

    server.post(&format!("{path}/deletion/protection"), "root", json!({})).await.is(204);
    assert_eq!(server.get(path, "root").await.json["protected_from_deletion"], true);
    server.delete(path, "root").await.is(412);
    server.delete(&format!("{path}/deletion/protection"), "root").await.is(204);
    server.delete(path, "root").await.is(204);
    server.delete(path, "root").await.is(404);
    server.get("/api/queues/eu", "root").await.is(404);
    assert_eq!(
        server.get("/api/users/root/permissions", "root").await.json.as_array().map(Vec::len),
        Some(2)
    );

    server.put(path, "root", json!({})).await.is(201);
    assert_eq!(server.get("/api/queues/eu", "root").await.json, json!([]));
    assert_eq!(server.get("/api/bindings/eu", "root").await.json, json!([]));
    assert_eq!(server.get("/api/exchanges/eu", "root").await.json.as_array().map(Vec::len), Some(7));
    let node = server.get("/api/nodes", "root").await.json[0]["name"].as_str().expect("text").to_owned();
    server.post(&format!("{path}/start/{node}"), "root", json!({})).await.is(204);
    server.post(&format!("{path}/start/other"), "root", json!({})).await.is(404);
}

#[tokio::test]
async fn the_cluster_has_a_name_that_can_be_changed() {
    let server = Server::start().await;
    assert_eq!(server.get("/api/cluster-name", "dev").await.json, json!({"name": "leveret"}));
    server.put("/api/cluster-name", "root", json!({"name": "hares"})).await.is(204);
    server.put("/api/cluster-name", "root", json!({"name": ""})).await.is(400);
    assert_eq!(server.get("/api/overview", "root").await.json["cluster_name"], "hares");
}

#[tokio::test]
async fn logins_are_counted_by_protocol() {
    let server = Server::start().await;
    let node = server.get("/api/nodes", "root").await.json[0]["name"].as_str().expect("text").to_owned();
    server.get("/api/whoami", "nobody").await.is(401);
    server.get("/api/whoami", "unknown").await.is(401);
    let path = format!("/api/auth/attempts/{node}");
    let attempts = server.get(&path, "root").await.json;
    assert_eq!(
        attempts[0],
        json!({"protocol": "amqp091", "auth_attempts": 0, "auth_attempts_failed": 0, "auth_attempts_succeeded": 0})
    );
    assert_eq!(
        attempts[1],
        json!({"protocol": "http", "auth_attempts": 4, "auth_attempts_failed": 1, "auth_attempts_succeeded": 3})
    );
    let sources = server.get(&format!("{path}/source"), "root").await.json;
    let seen: Vec<(&str, &Value)> = sources
        .as_array()
        .expect("a list")
        .iter()
        .map(|source| (source["username"].as_str().expect("text"), &source["auth_attempts_failed"]))
        .collect();
    assert_eq!(
        seen,
        [("root", &json!(0)), ("unknown", &json!(1)), ("nobody", &json!(0))],
        "the latest first"
    );
    assert_eq!(
        (&sources[1]["remote_address"], &sources[1]["protocol"]),
        (&json!("127.0.0.1"), &json!("http"))
    );
    server.delete(&path, "root").await.is(204);
    assert_eq!(server.get(&path, "root").await.json[1]["auth_attempts"], 1);
    assert_eq!(server.get(&format!("{path}/source"), "root").await.json[0]["auth_attempts"], 2);
    let hash =
        server.get("/api/auth/hash_password/pw", "root").await.json["ok"].as_str().expect("text").to_owned();
    server.put("/api/users/ada", "root", json!({"password_hash": hash, "tags": "management"})).await.is(201);
    server.get("/api/whoami", "ada").await.is(200);
}

#[tokio::test]
async fn what_one_node_has_nothing_of_is_empty_and_not_missing() {
    let server = Server::start().await;
    for path in [
        "shovels",
        "federation-links",
        "stream/connections",
        "stream/publishers",
        "stream/consumers",
        "extensions",
        "deprecated-features",
        "deprecated-features/used",
    ] {
        assert_eq!(server.get(&format!("/api/{path}"), "root").await.json, json!([]), "{path}");
    }
    for path in [
        "node-is-quorum-critical",
        "virtual-hosts",
        "metadata-store/initialized",
        "certificate-expiration/1/months",
        "quorum-queues-without-elected-leaders/all-vhosts",
    ] {
        assert_eq!(
            server.get(&format!("/api/health/checks/{path}"), "root").await.json,
            json!({"status": "ok"}),
            "{path}"
        );
    }
    for (path, status) in [
        ("certificate-expiration/1/hares", 400),
        ("certificate-expiration/x/days", 400),
        ("port-listener/1", 503),
        ("port-listener/x", 400),
        ("protocol-listener/mqtt", 503),
    ] {
        assert_eq!(server.get(&format!("/api/health/checks/{path}"), "root").await.status, status, "{path}");
    }
    assert_eq!(server.get("/api/aliveness-test/%2F", "root").await.json, json!({"status": "ok"}));
    assert_eq!(server.get("/api/aliveness-test/none", "root").await.status, 404);
    let flags = server.get("/api/feature-flags", "root").await.json;
    assert_eq!((&flags[0]["state"], &flags[0]["stability"]), (&json!("enabled"), &json!("stable")));
    server.put("/api/feature-flags/quorum_queue/enable", "root", json!({})).await.is(204);
    server.put("/api/feature-flags/none/enable", "root", json!({})).await.is(400);
    server.post("/api/rebalance/queues", "root", json!({})).await.is(204);
    server.delete("/api/reset", "root").await.is(204);
    let config = server.get("/api/config/effective", "root").await.json;
    assert_eq!((&config["default_password"], &config["amqp.frame_max"]), (&json!("***"), &json!(131_072)));
    let node = server.get("/api/nodes", "root").await.json[0]["name"].as_str().expect("text").to_owned();
    let memory = server.get(&format!("/api/nodes/{node}/memory"), "root").await.json;
    assert!(memory["memory"]["total"]["rss"].as_u64().is_some_and(|bytes| bytes > 0), "{memory}");
    assert_eq!(
        server.get(&format!("/api/nodes/{node}/memory/relative"), "root").await.json["memory"]["total"],
        100
    );
    assert_eq!(server.get("/api/nodes/other", "root").await.status, 404);
    assert_eq!(server.get("/api/version", "").await.json, env!("CARGO_PKG_VERSION"));
}

/// With `LEVERET_UPDATE_GOLDEN=1` the file is written anew; its difference tells what a change means for those who use the
/// API.
#[test]
fn the_document_of_the_api_is_the_one_that_was_looked_at() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/openapi.json");
    let now = format!("{:#}\n", crate::admin::openapi::document(&table()));
    if std::env::var_os("LEVERET_UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        std::fs::write(&file, &now).expect("the file can be written");
    }
    let golden = std::fs::read_to_string(&file).expect("the file is there");
    let differs = golden.lines().zip(now.lines()).position(|(golden, now)| golden != now);
    assert!(golden == now, "from line {:?}: if it is meant, run this with LEVERET_UPDATE_GOLDEN=1", differs);
}

#[tokio::test]
async fn the_api_describes_itself() {
    let server = Server::start().await;
    let document = server.get("/api/openapi.json", "").await.json;
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(
        document["paths"]["/api/queues/{vhost}/{queue}"]["put"]["operationId"],
        "put_queues_vhost_queue"
    );
    let schema = &document["paths"]["/api/queues/{vhost}/{queue}"]["get"]["responses"]["200"]["content"]["application/json"]
        ["schema"];
    assert_eq!(schema["$ref"], "#/components/schemas/Queue");
    let ids: Vec<&Value> = document["paths"]
        .as_object()
        .expect("paths")
        .values()
        .flat_map(|path| path.as_object().expect("operations").values())
        .filter_map(|operation| operation.get("operationId"))
        .collect();
    let different: std::collections::HashSet<_> = ids.iter().map(ToString::to_string).collect();
    assert_eq!(ids.len(), different.len(), "each operation has an id of its own");
    let page = server.get("/api/", "").await;
    assert!(
        page.text.contains("/api/queues/{vhost}/{queue}") && page.head.contains("text/html"),
        "{}",
        page.head
    );
}
