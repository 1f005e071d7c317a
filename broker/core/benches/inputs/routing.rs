//! Exchanges with many bindings, and messages for them.

use std::hint::black_box;
use std::sync::Arc;

use leveret_core::queue::ConnectionId;
use leveret_core::session::host::{Binding, Destination, ExchangeDeclare, QueueDeclare};
use leveret_core::vhost::{Declarer, QueueCheck, RouteScratch, Topology};
use leveret_protocol::properties::{Properties, PropertiesView};
use leveret_protocol::table::{RawTable, Table, Value};

const ME: ConnectionId = ConnectionId(1);

/// One exchange with a number of bindings to a tenth as many queues, and messages that each match some of them.
///
/// The messages' keys are taken from all over the bindings, so that large exchanges are read from memory and not from
/// the processor's caches.
pub struct Routing {
    topology: Topology<Arc<()>>,
    exchange: &'static str,
    messages: Vec<(String, Vec<u8>)>,
    next: usize,
    scratch: RouteScratch,
    out: Vec<Arc<()>>,
}

impl Routing {
    /// `kind` is a type of exchange; the empty one stands for the default exchange.
    pub fn new(kind: &str, bindings: usize, messages: usize) -> Routing {
        let binding = |number| match kind {
            "" => None,
            "direct" => Some((format!("key.{number}"), Table::new())),
            "topic" => Some((pattern(number), Table::new())),
            "headers" => Some((String::new(), header_conditions(number))),
            _ => Some(Default::default()),
        };
        let message = |number| match kind {
            "" => (queue_name(number / 10), Table::new()),
            "direct" => (format!("key.{number}"), Table::new()),
            "topic" => (topic_key(number), Table::new()),
            "headers" => (String::new(), message_headers(number)),
            _ => Default::default(),
        };
        let encoded = (0..messages).map(|index| {
            let (key, headers) = message(spread(index) % bindings);
            let headers = (!headers.is_empty()).then_some(headers);
            let mut properties = Vec::new();
            Properties { headers, delivery_mode: Some(2), ..Properties::default() }.encode(&mut properties);
            (key, properties)
        });
        Routing {
            messages: encoded.collect(),
            topology: build(kind, bindings, binding),
            exchange: if kind.is_empty() { "" } else { "x" },
            next: 0,
            scratch: RouteScratch::default(),
            out: Vec::new(),
        }
    }

    /// Routes the next message. Returns how many queues it reaches.
    pub fn route(&mut self) -> usize {
        let (key, properties) = &self.messages[self.next];
        self.next = (self.next + 1) % self.messages.len();
        self.out.clear();
        let properties = PropertiesView::new_unchecked_valid(properties);
        let routed =
            self.topology.route(self.exchange, black_box(key), properties, &mut self.scratch, &mut self.out);
        black_box(routed.is_ok());
        self.out.len()
    }
}

fn queue_name(number: usize) -> String {
    format!("queue-{number}")
}

/// Half plain keys, the rest with each wildcard: what applications bind.
fn pattern(number: usize) -> String {
    let (region, device) = (number % 16, number / 4);
    match number % 4 {
        0 | 1 => format!("region-{region}.device-{device}.created"),
        2 => format!("region-{region}.device-{device}.*"),
        _ => format!("region-{region}.device-{device}.#"),
    }
}

fn topic_key(number: usize) -> String {
    format!("region-{}.device-{}.created", number % 16, number / 4)
}

fn header_conditions(number: usize) -> Table {
    Table::from([("kind", "report".into()), ("device", Value::from(number as i64))])
}

fn message_headers(number: usize) -> Table {
    Table::from([
        ("trace", "0123456789abcdef".into()),
        ("kind", "report".into()),
        ("device", Value::from(number as i64)),
    ])
}

/// A queue with many bindings, to be taken out.
pub fn bound_queue(kind: &str, bindings: usize) -> Topology<Arc<()>> {
    let mut topology = build(kind, 10, |_| None);
    for number in 0..bindings {
        let arguments = Table::from([("n", Value::from(number as i64))]);
        bind(&mut topology, &queue_name(0), &pattern(number), &arguments);
    }
    topology
}

/// Takes it out. Returns how many bindings went with it.
pub fn remove_queue(topology: &mut Topology<Arc<()>>) -> usize {
    topology.remove_queue(&queue_name(0)).map_or(0, |queue| queue.change.bindings_removed.len())
}

fn build(
    kind: &str,
    bindings: usize,
    binding: impl Fn(usize) -> Option<(String, Table)>,
) -> Topology<Arc<()>> {
    let mut topology = Topology::new("/");
    if !kind.is_empty() {
        let request = ExchangeDeclare {
            exchange: "x",
            kind,
            passive: false,
            durable: false,
            auto_delete: false,
            internal: false,
            arguments: RawTable::empty(),
        };
        topology.declare_exchange(&request, "", 0).expect("a new exchange");
    }
    for number in 0..bindings.div_ceil(10) {
        let request = QueueDeclare {
            queue: &queue_name(number),
            passive: false,
            durable: false,
            exclusive: false,
            auto_delete: false,
            arguments: RawTable::empty(),
        };
        let declarer = Declarer {
            connection: ME,
            user: "",
            uid: number as u64,
            random: [0; 16],
            default_kind: None,
            max_queues: None,
        };
        if let QueueCheck::New(definition) =
            topology.check_queue_declare(&request, &declarer).expect("a new queue")
        {
            topology.insert_queue(definition, Arc::new(()));
        }
    }
    for number in 0..bindings {
        if let Some((key, arguments)) = binding(number) {
            bind(&mut topology, &queue_name(number / 10), &key, &arguments);
        }
    }
    topology
}

fn bind(topology: &mut Topology<Arc<()>>, queue: &str, routing_key: &str, arguments: &Table) {
    let mut bytes = Vec::new();
    arguments.encode_entries(&mut bytes);
    let arguments = RawTable::validate(&bytes).expect("encoded above");
    let binding = Binding { source: "x", destination: Destination::Queue(queue), routing_key, arguments };
    topology.bind(&binding, ME).expect("both ends exist");
}

/// A permutation of sorts, so that neighbouring messages do not touch neighbouring bindings.
fn spread(index: usize) -> usize {
    index.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20
}
