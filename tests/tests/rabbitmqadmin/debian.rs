//! Version 1, in Python, as Debian has it: people have it in their scripts.
//!
//! It comes with the package rabbitmq-server: without that these tests say so and pass.

use std::path::{Path, PathBuf};
use std::process::Command;

use leveret_protocol::method::Method;
use leveret_tests::{RawClient, TestBroker};
use serde_json::Value;

/// The program, where the package puts it.
fn program() -> Option<PathBuf> {
    let plugins = std::fs::read_dir("/usr/lib/rabbitmq/lib").ok()?.flatten();
    let servers =
        plugins.flat_map(|server| std::fs::read_dir(server.path().join("plugins"))).flatten().flatten();
    let scripts = servers.map(|plugin| plugin.path().join("priv/www/cli/rabbitmqadmin"));
    scripts.into_iter().find(|script| script.is_file())
}

struct Admin<'a> {
    program: PathBuf,
    broker: &'a TestBroker,
    home: tempfile::TempDir,
}

impl Admin<'_> {
    /// What it prints; fails when it does.
    #[track_caller]
    fn run(&self, arguments: &[&str]) -> String {
        let (done, text) = self.try_run(arguments);
        assert!(done, "rabbitmqadmin {}: {text}", arguments.join(" "));
        text
    }

    fn try_run(&self, arguments: &[&str]) -> (bool, String) {
        let port = self.broker.admin().port().to_string();
        let output = Command::new("python3")
            .arg(&self.program)
            .args(["-H", "127.0.0.1", "-P", &port])
            .args(arguments)
            .env("HOME", self.home.path())
            .output()
            .expect("python3 runs");
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    /// The rows of a list.
    #[track_caller]
    fn list(&self, what: &str) -> Vec<Value> {
        let text = self.run(&["-f", "raw_json", "list", what]);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("list {what}: {error} in {text}"))
    }

    #[track_caller]
    fn names(&self, what: &str) -> Vec<String> {
        let rows = self.list(what);
        rows.iter().filter_map(|row| row["name"].as_str().map(str::to_owned)).collect()
    }
}

fn with_admin(test: impl FnOnce(&Admin<'_>)) {
    let Some(program) = program() else {
        eprintln!("rabbitmqadmin is not installed: nothing was tested");
        return;
    };
    let broker = TestBroker::start();
    let home = tempfile::tempdir().expect("a directory");
    test(&Admin { program, broker: &broker, home });
}

#[test]
fn it_declares_lists_and_deletes_everything() {
    with_admin(|admin| {
        admin.run(&["declare", "vhost", "name=eu"]);
        admin.run(&["declare", "user", "name=ada", "password=secret", "tags=monitoring,policymaker"]);
        admin.run(&["declare", "permission", "vhost=eu", "user=ada", "configure=^a", "write=.*", "read=.*"]);
        admin.run(&[
            "declare",
            "exchange",
            "name=x",
            "type=topic",
            "durable=true",
            "arguments={\"alternate-exchange\":\"amq.fanout\"}",
        ]);
        admin.run(&["declare", "exchange", "name=y", "type=fanout", "internal=true"]);
        admin.run(&["declare", "queue", "name=q", "durable=true", "arguments={\"x-max-length\":10}"]);
        admin.run(&["declare", "queue", "name=qq", "queue_type=quorum"]);
        admin.run(&["declare", "binding", "source=x", "destination=q", "routing_key=a.b"]);
        admin.run(&[
            "declare",
            "binding",
            "source=x",
            "destination=q",
            "routing_key=h",
            "arguments={\"n\":1}",
        ]);
        admin.run(&[
            "declare",
            "binding",
            "source=x",
            "destination=y",
            "destination_type=exchange",
            "routing_key=#",
        ]);
        assert_eq!(admin.names("vhosts"), ["/", "eu"]);
        assert_eq!(admin.names("users"), ["ada", "guest"]);
        assert_eq!(admin.names("queues"), ["q", "qq"]);
        assert_eq!(admin.list("permissions").len(), 3);
        assert!(admin.names("exchanges").iter().any(|name| name == "x"));
        assert_eq!(admin.list("nodes").len(), 1);
        for empty in [
            "connections",
            "channels",
            "consumers",
            "parameters",
            "policies",
            "operator_policies",
            "vhost_limits",
        ] {
            assert_eq!(admin.list(empty), Vec::<Value>::new(), "{empty}");
        }
        let overview = admin.run(&["show", "overview"]);
        assert!(overview.contains("leveret") && overview.contains('2'), "{overview}");
        assert!(admin.run(&["list", "queues", "name", "messages"]).contains("qq"));
        assert!(admin.run(&["-V", "eu", "list", "exchanges"]).contains("amq.topic"));

        let bindings = admin.list("bindings");
        let with_arguments = bindings.iter().find(|binding| binding["arguments"]["n"] == 1).expect("bound");
        let key = format!("properties_key={}", with_arguments["properties_key"].as_str().expect("text"));
        admin.run(&["delete", "binding", "source=x", "destination_type=queue", "destination=q", &key]);
        admin.run(&[
            "delete",
            "binding",
            "source=x",
            "destination_type=queue",
            "destination=q",
            "properties_key=a.b",
        ]);
        admin.run(&["delete", "queue", "name=qq"]);
        admin.run(&["delete", "queue", "name=q"]);
        admin.run(&["delete", "exchange", "name=x"]);
        admin.run(&["delete", "exchange", "name=y"]);
        admin.run(&["delete", "permission", "vhost=eu", "user=ada"]);
        admin.run(&["delete", "user", "name=ada"]);
        admin.run(&["delete", "vhost", "name=eu"]);
        assert_eq!(admin.names("vhosts"), ["/"]);
        assert_eq!(admin.names("queues"), Vec::<String>::new());

        let (done, text) = admin.try_run(&["delete", "queue", "name=q"]);
        assert!(!done && text.contains("Not found"), "{text}");
        let (done, text) = admin.try_run(&["-p", "wrong", "list", "queues"]);
        assert!(!done && text.contains("Access refused"), "{text}");
    });
}

#[test]
fn it_sets_policies_parameters_and_limits() {
    with_admin(|admin| {
        admin.run(&[
            "declare",
            "policy",
            "name=p",
            "pattern=^q",
            "definition={\"max-length\":5}",
            "priority=1",
            "apply-to=queues",
        ]);
        admin.run(&[
            "declare",
            "operator_policy",
            "name=o",
            "pattern=.*",
            "definition={\"message-ttl\":1000}",
        ]);
        admin.run(&["declare", "vhost_limit", "vhost=/", "name=max-queues", "value=100"]);
        assert_eq!(admin.names("policies"), ["p"]);
        assert_eq!(admin.names("operator_policies"), ["o"]);
        assert_eq!(admin.list("vhost_limits")[0]["value"]["max-queues"], 100);
        admin.run(&["declare", "queue", "name=q", "durable=true"]);
        let queues = admin.list("queues");
        assert_eq!((&queues[0]["policy"], &queues[0]["operator_policy"]), (&"p".into(), &"o".into()));
        admin.run(&["delete", "vhost_limit", "vhost=/", "name=max-queues"]);
        admin.run(&["delete", "operator_policy", "name=o"]);
        admin.run(&["delete", "policy", "name=p"]);
        assert_eq!(admin.names("policies"), Vec::<String>::new());
    });
}

#[test]
fn it_publishes_gets_and_purges() {
    with_admin(|admin| {
        admin.run(&["declare", "queue", "name=q", "durable=true"]);
        for payload in ["one", "two", "three"] {
            let payload = format!("payload={payload}");
            let text = admin.run(&["publish", "routing_key=q", &payload, "properties={\"delivery_mode\":2}"]);
            assert!(text.contains("Message published") && !text.contains("NOT routed"), "{text}");
        }
        assert!(admin.run(&["publish", "routing_key=none", "payload=x"]).contains("NOT routed"));
        let text = admin.run(&["get", "queue=q", "count=2"]);
        assert!(text.contains("one") && text.contains("two") && !text.contains("three"), "{text}");
        assert!(admin.run(&["get", "queue=q", "ackmode=ack_requeue_false"]).contains("one"));
        let file = admin.home.path().join("payload");
        let argument = format!("payload_file={}", file.display());
        admin.run(&["get", "queue=q", "ackmode=ack_requeue_false", &argument]);
        assert_eq!(std::fs::read_to_string(&file).expect("written"), "two");
        assert_eq!(admin.list("queues")[0]["messages"], 1);
        admin.run(&["purge", "queue", "name=q"]);
        assert_eq!(admin.list("queues")[0]["messages"], 0);
    });
}

#[test]
fn it_exports_and_imports() {
    with_admin(|admin| {
        let file = |name: &str| admin.home.path().join(name).display().to_string();
        admin.run(&["import", &fixture()]);
        admin.run(&["-u", "guest", "-p", "guest", "export", &file("whole.json")]);
        admin.run(&["-V", "eu", "export", &file("eu.json")]);
        let read = |name: &str| -> Value {
            let text = std::fs::read_to_string(file(name)).expect("written");
            serde_json::from_str(&text).expect("JSON")
        };
        assert_eq!(read("whole.json")["users"].as_array().map(Vec::len), Some(2));
        assert_eq!(read("eu.json")["queues"].as_array().map(Vec::len), Some(3));
        admin.run(&["declare", "vhost", "name=us"]);
        admin.run(&["-V", "us", "import", &file("eu.json")]);
        let queues = admin.list("queues");
        assert_eq!(queues.iter().filter(|queue| queue["vhost"] == "us").count(), 3);
    });
}

#[test]
fn it_closes_connections() {
    with_admin(|admin| {
        let mut client = RawClient::open(admin.broker.amqp()).expect("connects");
        let name = format!("name={}", admin.list("connections")[0]["name"].as_str().expect("text"));
        admin.run(&["close", "connection", &name]);
        let closed = client.expect(0, |method| matches!(method, Method::ConnectionClose { .. }));
        closed.expect("the client is told");
    });
}

/// What RabbitMQ 3.10 exported.
fn fixture() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/rabbitmq-3.10-definitions.json");
    file.display().to_string()
}
