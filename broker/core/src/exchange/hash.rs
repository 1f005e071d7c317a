//! Exchanges that pick one destination for each message by a hash: `x-consistent-hash` and `x-modulus-hash`.
//!
//! `x-consistent-hash` is weighted rendezvous hashing: every destination draws a number from the hash of the message and
//! its own name, scaled by its weight, and the highest draw gets the message. A destination that is bound or unbound
//! thus moves only messages that go to it or went to it, after a restart too, and there is no ring to keep. The price
//! is one step per destination and message.
//!
//! `x-modulus-hash` numbers its destinations in a fixed order and takes the hash modulo their number.

use leveret_protocol::properties::PropertiesView;
use leveret_protocol::table::RawValue;

use super::Routable;
use crate::fault::Fault;
use crate::term::Term;

/// What of a message is hashed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HashOn {
    /// Its routing key, and those of CC and BCC.
    #[default]
    RoutingKey,
    /// The header of this name. All messages without it count as equal.
    Header(String),
    /// A property. All messages without it count as equal.
    Property(HashProperty),
}

/// The properties that can be hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashProperty {
    MessageId,
    CorrelationId,
    Timestamp,
}

impl HashProperty {
    /// The property that `hash-property` calls `name`.
    pub fn from_name(name: &[u8]) -> Option<HashProperty> {
        Some(match name {
            b"message_id" => HashProperty::MessageId,
            b"correlation_id" => HashProperty::CorrelationId,
            b"timestamp" => HashProperty::Timestamp,
            _ => return None,
        })
    }
}

impl HashOn {
    fn hash(&self, message: &Routable<'_>) -> u64 {
        let mut hash = Fnv::default();
        match self {
            HashOn::RoutingKey => {
                for key in message.keys.iter() {
                    hash.write(key.as_bytes());
                    hash.write(&[0xFF]);
                }
            }
            HashOn::Header(name) => {
                if let Some(value) = message.headers.get(name) {
                    write_value(value, &mut |bytes| hash.write(bytes));
                }
            }
            HashOn::Property(property) => write_property(*property, message.properties, &mut hash),
        }
        mix(hash.0)
    }
}

fn write_property(property: HashProperty, properties: PropertiesView<'_>, hash: &mut Fnv) {
    let text = match property {
        HashProperty::MessageId => properties.message_id(),
        HashProperty::CorrelationId => properties.correlation_id(),
        HashProperty::Timestamp => {
            if let Some(seconds) = properties.timestamp() {
                hash.write(&seconds.to_be_bytes());
            }
            return;
        }
    };
    hash.write(text.unwrap_or_default().as_bytes());
}

/// Gives `write` the bytes that stand for a header's value: text as it is, integers of all widths alike.
pub(crate) fn write_value(value: RawValue<'_>, write: &mut impl FnMut(&[u8])) {
    match value {
        RawValue::LongString(bytes) | RawValue::Bytes(bytes) => write(bytes),
        other => match other.as_i64() {
            Some(number) => write(&number.to_be_bytes()),
            None => {
                write(other.to_value().map_or_else(|_| String::new(), |v| Term(&v).to_string()).as_bytes())
            }
        },
    }
}

/// The bindings of a hash exchange.
#[derive(Debug)]
pub(crate) struct HashMatcher {
    on: HashOn,
    choice: Choice,
    /// By seed, so that their order does not depend on the order of binding.
    destinations: Vec<Weighted>,
}

/// How a hash becomes a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    Consistent,
    Modulus,
}

#[derive(Debug)]
struct Weighted {
    target: u32,
    /// Stands for the destination's name, which outlives its index.
    seed: u64,
    /// The weights of its bindings together.
    weight: u64,
    bindings: u32,
}

impl HashMatcher {
    pub fn new(choice: Choice, on: HashOn) -> HashMatcher {
        HashMatcher { on, choice, destinations: Vec::new() }
    }

    /// Refuses binding keys that are no weights.
    pub fn validate(&self, key: &str) -> Result<(), Fault> {
        if self.choice == Choice::Modulus {
            return Ok(());
        }
        match key.parse::<i128>() {
            Err(_) => Err(Fault::precondition_failed(format!(
                "The binding key must be an integer: {}",
                Term(&key.into())
            ))),
            Ok(weight) if weight < 1 => {
                Err(Fault::precondition_failed("The binding key must be greater than 0"))
            }
            Ok(_) => Ok(()),
        }
    }

    /// `seed` comes from [`destination_seed`].
    pub fn bind(&mut self, key: &str, target: u32, seed: u64) {
        let weight = weight(key);
        match self.destinations.iter_mut().find(|other| other.target == target) {
            Some(bound) => {
                bound.weight += weight;
                bound.bindings += 1;
            }
            None => {
                let at = self.destinations.partition_point(|other| other.seed < seed);
                self.destinations.insert(at, Weighted { target, seed, weight, bindings: 1 });
            }
        }
    }

    pub fn unbind(&mut self, key: &str, target: u32) {
        let Some(at) = self.destinations.iter().position(|other| other.target == target) else { return };
        let bound = &mut self.destinations[at];
        bound.weight = bound.weight.saturating_sub(weight(key));
        bound.bindings -= 1;
        if bound.bindings == 0 {
            self.destinations.remove(at);
        }
    }

    /// Appends the destination that gets the message, if there is any.
    pub fn route(&self, message: &Routable<'_>, out: &mut Vec<u32>) {
        if self.destinations.len() < 2 {
            out.extend(self.destinations.first().map(|only| only.target));
            return;
        }
        let hash = self.on.hash(message);
        let chosen = match self.choice {
            Choice::Consistent => self
                .destinations
                .iter()
                .map(|destination| (destination.draw(hash), destination))
                .max_by(|(a, _), (b, _)| a.total_cmp(b))
                .map(|(_, destination)| destination),
            Choice::Modulus => self.destinations.get((hash % self.destinations.len() as u64) as usize),
        };
        out.extend(chosen.map(|chosen| chosen.target));
    }
}

impl Weighted {
    /// With `u` evenly spread over (0, 1), the highest of `weight / -ln(u)` is this one's in proportion to its weight.
    fn draw(&self, hash: u64) -> f64 {
        let u = ((mix(hash ^ self.seed) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        self.weight as f64 / -u.ln()
    }
}

/// What stands for a destination in draws: the same in every run.
pub(crate) fn destination_seed(is_queue: bool, name: &str) -> u64 {
    let mut hash = Fnv::default();
    hash.write(&[u8::from(is_queue)]);
    hash.write(name.as_bytes());
    mix(hash.0)
}

/// Weights above this count as this, so that sums of them stay exact.
fn weight(key: &str) -> u64 {
    key.parse::<i128>().map_or(0, |weight| weight.clamp(0, i128::from(u32::MAX)) as u64)
}

/// FNV-1a: a few instructions per byte, the same everywhere.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xCBF2_9CE4_8422_2325)
    }
}

impl Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }
}

/// Spreads every bit of the input over the whole output (the finalizer of SplitMix64).
pub(crate) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use leveret_protocol::properties::Properties;
    use leveret_protocol::table::Table;

    use super::super::RoutingKeys;
    use super::*;

    fn matcher(weights: &[u64]) -> HashMatcher {
        let mut matcher = HashMatcher::new(Choice::Consistent, HashOn::RoutingKey);
        for (target, weight) in weights.iter().enumerate() {
            bind(&mut matcher, target as u32, *weight);
        }
        matcher
    }

    fn bind(matcher: &mut HashMatcher, target: u32, weight: u64) {
        let seed = destination_seed(true, &format!("queue-{target}"));
        matcher.bind(&weight.to_string(), target, seed);
    }

    fn route_with(matcher: &HashMatcher, key: &str, properties: &Properties) -> u32 {
        let mut raw = Vec::new();
        properties.encode(&mut raw);
        let properties = PropertiesView::validate(&raw).unwrap();
        let message = Routable {
            keys: RoutingKeys { first: key, more: &[] },
            headers: properties.headers().unwrap_or_default(),
            properties,
        };
        let mut out = Vec::new();
        matcher.route(&message, &mut out);
        assert_eq!(out.len(), 1, "exactly one destination");
        out[0]
    }

    fn route(matcher: &HashMatcher, key: &str) -> u32 {
        route_with(matcher, key, &Properties::default())
    }

    fn destinations(matcher: &HashMatcher, keys: u32) -> Vec<u32> {
        (0..keys).map(|number| route(matcher, &format!("customer.{number}"))).collect()
    }

    fn counts(destinations: &[u32]) -> BTreeMap<u32, u32> {
        let mut counts = BTreeMap::new();
        for destination in destinations {
            *counts.entry(*destination).or_default() += 1;
        }
        counts
    }

    #[test]
    fn keys_spread_in_proportion_to_the_weights() {
        let equal = counts(&destinations(&matcher(&[1; 10]), 50_000));
        assert!(equal.len() == 10 && equal.values().all(|count| (4_700..5_300).contains(count)), "{equal:?}");
        let weighted = counts(&destinations(&matcher(&[1, 2, 7]), 50_000));
        for (target, expected) in [(0, 5_000_i32), (1, 10_000), (2, 35_000)] {
            let count = weighted[&target] as i32;
            assert!((count - expected).abs() < 600, "{target} of weight got {count}, expected {expected}");
        }
    }

    #[test]
    fn only_keys_of_the_destination_that_comes_or_goes_move() {
        let before = destinations(&matcher(&[3, 3, 3, 3]), 20_000);
        let mut changed = matcher(&[3, 3, 3, 3]);
        bind(&mut changed, 4, 3);
        let after = destinations(&changed, 20_000);
        let moved = before.iter().zip(&after).filter(|(a, b)| a != b);
        let to_others = moved.clone().filter(|(_, to)| **to != 4).count();
        assert_eq!(to_others, 0, "a key moved between destinations that stayed");
        assert!((3_600..4_400).contains(&moved.count()), "a fifth of the keys moves");
        changed.unbind("3", 4);
        assert_eq!(destinations(&changed, 20_000), before, "and back");
        changed.unbind("3", 1);
        let after = destinations(&changed, 20_000);
        assert!(before.iter().zip(&after).all(|(was, is)| was == is || *was == 1));
    }

    #[test]
    fn a_heavier_weight_only_attracts() {
        let before = destinations(&matcher(&[1, 1, 1]), 10_000);
        let after = destinations(&matcher(&[1, 2, 1]), 10_000);
        assert!(before.iter().zip(&after).all(|(was, is)| was == is || *is == 1));
    }

    #[test]
    fn neither_the_order_of_binding_nor_the_index_matters() {
        let forth = matcher(&[2, 2, 2]);
        let mut back = HashMatcher::new(Choice::Consistent, HashOn::RoutingKey);
        for target in [2_u32, 0, 1] {
            back.bind("2", target + 10, destination_seed(true, &format!("queue-{target}")));
        }
        let shifted: Vec<u32> = destinations(&back, 1_000).iter().map(|target| target - 10).collect();
        assert_eq!(destinations(&forth, 1_000), shifted);
    }

    #[test]
    fn bindings_of_one_destination_add_up() {
        let mut twice = matcher(&[1, 1]);
        bind(&mut twice, 1, 2);
        assert_eq!(destinations(&twice, 1_000), destinations(&matcher(&[1, 3]), 1_000));
        twice.unbind("2", 1);
        assert_eq!(destinations(&twice, 1_000), destinations(&matcher(&[1, 1]), 1_000));
    }

    #[test]
    fn headers_and_properties_decide_when_they_are_asked_for() {
        let with = |on: HashOn| {
            let mut matcher = HashMatcher::new(Choice::Consistent, on);
            (0..8).for_each(|target| bind(&mut matcher, target, 1));
            matcher
        };
        let check = |on: HashOn, set: fn(u64) -> Properties| {
            let matcher = with(on.clone());
            let all: Vec<u32> = (0..64).map(|number| route_with(&matcher, "k", &set(number))).collect();
            assert!(counts(&all).len() == 8, "{on:?} spreads");
            let again: Vec<u32> = (0..64).map(|number| route_with(&matcher, "other", &set(number))).collect();
            assert_eq!(all, again, "{on:?} does not look at the routing key");
            assert_eq!(route(&matcher, "a"), route(&matcher, "b"), "without {on:?} all are alike");
        };
        check(HashOn::Header("customer".into()), |number| Properties {
            headers: Some(Table::from([("customer", number.to_string().into())])),
            ..Properties::default()
        });
        check(HashOn::Header("customer".into()), |number| Properties {
            headers: Some(Table::from([("customer", (number as i64).into())])),
            ..Properties::default()
        });
        check(HashOn::Property(HashProperty::MessageId), |number| Properties {
            message_id: Some(number.to_string()),
            ..Properties::default()
        });
        check(HashOn::Property(HashProperty::CorrelationId), |number| Properties {
            correlation_id: Some(number.to_string()),
            ..Properties::default()
        });
        check(HashOn::Property(HashProperty::Timestamp), |number| Properties {
            timestamp: Some(number),
            ..Properties::default()
        });
    }

    #[test]
    fn weights_are_whole_numbers_above_zero() {
        let matcher = matcher(&[]);
        let check = |key: &str, expected: Option<&str>| {
            assert_eq!(matcher.validate(key).err().map(|fault| fault.text.into_owned()).as_deref(), expected);
        };
        check("1", None);
        check("100000000000000000000", None);
        check("0", Some("The binding key must be greater than 0"));
        check("-3", Some("The binding key must be greater than 0"));
        check("a", Some("The binding key must be an integer: <<\"a\">>"));
        check("", Some("The binding key must be an integer: <<>>"));
    }

    #[test]
    fn the_modulus_takes_any_key_and_spreads() {
        let mut matcher = HashMatcher::new(Choice::Modulus, HashOn::RoutingKey);
        for target in 0..4 {
            assert_eq!(matcher.validate("anything"), Ok(()));
            matcher.bind("anything", target, destination_seed(true, &format!("queue-{target}")));
        }
        let spread = counts(&destinations(&matcher, 10_000));
        assert!(
            spread.len() == 4 && spread.values().all(|count| (2_300..2_700).contains(count)),
            "{spread:?}"
        );
        matcher.unbind("anything", 2);
        assert_eq!(counts(&destinations(&matcher, 1_000)).len(), 3);
    }
}
