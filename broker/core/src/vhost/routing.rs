//! From an exchange and a message to queues.
//!
//! A message starts at the exchange it was published to and follows bindings; each exchange is visited once, so
//! cycles end. An exchange none of whose bindings match sends it on to its alternate exchange, if it has one, whatever
//! other exchanges on the way did. A queue is found once however many bindings lead to it.
//!
//! The common message finds one queue through the default or a direct exchange: two or three hash lookups, no
//! allocation.

use leveret_protocol::properties::PropertiesView;
use leveret_protocol::table::{RawTable, RawValue};

use super::definitions::ExchangeDefinition;
use super::faults;
use super::topology::{DEFAULT_EXCHANGE, Topology};
use crate::delayed::Delay;
use crate::exchange::{ExchangeKind, Marks, MatchScratch, Routable, RoutingKeys, Target, TargetKind};
use crate::fault::Fault;
use crate::message::Message;

/// What routing needs besides its result, kept between messages so that none allocates. One per connection will do.
#[derive(Debug, Default)]
pub struct RouteScratch {
    matching: MatchScratch,
    /// Bits of the targets found.
    targets: Vec<u32>,
    /// Indices of exchanges still to visit.
    pending: Vec<u32>,
    exchanges_met: Marks,
    queues_met: Marks,
    /// Uids of the delayed exchanges that hold the message back.
    holding: Vec<u64>,
    /// The message has waited already.
    has_waited: bool,
    /// Indices of the exchanges met that remember messages.
    remembering: Vec<u32>,
    is_repeatable: bool,
}

impl RouteScratch {
    /// With a seed for the choices of random exchanges. Without one, all scratches make the same choices.
    pub fn seeded(seed: u64) -> RouteScratch {
        let mut scratch = RouteScratch::default();
        scratch.matching.random = seed;
        scratch
    }

    /// True when the same exchange and routing key lead to the same queues until [`Topology::generation`] rises, for
    /// every message that names no further keys ([`extra_routing_keys`]), and no exchange on the way has to learn of
    /// each message. False when headers, a hash or chance had a say in where the last message went.
    #[inline]
    pub fn is_repeatable(&self) -> bool {
        self.is_repeatable
    }

    /// True when an exchange on the way of the last message has to remember it: [`Topology::remembering`].
    #[inline]
    pub fn is_remembered(&self) -> bool {
        !self.remembering.is_empty()
    }

    /// The delayed exchanges that are to hold back the last message, by uid; what lies behind them was not found.
    #[inline]
    pub fn holding(&self) -> &[u64] {
        &self.holding
    }
}

impl<H: Clone> Topology<H> {
    /// Appends a handle to every queue that a published message goes to; false when there is none.
    #[inline]
    pub fn route(
        &self,
        exchange: &str,
        routing_key: &str,
        properties: PropertiesView<'_>,
        scratch: &mut RouteScratch,
        out: &mut Vec<H>,
    ) -> Result<bool, Fault> {
        let index = if exchange.is_empty() { DEFAULT_EXCHANGE } else { self.publishable_exchange(exchange)? };
        let headers = properties.headers().unwrap_or_default();
        let more = if headers.is_empty() { Vec::new() } else { keys_of_headers(headers)? };
        let keys = RoutingKeys { first: routing_key, more: &more };
        Ok(self.route_from(index, &Routable { keys, headers, properties }, scratch, out))
    }

    /// As [`Topology::route`] for a message that the broker itself sends on: by all the keys given, to internal
    /// exchanges too. `None` when the exchange does not exist.
    pub fn route_dead_letter(
        &self,
        exchange: &str,
        routing_keys: &[&str],
        properties: PropertiesView<'_>,
        scratch: &mut RouteScratch,
        out: &mut Vec<H>,
    ) -> Option<bool> {
        let index = self.exchanges.index(exchange)?;
        let (&first, more) = routing_keys.split_first()?;
        let headers = properties.headers().unwrap_or_default();
        let message = Routable { keys: RoutingKeys { first, more }, headers, properties };
        Some(self.route_from(index, &message, scratch, out))
    }

    /// The exchanges on the way of the last message that remember messages, the one it was published to first.
    pub fn remembering(&self, scratch: &RouteScratch) -> impl Iterator<Item = &ExchangeDefinition> {
        scratch.remembering.iter().filter_map(|&index| Some(&*self.exchanges.at(index)?.definition))
    }

    /// As [`Topology::route_dead_letter`] for a message that no delayed exchange is to hold back.
    pub fn route_at_once(
        &self,
        exchange: &str,
        routing_keys: &[&str],
        properties: PropertiesView<'_>,
        scratch: &mut RouteScratch,
        out: &mut Vec<H>,
    ) -> Option<bool> {
        scratch.has_waited = true;
        let found = self.route_dead_letter(exchange, routing_keys, properties, scratch, out);
        scratch.has_waited = false;
        found
    }

    /// As [`Topology::route`] for a message that has waited at `exchange`: nothing holds it back again.
    pub fn route_after_waiting(
        &self,
        exchange: &str,
        message: &Message,
        scratch: &mut RouteScratch,
        out: &mut Vec<H>,
    ) -> Option<bool> {
        let index = self.exchanges.index(exchange)?;
        let headers = message.properties().headers().unwrap_or_default();
        let more = if headers.is_empty() { Vec::new() } else { keys_of_headers(headers).unwrap_or_default() };
        let keys = RoutingKeys { first: message.routing_key(), more: &more };
        scratch.has_waited = true;
        let message = Routable { keys, headers, properties: message.properties() };
        let found = self.route_from(index, &message, scratch, out);
        scratch.has_waited = false;
        Some(found)
    }

    #[inline]
    fn publishable_exchange(&self, name: &str) -> Result<u32, Fault> {
        let index =
            self.exchanges.index(name).ok_or_else(|| faults::not_found(self.exchange_resource(name)))?;
        if self.exchanges.at(index).is_some_and(|exchange| exchange.definition.internal) {
            return Err(faults::internal_exchange(self.exchange_resource(name)));
        }
        Ok(index)
    }

    #[inline]
    fn route_from(
        &self,
        index: u32,
        message: &Routable<'_>,
        scratch: &mut RouteScratch,
        out: &mut Vec<H>,
    ) -> bool {
        let keys = message.keys;
        scratch.is_repeatable = keys.more.is_empty();
        scratch.remembering.clear();
        scratch.holding.clear();
        if index == DEFAULT_EXCHANGE && keys.more.is_empty() {
            let queue = self.queues.get(keys.first);
            out.extend(queue.map(|queue| queue.handle.clone()));
            return queue.is_some();
        }
        scratch.targets.clear();
        let each_once = self.visit_from(index, message, scratch);
        let before = out.len();
        if each_once || scratch.targets.len() < 2 {
            out.extend(
                scratch.targets.iter().filter_map(|&queue| Some(self.queues.at(queue)?.handle.clone())),
            );
        } else {
            scratch.queues_met.clear();
            for &queue in &scratch.targets {
                if scratch.queues_met.insert(queue)
                    && let Some(queue) = self.queues.at(queue)
                {
                    out.push(queue.handle.clone());
                }
            }
        }
        out.len() > before
    }

    /// Leaves the indices of the queues found in `scratch.targets`. True when each is there once.
    fn visit_from(&self, index: u32, message: &Routable<'_>, scratch: &mut RouteScratch) -> bool {
        let RouteScratch {
            matching,
            targets,
            pending,
            exchanges_met,
            remembering,
            is_repeatable,
            holding,
            has_waited,
            ..
        } = scratch;
        let keys = message.keys;
        exchanges_met.clear();
        exchanges_met.insert(index);
        pending.clear();
        pending.push(index);
        let mut visited = 0;
        let mut each_once = true;
        while let Some(index) = pending.pop() {
            let Some(exchange) = self.exchanges.at(index) else { continue };
            visited += 1;
            let from = targets.len();
            if exchange.remembers {
                *is_repeatable = false;
                remembering.push(index);
            }
            if exchange.definition.kind == ExchangeKind::Delayed {
                *is_repeatable = false;
                if !*has_waited && Delay::of(message.headers).is_some() {
                    holding.push(exchange.definition.uid);
                    continue;
                }
            }
            if index == DEFAULT_EXCHANGE {
                targets.extend(keys.iter().filter_map(|key| self.queues.index(key)));
                each_once &= keys.more.is_empty();
            } else {
                each_once &= exchange.matcher.route(message, matching, targets);
                *is_repeatable &= exchange.matcher.is_repeatable();
            }
            if targets.len() == from {
                if let Some(alternate) = &exchange.options.alternate_exchange
                    && let Some(alternate) = self.exchanges.index(alternate)
                    && exchanges_met.insert(alternate)
                {
                    pending.push(alternate);
                }
                continue;
            }
            let mut kept = from;
            for at in from..targets.len() {
                match Target::from_bits(targets[at]).kind() {
                    TargetKind::Queue(queue) => {
                        targets[kept] = queue;
                        kept += 1;
                    }
                    TargetKind::Exchange(exchange) => {
                        if exchanges_met.insert(exchange) {
                            pending.push(exchange);
                        }
                    }
                }
            }
            targets.truncate(kept);
        }
        each_once && visited == 1
    }
}

/// The further routing keys that a message names in its CC and BCC headers.
///
/// Elements that are not text are passed over, as RabbitMQ does.
pub fn extra_routing_keys(properties: PropertiesView<'_>) -> Result<Vec<&str>, Fault> {
    properties.headers().map_or(Ok(Vec::new()), keys_of_headers)
}

/// The message without its BCC header, which nobody but the broker is to see. Call it once it is routed.
#[cold]
pub fn without_bcc(message: Message) -> Message {
    let properties = message.properties();
    let headers = properties.headers().filter(|headers| headers.get("BCC").is_some());
    let Some(Ok(mut headers)) = headers.map(RawTable::to_table) else { return message };
    headers.remove("BCC");
    let properties = properties.with_headers(&headers);
    message.rewritten(message.exchange(), message.routing_key(), &properties, message.has_died())
}

pub(super) fn keys_of_headers(headers: RawTable<'_>) -> Result<Vec<&str>, Fault> {
    let mut keys = Vec::new();
    for (name, value) in headers.iter() {
        if name != "CC" && name != "BCC" {
            continue;
        }
        let RawValue::Array(elements) = value else {
            return Err(Fault::precondition_failed(format!(
                "invalid message: {{unacceptable_type_in_header,\"{name}\",{}}}",
                value.type_name()
            )));
        };
        keys.extend(elements.iter().filter_map(RawValue::as_str));
    }
    Ok(keys)
}

#[cfg(test)]
mod tests;
