//! Policies, parameters and limits over HTTP.

use super::*;

fn short() -> Value {
    json!({"pattern": "^short", "definition": {"max-length": 3, "alternate-exchange": "ae"}, "priority": 4})
}

#[tokio::test]
async fn a_policy_is_put_shown_in_effect_and_deleted() {
    let server = Server::start().await;
    server.put("/api/queues/dev/short.q", "root", json!({"durable": true})).await.is(201);
    server.put("/api/exchanges/dev/short.x", "root", json!({"durable": true})).await.is(201);
    server.put("/api/policies/dev/p", "rules", short()).await.is(201);
    server.put("/api/policies/dev/p", "rules", short()).await.is(204);
    let operator = json!({"pattern": "^short", "apply-to": "queues", "definition": {"max-length": 2}});
    server.put("/api/operator-policies/dev/o", "root", operator).await.is(201);

    let expected = json!({"vhost": "dev", "name": "p", "pattern": "^short", "apply-to": "all", "priority": 4,
        "definition": {"max-length": 3, "alternate-exchange": "ae"}});
    assert_eq!(server.get("/api/policies/dev/p", "rules").await.json, expected);
    assert_eq!(server.get("/api/policies", "rules").await.json, json!([expected]));
    assert_eq!(server.names("/api/operator-policies/dev", "root").await, ["o"]);
    assert_eq!(server.get("/api/policies/%2F", "root").await.json, json!([]));

    let queue = server.get("/api/queues/dev/short.q", "root").await.json;
    assert_eq!((&queue["policy"], &queue["operator_policy"]), (&json!("p"), &json!("o")));
    assert_eq!(queue["effective_policy_definition"], json!({"max-length": 2, "alternate-exchange": "ae"}));
    assert_eq!(server.get("/api/exchanges/dev/short.x", "root").await.json["policy"], "p");

    server.delete("/api/operator-policies/dev/o", "root").await.is(204);
    server.delete("/api/policies/dev/p", "rules").await.is(204);
    server.delete("/api/policies/dev/p", "rules").await.is(404);
    server.get("/api/policies/dev/p", "root").await.is(404);
    let queue = server.get("/api/queues/dev/short.q", "root").await.json;
    assert_eq!((queue.get("policy"), &queue["effective_policy_definition"]), (None, &json!({})));
}

#[tokio::test]
async fn only_policymakers_set_policies_and_only_administrators_set_those_of_operators() {
    let server = Server::start().await;
    let refused = "User not authorised to access object";
    for user in ["dev", "eye"] {
        server.put("/api/policies/dev/p", user, short()).await.refused(401, "not_authorised", refused);
    }
    server.put("/api/policies/%2F/p", "rules", short()).await.refused(401, "not_authorised", refused);
    server.put("/api/policies/none/p", "root", short()).await.is(404);
    server.put("/api/operator-policies/dev/o", "rules", short()).await.is(401);
    let limits = json!({"value": {"max-queues": 1}});
    server.put("/api/parameters/vhost-limits/dev/limits", "rules", limits).await.is(401);
}

#[tokio::test]
async fn a_policy_that_is_not_valid_is_refused_with_all_that_is_wrong() {
    let server = Server::start().await;
    let check = async |body: Value, reason: &str| {
        server.put("/api/policies/dev/p", "root", body).await.refused(400, "bad_request", reason);
    };
    check(json!({}), "[{key_missing,pattern},{key_missing,definition}]").await;
    check(
        json!({"pattern": "", "definition": {"message-ttl": "1"}, "priority": "x"}),
        "Validation failed\n\n<<\"1\">> is not a valid message TTL\npriority should be a number, actually was \
         <<\"x\">>\n",
    )
    .await;
    check(
        json!({"pattern": "", "definition": {"unknown": 1}}),
        "Validation failed\n\n[{<<\"unknown\">>,1}] are not recognised policy settings\n",
    )
    .await;
    assert_eq!(server.get("/api/policies", "root").await.json, json!([]));
}

#[tokio::test]
async fn a_preview_says_what_would_be_in_effect_and_changes_nothing() {
    let server = Server::start().await;
    server.put("/api/queues/dev/short.a", "root", json!({})).await.is(201);
    server.put("/api/queues/dev/short.b", "root", json!({})).await.is(201);
    let strong = json!({"pattern": "b$", "definition": {"expires": 60000}, "priority": 9});
    server.put("/api/policies/dev/strong", "root", strong).await.is(201);
    let answer = server.post("/api/policies/dev/preview", "dev", short()).await;
    let definition = json!({"max-length": 3, "alternate-exchange": "ae"});
    let expected = json!({"matches": [
        {"name": "short.a", "kind": "queue", "wins": true, "effective": definition},
        {"name": "short.b", "kind": "queue", "current": "strong", "wins": false, "effective": {"expires": 60000}},
    ]});
    assert_eq!((answer.status, answer.json), (200, expected));
    let edited = json!({"name": "strong", "pattern": "b$", "definition": {"expires": 1}, "priority": 9});
    let answer = server.post("/api/policies/dev/preview", "root", edited).await;
    let expected = json!({"matches": [
        {"name": "short.b", "kind": "queue", "current": "strong", "wins": true, "effective": {"expires": 1}},
    ]});
    assert_eq!(answer.json, expected);
    server.post("/api/policies/dev/preview", "root", json!({"pattern": "("})).await.is(400);
    server.post("/api/policies/dev/other", "root", short()).await.is(405);
    assert_eq!(server.names("/api/policies", "root").await, ["strong"]);
}

#[tokio::test]
async fn parameters_are_set_listed_and_taken_away() {
    let server = Server::start().await;
    let value = json!({"value": {"src-uri": "amqp://", "src-queue": "q"}});
    server.put("/api/parameters/shovel/dev/move", "rules", value.clone()).await.is(201);
    server.put("/api/parameters/shovel/dev/move", "rules", value.clone()).await.is(204);
    server
        .put("/api/parameters/vhost-limits/dev/limits", "root", json!({"value": {"max-queues": 7}}))
        .await
        .is(201);
    let operator = json!({"value": {"pattern": "", "definition": {"expires": 9}}});
    server.put("/api/parameters/operator_policy/dev/o", "root", operator).await.is(201);
    let expected = json!({"vhost": "dev", "component": "shovel", "name": "move", "value": value["value"]});
    assert_eq!(server.get("/api/parameters/shovel/dev/move", "rules").await.json, expected);
    assert_eq!(server.get("/api/parameters/shovel/dev", "rules").await.json, json!([expected]));
    assert_eq!(server.names("/api/parameters", "root").await, ["limits", "move", "o"]);
    assert_eq!(
        server.get("/api/vhost-limits", "root").await.json,
        json!([{"vhost": "dev", "value": {"max-queues": 7}}])
    );
    server.delete("/api/parameters/shovel/dev/move", "rules").await.is(204);
    server.delete("/api/parameters/shovel/dev/move", "rules").await.is(404);
    server.delete("/api/parameters/vhost-limits/dev/limits", "root").await.is(204);
    server.delete("/api/parameters/operator_policy/dev/o", "root").await.is(204);
    assert_eq!(server.get("/api/parameters", "root").await.json, json!([]));

    let refused = "Validation failed\n\ncomponent nothing not found\n";
    server.put("/api/parameters/nothing/dev/n", "root", value.clone()).await.refused(
        400,
        "bad_request",
        refused,
    );
    let refused = "policies may not be set using this method";
    server.put("/api/parameters/policy/dev/n", "root", value).await.refused(400, "bad_request", refused);
    server.put("/api/parameters/shovel/dev/n", "root", json!({})).await.is(400);

    server.put("/api/global-parameters/mqtt_port_to_vhost", "root", json!({"value": [1, "x"]})).await.is(201);
    let expected = json!({"name": "mqtt_port_to_vhost", "value": [1, "x"]});
    assert_eq!(server.get("/api/global-parameters/mqtt_port_to_vhost", "rules").await.json, expected);
    assert_eq!(server.get("/api/global-parameters", "rules").await.json, json!([expected]));
    server.delete("/api/global-parameters/mqtt_port_to_vhost", "root").await.is(204);
    server.delete("/api/global-parameters/mqtt_port_to_vhost", "root").await.is(404);
}

#[tokio::test]
async fn limits_are_set_in_force_and_lifted() {
    let server = Server::start().await;
    server.put("/api/vhost-limits/dev/max-queues", "root", json!({"value": 1})).await.is(204);
    server.put("/api/queues/dev/a", "root", json!({})).await.is(201);
    let answer = server.put("/api/queues/dev/b", "root", json!({})).await;
    let reason = "cannot declare queue 'b': queue limit in vhost 'dev' (1) is reached";
    answer.refused(400, "bad_request", reason);
    let expected = json!([{"vhost": "dev", "value": {"max-queues": 1}}]);
    assert_eq!(server.get("/api/vhost-limits/dev", "dev").await.json, expected);
    server.delete("/api/vhost-limits/dev/max-queues", "root").await.is(204);
    assert_eq!(server.get("/api/vhost-limits", "root").await.json, json!([]));
    server.put("/api/queues/dev/b", "root", json!({})).await.is(201);

    let reason = "Validation failed\n\nUnrecognised terms [{<<\"max-things\">>,1}] in limits\n";
    let answer = server.put("/api/vhost-limits/dev/max-things", "root", json!({"value": 1})).await;
    answer.refused(400, "bad_request", reason);
    server.put("/api/vhost-limits/none/max-queues", "root", json!({"value": 1})).await.is(404);
    server.put("/api/vhost-limits/dev/max-queues", "rules", json!({"value": 1})).await.is(401);

    server.put("/api/user-limits/dev/max-channels", "root", json!({"value": 2})).await.is(204);
    let expected = json!([{"user": "dev", "value": {"max-channels": 2}}]);
    for user in ["root", "dev"] {
        assert_eq!(server.get("/api/user-limits", user).await.json, expected);
        assert_eq!(server.get("/api/user-limits/dev", user).await.json, expected);
    }
    assert_eq!(server.get("/api/user-limits", "rules").await.json, json!([]));
    server.get("/api/user-limits/dev", "rules").await.is(401);
    server.put("/api/user-limits/dev/max-channels", "root", json!({"value": -1})).await.is(204);
    assert_eq!(server.get("/api/user-limits", "root").await.json, json!([]));
    server.put("/api/user-limits/none/max-channels", "root", json!({"value": 1})).await.is(404);
    server.put("/api/user-limits/dev/max-queues", "root", json!({"value": 1})).await.is(400);
}

#[tokio::test]
async fn a_deleted_vhost_takes_its_policies_parameters_and_limits_along() {
    let server = Server::start().await;
    server.put("/api/policies/dev/p", "root", short()).await.is(201);
    server.put("/api/parameters/shovel/dev/s", "root", json!({"value": 1})).await.is(201);
    server.put("/api/vhost-limits/dev/max-queues", "root", json!({"value": 1})).await.is(204);
    server.delete("/api/vhosts/dev", "root").await.is(204);
    server.put("/api/vhosts/dev", "root", json!({})).await.is(201);
    for path in ["/api/policies", "/api/parameters", "/api/vhost-limits"] {
        assert_eq!(server.get(path, "root").await.json, json!([]), "{path}");
    }
}
