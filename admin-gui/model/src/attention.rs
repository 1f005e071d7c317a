//! What somebody should look at, why, and what helps.
//!
//! Findings are data; words for them are the screen's business. The worst come first.

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
    /// Dead letters wait.
    DeadLetters { vhost: String, queue: String, messages: u64, growth: f64 },
}

/// Findings of one kind that are shown, so that one cause does not bury the others.
const EACH_MAX: usize = 5;

/// Looks through what is known.
pub fn findings(
    queues: &[api::Queue],
    nodes: &[api::Node],
    connections: &[api::Connection],
    is_dead_letter_queue: impl Fn(&api::Queue) -> bool,
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
            let finding = look_at(queue, is_dead_letter_queue(queue))?;
            Some((queue.totals.messages, finding))
        })
        .collect();
    of_queues
        .sort_by_key(|(messages, finding)| (std::cmp::Reverse(finding.level), std::cmp::Reverse(*messages)));
    let mut seen = [0_usize; 4];
    for (_, finding) in of_queues {
        let slot = match finding.kind {
            Kind::NoConsumer { .. } => 0,
            Kind::Growing { .. } => 1,
            Kind::Stuck { .. } => 2,
            _ => 3,
        };
        seen[slot] += 1;
        if seen[slot] <= EACH_MAX {
            findings.push(finding);
        }
    }
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    findings
}

fn look_at(queue: &api::Queue, is_dead_letter_queue: bool) -> Option<Finding> {
    let (vhost, name) = (queue.vhost.clone(), queue.name.clone());
    let ready = queue.totals.messages_ready;
    let unacked = queue.totals.messages_unacknowledged;
    let growth = queue.totals.messages_ready_details.per_second();
    let route = Route::queue(&vhost, &name);
    let stats = &queue.message_stats;
    let (level, kind) = if is_dead_letter_queue && queue.totals.messages > 0 {
        let messages = queue.totals.messages;
        let level = if growth > 0.0 { Level::Warning } else { Level::Notice };
        (level, Kind::DeadLetters { vhost, queue: name, messages, growth })
    } else if queue.consumers == 0 && ready > 0 && (growth > 0.0 || ready >= 1_000) {
        let level = if growth > 0.0 { Level::Warning } else { Level::Notice };
        (level, Kind::NoConsumer { vhost, queue: name, ready, growth })
    } else if queue.consumers > 0
        && unacked > 0
        && ready > 0
        && stats.ack_details.per_second() == 0.0
        && stats.deliver_get_details.per_second() == 0.0
        && stats.deliver_no_ack_details.per_second() == 0.0
    {
        (Level::Warning, Kind::Stuck { vhost, queue: name, unacked, consumers: queue.consumers })
    } else if queue.consumers > 0 && ready >= 1_000 && growth > 0.0 {
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
        findings(queues, &[], &[], looks_dead).into_iter().map(|finding| finding.kind).collect()
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
        let mut stuck = queue("orders", 10, 0.0, 1);
        stuck.totals.messages_unacknowledged = 3;
        assert!(matches!(found(std::slice::from_ref(&stuck)).as_slice(), [Kind::Stuck { unacked: 3, .. }]));
        stuck.message_stats = MessageStats { ack_details: Rate::new(1.0), ..MessageStats::default() };
        assert_eq!(found(&[stuck]), []);
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
        let findings = findings(&queues, &[node], &[], looks_dead);
        assert_eq!(findings.len(), 1 + EACH_MAX + 1);
        assert_eq!(findings[0].level, Level::Critical);
    }
}
