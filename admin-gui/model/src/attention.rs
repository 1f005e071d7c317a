//! What somebody should look at, why, and what helps.
//!
//! Findings are data; words for them are the screen's business. The worst come first.

use std::collections::HashMap;

use leveret_protocol::admin as api;

use crate::Millis;
use crate::route::Route;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Look at it today.
    Notice,
    /// It will get worse.
    Warning,
    /// It stops something now.
    Critical,
}

/// Something that should be looked at.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub level: Level,
    pub kind: Kind,
    /// Where to look.
    pub route: Route,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Publishers are stopped because memory is short.
    MemoryAlarm { used: u64, limit: u64 },
    /// Publishers are stopped because disk is short.
    DiskAlarm { free: u64, limit: u64 },
    /// Memory is near its limit.
    MemoryNear { used: u64, limit: u64 },
    /// Connections that may not publish now.
    Blocked { connections: usize },
    /// Messages come and nobody takes them.
    NoConsumer { vhost: String, queue: String, ready: u64, growth: f64 },
    /// Consumers take less than comes.
    Growing { vhost: String, queue: String, ready: u64, growth: f64, consumers: u16 },
    /// Everything is out with consumers, and nothing comes back.
    Stuck { vhost: String, queue: String, unacked: u64, consumers: u16 },
    /// Somebody has paused it, and messages wait.
    Paused { vhost: String, queue: String, ready: u64 },
    /// Dead letters wait.
    DeadLetters { vhost: String, queue: String, messages: u64, growth: f64 },
}

/// Findings of one kind that are shown, so that one cause does not bury the others.
const EACH_MAX: usize = 5;
/// Consumers that settle nothing for so long may be stuck: what takes seconds to work on is nothing special.
const STUCK_MS: Millis = 20_000;

/// Looks at a broker for as long as one sits before it.
#[derive(Debug, Default)]
pub struct Watch {
    /// Queues from which nothing was taken and settled: how much had been before, and since when.
    still: HashMap<(String, String), (u64, Millis)>,
}

impl Watch {
    /// Looks through what is known now.
    pub fn findings(
        &mut self,
        now: Millis,
        queues: &[api::Queue],
        nodes: &[api::Node],
        connections: &[api::Connection],
        is_dead_letter_queue: impl Fn(&api::Queue) -> bool,
    ) -> Vec<Finding> {
        let mut still = std::mem::take(&mut self.still);
        for queue in queues.iter().filter(|queue| may_be_stuck(queue)) {
            let key = (queue.vhost.clone(), queue.name.clone());
            let settled = queue.message_stats.ack + queue.message_stats.deliver_no_ack;
            let since = match still.remove(&key) {
                Some((before, since)) if before == settled => since,
                _ => now,
            };
            self.still.insert(key, (settled, since));
        }
        let is_stuck = |queue: &api::Queue| {
            let since = self.still.get(&(queue.vhost.clone(), queue.name.clone()));
            since.is_some_and(|(_, since)| now.saturating_sub(*since) >= STUCK_MS)
        };
        findings(queues, nodes, connections, is_dead_letter_queue, is_stuck)
    }

    /// True when it is worth looking again although nothing has changed.
    pub fn is_waiting(&self) -> bool {
        !self.still.is_empty()
    }
}

/// Everything is out with consumers and more waits, in a broker that counts deliveries: one that does not (its rates are
/// switched off) cannot tell whether anything comes back.
fn may_be_stuck(queue: &api::Queue) -> bool {
    let stats = &queue.message_stats;
    queue.consumers > 0
        && queue.totals.messages_unacknowledged > 0
        && queue.totals.messages_ready > 0
        && stats.deliver + stats.deliver_get > 0
        && stats.ack_details.per_second() == 0.0
        && stats.deliver_get_details.per_second() == 0.0
        && stats.deliver_no_ack_details.per_second() == 0.0
}

fn findings(
    queues: &[api::Queue],
    nodes: &[api::Node],
    connections: &[api::Connection],
    is_dead_letter_queue: impl Fn(&api::Queue) -> bool,
    is_stuck: impl Fn(&api::Queue) -> bool,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for node in nodes {
        if node.mem_alarm {
            let kind = Kind::MemoryAlarm { used: node.mem_used, limit: node.mem_limit };
            findings.push(Finding { level: Level::Critical, kind, route: Route::Overview });
        } else if node.mem_limit > 0 && node.mem_used as f64 > node.mem_limit as f64 * 0.85 {
            let kind = Kind::MemoryNear { used: node.mem_used, limit: node.mem_limit };
            findings.push(Finding { level: Level::Warning, kind, route: Route::Overview });
        }
        if node.disk_free_alarm {
            let kind = Kind::DiskAlarm { free: node.disk_free, limit: node.disk_free_limit };
            findings.push(Finding { level: Level::Critical, kind, route: Route::Overview });
        }
    }
    let blocked = connections.iter().filter(|connection| connection.state.starts_with("block")).count();
    if blocked > 0 {
        let kind = Kind::Blocked { connections: blocked };
        findings.push(Finding { level: Level::Critical, kind, route: Route::Connections });
    }
    let mut of_queues: Vec<(u64, Finding)> = queues
        .iter()
        .filter_map(|queue| {
            let finding = look_at(queue, is_dead_letter_queue(queue), &is_stuck)?;
            Some((queue.totals.messages, finding))
        })
        .collect();
    of_queues
        .sort_by_key(|(messages, finding)| (std::cmp::Reverse(finding.level), std::cmp::Reverse(*messages)));
    let mut seen = [0_usize; 5];
    for (_, finding) in of_queues {
        let slot = match finding.kind {
            Kind::NoConsumer { .. } => 0,
            Kind::Growing { .. } => 1,
            Kind::Stuck { .. } => 2,
            Kind::Paused { .. } => 3,
            _ => 4,
        };
        seen[slot] += 1;
        if seen[slot] <= EACH_MAX {
            findings.push(finding);
        }
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    findings
}

fn look_at(
    queue: &api::Queue,
    is_dead_letter_queue: bool,
    is_stuck: impl Fn(&api::Queue) -> bool,
) -> Option<Finding> {
    let (vhost, name) = (queue.vhost.clone(), queue.name.clone());
    let ready = queue.totals.messages_ready;
    let unacked = queue.totals.messages_unacknowledged;
    let growth = queue.totals.messages_ready_details.per_second();
    let route = Route::queue(&vhost, &name);
    let (level, kind) = if is_dead_letter_queue && queue.totals.messages > 0 {
        let messages = queue.totals.messages;
        let level = if growth > 0.0 { Level::Warning } else { Level::Notice };
        (level, Kind::DeadLetters { vhost, queue: name, messages, growth })
    } else if queue.state == "paused" && ready > 0 {
        (Level::Notice, Kind::Paused { vhost, queue: name, ready })
    } else if queue.consumers == 0 && ready > 0 && (growth > 0.0 || ready >= 1_000) {
        let level = if growth > 0.0 { Level::Warning } else { Level::Notice };
        (level, Kind::NoConsumer { vhost, queue: name, ready, growth })
    } else if is_stuck(queue) {
        (Level::Warning, Kind::Stuck { vhost, queue: name, unacked, consumers: queue.consumers })
    } else if queue.consumers > 0 && growth > 0.0 && (ready >= 1_000 || (ready >= 100 && growth >= 1.0)) {
        (Level::Warning, Kind::Growing { vhost, queue: name, ready, growth, consumers: queue.consumers })
    } else {
        return None;
    };
    Some(Finding { level, kind, route })
}

/// True when dead letters of other queues come to this one, as far as arguments and names tell.
pub fn looks_dead(queue: &api::Queue) -> bool {
    let name = queue.name.to_ascii_lowercase();
    ["dlq", "dead", "dlx", "parking"].iter().any(|part| {
        name.split(|c: char| !c.is_alphanumeric()).any(|word| word.starts_with(part) || word.ends_with(part))
    })
}

/// How long until `free` is used up at `per_second`, if it ever is.
pub fn time_left(free: f64, per_second: f64) -> Option<Millis> {
    (free > 0.0 && per_second > 0.0).then(|| (free / per_second * 1_000.0) as Millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use leveret_protocol::admin::{MessageStats, Queue, QueueTotals, Rate};

    fn queue(name: &str, ready: u64, growth: f64, consumers: u16) -> Queue {
        let totals = QueueTotals {
            messages: ready,
            messages_ready: ready,
            messages_ready_details: Rate::new(growth),
            ..QueueTotals::default()
        };
        Queue { name: name.to_owned(), vhost: "/".to_owned(), totals, consumers, ..Queue::default() }
    }

    fn found(queues: &[Queue]) -> Vec<Kind> {
        let mut watch = Watch::default();
        watch.findings(0, queues, &[], &[], looks_dead).into_iter().map(|finding| finding.kind).collect()
    }

    #[test]
    fn a_quiet_broker_needs_no_attention() {
        assert_eq!(found(&[queue("a", 0, 0.0, 0), queue("b", 5, 0.0, 1), queue("c", 20, 0.0, 0)]), []);
    }

    #[test]
    fn queues_that_nobody_empties_are_found() {
        let kinds = found(&[queue("orders", 10, 2.0, 0)]);
        assert!(matches!(kinds.as_slice(), [Kind::NoConsumer { ready: 10, .. }]), "{kinds:?}");
        let kinds = found(&[queue("orders", 5_000, 2.0, 1)]);
        assert!(matches!(kinds.as_slice(), [Kind::Growing { ready: 5_000, .. }]), "{kinds:?}");
        assert_eq!(found(&[queue("orders", 150, 0.5, 1), queue("orders", 50, 3.0, 1)]), []);
        let mut paused = queue("orders", 5, 1.0, 0);
        paused.state = "paused".to_owned();
        assert!(matches!(found(&[paused]).as_slice(), [Kind::Paused { ready: 5, .. }]));
    }

    #[test]
    fn consumers_are_stuck_when_nothing_comes_back_for_a_while() {
        let mut stuck = queue("orders", 10, 0.0, 1);
        stuck.totals.messages_unacknowledged = 3;
        stuck.message_stats = MessageStats { deliver: 3, ..MessageStats::default() };
        let mut watch = Watch::default();
        let mut at = |now, queue: &Queue| {
            let found = watch.findings(now, std::slice::from_ref(queue), &[], &[], looks_dead);
            matches!(found.first().map(|finding| &finding.kind), Some(Kind::Stuck { unacked: 3, .. }))
        };
        assert!(!at(1_000, &stuck) && !at(STUCK_MS, &stuck));
        assert!(at(1_000 + STUCK_MS, &stuck));
        // One was settled between two looks, which counts from then on.
        stuck.message_stats.ack = 1;
        assert!(!at(2_000 + STUCK_MS, &stuck) && !at(1_000 + 2 * STUCK_MS, &stuck));
        assert!(at(2_000 + 2 * STUCK_MS, &stuck));
        stuck.message_stats.ack_details = Rate::new(1.0);
        assert!(!at(3_000 + 3 * STUCK_MS, &stuck));
        // A broker that counts nothing is not accused.
        stuck.message_stats = MessageStats::default();
        assert!(!at(4_000 + 3 * STUCK_MS, &stuck) && !at(9_000 + 9 * STUCK_MS, &stuck));
    }

    #[test]
    fn dead_letters_are_told_from_what_waits_for_work() {
        for name in ["orders.dlq", "dead-letters", "dlq.orders", "orders_dead"] {
            assert!(
                matches!(found(&[queue(name, 3, 0.0, 0)]).as_slice(), [Kind::DeadLetters { .. }]),
                "{name}"
            );
        }
        assert_eq!(found(&[queue("deadline.x-undead", 0, 0.0, 0)]), []);
    }

    #[test]
    fn alarms_come_first_and_one_cause_does_not_bury_the_others() {
        let mut queues: Vec<Queue> = (0..50).map(|at| queue(&format!("q{at}"), 10 + at, 1.0, 0)).collect();
        queues.push(queue("slow", 2_000, 1.0, 1));
        let node = api::Node { mem_alarm: true, mem_used: 9, mem_limit: 8, ..api::Node::default() };
        let findings = Watch::default().findings(0, &queues, &[node], &[], looks_dead);
        assert_eq!(findings.len(), 1 + EACH_MAX + 1);
        assert_eq!(findings[0].level, Level::Critical);
    }
}
