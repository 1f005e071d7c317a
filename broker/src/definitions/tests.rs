use leveret_protocol::admin::definitions::Definitions;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::broker::Running;
use crate::config::{Config, SyncPolicy};

fn config(directory: &TempDir) -> Config {
    let mut config = Config { data_dir: directory.path().join("data"), ..Config::default() };
    config.amqp.listen = Vec::new();
    config.admin.listen = Vec::new();
    config.store.sync = SyncPolicy::Never;
    config
}

async fn start() -> (Running, TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let running = Broker::start(config(&directory)).await.expect("starts");
    (running, directory)
}

fn parse(json: Value) -> Definitions {
    serde_json::from_value(json).expect("definitions")
}

fn import(running: &Running, json: Value) -> Result<(), ImportError> {
    let broker = running.broker();
    Plan::new(broker, parse(json), None)?.carry_out(broker, "root").expect("was checked");
    Ok(())
}

fn rabbitmqs() -> Value {
    let text = include_str!("../../../tests/fixtures/rabbitmq-3.10-definitions.json");
    serde_json::from_str(text).expect("JSON")
}

/// The same with an object of every kind that there is, with everything that it can have.
fn rabbitmqs_everything() -> Value {
    let text = include_str!("../../../tests/fixtures/rabbitmq-3.10-everything.json");
    serde_json::from_str(text).expect("JSON")
}

/// The objects of one kind, in order, as RabbitMQ writes them.
fn sorted(definitions: &Value, kind: &str, fields: &[&str]) -> Vec<String> {
    let objects = definitions[kind].as_array().unwrap_or_else(|| panic!("no {kind} in {definitions:#}"));
    let kept = |object: &Value| {
        let mut object = object.clone();
        if object["component"] == "vhost-limits"
            && let Some(limits) = object["value"].as_object_mut()
        {
            // A limit below zero is none. RabbitMQ keeps it in the file.
            limits.retain(|_, limit| limit.as_i64().is_none_or(|limit| limit >= 0));
        }
        let fields = fields.iter().map(|field| ((*field).to_owned(), object[field].clone()));
        Value::Object(fields.collect()).to_string()
    };
    let mut objects: Vec<String> = objects.iter().map(kept).collect();
    objects.sort();
    objects
}

#[tokio::test]
async fn what_rabbitmq_exported_comes_out_as_it_went_in() {
    for defined in [rabbitmqs(), rabbitmqs_everything()] {
        goes_in_and_comes_out(defined).await;
    }
}

async fn goes_in_and_comes_out(defined: Value) {
    let (running, directory) = start().await;
    import(&running, defined.clone()).expect("importable");
    let exported = json!(export(running.broker()));
    for (kind, fields) in [
        ("users", &["name", "password_hash", "hashing_algorithm", "tags", "limits"][..]),
        ("vhosts", &["name"]),
        ("permissions", &["user", "vhost", "configure", "write", "read"]),
        ("topic_permissions", &["user", "vhost", "exchange", "write", "read"]),
        ("parameters", &["vhost", "component", "name", "value"]),
        ("global_parameters", &["name", "value"]),
        ("policies", &["vhost", "name", "pattern", "apply-to", "priority", "definition"]),
        ("queues", &["name", "vhost", "durable", "auto_delete", "arguments"]),
        ("exchanges", &["name", "vhost", "type", "durable", "auto_delete", "internal", "arguments"]),
        ("bindings", &["source", "vhost", "destination", "destination_type", "routing_key", "arguments"]),
    ] {
        assert_eq!(sorted(&exported, kind, fields), sorted(&defined, kind, fields), "{kind}");
    }
    // Importing it again changes nothing.
    let plan = Plan::new(running.broker(), parse(exported.clone()), None).expect("importable");
    let differences = plan.differences();
    assert_eq!((differences.added.len(), differences.changed.len()), (0, 0), "{differences:?}");
    assert!(differences.conflicting.is_empty(), "{differences:?}");
    // Neither does a start, but for what is not durable.
    running.stop().await.expect("stops");
    let running = Broker::start(config(&directory)).await.expect("starts");
    let again = json!(export(running.broker()));
    for kind in
        ["users", "vhosts", "permissions", "topic_permissions", "parameters", "global_parameters", "policies"]
    {
        assert_eq!(again[kind], exported[kind], "{kind}");
    }
    running.stop().await.expect("stops");
}

#[tokio::test]
async fn a_plan_tells_what_would_be_added_changed_and_in_the_way() {
    let (running, _directory) = start().await;
    let queue = |name: &str, durable: bool| json!({"name": name, "vhost": "/", "durable": durable, "auto_delete": false, "arguments": {}});
    let before = json!({"queues": [queue("same", true), queue("other", true)],
        "users": [{"name": "ada", "password_hash": "", "tags": "management"}]});
    import(&running, before).expect("importable");
    let next = json!({
        "queues": [queue("same", true), queue("other", false), queue("new", true)],
        "users": [{"name": "ada", "password_hash": "", "tags": "monitoring"}, {"name": "bob", "tags": []}],
        "vhosts": [{"name": "/"}, {"name": "eu"}],
        "permissions": [{"user": "bob", "vhost": "eu", "configure": "", "write": "", "read": ""}],
        "bindings": [{"source": "amq.topic", "vhost": "/", "destination": "new", "destination_type": "queue",
                      "routing_key": "k", "arguments": {}}],
        "exchanges": [{"name": "amq.topic", "vhost": "/", "type": "topic", "durable": true}],
    });
    let plan = Plan::new(running.broker(), parse(next.clone()), None).expect("importable");
    let names = |objects: &[leveret_protocol::admin::definitions::DefinedObject]| {
        objects.iter().map(|object| format!("{} {}", object.kind, object.name)).collect::<Vec<_>>().join(", ")
    };
    let differences = plan.differences();
    let added = "vhost eu, user bob, permission bob, queue new, binding amq.topic -> new (k)";
    assert_eq!(names(&differences.added), added);
    assert_eq!(names(&differences.changed), "user ada");
    assert_eq!(names(&differences.conflicting), "queue other");
    assert_eq!(differences.unchanged, 3);
    import(&running, next).expect("importable");
    let exported = export(running.broker());
    let other = exported.queues.iter().find(|queue| queue.name == "other").expect("still there");
    assert!(other.durable, "what is in the way stays as it is");
}

#[tokio::test]
async fn nothing_is_imported_when_something_is_wrong() {
    let (running, _directory) = start().await;
    let good = json!({"name": "good", "vhost": "/", "durable": true, "arguments": {}});
    for (wrong, error) in [
        (json!({"queues": [{"name": "q", "vhost": "none"}]}), "queue 'q': no_such_vhost: none"),
        (
            json!({"queues": [{"name": "q", "vhost": "/", "arguments": {"x-max-length": "many"}}]}),
            "queue 'q': invalid arg 'x-max-length'",
        ),
        (
            json!({"exchanges": [{"name": "x", "vhost": "/", "type": "wood"}]}),
            "exchange 'x': unknown exchange type",
        ),
        (
            json!({"bindings": [{"source": "x", "vhost": "/", "destination": "q", "destination_type": "queue"}]}),
            "binding 'x -> q ()': no exchange 'x' in vhost '/'",
        ),
        (json!({"users": [{"name": "u"}]}), "user 'u': tags_not_present"),
        (
            json!({"users": [{"name": "u", "tags": "", "password_hash": "x"}]}),
            "user 'u': password_hash must be",
        ),
        (
            json!({"permissions": [{"user": "u", "vhost": "/", "configure": "", "write": "", "read": ""}]}),
            "permission 'u': user 'u' does not exist",
        ),
        (
            json!({"policies": [{"vhost": "/", "name": "p", "pattern": "(", "definition": {"max-length": 1}}]}),
            "policy 'p': Validation failed",
        ),
        (
            json!({"parameters": [{"vhost": "/", "component": "none", "name": "p", "value": 1}]}),
            "parameter 'p': Validation failed",
        ),
        (json!({"vhosts": [{"name": "v", "default_queue_type": "wood"}]}), "vhost 'v': Unsupported default"),
    ] {
        let mut definitions = wrong.clone();
        let mut queues = vec![good.clone()];
        queues.extend(wrong["queues"].as_array().cloned().unwrap_or_default());
        definitions["queues"] = queues.into();
        let refused = import(&running, definitions).expect_err(error).to_string();
        assert!(refused.starts_with(error), "{refused}");
        assert!(export(running.broker()).queues.is_empty(), "{error}");
    }
}

#[tokio::test]
async fn definitions_of_one_vhost_go_into_another() {
    let (running, _directory) = start().await;
    import(&running, rabbitmqs()).expect("importable");
    let broker = running.broker();
    let eu = export_vhost(broker, &broker.vhost("eu").expect("imported"));
    assert!(json!(eu)["queues"][0].get("vhost").is_none());
    broker.put_vhost(leveret_core::vhosts::Vhost::new("us")).expect("valid");
    let plan = Plan::new(broker, eu.clone(), Some("us")).expect("importable");
    plan.carry_out(broker, "root").expect("was checked");
    let mut us = export_vhost(broker, &broker.vhost("us").expect("made"));
    us.parameters.iter_mut().for_each(|parameter| parameter.vhost = "eu".to_owned());
    us.policies.iter_mut().for_each(|policy| policy.vhost = "eu".to_owned());
    assert_eq!(us, eu);
}

#[tokio::test]
async fn an_import_that_a_crash_interrupted_is_completed_by_the_next_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let running = Broker::start(config(&directory)).await.expect("starts");
    let broker = running.broker();
    let defined = json!({
        "vhosts": [{"name": "eu"}],
        "users": [{"name": "ada", "password": "never written down", "tags": "monitoring"}],
        "permissions": [{"user": "ada", "vhost": "eu", "configure": "^a", "write": "", "read": ""}],
        "queues": [{"name": "q", "vhost": "eu", "durable": true}],
        "policies": [{"vhost": "eu", "name": "p", "pattern": ".*", "definition": {"max-length": 1}}],
    });
    let plan = Plan::new(broker, parse(defined), None).expect("importable");
    let text = format!("{:?}", plan.record());
    assert!(!text.contains("never written down"), "{text}");
    // As if it had come no further than its first steps.
    broker.write_records(vec![plan.record().clone()]);
    broker.put_vhost(leveret_core::vhosts::Vhost::new("eu")).expect("valid");
    running.stop().await.expect("stops");

    let running = Broker::start(config(&directory)).await.expect("starts");
    let exported = export(running.broker());
    assert!(exported.users.iter().any(|user| user.name == "ada" && user.password_hash.is_some()));
    assert_eq!((exported.queues.len(), exported.policies.len()), (1, 1));
    running.broker().change_users(|users| users.delete_user("ada")).expect("there");
    running.stop().await.expect("stops");
    let running = Broker::start(config(&directory)).await.expect("starts");
    assert!(!export(running.broker()).users.iter().any(|user| user.name == "ada"), "it is done once");
    running.stop().await.expect("stops");
}

#[tokio::test]
async fn a_broker_starts_as_its_file_says() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("definitions.json");
    std::fs::write(&file, rabbitmqs().to_string()).expect("writes");
    let config = Config { load_definitions: Some(file.clone()), ..config(&directory) };
    let running = Broker::start(config.clone()).await.expect("starts");
    assert!(running.broker().vhost("eu").is_some_and(|vhost| vhost.queue("q1", scratch::NOBODY).is_ok()));
    let guest = running.broker().users().read().user("guest").cloned().expect("imported");
    assert_eq!(guest.password().algorithm().name(), "rabbit_password_hashing_sha256", "no default user");
    running.stop().await.expect("stops");
    std::fs::write(&file, "{\"users\": [{\"name\": \"u\"}]}").expect("writes");
    let error = Broker::start(config).await.err().expect("refused");
    let error = format!("{error:#}");
    assert!(
        error.contains("load_definitions: cannot import") && error.contains("tags_not_present"),
        "{error}"
    );
}
