//! Why a message goes where it goes: routing with reasons, for people.
//!
//! Each binding is asked by itself, by a matcher of its own, so that what is said here is what the exchange's type does.
//! That costs far more than [`Topology::route`] and is for one message at a time.

use std::collections::{HashSet, VecDeque};

use leveret_protocol::properties::PropertiesView;
use leveret_protocol::table::RawTable;

use super::faults;
use super::routing::keys_of_headers;
use super::topology::{Exchange, Topology};
use crate::exchange::{HashOn, MatchScratch, Matcher, Routable, RoutingKeys, Target, TargetKind};
use crate::fault::Fault;
use crate::session::host::{Binding, Destination};

/// Where a message would go.
#[derive(Debug, Default, PartialEq)]
pub struct Explained {
    /// Queues that it reaches, each once.
    pub reached: Vec<Reached>,
    /// Bindings of the first exchange that do not match.
    pub unmatched: Vec<Unmatched>,
    /// Alternate exchanges that took it because nothing matched, in the order in which they did.
    pub alternates: Vec<String>,
    /// Exchanges that it meets, with their types.
    pub exchanges: Vec<(String, &'static str)>,
}

/// A queue that a message reaches, on the shortest way.
#[derive(Debug, PartialEq)]
pub struct Reached {
    pub queue: String,
    /// Exchanges on the way, the first first.
    pub path: Vec<String>,
    /// Of the binding that led to it.
    pub routing_key: String,
    /// Entries of a field table.
    pub arguments: Vec<u8>,
}

/// A binding that does not match.
#[derive(Debug, PartialEq)]
pub struct Unmatched {
    pub destination: String,
    pub to_exchange: bool,
    pub routing_key: String,
    /// Entries of a field table.
    pub arguments: Vec<u8>,
    /// Why not, in words.
    pub reason: String,
}

impl<H> Topology<H> {
    /// Where a message with this routing key and these headers would go from `exchange`.
    pub fn explain(
        &self,
        exchange: &str,
        routing_key: &str,
        headers: RawTable<'_>,
    ) -> Result<Explained, Fault> {
        let not_found = || faults::not_found(self.exchange_resource(exchange));
        self.exchanges.get(exchange).ok_or_else(not_found)?;
        let more = keys_of_headers(headers)?;
        let keys = RoutingKeys { first: routing_key, more: &more };
        let mut explained = Explained::default();
        let mut met = HashSet::from([exchange.to_owned()]);
        let mut reached = HashSet::new();
        let mut pending = VecDeque::from([vec![exchange.to_owned()]]);
        while let Some(path) = pending.pop_front() {
            let Some(name) = path.last() else { continue };
            let Some(found) = self.exchanges.get(name) else { continue };
            let kind = found.definition.kind;
            explained.exchanges.push((name.clone(), kind.name()));
            if name.is_empty() {
                for key in keys.iter().filter(|key| self.queues.get(key).is_some()) {
                    if reached.insert(key.to_owned()) {
                        explained.reached.push(Reached {
                            queue: key.to_owned(),
                            path: path.clone(),
                            routing_key: key.to_owned(),
                            arguments: Vec::new(),
                        });
                    }
                }
                continue;
            }
            let mut matched = false;
            let properties = PropertiesView::new_unchecked_valid(NO_PROPERTIES);
            let message = Routable { keys, headers, properties };
            let chosen = self.chosen(found, &message);
            for binding in self.bindings_from(name) {
                let is_match = match chosen {
                    Some(chosen) => chosen == Some(binding.destination),
                    None => {
                        let mut matcher = Matcher::new(kind, &HashOn::default());
                        matcher.bind(binding.routing_key, binding.arguments, Target::queue(0), 0);
                        let mut targets = Vec::new();
                        matcher.route(&message, &mut MatchScratch::default(), &mut targets);
                        !targets.is_empty()
                    }
                };
                if !is_match {
                    if path.len() == 1 && explained.unmatched.len() < UNMATCHED_MAX {
                        explained.unmatched.push(unmatched(kind.name(), &binding, keys, headers));
                    }
                    continue;
                }
                matched = true;
                match binding.destination {
                    Destination::Queue(queue) => {
                        if reached.insert(queue.to_owned()) {
                            explained.reached.push(Reached {
                                queue: queue.to_owned(),
                                path: path.clone(),
                                routing_key: binding.routing_key.to_owned(),
                                arguments: binding.arguments.as_bytes().to_vec(),
                            });
                        }
                    }
                    Destination::Exchange(next) => {
                        if met.insert(next.to_owned()) {
                            pending.push_back([path.as_slice(), &[next.to_owned()]].concat());
                        }
                    }
                }
            }
            if !matched
                && let Some(alternate) = &found.options.alternate_exchange
                && self.exchanges.get(alternate).is_some()
                && met.insert(alternate.to_string())
            {
                explained.alternates.push(alternate.to_string());
                pending.push_back([path.as_slice(), &[alternate.to_string()]].concat());
            }
        }
        Ok(explained)
    }

    /// The one destination that an exchange which hashes chooses, if any; `None` for other exchanges.
    fn chosen(&self, exchange: &Exchange, message: &Routable<'_>) -> Option<Option<Destination<'_>>> {
        if !exchange.matcher.needs_seeds() {
            return None;
        }
        let mut targets = Vec::new();
        exchange.matcher.route(message, &mut MatchScratch::default(), &mut targets);
        let name_of = |target: Target| match target.kind() {
            TargetKind::Queue(index) => {
                self.queues.at(index).map(|queue| Destination::Queue(&queue.definition().name))
            }
            TargetKind::Exchange(index) => {
                self.exchanges.at(index).map(|exchange| Destination::Exchange(&exchange.definition.name))
            }
        };
        Some(targets.first().and_then(|&bits| name_of(Target::from_bits(bits))))
    }
}

/// Flags of a message's properties without any.
const NO_PROPERTIES: &[u8] = &[0, 0];

fn unmatched(kind: &str, binding: &Binding<'_>, keys: RoutingKeys<'_>, headers: RawTable<'_>) -> Unmatched {
    let (destination, to_exchange) = match binding.destination {
        Destination::Queue(name) => (name, false),
        Destination::Exchange(name) => (name, true),
    };
    let reason = match kind {
        "headers" => why_headers(binding.arguments, headers),
        "topic" => why_topic(binding.routing_key, keys.first),
        _ => format!("the binding's key is '{}', the message has '{}'", binding.routing_key, keys.first),
    };
    Unmatched {
        destination: destination.to_owned(),
        to_exchange,
        routing_key: binding.routing_key.to_owned(),
        arguments: binding.arguments.as_bytes().to_vec(),
        reason,
    }
}

/// Why a pattern of words does not match a key.
fn why_topic(pattern: &str, key: &str) -> String {
    let words = |text: &str| -> Vec<String> {
        if text.is_empty() { Vec::new() } else { text.split('.').map(str::to_owned).collect() }
    };
    let (pattern_words, key_words) = (words(pattern), words(key));
    for (at, wanted) in pattern_words.iter().enumerate() {
        if wanted == "#" {
            return format!("nothing in place of '#' makes '{pattern}' match '{key}'");
        }
        let place = at + 1;
        match key_words.get(at) {
            None => return format!("the pattern has a word {place}, '{wanted}', the message has {at}"),
            Some(word) if wanted != "*" && word != wanted => {
                return format!("word {place} is '{wanted}', the message has '{word}'");
            }
            Some(_) => {}
        }
    }
    format!("the pattern has {} words, the message has {}", pattern_words.len(), key_words.len())
}

/// Why conditions on headers do not hold.
fn why_headers(conditions: RawTable<'_>, headers: RawTable<'_>) -> String {
    let rule = conditions.get("x-match").and_then(|rule| rule.as_str()).unwrap_or("all");
    if rule.starts_with("any") {
        return "none of its headers has the value that it asks for".to_owned();
    }
    let asked = conditions
        .iter()
        .filter(|(name, _)| *name != "x-match" && (rule.ends_with("-with-x") || !name.starts_with("x-")));
    for (name, wanted) in asked {
        match headers.get(name) {
            None => return format!("the message has no header '{name}'"),
            Some(value) if value != wanted => {
                let shown = |value: leveret_protocol::table::RawValue<'_>| match value.as_str() {
                    Some(text) => format!("'{text}'"),
                    None => value.as_i64().map_or_else(|| value.type_name().to_owned(), |n| n.to_string()),
                };
                return format!("header '{name}' is {}, the message has {}", shown(wanted), shown(value));
            }
            Some(_) => {}
        }
    }
    "its headers do not match".to_owned()
}

/// Bindings that are told not to match.
const UNMATCHED_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use leveret_protocol::table::{Table, Value};

    use super::*;
    use crate::vhost::testing::{ME, Vhost, encoded};

    #[test]
    fn a_pattern_that_does_not_match_says_at_which_word() {
        let check = |pattern: &str, key: &str, reason: &str| assert_eq!(why_topic(pattern, key), reason);
        check("order.paid", "order.open", "word 2 is 'paid', the message has 'open'");
        check("order.*.eu", "order.open", "the pattern has a word 3, 'eu', the message has 2");
        check("order", "order.open", "the pattern has 1 words, the message has 2");
        check("#.eu", "order.us", "nothing in place of '#' makes '#.eu' match 'order.us'");
        check("order", "", "the pattern has a word 1, 'order', the message has 0");
    }

    #[test]
    fn every_queue_is_told_with_its_way_and_every_binding_that_misses_with_its_reason() {
        let mut vhost = Vhost::new();
        let none = Table::new;
        let alternate = || Table::from_iter([("alternate-exchange", Value::from("rest"))]);
        vhost.exchange("logs", "topic", "", alternate()).expect("new");
        vhost.exchange("xall", "fanout", "", none()).expect("new");
        vhost.exchange("rest", "fanout", "", none()).expect("new");
        vhost.queues(["errors", "copy", "lost"]);
        vhost.bind("logs", "errors", "*.error");
        vhost.bind("logs", "xall", "#");
        vhost.bind("xall", "copy", "");
        vhost.bind("rest", "lost", "");
        let explained = |vhost: &Vhost, key: &str| {
            vhost.topology.explain("logs", key, RawTable::empty()).expect("the exchange is there")
        };
        let found = explained(&vhost, "web.info");
        let reached: Vec<_> = found.reached.iter().map(|to| (to.queue.as_str(), to.path.join(">"))).collect();
        assert_eq!(reached, [("copy", "logs>xall".to_owned())]);
        assert_eq!(found.unmatched[0].reason, "word 2 is 'error', the message has 'info'");
        assert!(found.alternates.is_empty());

        vhost.unbind("logs", "xall", "#");
        let found = explained(&vhost, "web.info");
        assert_eq!(
            (found.alternates, found.reached[0].path.join(">")),
            (vec!["rest".to_owned()], "logs>rest".into())
        );
        let direct = vhost.topology.explain("", "copy", RawTable::empty()).expect("always there");
        assert_eq!(direct.reached[0].queue, "copy");
        assert!(vhost.topology.explain("none", "k", RawTable::empty()).is_err());
    }

    #[test]
    fn conditions_on_headers_are_told_by_name() {
        let mut vhost = Vhost::new();
        vhost.exchange("h", "headers", "", Table::new()).expect("new");
        vhost.queue("q", "", Table::new()).expect("new");
        let wanted = Table::from_iter([("type", Value::from("png")), ("size", Value::I32(3))]);
        vhost.bind_with(ME, "h", "q", "", wanted).expect("binds");
        let reason = |headers: Table| {
            let headers = encoded(&headers);
            let raw = RawTable::validate(&headers).expect("valid");
            let found = vhost.topology.explain("h", "", raw).expect("there");
            found.unmatched.into_iter().next().map(|binding| binding.reason)
        };
        let png = ("type", Value::from("png"));
        assert_eq!(reason(Table::from_iter([png.clone(), ("size", Value::I32(3))])), None);
        let missing = reason(Table::from_iter([png.clone()]));
        assert_eq!(missing.as_deref(), Some("the message has no header 'size'"));
        let other = reason(Table::from_iter([png, ("size", Value::I32(4))]));
        assert_eq!(other.as_deref(), Some("header 'size' is 3, the message has 4"));
    }
}
