//! Rates between exchanges, queues and connections: what the graph of a vhost shows on its edges.

use std::sync::Arc;

use hashbrown::HashMap;
use leveret_core::queue::ConnectionId;

use crate::broker::Broker;
use crate::store::QueueUid;

/// What flowed between the last two samples.
#[derive(Default)]
pub struct FlowRates {
    samples: u64,
    /// By vhost and exchange.
    exchanges: HashMap<(Arc<str>, Box<str>), ExchangeRates>,
    publishers: HashMap<ConnectionId, PublisherRates>,
    consumers: HashMap<ConsumerId, Gauge>,
    /// Messages that die in queues and are sent on.
    dead: HashMap<QueueUid, Gauge>,
}

/// A counter and how fast it rises, per second.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Gauge {
    count: u64,
    pub rate: f64,
}

/// What goes through one exchange.
#[derive(Debug, Default)]
pub struct ExchangeRates {
    pub published: Gauge,
    /// Copies by queue.
    pub queues: HashMap<QueueUid, Gauge>,
}

/// What one connection publishes.
#[derive(Debug, Default)]
pub struct PublisherRates {
    pub published: Gauge,
    /// Bytes received.
    pub bytes: Gauge,
    /// By exchange.
    pub to: HashMap<Box<str>, Gauge>,
}

/// Tells a consumer from all others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConsumerId {
    pub queue: QueueUid,
    pub connection: ConnectionId,
    pub channel: u16,
    pub tag: Arc<str>,
}

impl FlowRates {
    /// True once there are two samples to compare.
    pub fn is_ready(&self) -> bool {
        self.samples > 1
    }

    /// What goes through an exchange.
    pub fn exchange(&self, vhost: &Arc<str>, exchange: &str) -> Option<&ExchangeRates> {
        self.exchanges.get(&(vhost.clone(), exchange.into()))
    }

    /// What a connection publishes.
    pub fn publisher(&self, connection: ConnectionId) -> Option<&PublisherRates> {
        self.publishers.get(&connection)
    }

    /// Messages per second that a consumer is given.
    pub fn consumer(&self, consumer: &ConsumerId) -> f64 {
        self.consumers.get(consumer).map_or(0.0, |gauge| gauge.rate)
    }

    /// Messages per second that die in a queue and are sent on.
    pub fn dead(&self, queue: QueueUid) -> f64 {
        self.dead.get(&queue).map_or(0.0, |gauge| gauge.rate)
    }

    pub(super) fn clear(&mut self) {
        *self = FlowRates::default();
    }

    /// Looks at all counters; the last look was `seconds` ago.
    pub(super) fn sample(&mut self, broker: &Broker, seconds: f64) {
        self.samples += 1;
        let before = std::mem::take(&mut self.exchanges);
        let mut consumers = HashMap::new();
        let mut dead = HashMap::new();
        for vhost in broker.all_vhosts() {
            vhost.flows().look_at_all(|exchange, flow| {
                let key = (vhost.name().clone(), Box::from(exchange));
                let known = before.get(&key);
                let queues = flow.queues.iter().map(|(uid, count)| {
                    let known = known.and_then(|known| known.queues.get(uid));
                    (*uid, Gauge::after(known, *count, seconds, self.samples))
                });
                let rates = ExchangeRates {
                    published: Gauge::after(
                        known.map(|known| &known.published),
                        flow.published,
                        seconds,
                        self.samples,
                    ),
                    queues: queues.collect(),
                };
                self.exchanges.insert(key, rates);
            });
            vhost.flows().look_at_dead(|uid, count| {
                dead.insert(uid, Gauge::after(self.dead.get(&uid), count, seconds, self.samples));
            });
            for cell in vhost.queues() {
                for consumer in cell.consumers() {
                    let id = ConsumerId {
                        queue: cell.uid(),
                        connection: consumer.connection,
                        channel: consumer.channel,
                        tag: consumer.consumer_tag,
                    };
                    let known = self.consumers.get(&id);
                    let gauge = Gauge::after(known, consumer.delivered, seconds, self.samples);
                    consumers.insert(id, gauge);
                }
            }
        }
        self.consumers = consumers;
        self.dead = dead;
        let before = std::mem::take(&mut self.publishers);
        broker.connections().look_at_all(|info| {
            if !info.publishes {
                return;
            }
            let known = before.get(&info.id);
            let gauge = |known: Option<&Gauge>, count| Gauge::after(known, count, seconds, self.samples);
            let to = info.published_to.iter().map(|(exchange, count)| {
                (exchange.clone(), gauge(known.and_then(|known| known.to.get(exchange)), *count))
            });
            let rates = PublisherRates {
                published: gauge(known.map(|known| &known.published), info.published),
                bytes: gauge(known.map(|known| &known.bytes), info.traffic.read_bytes),
                to: to.collect(),
            };
            self.publishers.insert(info.id, rates);
        });
    }
}

impl Gauge {
    /// A counter that stood at `known`. One that is new since the sample before began at nothing; in the first sample
    /// nothing is known of when what it counted happened.
    fn after(known: Option<&Gauge>, count: u64, seconds: f64, samples: u64) -> Gauge {
        let before = match known {
            Some(known) => known.count,
            None if samples > 1 => 0,
            None => count,
        };
        Gauge { count, rate: count.saturating_sub(before) as f64 / seconds.max(0.001) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_knows_what_it_saw_and_what_it_did_not() {
        let first = Gauge::after(None, 1_000_000, 1.0, 1);
        assert_eq!(first.rate, 0.0, "counted at some time before anybody looked");
        let second = Gauge::after(Some(&first), 1_000_100, 2.0, 2);
        assert_eq!(second.rate, 50.0);
        assert_eq!(Gauge::after(None, 30, 1.0, 3).rate, 30.0, "new since the last look");
        assert_eq!(Gauge::after(Some(&second), 5, 1.0, 3).rate, 0.0, "made again");
    }
}
