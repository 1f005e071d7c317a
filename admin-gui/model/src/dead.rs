//! Dead letters: in which queues they gather, and what they have in common.

use std::collections::{BTreeMap, HashMap, HashSet};

use leveret_protocol::admin::messages::{MessageFilter, QueuedMessage};
use leveret_protocol::admin::operations::OperationPlan;
use leveret_protocol::admin::{Binding, Exchange, Queue};
use serde_json::Value as Json;

use crate::Millis;
use crate::deaths::{self, Reason};
use crate::topic;

/// A queue to which dead letters come.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadQueue {
    pub vhost: String,
    pub name: String,
    pub messages: u64,
    /// Messages per second that it grows by.
    pub growth: f64,
    pub why: Why,
}

/// Why a queue is taken for one of dead letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// These queues send their dead letters there.
    Target { of: Vec<String> },
    /// It is called so, and nothing is known to send there.
    Name,
}

/// Finds the queues of dead letters, those with most messages first. Queues in which messages wait for their next try
/// are none: what lies there goes back by itself.
pub fn dead_queues(queues: &[Queue], exchanges: &[Exchange], bindings: &[Binding]) -> Vec<DeadQueue> {
    let reached = reached(queues, exchanges, bindings);
    let is_retry = |queue: &Queue| goes_back(queue, &reached);
    let retries: HashSet<Named<'_>> = queues
        .iter()
        .filter(|queue| is_retry(queue))
        .map(|queue| (queue.vhost.as_str(), queue.name.as_str()))
        .collect();
    let mut targets: HashMap<Named<'_>, Vec<String>> = HashMap::new();
    for ((vhost, from), to) in reached.iter().filter(|(from, _)| !retries.contains(*from)) {
        for to in to {
            targets.entry((vhost, to)).or_default().push((*from).to_owned());
        }
    }
    targets.values_mut().for_each(|of| of.sort());
    let mut found: Vec<DeadQueue> = queues
        .iter()
        .filter(|queue| !retries.contains(&(queue.vhost.as_str(), queue.name.as_str())))
        .filter_map(|queue| {
            let why = match targets.get(&(queue.vhost.as_str(), queue.name.as_str())) {
                Some(of) => Why::Target { of: of.clone() },
                None if crate::attention::looks_dead(queue) => Why::Name,
                None => return None,
            };
            Some(DeadQueue {
                vhost: queue.vhost.clone(),
                name: queue.name.clone(),
                messages: queue.totals.messages,
                growth: queue.totals.messages_details.per_second(),
                why,
            })
        })
        .collect();
    found.sort_by(|a, b| {
        b.messages.cmp(&a.messages).then_with(|| (&a.vhost, &a.name).cmp(&(&b.vhost, &b.name)))
    });
    found
}

type Named<'a> = (&'a str, &'a str);

/// True when messages only wait in this queue, and then go back to queues whose dead letters come here.
fn goes_back(queue: &Queue, reached: &HashMap<Named<'_>, Vec<&str>>) -> bool {
    let has = |name: &str| {
        queue.arguments.contains_key(&format!("x-{name}"))
            || queue.effective_policy_definition.contains_key(name)
    };
    if queue.consumers > 0 || !has("message-ttl") {
        return false;
    }
    let vhost = queue.vhost.as_str();
    let mut seen = HashSet::from([queue.name.as_str()]);
    let mut next = vec![queue.name.as_str()];
    while let Some(from) = next.pop() {
        for to in reached.get(&(vhost, from)).into_iter().flatten() {
            if *to == queue.name {
                return true;
            }
            if seen.insert(to) {
                next.push(to);
            }
        }
    }
    false
}

/// Queues by vhost and name, and those that their dead letters may come to.
fn reached<'a>(
    queues: &'a [Queue],
    exchanges: &'a [Exchange],
    bindings: &'a [Binding],
) -> HashMap<Named<'a>, Vec<&'a str>> {
    let kinds: HashMap<Named<'_>, &str> = exchanges
        .iter()
        .map(|exchange| ((exchange.vhost.as_str(), exchange.name.as_str()), exchange.kind.as_str()))
        .collect();
    let mut of_source: HashMap<Named<'_>, Vec<&Binding>> = HashMap::new();
    for binding in bindings.iter().filter(|binding| !binding.source.is_empty()) {
        of_source.entry((&binding.vhost, &binding.source)).or_default().push(binding);
    }
    let mut all: HashMap<Named<'_>, Vec<&str>> = HashMap::new();
    for queue in queues {
        let Some(exchange) = argument(queue, "dead-letter-exchange") else { continue };
        let key = argument(queue, "dead-letter-routing-key");
        let vhost = queue.vhost.as_str();
        let mut reached: Vec<&str> = Vec::new();
        if exchange.is_empty() {
            reached.extend(key);
        } else {
            let mut seen = HashSet::from([exchange]);
            let mut next = vec![exchange];
            while let Some(source) = next.pop() {
                let kind = kinds.get(&(vhost, source)).copied().unwrap_or("direct");
                for binding in of_source.get(&(vhost, source)).into_iter().flatten() {
                    if !may_take(kind, binding, key) {
                        continue;
                    }
                    if binding.destination_type != "exchange" {
                        reached.push(&binding.destination);
                    } else if seen.insert(&binding.destination) {
                        next.push(&binding.destination);
                    }
                }
            }
        }
        // A queue whose dead letters come back to it has no others'.
        reached.retain(|name| *name != queue.name);
        reached.sort_unstable();
        reached.dedup();
        all.insert((vhost, queue.name.as_str()), reached);
    }
    all
}

/// True when dead letters may pass a binding. Without a key of their own they keep those they had: any, then.
fn may_take(kind: &str, binding: &Binding, key: Option<&str>) -> bool {
    let Some(key) = key else { return true };
    match kind {
        "direct" => binding.routing_key == key,
        "topic" => topic::matches(&binding.routing_key, key),
        _ => true,
    }
}

fn argument<'a>(queue: &'a Queue, name: &str) -> Option<&'a str> {
    let own = queue.arguments.get(&format!("x-{name}")).and_then(Json::as_str);
    own.or_else(|| queue.effective_policy_definition.get(name).and_then(Json::as_str))
}

/// Dead letters with the same fate.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Why they died last; nothing for messages that never died.
    pub reason: Option<Reason>,
    /// Where they died last.
    pub queue: String,
    /// Where they had been published to.
    pub exchange: String,
    pub messages: usize,
    /// The routing keys that they had been published with, the most frequent first.
    pub keys: Vec<(String, usize)>,
    /// When the first and the last of them died, where that is known.
    pub died: Option<(Millis, Millis)>,
}

impl Group {
    /// What selects the group in the broker.
    pub fn filter(&self) -> MessageFilter {
        MessageFilter {
            reason: self.reason.as_ref().map(|reason| reason.as_str().to_owned()),
            died_in: self.reason.is_some().then(|| self.queue.clone()),
            ..MessageFilter::default()
        }
    }

    pub fn has(&self, message: &QueuedMessage) -> bool {
        fate(message) == (self.reason.clone(), self.queue.clone(), self.exchange.clone())
    }
}

/// Routing keys told of a group.
const KEYS_MAX: usize = 5;

/// Why and where a message died last, and where it had been published to.
type Fate = (Option<Reason>, String, String);
/// How many, their routing keys, and when the first and the last died.
type Found = (usize, HashMap<String, usize>, Option<(Millis, Millis)>);

/// Puts messages together that died of the same in the same place; the largest group first.
pub fn group(messages: &[QueuedMessage]) -> Vec<Group> {
    let mut groups: BTreeMap<Fate, Found> = BTreeMap::new();
    for message in messages {
        let (count, keys, died) = groups.entry(fate(message)).or_default();
        *count += 1;
        let deaths = deaths::deaths_of(message);
        let key = deaths.first().and_then(|death| death.routing_keys.first()).unwrap_or(&message.routing_key);
        *keys.entry(key.clone()).or_default() += 1;
        if let Some(at) = deaths.first().map(|death| death.time * 1_000).filter(|at| *at > 0) {
            *died = Some(died.map_or((at, at), |(first, last)| (first.min(at), last.max(at))));
        }
    }
    let mut groups: Vec<Group> = groups
        .into_iter()
        .map(|((reason, queue, exchange), (messages, keys, died))| {
            let mut keys: Vec<(String, usize)> = keys.into_iter().collect();
            keys.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            keys.truncate(KEYS_MAX);
            Group { reason, queue, exchange, messages, keys, died }
        })
        .collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.messages));
    groups
}

fn fate(message: &QueuedMessage) -> Fate {
    match deaths::deaths_of(message).first() {
        Some(death) => (Some(Reason::read(&death.reason)), death.queue.clone(), death.exchange.clone()),
        None => (None, String::new(), message.exchange.clone()),
    }
}

/// What a plan says at a glance: how many are selected, go somewhere, and stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    pub selected: u64,
    pub done: u64,
    pub skipped: u64,
}

pub fn outcome(plan: &OperationPlan) -> Outcome {
    let skipped: u64 = plan.skipped.iter().map(|skipped| skipped.messages).sum();
    Outcome { selected: plan.selected, done: plan.selected.saturating_sub(skipped), skipped }
}

/// Messages as lines of JSON, one per message, which is what the broker itself writes of them.
pub fn ndjson<'a>(messages: impl IntoIterator<Item = &'a QueuedMessage>) -> String {
    let mut lines = String::new();
    for line in messages.into_iter().filter_map(|message| serde_json::to_string(message).ok()) {
        lines.push_str(&line);
        lines.push('\n');
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use leveret_protocol::admin::QueueTotals;
    use leveret_protocol::admin::messages::Death;
    use leveret_protocol::admin::operations::SkippedMessages;
    use serde_json::json;

    fn queue(name: &str, messages: u64, arguments: Json) -> Queue {
        let totals = QueueTotals { messages, ..QueueTotals::default() };
        let arguments = arguments.as_object().cloned().unwrap_or_default();
        Queue { name: name.into(), vhost: "/".into(), arguments, totals, ..Queue::default() }
    }

    fn exchange(name: &str, kind: &str) -> Exchange {
        Exchange { name: name.into(), vhost: "/".into(), kind: kind.into(), ..Exchange::default() }
    }

    fn binding(source: &str, destination: &str, destination_type: &str, key: &str) -> Binding {
        Binding {
            source: source.into(),
            vhost: "/".into(),
            destination: destination.into(),
            destination_type: destination_type.into(),
            routing_key: key.into(),
            ..Binding::default()
        }
    }

    fn found(queues: &[Queue], exchanges: &[Exchange], bindings: &[Binding]) -> Vec<String> {
        let say = |dead: DeadQueue| match dead.why {
            Why::Target { of } => format!("{} of {}", dead.name, of.join("+")),
            Why::Name => format!("{} by name", dead.name),
        };
        dead_queues(queues, exchanges, bindings).into_iter().map(say).collect()
    }

    #[test]
    fn queues_that_dead_letters_are_sent_to_are_found_whatever_they_are_called() {
        let to = |key: &str| json!({"x-dead-letter-exchange": "dlx", "x-dead-letter-routing-key": key});
        let queues = [
            queue("a", 0, to("x")),
            queue("b", 0, to("y")),
            queue("failed", 9, json!({})),
            queue("odd", 0, json!({})),
        ];
        let bindings = [
            binding("dlx", "inner", "exchange", "x"),
            binding("inner", "failed", "queue", "x"),
            binding("dlx", "odd", "queue", "y"),
        ];
        let exchanges = [exchange("dlx", "direct"), exchange("inner", "direct")];
        assert_eq!(found(&queues, &exchanges, &bindings), ["failed of a", "odd of b"]);
    }

    #[test]
    fn dead_letters_that_keep_their_key_may_go_to_all_that_is_bound() {
        let queues = [
            queue("a", 0, json!({"x-dead-letter-exchange": "dlx"})),
            queue("one", 2, json!({})),
            queue("two", 1, json!({})),
        ];
        let bindings = [binding("dlx", "one", "queue", "k"), binding("dlx", "two", "queue", "l")];
        assert_eq!(found(&queues, &[exchange("dlx", "topic")], &bindings), ["one of a", "two of a"]);
    }

    #[test]
    fn by_the_default_exchange_and_by_policy_too() {
        let mut by_policy = queue("b", 0, json!({}));
        let policy = json!({"dead-letter-exchange": "", "dead-letter-routing-key": "grave"});
        by_policy.effective_policy_definition = policy.as_object().cloned().unwrap_or_default();
        let queues = [by_policy, queue("grave", 1, json!({})), queue("orders.dlq", 0, json!({}))];
        assert_eq!(found(&queues, &[], &[]), ["grave of b", "orders.dlq by name"]);
    }

    #[test]
    fn what_waits_for_its_next_try_is_not_dead_and_neither_is_what_it_goes_back_to() {
        let queues = [
            queue("work", 0, json!({"x-dead-letter-exchange": "dlx"})),
            queue("log", 0, json!({})),
            queue("retry", 3, json!({"x-dead-letter-exchange": "orders", "x-message-ttl": 1000})),
            queue("grave", 5, json!({})),
        ];
        let bindings = [
            binding("orders", "work", "queue", "#"),
            binding("orders", "log", "queue", "#"),
            binding("dlx", "retry", "queue", "a"),
            binding("dlx", "grave", "queue", "b"),
        ];
        let exchanges = [exchange("dlx", "topic"), exchange("orders", "topic")];
        assert_eq!(found(&queues, &exchanges, &bindings), ["grave of work"]);
    }

    #[test]
    fn a_queue_is_not_its_own_and_circles_end() {
        let queues = [queue("a", 0, json!({"x-dead-letter-exchange": "x"}))];
        let bindings = [
            binding("x", "y", "exchange", ""),
            binding("y", "x", "exchange", ""),
            binding("y", "a", "queue", ""),
        ];
        assert_eq!(found(&queues, &[], &bindings), [""; 0]);
    }

    fn dead(queue: &str, reason: &str, key: &str, time: u64) -> QueuedMessage {
        let death = Death {
            queue: queue.into(),
            reason: reason.into(),
            count: 1,
            exchange: "orders".into(),
            routing_keys: vec![key.into()],
            time,
        };
        QueuedMessage { deaths: vec![death], ..QueuedMessage::default() }
    }

    #[test]
    fn messages_are_grouped_by_what_they_died_of_and_where() {
        let messages = [
            dead("work", "rejected", "a", 30),
            dead("work", "rejected", "b", 10),
            dead("work", "rejected", "b", 20),
            dead("mail", "expired", "c", 5),
            QueuedMessage::default(),
        ];
        let groups = group(&messages);
        assert_eq!(groups.len(), 3);
        assert_eq!((groups[0].messages, groups[0].reason.clone()), (3, Some(Reason::Rejected)));
        assert_eq!(groups[0].keys, [("b".to_owned(), 2), ("a".to_owned(), 1)]);
        assert_eq!(groups[0].died, Some((10_000, 30_000)));
        assert_eq!(groups[0].filter().died_in.as_deref(), Some("work"));
        assert!(groups[0].has(&messages[1]) && !groups[0].has(&messages[3]));
        assert!(
            groups.iter().any(|group| group.reason.is_none() && group.filter() == MessageFilter::default())
        );
    }

    #[test]
    fn a_plan_tells_how_many_go_and_how_many_stay() {
        let skipped = vec![
            SkippedMessages { reason: "no route".into(), messages: 22, examples: vec![] },
            SkippedMessages { reason: "never died".into(), messages: 2, examples: vec![] },
        ];
        let plan = OperationPlan { total: 4_000, selected: 412, skipped, ..OperationPlan::default() };
        assert_eq!(outcome(&plan), Outcome { selected: 412, done: 388, skipped: 24 });
    }

    #[test]
    fn an_export_has_one_line_for_each_message_and_can_be_read_back() {
        let messages = [dead("work", "rejected", "a\nb", 30), dead("mail", "expired", "c", 5)];
        let lines = ndjson(&messages);
        let read: Vec<QueuedMessage> =
            lines.lines().map(|line| serde_json::from_str(line).expect("a message")).collect();
        assert_eq!(read, messages);
    }
}
