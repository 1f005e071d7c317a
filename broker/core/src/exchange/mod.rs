//! How exchanges match: binding keys and arguments on one side, routing keys and headers on the other.
//!
//! A [`Matcher`] knows nothing of names, queues or durability: what a binding leads to is a [`Target`], a small
//! integer that the vhost gave out. Following bindings from exchange to exchange, alternate exchanges and what happens
//! to the queues found is the vhost's part.

mod direct;
mod hash;
mod headers;
mod id_set;
mod key;
mod marks;
mod topic;

use std::fmt;

use leveret_protocol::properties::PropertiesView;
use leveret_protocol::table::RawTable;

use self::direct::DirectMatcher;
use self::hash::{Choice, HashMatcher};
pub use self::hash::{HashOn, HashProperty};
pub(crate) use self::hash::{destination_seed, mix, write_value};
use self::headers::HeadersMatcher;
use self::id_set::IdSet;
pub(crate) use self::marks::Marks;
use self::topic::{TopicMatcher, TopicScratch};
use crate::fault::Fault;

/// The type of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExchangeKind {
    Direct,
    Fanout,
    Topic,
    Headers,
    /// Holds messages back, then routes as another type does, see [`crate::delayed`].
    Delayed,
    /// `x-consistent-hash`: one destination for each message, by a hash and by weights.
    ConsistentHash,
    /// `x-modulus-hash`: one destination for each message, by a hash.
    ModulusHash,
    /// `x-random`: one destination for each message, any.
    Random,
    /// `x-recent-history`: a fanout that gives its latest messages to queues that are bound later.
    RecentHistory,
}

impl ExchangeKind {
    /// The type that clients call `name`.
    pub fn from_name(name: &str) -> Option<ExchangeKind> {
        Some(match name {
            "direct" => ExchangeKind::Direct,
            "fanout" => ExchangeKind::Fanout,
            "topic" => ExchangeKind::Topic,
            "headers" => ExchangeKind::Headers,
            "x-delayed-message" => ExchangeKind::Delayed,
            "x-consistent-hash" => ExchangeKind::ConsistentHash,
            "x-modulus-hash" => ExchangeKind::ModulusHash,
            "x-random" => ExchangeKind::Random,
            "x-recent-history" => ExchangeKind::RecentHistory,
            _ => return None,
        })
    }

    /// What clients call it.
    pub fn name(self) -> &'static str {
        match self {
            ExchangeKind::Direct => "direct",
            ExchangeKind::Fanout => "fanout",
            ExchangeKind::Topic => "topic",
            ExchangeKind::Headers => "headers",
            ExchangeKind::Delayed => "x-delayed-message",
            ExchangeKind::ConsistentHash => "x-consistent-hash",
            ExchangeKind::ModulusHash => "x-modulus-hash",
            ExchangeKind::Random => "x-random",
            ExchangeKind::RecentHistory => "x-recent-history",
        }
    }
}

impl fmt::Display for ExchangeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a binding leads: a queue or an exchange of the vhost, by index. The highest bit tells which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Target(u32);

/// A [`Target`], taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TargetKind {
    Queue(u32),
    Exchange(u32),
}

impl Target {
    pub fn queue(index: u32) -> Target {
        assert!(index < EXCHANGE_BIT, "queue indices have 31 bits");
        Target(index)
    }

    pub fn exchange(index: u32) -> Target {
        assert!(index < EXCHANGE_BIT, "exchange indices have 31 bits");
        Target(index | EXCHANGE_BIT)
    }

    /// One of the numbers that [`Matcher::route`] appends.
    #[inline]
    pub fn from_bits(bits: u32) -> Target {
        Target(bits)
    }

    #[inline]
    pub fn kind(self) -> TargetKind {
        if self.0 & EXCHANGE_BIT == 0 {
            TargetKind::Queue(self.0)
        } else {
            TargetKind::Exchange(self.0 & !EXCHANGE_BIT)
        }
    }
}

const EXCHANGE_BIT: u32 = 1 << 31;

/// The keys of one message: its routing key and those of its CC and BCC headers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RoutingKeys<'a> {
    pub first: &'a str,
    pub more: &'a [&'a str],
}

impl<'a> RoutingKeys<'a> {
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = &'a str> {
        std::iter::once(self.first).chain(self.more.iter().copied())
    }
}

/// What of a message can decide where it goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Routable<'a> {
    pub keys: RoutingKeys<'a>,
    pub headers: RawTable<'a>,
    pub properties: PropertiesView<'a>,
}

/// What matching needs besides the result, kept between messages so that none allocates.
#[derive(Debug, Default)]
pub(crate) struct MatchScratch {
    topic: TopicScratch,
    patterns_met: Marks,
    /// What random exchanges draw from; the same seed makes the same choices.
    pub random: u64,
}

impl MatchScratch {
    /// A number below `bound`, which is not 0.
    fn draw(&mut self, bound: usize) -> usize {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        ((u128::from(mix(self.random)) * bound as u128) >> 64) as usize
    }
}

/// The bindings of one exchange, arranged for matching.
#[derive(Debug)]
pub(crate) enum Matcher {
    Direct(DirectMatcher),
    /// All destinations get every message.
    Fanout(IdSet),
    Topic(Box<TopicMatcher>),
    Headers(Box<HeadersMatcher>),
    Hash(Box<HashMatcher>),
    /// Any one destination gets the message.
    Random(IdSet),
}

impl Matcher {
    /// `hash_on` is for the types that hash.
    pub fn new(kind: ExchangeKind, hash_on: &HashOn) -> Matcher {
        let hash = |choice, on| Matcher::Hash(Box::new(HashMatcher::new(choice, on)));
        match kind {
            // A delayed exchange is given the matcher of the type behind it.
            ExchangeKind::Direct | ExchangeKind::Delayed => Matcher::Direct(DirectMatcher::default()),
            ExchangeKind::Fanout | ExchangeKind::RecentHistory => Matcher::Fanout(IdSet::default()),
            ExchangeKind::Topic => Matcher::Topic(Box::default()),
            ExchangeKind::Headers => Matcher::Headers(Box::default()),
            ExchangeKind::ConsistentHash => hash(Choice::Consistent, hash_on.clone()),
            ExchangeKind::ModulusHash => hash(Choice::Modulus, HashOn::RoutingKey),
            ExchangeKind::Random => Matcher::Random(IdSet::default()),
        }
    }

    /// Refuses binding keys and arguments that the exchange's type cannot read.
    pub fn validate(&self, key: &str, arguments: RawTable<'_>) -> Result<(), Fault> {
        match self {
            Matcher::Headers(_) => headers::validate(arguments),
            Matcher::Hash(matcher) => matcher.validate(key),
            Matcher::Direct(_) | Matcher::Fanout(_) | Matcher::Topic(_) | Matcher::Random(_) => Ok(()),
        }
    }

    /// Adds a binding, which has passed [`Matcher::validate`]. `seed` is [`destination_seed`] of the target where
    /// [`Matcher::needs_seeds`].
    pub fn bind(&mut self, key: &str, arguments: RawTable<'_>, target: Target, seed: u64) {
        match self {
            Matcher::Direct(matcher) => matcher.bind(key, target.0),
            Matcher::Fanout(targets) | Matcher::Random(targets) => targets.insert(target.0),
            Matcher::Topic(matcher) => matcher.bind(key, target.0),
            Matcher::Headers(matcher) => matcher.bind(arguments, target.0),
            Matcher::Hash(matcher) => matcher.bind(key, target.0, seed),
        }
    }

    /// Takes back one [`Matcher::bind`] with the same arguments.
    pub fn unbind(&mut self, key: &str, arguments: RawTable<'_>, target: Target) {
        match self {
            Matcher::Direct(matcher) => matcher.unbind(key, target.0),
            Matcher::Fanout(targets) | Matcher::Random(targets) => targets.remove(target.0),
            Matcher::Topic(matcher) => matcher.unbind(key, target.0),
            Matcher::Headers(matcher) => matcher.unbind(arguments, target.0),
            Matcher::Hash(matcher) => matcher.unbind(key, target.0),
        }
    }

    /// Appends the targets that get the message. True when each comes once.
    #[inline]
    pub fn route(&self, message: &Routable<'_>, scratch: &mut MatchScratch, out: &mut Vec<u32>) -> bool {
        let keys = message.keys;
        match self {
            Matcher::Direct(matcher) => {
                keys.iter().for_each(|key| matcher.route(key, out));
                keys.more.is_empty()
            }
            Matcher::Fanout(targets) => {
                targets.append_to(out);
                true
            }
            Matcher::Topic(matcher) => {
                keys.iter().for_each(|key| matcher.route(key, &mut scratch.topic, out));
                false
            }
            Matcher::Headers(matcher) => {
                matcher.route(message.headers, &mut scratch.patterns_met, out);
                false
            }
            Matcher::Hash(matcher) => {
                matcher.route(message, out);
                true
            }
            Matcher::Random(targets) => {
                if !targets.is_empty() {
                    out.extend(targets.nth(scratch.draw(targets.len())));
                }
                true
            }
        }
    }

    /// True when the routing key alone decides where a message goes, and it is worth remembering where that was: hashes
    /// are asked with ever new keys.
    #[inline]
    pub fn is_repeatable(&self) -> bool {
        matches!(self, Matcher::Direct(_) | Matcher::Fanout(_) | Matcher::Topic(_))
    }

    /// True when the names of destinations have a say.
    pub fn needs_seeds(&self) -> bool {
        matches!(self, Matcher::Hash(_))
    }
}
