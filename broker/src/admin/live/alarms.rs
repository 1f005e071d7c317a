//! What runs short, why, and who fills it.

use leveret_protocol::admin::events::{AlarmCause, AlarmReport, TopPublisher, TopQueue};
use leveret_protocol::table::Value;

use super::flows::FlowRates;
use crate::broker::Broker;
use crate::connections::ConnectionInfo;

/// The report as of now; who publishes how much is as of the last sample of `flows`.
pub fn report(broker: &Broker, flows: &FlowRates) -> AlarmReport {
    let alarms = broker.alarms();
    let usage = alarms.usage();
    let mut report = AlarmReport {
        memory_used: usage.memory_bytes,
        memory_limit: alarms.memory_limit_bytes(),
        disk_free: usage.disk_free_bytes,
        disk_free_limit: alarms.disk_free_limit_bytes(),
        ..AlarmReport::default()
    };
    if let Some(since) = alarms.memory_since_ms() {
        report.alarms.push(AlarmCause {
            resource: "memory".to_owned(),
            since,
            cause: format!(
                "the broker uses {} of memory, publishers wait above {}",
                bytes(usage.memory_bytes),
                bytes(report.memory_limit)
            ),
            remedy: "consume or purge the queues that hold most; lower memory.message_bytes to keep fewer messages \
                     in memory, or raise memory.high_watermark"
                .to_owned(),
        });
    }
    if let Some(since) = alarms.disk_since_ms() {
        report.alarms.push(AlarmCause {
            resource: "disk".to_owned(),
            since,
            cause: format!(
                "{} are free on the disk of the data directory, publishers wait below {}",
                bytes(usage.disk_free_bytes),
                bytes(report.disk_free_limit)
            ),
            remedy:
                "consume or purge the queues that hold most, or make room on the disk; disk.free_limit_bytes \
                     says how much has to stay free"
                    .to_owned(),
        });
    }
    let mut publishers = Vec::new();
    broker.connections().look_at_all(|info| {
        report.blocked_connections += u64::from(info.blocked);
        if info.publishes {
            publishers.push(publisher(info, flows));
        }
    });
    let load = |publisher: &TopPublisher| publisher.bytes_rate.max(publisher.rate);
    publishers.sort_by(|a, b| load(b).total_cmp(&load(a)).then_with(|| a.connection.cmp(&b.connection)));
    publishers.truncate(TOP);
    report.top_publishers = publishers;
    report.top_queues = top_queues(broker);
    report
}

fn publisher(info: &ConnectionInfo, flows: &FlowRates) -> TopPublisher {
    let rates = flows.publisher(info.id);
    TopPublisher {
        connection: info.name(),
        user: info.user.clone(),
        vhost: info.vhost.clone(),
        application: application(info),
        rate: rates.map_or(0.0, |rates| rates.published.rate),
        bytes_rate: rates.map_or(0.0, |rates| rates.bytes.rate),
    }
}

/// What the client calls itself, by the best name that it gives.
pub fn application(info: &ConnectionInfo) -> String {
    let property = |name: &str| match info.client_properties.get(name) {
        Some(Value::LongString(text)) if !text.is_empty() => Some(String::from_utf8_lossy(text).into_owned()),
        _ => None,
    };
    property("connection_name").or_else(|| property("product")).unwrap_or_default()
}

fn top_queues(broker: &Broker) -> Vec<TopQueue> {
    let mut top: Vec<TopQueue> = Vec::with_capacity(TOP + 1);
    for vhost in broker.all_vhosts() {
        for cell in vhost.queues() {
            let info = cell.info();
            let (messages, message_bytes) =
                (info.ready + info.unacked, info.ready_bytes + info.unacked_bytes);
            if messages == 0
                || top.len() == TOP && top.last().is_some_and(|l| l.message_bytes >= message_bytes)
            {
                continue;
            }
            let at = top.partition_point(|other| other.message_bytes >= message_bytes);
            top.insert(
                at,
                TopQueue {
                    vhost: cell.vhost().to_string(),
                    name: cell.name().to_string(),
                    messages,
                    message_bytes,
                    consumers: info.consumers,
                },
            );
            top.truncate(TOP);
        }
    }
    top
}

/// A number of bytes for people.
fn bytes(number: u64) -> String {
    let mut amount = number as f64;
    for unit in ["bytes", "KiB", "MiB", "GiB"] {
        if amount < 1024.0 {
            return if unit == "bytes" { format!("{number} bytes") } else { format!("{amount:.1} {unit}") };
        }
        amount /= 1024.0;
    }
    format!("{amount:.1} TiB")
}

/// How many publishers and queues are named.
const TOP: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_for_people() {
        assert_eq!(bytes(1023), "1023 bytes");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(5 << 30), "5.0 GiB");
        assert_eq!(bytes(3 << 40), "3.0 TiB");
    }
}
