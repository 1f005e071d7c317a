//! `rabbitmq_http_client`, the client library under rabbitmqadmin v2, against the real broker: every kind of answer that it
//! reads. It is strict where others are not, so a field that is missing or of another type fails here.

use std::time::{Duration, Instant};

use leveret_protocol::method::Method;
use leveret_protocol::table::RawTable;
use leveret_tests::{Content, RawClient, TestBroker};
use rabbitmq_http_client::api::{Client, ClientBuilder};
use rabbitmq_http_client::commons::{
    BindingDestinationType, ExchangeType, PaginationParams, PolicyTarget, QueueType, SupportedProtocol,
    UserLimitTarget, VirtualHostLimitTarget,
};
use rabbitmq_http_client::error::Error;
use rabbitmq_http_client::password_hashing;
use rabbitmq_http_client::requests::{
    BindingDeletionParams, EnforcedLimitParams, ExchangeParams, GlobalRuntimeParameterDefinition,
    Permissions, PolicyDefinitionBuilder, PolicyParams, QueueParams, RuntimeParameterDefinition,
    StreamParams, TopicPermissions, UserParams, VirtualHostParams, XArgumentsBuilder,
};
use rabbitmq_http_client::responses::{HealthCheckFailureDetails, ReachabilityProbeOutcome};
use serde_json::{Map, Value, json};

type Api = Client<String, &'static str, &'static str>;

/// A broker, and the library's client of it.
fn with_api() -> (TestBroker, Api) {
    let broker = TestBroker::start();
    let api = api_of(&broker, "guest", "guest");
    (broker, api)
}

fn api_of(broker: &TestBroker, user: &'static str, password: &'static str) -> Api {
    // Whoever comes first; the others find it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    ClientBuilder::new()
        .with_endpoint(format!("http://{}/api", broker.admin()))
        .with_basic_auth_credentials(user, password)
        .with_recommended_defaults()
        .build()
        .expect("a valid endpoint")
}

/// Asks until there is an answer.
async fn eventually<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "there is no answer");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("no object: {other}"),
    }
}

/// What a request that was refused says.
#[track_caller]
fn refused<T>(answer: Result<T, rabbitmq_http_client::api::HttpClientError>) -> (u16, String) {
    match answer {
        Err(Error::ClientErrorResponse { status_code, error_details: Some(details), .. }) => {
            (status_code.as_u16(), details.reason.unwrap_or_default())
        }
        Err(Error::NotFound) => (404, String::new()),
        Err(other) => panic!("another failure: {other:?}"),
        Ok(_) => panic!("it was not refused"),
    }
}

#[tokio::test]
async fn the_broker_and_its_node_are_described() {
    let (broker, api) = with_api();
    let overview = api.overview().await.expect("an overview");
    assert_eq!(overview.product_name, "Leveret");
    assert_eq!(overview.listeners.len(), 2);
    assert!(overview.object_totals.exchanges > 0);
    assert_eq!(api.server_version().await.expect("a version"), overview.rabbitmq_version);

    let nodes = api.list_nodes().await.expect("nodes");
    let node = api.get_node_info(&nodes[0].name).await.expect("the node");
    assert_eq!((node.os_pid, &node.name), (broker.pid(), &overview.node));
    assert!(node.memory_high_watermark > 0 && node.processors > 0 && !node.has_memory_alarm_in_effect);
    let memory = api.get_node_memory_footprint(&node.name).await.expect("its memory");
    assert!(memory.breakdown.expect("all of it is told").total.rss > 0);
    api.list_node_plugins(&node.name).await.expect("plugins of the node");
    api.list_all_cluster_plugins().await.expect("plugins");

    api.set_cluster_name("hares").await.expect("renamed");
    assert_eq!(api.get_cluster_name().await.expect("a name").name, "hares");
    api.set_cluster_tags(object(json!({"region": "eu"}))).await.expect("tagged");
    assert_eq!(api.get_cluster_tags().await.expect("tags").0, object(json!({"region": "eu"})));
    assert_eq!(api.overview().await.expect("tagged").cluster_tags.expect("told").0["region"], "eu");
    api.clear_cluster_tags().await.expect("cleared");

    let logins = api.auth_attempts_statistics(&node.name).await.expect("logins");
    let http = logins.iter().find(|logins| logins.protocol == SupportedProtocol::HTTP).expect("counted");
    assert!(http.success_count > 0 && http.all_attempt_count >= http.success_count);
    let flags = api.list_feature_flags().await.expect("feature flags");
    api.enable_feature_flag(&flags.0[0].name).await.expect("it is enabled");
    api.enable_all_stable_feature_flags().await.expect("all are enabled");
    api.list_all_deprecated_features().await.expect("deprecated features");
    assert!(api.list_deprecated_features_in_use().await.expect("those in use").0.is_empty());
    api.rebalance_queue_leaders().await.expect("nothing to do");
}

#[tokio::test]
async fn logins_are_probed() {
    let (broker, api) = with_api();
    match api.probe_reachability().await {
        ReachabilityProbeOutcome::Reached(details) => assert_eq!(details.current_user.name, "guest"),
        ReachabilityProbeOutcome::Unreachable(error) => panic!("{error:?}"),
    }
    match api_of(&broker, "guest", "wrong").probe_reachability().await {
        ReachabilityProbeOutcome::Reached(_) => panic!("with a wrong password"),
        ReachabilityProbeOutcome::Unreachable(error) => assert!(error.is_unauthorized(), "{error:?}"),
    }
}

#[tokio::test]
async fn health_checks_pass_and_say_why_they_fail() {
    let (broker, api) = with_api();
    api.health_check_cluster_wide_alarms().await.expect("no alarms");
    api.health_check_local_alarms().await.expect("no alarms");
    api.health_check_if_node_is_quorum_critical().await.expect("it is not");
    api.health_check_port_listener(broker.amqp().port()).await.expect("it listens");
    api.health_check_protocol_listener(SupportedProtocol::AMQP).await.expect("it is spoken");
    match api.health_check_port_listener(1).await {
        Err(Error::HealthCheckFailed {
            details: HealthCheckFailureDetails::NoActivePortListener(found),
            ..
        }) => assert_eq!(found.inactive_port, 1),
        other => panic!("{other:?}"),
    }
    match api.health_check_protocol_listener(SupportedProtocol::MQTT).await {
        Err(Error::HealthCheckFailed { details, .. }) => assert!(
            matches!(
                details,
                HealthCheckFailureDetails::NoActiveProtocolListener(_)
                    | HealthCheckFailureDetails::NoActiveProtocolListeners(_)
            ),
            "{details:?}"
        ),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn alarms_are_told_with_their_resource() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("leveret.toml");
    // More than any disk has.
    std::fs::write(&file, "[disk]\nfree_limit_bytes = 9000000000000000000\n").expect("writes");
    let broker = TestBroker::start_with(&["--config", file.to_str().expect("a plain path")]);
    let api = api_of(&broker, "guest", "guest");
    match eventually(async || api.health_check_local_alarms().await.err()).await {
        Error::HealthCheckFailed { details: HealthCheckFailureDetails::AlarmCheck(found), .. } => {
            assert_eq!(found.alarms[0].resource, "disk");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn vhosts_users_and_what_they_may() {
    let (_broker, api) = with_api();
    let vhost = VirtualHostParams::named("eu")
        .with_description("Europe")
        .with_tags(vec!["prod"])
        .with_default_queue_type(QueueType::Quorum);
    api.create_vhost(&vhost).await.expect("made");
    api.update_vhost(&vhost).await.expect("as it was");
    let eu = api.get_vhost("eu").await.expect("there");
    assert_eq!(
        (eu.description.as_deref(), eu.default_queue_type.as_deref()),
        (Some("Europe"), Some("quorum"))
    );
    assert_eq!(api.list_vhosts().await.expect("vhosts").len(), 2);
    assert_eq!(api.list_vhosts_paged(&PaginationParams::new(1, 1)).await.expect("a page").len(), 1);
    api.enable_vhost_deletion_protection("eu").await.expect("protected");
    assert_eq!(api.get_vhost("eu").await.expect("there").protected_from_deletion, Some(true));
    assert_eq!(refused(api.delete_vhost("eu", false).await).0, 412);
    api.disable_vhost_deletion_protection("eu").await.expect("not protected");

    let salt = password_hashing::salt();
    let hash = password_hashing::base64_encoded_salted_password_hash_sha256(&salt, "secret");
    api.create_user(&UserParams::monitoring("ada", &hash)).await.expect("made");
    api.create_user(&UserParams::without_tags("bob", &hash)).await.expect("made");
    assert_eq!(api.get_user("ada").await.expect("there").tags.0, ["monitoring"]);
    assert_eq!(api.list_users().await.expect("users").len(), 3);
    assert_eq!(api.list_users_without_permissions().await.expect("two of them").len(), 2);
    assert_eq!(api.current_user().await.expect("it is me").name, "guest");

    let rights = Permissions { user: "ada", vhost: "eu", configure: "^a", read: ".*", write: "" };
    api.declare_permissions(&rights).await.expect("granted");
    api.grant_permissions(&rights).await.expect("granted again");
    assert_eq!(api.get_permissions("eu", "ada").await.expect("there").configure, "^a");
    // Whoever makes a vhost may do everything there: guest is in both.
    assert_eq!(api.list_permissions().await.expect("permissions").len(), 3);
    assert_eq!(api.list_permissions_in("eu").await.expect("of the vhost").len(), 2);
    assert_eq!(api.list_permissions_of("ada").await.expect("of the user").len(), 1);
    api.grant_full_permissions("bob", "eu").await.expect("granted");
    let topics =
        TopicPermissions { user: "ada", vhost: "eu", exchange: "amq.topic", write: "^w", read: "^r" };
    api.declare_topic_permissions(&topics).await.expect("granted");
    assert_eq!(api.list_topic_permissions().await.expect("all").len(), 1);
    assert_eq!(api.list_topic_permissions_in("eu").await.expect("of the vhost")[0].exchange, "amq.topic");
    assert_eq!(api.list_topic_permissions_of("ada").await.expect("of the user")[0].write, "^w");
    api.clear_topic_permissions("eu", "ada", false).await.expect("taken away");
    api.clear_permissions("eu", "ada", false).await.expect("taken away");
    assert_eq!(refused(api.get_permissions("eu", "ada").await).0, 404);

    let limit = EnforcedLimitParams::new(UserLimitTarget::MaxChannels, 7);
    api.set_user_limit("ada", limit).await.expect("limited");
    assert_eq!(api.list_all_user_limits().await.expect("limits")[0].limits["max-channels"], 7);
    assert_eq!(api.list_user_limits("ada").await.expect("limits")[0].username, "ada");
    api.clear_user_limit("ada", UserLimitTarget::MaxChannels).await.expect("unlimited");
    let limit = EnforcedLimitParams::new(VirtualHostLimitTarget::MaxQueues, 9);
    api.set_vhost_limit("eu", limit).await.expect("limited");
    assert_eq!(api.list_all_vhost_limits().await.expect("limits")[0].limits["max-queues"], 9);
    assert_eq!(api.list_vhost_limits("eu").await.expect("limits")[0].vhost, "eu");
    api.clear_vhost_limit("eu", VirtualHostLimitTarget::MaxQueues).await.expect("unlimited");

    api.delete_user("ada", false).await.expect("gone");
    api.delete_user("ada", true).await.expect("is gone");
    api.delete_users(vec!["bob"]).await.expect("gone");
    api.delete_vhost("eu", false).await.expect("gone");
    assert_eq!(refused(api.get_vhost("eu").await).0, 404);
}

#[tokio::test]
async fn queues_exchanges_and_bindings() {
    let (_broker, api) = with_api();
    let arguments = XArgumentsBuilder::new().max_length(10).build();
    api.declare_queue("/", &QueueParams::new_durable_classic_queue("c", arguments)).await.expect("made");
    api.declare_classic_queue("/", "d").await.expect("made");
    api.declare_quorum_queue("/", "a/ü q").await.expect("made");
    let stream = StreamParams::with_expiration_and_length_limit("s", "1h", 1_000_000);
    let has_streams = api.declare_stream("/", &stream).await.is_ok();
    let queues = api.list_queues().await.expect("queues");
    assert_eq!(queues.len(), 3 + usize::from(has_streams));
    assert_eq!(api.list_queues_in("/").await.expect("of the vhost").len(), queues.len());
    let details = api.list_queues_with_details().await.expect("in detail");
    assert_eq!(details.len(), queues.len());
    let quorum = api.get_queue_info("/", "a/ü q").await.expect("there");
    assert_eq!((quorum.queue_type.as_str(), quorum.durable), ("quorum", true));
    assert_eq!(api.list_quorum_queues().await.expect("those").len(), 1);
    assert_eq!(api.list_quorum_queues_in("/").await.expect("those").len(), 1);
    assert_eq!(api.list_classic_queues().await.expect("those").len(), 2);
    assert_eq!(api.list_classic_queues_in("/").await.expect("those").len(), 2);
    assert_eq!(api.list_streams().await.expect("those").len(), usize::from(has_streams));
    api.list_streams_in("/").await.expect("those");
    let pages = [PaginationParams::new(1, 2), PaginationParams::new(2, 2)];
    for page in &pages {
        assert!(!api.list_queues_paged(page).await.expect("a page").is_empty());
        assert!(!api.list_queues_in_paged("/", page).await.expect("a page").is_empty());
        assert_eq!(api.list_exchanges_paged(page).await.expect("a page").len(), 2);
        assert_eq!(api.list_exchanges_in_paged("/", page).await.expect("a page").len(), 2);
    }

    for kind in [
        ExchangeType::Direct,
        ExchangeType::Fanout,
        ExchangeType::Headers,
        ExchangeType::Topic,
        ExchangeType::ConsistentHashing,
        ExchangeType::ModulusHash,
        ExchangeType::Random,
        ExchangeType::RecentHistory,
    ] {
        let name = format!("x.{}", String::from(kind.clone()));
        api.declare_exchange("/", &ExchangeParams::durable(&name, kind, None)).await.expect(&name);
        assert_eq!(api.get_exchange_info("/", &name).await.expect("there").name, name);
    }
    let alternate = Some(object(json!({"alternate-exchange": "amq.fanout"})));
    api.declare_exchange("/", &ExchangeParams::durable_topic("t", alternate)).await.expect("made");
    let topic = api.get_exchange_info("/", "t").await.expect("there");
    assert_eq!(topic.arguments.0["alternate-exchange"], "amq.fanout");
    assert!(api.list_exchanges().await.expect("exchanges").len() > 9);
    assert!(api.list_exchanges_in("/").await.expect("exchanges").len() > 9);

    api.bind_queue("/", "c", "t", Some("a.#"), None).await.expect("bound");
    api.bind_queue("/", "c", "t", Some("n"), Some(object(json!({"n": 1})))).await.expect("bound");
    api.bind_exchange("/", "x.fanout", "t", Some("#"), None).await.expect("bound");
    assert_eq!(api.list_bindings().await.expect("bindings").len(), queues.len() + 3);
    assert_eq!(api.list_bindings_in("/").await.expect("bindings").len(), queues.len() + 3);
    let to_queue = api.list_queue_bindings("/", "c").await.expect("bindings");
    assert_eq!(to_queue.len(), 3);
    let from = api.list_exchange_bindings_with_source("/", "t").await.expect("bindings");
    assert_eq!(from.len(), 3);
    let to = api.list_exchange_bindings_with_destination("/", "x.fanout").await.expect("bindings");
    assert_eq!((to.len(), to[0].source.as_str()), (1, "t"));
    for binding in &from {
        api.delete_binding(&BindingDeletionParams::from_binding_info(binding), false).await.expect("unbound");
        api.recreate_binding(binding).await.expect("bound again");
    }
    let unbind = BindingDeletionParams {
        virtual_host: "/",
        source: "t",
        destination: "c",
        destination_type: BindingDestinationType::Queue,
        routing_key: "none",
        arguments: None,
    };
    assert_eq!(refused(api.delete_binding(&unbind, false).await).0, 404);

    let (status, reason) =
        refused(api.declare_queue("/", &QueueParams::new_transient_autodelete("c", None)).await);
    assert_eq!(status, 400);
    assert!(reason.starts_with("inequivalent arg 'durable' for queue 'c' in vhost '/'"), "{reason}");
    api.delete_queues("/", &["c", "d"], false).await.expect("gone");
    api.delete_queue("/", "a/ü q", false).await.expect("gone");
    assert_eq!(refused(api.delete_queue("/", "c", false).await).0, 404);
    api.delete_exchanges("/", &["t", "x.fanout"], false).await.expect("gone");
    api.delete_exchange("/", "t", true).await.expect("is gone");
}

#[tokio::test]
async fn messages_go_in_and_come_out() {
    let (_broker, api) = with_api();
    api.declare_classic_queue("/", "q").await.expect("made");
    let properties = object(json!({"delivery_mode": 2, "headers": {"h": [1, "two"]}, "correlation_id": "c"}));
    for payload in ["one", "two"] {
        let routed = api.publish_message("/", "", "q", payload, properties.clone()).await.expect("published");
        assert!(routed.routed);
    }
    let lost = api.publish_message("/", "", "none", "x", Map::new()).await.expect("published");
    assert!(!lost.routed);
    let seen = api.get_messages("/", "q", 10, "ack_requeue_true").await.expect("messages");
    assert_eq!((seen.len(), seen[0].payload.as_str(), seen[0].payload_bytes), (2, "one", 3));
    assert_eq!((seen[0].message_count, seen[0].routing_key.as_str()), (1, "q"));
    let taken = api.get_messages("/", "q", 1, "ack_requeue_false").await.expect("a message");
    assert!(taken[0].redelivered);
    assert_eq!(taken[0].properties.0["headers"], json!({"h": [1, "two"]}));
    api.purge_queue("/", "q").await.expect("emptied");
    assert!(api.get_messages("/", "q", 1, "ack_requeue_false").await.expect("none").is_empty());
}

#[tokio::test]
async fn connections_channels_and_consumers() {
    let (broker, api) = with_api();
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    client.declare_queue("q", true).expect("declares");
    client.consume("q", 5, false).expect("consumes");
    client.publish("", "q", &Content { properties: vec![0, 0], body: b"x".to_vec() }).expect("publishes");
    client.expect(1, |method| matches!(method, Method::BasicDeliver { .. })).expect("a delivery");
    client.content().expect("its content");
    client.select_confirms().expect("confirm mode");

    let connections = api.list_connections().await.expect("connections");
    let name = connections[0].name.clone();
    let connection = api.get_connection_info(&name).await.expect("there");
    assert_eq!((connection.username.as_str(), connection.protocol.as_str()), ("guest", "AMQP 0-9-1"));
    assert!(connection.client_properties.capabilities.expect("told").connection_blocked);
    assert_eq!(api.list_connections_paged(&PaginationParams::new(1, 5)).await.expect("a page").len(), 1);
    assert_eq!(api.list_connections_in("/").await.expect("of the vhost").len(), 1);
    assert_eq!(api.list_user_connections("guest").await.expect("of the user")[0].vhost, "/");

    let channel = eventually(async || {
        let channels = api.list_channels().await.expect("channels");
        channels
            .into_iter()
            .find(|channel| channel.messages_unacknowledged == 1 && channel.has_publisher_confirms_enabled)
    })
    .await;
    assert_eq!((channel.id, channel.consumer_count), (1, 1));
    api.get_channel_info(&channel.name).await.expect("there");
    assert_eq!(api.list_channels_in("/").await.expect("of the vhost").len(), 1);
    assert_eq!(api.list_channels_on(&name).await.expect("of the connection").len(), 1);
    api.list_channels_paged(&PaginationParams::new(1, 5)).await.expect("a page");
    api.list_channels_in_paged("/", &PaginationParams::new(1, 5)).await.expect("a page");
    let consumers = api.list_consumers().await.expect("consumers");
    assert_eq!((consumers[0].consumer_tag.as_str(), consumers[0].prefetch_count), ("c", 5));
    assert!(consumers[0].manual_ack && consumers[0].active);
    assert_eq!(consumers[0].channel_details.as_ref().expect("told").connection_name, name);
    assert_eq!(api.list_consumers_in("/").await.expect("of the vhost").len(), 1);

    api.close_connection(&name, Some("enough"), false).await.expect("closed");
    let closed = client.expect(0, |method| matches!(method, Method::ConnectionClose { .. }));
    closed.expect("the client is told");
    drop(client);
    let mut other = RawClient::open(broker.amqp()).expect("connects");
    api.close_user_connections("guest", None, false).await.expect("closed");
    other.expect(0, |method| matches!(method, Method::ConnectionClose { .. })).expect("the client is told");
    drop(other);
    eventually(async || api.list_connections().await.expect("connections").is_empty().then_some(())).await;
}

#[tokio::test]
async fn policies_and_parameters() {
    let (_broker, api) = with_api();
    let definition = PolicyDefinitionBuilder::new().max_length(5).message_ttl(60_000).build();
    let policy =
        PolicyParams::new("/", "p", "^q", definition.clone()).apply_to(PolicyTarget::Queues).priority(3);
    api.declare_policy(&policy).await.expect("made");
    let other = PolicyParams::new("/", "all", ".*", definition.clone()).apply_to(PolicyTarget::All);
    api.declare_policies(vec![&other]).await.expect("made");
    api.declare_operator_policy(&policy).await.expect("made");
    api.declare_operator_policies(vec![&policy]).await.expect("made again");
    let found = api.get_policy("/", "p").await.expect("there");
    assert_eq!((found.priority, found.apply_to), (3, PolicyTarget::Queues));
    assert_eq!(found.definition.get("max-length"), Some(&json!(5)));
    assert_eq!(api.get_operator_policy("/", "p").await.expect("there").pattern, "^q");
    assert_eq!(api.list_policies().await.expect("policies").len(), 2);
    assert_eq!(api.list_policies_in("/").await.expect("policies").len(), 2);
    assert_eq!(api.list_operator_policies().await.expect("policies").len(), 1);
    assert_eq!(api.list_operator_policies_in("/").await.expect("policies").len(), 1);
    let matching = api.list_matching_policies("/", "q1", PolicyTarget::Queues).await.expect("policies");
    assert_eq!(matching.len(), 2);
    api.list_policies_for_target("/", PolicyTarget::Queues).await.expect("policies");
    api.list_matching_operator_policies("/", "q1", PolicyTarget::Queues).await.expect("policies");
    api.list_operator_policies_for_target("/", PolicyTarget::Queues).await.expect("policies");
    api.declare_classic_queue("/", "q1").await.expect("made");
    let queue = api.get_queue_info("/", "q1").await.expect("there");
    assert_eq!((queue.policy.as_deref(), queue.operator_policy.as_deref()), (Some("p"), Some("p")));
    let effective = queue.effective_policy_definition.expect("told");
    assert_eq!(effective.get("max-length"), Some(&json!(5)));

    let limits = RuntimeParameterDefinition {
        name: "limits",
        vhost: "/",
        component: "vhost-limits",
        value: object(json!({"max-queues": 100})),
    };
    api.upsert_runtime_parameter(&limits).await.expect("set");
    assert_eq!(
        api.list_runtime_parameters().await.expect("parameters").len(),
        2,
        "an operator policy is one"
    );
    let of_component = api.list_runtime_parameters_of_component("vhost-limits").await.expect("parameters");
    assert_eq!(of_component[0].value.0["max-queues"], 100);
    let in_vhost =
        api.list_runtime_parameters_of_component_in("vhost-limits", "/").await.expect("parameters");
    assert_eq!(in_vhost.len(), 1);
    let one = api.get_runtime_parameter("vhost-limits", "/", "limits").await.expect("there");
    assert_eq!(one.component, "vhost-limits");
    let unknown = RuntimeParameterDefinition { component: "wood", ..limits };
    assert_eq!(refused(api.upsert_runtime_parameter(&unknown).await).0, 400);
    api.clear_runtime_parameter("vhost-limits", "/", "limits", false).await.expect("cleared");
    let global = GlobalRuntimeParameterDefinition { name: "g", value: object(json!({"a": [1]})) };
    api.upsert_global_runtime_parameter(&global).await.expect("set");
    assert_eq!(api.get_global_runtime_parameter("g").await.expect("there").value.0, json!({"a": [1]}));
    let globals = api.list_global_runtime_parameters().await.expect("parameters");
    assert!(globals.iter().any(|parameter| parameter.name == "g"));
    api.clear_global_runtime_parameter("g").await.expect("cleared");

    api.delete_operator_policies_in("/", vec!["p"]).await.expect("gone");
    api.delete_operator_policy("/", "p", true).await.expect("is gone");
    api.delete_policies_in("/", vec!["all"]).await.expect("gone");
    api.delete_policy("/", "p", false).await.expect("gone");
    assert!(api.list_policies().await.expect("none").is_empty());
}

#[tokio::test]
async fn definitions_are_exported_and_imported() {
    let (_broker, api) = with_api();
    let text = include_str!("../fixtures/rabbitmq-3.10-definitions.json");
    let definitions: Value = serde_json::from_str(text).expect("JSON");
    api.import_definitions(definitions.clone()).await.expect("imported");
    api.import_cluster_wide_definitions(definitions.clone()).await.expect("imported again");
    let whole = api.export_cluster_wide_definitions_as_data().await.expect("exported");
    assert_eq!(whole.users.len(), definitions["users"].as_array().expect("a list").len());
    assert_eq!(whole.queues.len(), definitions["queues"].as_array().expect("a list").len());
    assert_eq!(whole.bindings.len(), definitions["bindings"].as_array().expect("a list").len());
    let again = api.export_cluster_wide_definitions_as_string().await.expect("exported");
    assert!(again.contains("\"rabbit_version\""));
    let vhost = whole.queues[0].vhost.clone();
    let of_vhost = api.export_vhost_definitions_as_data(&vhost).await.expect("exported");
    assert!(!of_vhost.queues.is_empty());
    let of_vhost = api.export_vhost_definitions(&vhost).await.expect("exported");
    api.create_vhost(&VirtualHostParams::named("copy")).await.expect("made");
    api.import_vhost_definitions("copy", serde_json::from_str(&of_vhost).expect("JSON"))
        .await
        .expect("imported");
    let copied = api.list_queues_in("copy").await.expect("queues");
    assert_eq!(copied.len(), api.list_queues_in(&vhost).await.expect("queues").len());
}

/// What a broker without these plugins has nothing of.
#[tokio::test]
async fn shovels_federation_and_streams_are_empty() {
    let (_broker, api) = with_api();
    assert!(api.list_shovels().await.expect("none").is_empty());
    assert!(api.list_shovels_in("/").await.expect("none").is_empty());
    assert!(api.list_federation_upstreams().await.expect("none").is_empty());
    assert!(api.list_federation_links().await.expect("none").is_empty());
    assert!(api.list_stream_connections().await.expect("none").is_empty());
    assert!(api.list_stream_connections_in("/").await.expect("none").is_empty());
    assert!(api.list_stream_publishers().await.expect("none").is_empty());
    assert!(api.list_stream_publishers_in("/").await.expect("none").is_empty());
    assert!(api.list_stream_consumers().await.expect("none").is_empty());
    assert!(api.list_stream_consumers_in("/").await.expect("none").is_empty());
}

#[tokio::test]
async fn another_connections_queue_is_shown_with_its_owner() {
    let (broker, api) = with_api();
    let mut client = RawClient::open(broker.amqp()).expect("connects");
    let declare = Method::QueueDeclare {
        queue: "mine",
        passive: false,
        durable: false,
        exclusive: true,
        auto_delete: false,
        no_wait: false,
        arguments: RawTable::empty(),
    };
    client.send(1, &declare).expect("sends");
    client.expect(1, |method| matches!(method, Method::QueueDeclareOk { .. })).expect("declares");
    assert!(api.get_queue_info("/", "mine").await.expect("there").exclusive);
    assert_eq!(refused(api.delete_queue("/", "mine", false).await).0, 400);
}
