use std::time::{Duration, Instant};

use leveret_core::message::Message;
use leveret_core::policy::Proposal;
use leveret_core::queue::ConnectionId;
use leveret_core::session::host::{ConsumerKey, QueueDeclare, Settle};
use leveret_core::vhosts::{DefaultQueueType, Vhost as VhostRecord, VhostLimits};
use leveret_protocol::properties::Properties;
use leveret_protocol::table::{RawTable, Table, Value};
use serde_json::json;

use super::*;
use crate::broker::Running;
use crate::config::Config;
use crate::queue_host::Publish;

/// A broker without listeners, and its vhost `/`.
struct Rig {
    running: Running,
    directory: tempfile::TempDir,
}

const ME: ConnectionId = ConnectionId(7);

impl Rig {
    async fn start() -> Rig {
        Rig::start_in(tempfile::tempdir().expect("a directory")).await
    }

    async fn start_in(directory: tempfile::TempDir) -> Rig {
        let mut config = Config { data_dir: directory.path().join("data"), ..Config::default() };
        config.amqp.listen = Vec::new();
        config.admin.listen = Vec::new();
        Rig { running: Broker::start(config).await.expect("starts"), directory }
    }

    async fn restart(self) -> Rig {
        self.running.stop().await.expect("stops");
        Rig::start_in(self.directory).await
    }

    fn broker(&self) -> &Arc<Broker> {
        self.running.broker()
    }

    fn vhost(&self) -> Arc<Vhost> {
        self.broker().vhost("/").expect("every broker begins with it")
    }

    fn try_declare(&self, queue: &str, arguments: Table) -> Result<Arc<QueueCell>, Fault> {
        let mut entries = Vec::new();
        arguments.encode_entries(&mut entries);
        let request = QueueDeclare {
            queue,
            passive: false,
            durable: true,
            exclusive: false,
            auto_delete: false,
            arguments: RawTable::validate(&entries).expect("well-formed"),
        };
        self.broker().queue_declare(&self.vhost(), &request, ME, "guest", &|_, _| Ok(()))?;
        Ok(self.cell(queue).expect("declared"))
    }

    fn declare<const N: usize>(&self, queue: &str, arguments: [(&str, Value); N]) -> Arc<QueueCell> {
        self.try_declare(queue, Table::from(arguments)).expect("declared")
    }

    fn cell(&self, queue: &str) -> Option<Arc<QueueCell>> {
        self.vhost().queue(queue, ME).ok()
    }

    fn put(&self, kind: PolicyKind, name: &str, pattern: &str, definition: serde_json::Value) {
        let proposal =
            Proposal { pattern: pattern.into(), apply_to: "all".into(), priority: 0.into(), definition };
        let policy = Policy::new(kind, name, &proposal).expect("valid");
        self.broker().put_policy(&self.vhost(), kind, policy).expect("the vhost is there");
    }
}

fn publish(cell: &QueueCell, body: &str) {
    let mut raw = Vec::new();
    Properties { delivery_mode: Some(2), ..Properties::default() }.encode(&mut raw);
    let message = Message::new("", cell.name(), &raw, body.as_bytes());
    cell.publish(&mut vec![Publish { message, channel: 1, sequence: 0 }], &mut Vec::new());
}

async fn eventually(mut holds: impl FnMut() -> bool, what: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn ready(cell: &QueueCell) -> u64 {
    cell.info().ready
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_in_effect_at_once_and_until_it_is_removed() {
    let rig = Rig::start().await;
    let queue = rig.declare("orders", []);
    let other = rig.declare("other", []);
    let dead = rig.declare("dead", []);
    for body in ["a", "b", "c"] {
        publish(&queue, body);
        publish(&other, body);
    }
    rig.put(
        PolicyKind::Policy,
        "short",
        "^orders$",
        json!({"max-length": 2, "dead-letter-exchange": "", "dead-letter-routing-key": "dead"}),
    );
    assert_eq!((ready(&queue), ready(&other)), (2, 3));
    eventually(|| ready(&dead) == 1, "what the limit drops is dead-lettered by the same policy").await;
    publish(&queue, "d");
    assert_eq!(ready(&queue), 2);

    let removed = rig.broker().remove_policy(&rig.vhost(), PolicyKind::Policy, "short");
    assert!(removed.is_ok());
    let again = rig.broker().remove_policy(&rig.vhost(), PolicyKind::Policy, "short");
    assert_eq!(again, Err(Fault::not_found("no policy 'short' in vhost '/'")));
    publish(&queue, "e");
    assert_eq!(ready(&queue), 3);
    rig.running.stop().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_and_what_they_do_are_there_after_a_restart() {
    let rig = Rig::start().await;
    rig.declare("orders", [("x-max-length", 100.into())]);
    rig.put(PolicyKind::Policy, "p", "^orders$", json!({"max-length": 10}));
    rig.put(PolicyKind::Operator, "o", "", json!({"max-length": 5}));
    let rig = rig.restart().await;
    let queue = rig.cell("orders").expect("it is durable");
    assert_eq!(queue.config().max_length, Some(5));
    rig.broker().remove_policy(&rig.vhost(), PolicyKind::Operator, "o").expect("it was restored");
    assert_eq!(queue.config().max_length, Some(10));
    let rig = rig.restart().await;
    assert_eq!(rig.cell("orders").expect("it is durable").config().max_length, Some(10));
    rig.running.stop().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_expires_by_policy_from_when_the_policy_was_put() {
    let rig = Rig::start().await;
    rig.declare("q", []);
    rig.put(PolicyKind::Policy, "p", "^q$", json!({"expires": 50}));
    eventually(|| rig.cell("q").is_none(), "nobody uses it").await;
    let queue = rig.declare("q", [("x-expires", 1_000_000.into())]);
    publish(&queue, "a");
    eventually(|| rig.cell("q").is_none(), "the policy's is the smaller").await;
    rig.running.stop().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_of_a_queue_without_an_exchange_go_to_one_made_for_them() {
    let rig = Rig::start().await;
    let queue = rig.declare("q", []);
    publish(&queue, "lost");
    let reject = |queue: &QueueCell| {
        let got = queue.get(ME, 1, ConsumerKey(1), false).expect("a message");
        let ids = std::slice::from_ref(&(got.id.0..got.id.0 + 1)).to_vec();
        queue.settle(ME, ConsumerKey(1), Settle::Reject, &ids);
    };
    reject(&queue);
    assert!(rig.cell("q.dlq").is_none(), "nobody asked for it");

    rig.put(PolicyKind::Policy, "p", "", json!({"dead-letter-auto": true}));
    publish(&queue, "kept");
    reject(&queue);
    eventually(|| rig.cell("q.dlq").is_some_and(|made| ready(&made) == 1), "made on demand").await;
    let made = rig.cell("q.dlq").expect("made");
    assert!(made.is_durable());
    reject(&made);
    eventually(|| ready(&made) == 0, "rejected").await;
    assert!(rig.cell("q.dlq.dlq").is_none(), "the policy ends at queues of dead letters");

    let own = rig.declare("own", [("x-dead-letter-auto", true.into()), ("x-max-length", 1.into())]);
    publish(&own, "a");
    publish(&own, "b");
    eventually(|| rig.cell("own.dlq").is_some_and(|made| ready(&made) == 1), "by argument, too").await;
    let rig = rig.restart().await;
    assert_eq!(ready(&rig.cell("own.dlq").expect("it is durable")), 1);
    rig.running.stop().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vhost_says_what_its_queues_are_and_how_many() {
    let rig = Rig::start().await;
    let record = VhostRecord {
        default_queue_type: Some(DefaultQueueType::Quorum),
        limits: VhostLimits { max_connections: None, max_queues: Some(2) },
        ..VhostRecord::new("/")
    };
    rig.broker().vhost_records().write().put(record).expect("valid");
    rig.declare("a", []);
    rig.declare("b", [("x-queue-type", "classic".into())]);
    let kind = |queue: &str| {
        let vhost = rig.vhost();
        let topology = vhost.topology();
        topology.queue(queue).map(|(definition, _)| definition.options.kind.name())
    };
    assert_eq!((kind("a"), kind("b")), (Some("quorum"), Some("classic")));
    let text = "cannot declare queue 'c': queue limit in vhost '/' (2) is reached";
    assert_eq!(rig.try_declare("c", Table::new()).err(), Some(Fault::precondition_failed(text)));
    rig.declare("a", []);
    rig.running.stop().await.expect("stops");
}
