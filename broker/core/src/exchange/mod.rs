//! How exchanges match: binding keys and arguments on one side, routing keys and headers on the other.
//!
//! A [`Matcher`] knows nothing of names, queues or durability: what a binding leads to is a [`Target`], a small
//! integer that the vhost gave out. Following bindings from exchange to exchange, alternate exchanges and what happens
//! to the queues found is the vhost's part.

mod direct;
mod headers;
mod id_set;
mod key;
mod marks;
mod topic;

use std::fmt;

use leveret_protocol::table::RawTable;

use self::direct::DirectMatcher;
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

/// What matching needs besides the result, kept between messages so that none allocates.
#[derive(Debug, Default)]
pub(crate) struct MatchScratch {
    topic: TopicScratch,
    patterns_met: Marks,
}

/// The bindings of one exchange, arranged for matching.
#[derive(Debug)]
pub(crate) enum Matcher {
    Direct(DirectMatcher),
    Fanout(IdSet),
    Topic(Box<TopicMatcher>),
    Headers(Box<HeadersMatcher>),
}

impl Matcher {
    pub fn new(kind: ExchangeKind) -> Matcher {
        match kind {
            // A delayed exchange is given the matcher of the type behind it.
            ExchangeKind::Direct | ExchangeKind::Delayed => Matcher::Direct(DirectMatcher::default()),
            ExchangeKind::Fanout => Matcher::Fanout(IdSet::default()),
            ExchangeKind::Topic => Matcher::Topic(Box::default()),
            ExchangeKind::Headers => Matcher::Headers(Box::default()),
        }
    }

    /// Refuses binding arguments that the exchange's type cannot read.
    pub fn validate(&self, arguments: RawTable<'_>) -> Result<(), Fault> {
        match self {
            Matcher::Headers(_) => headers::validate(arguments),
            Matcher::Direct(_) | Matcher::Fanout(_) | Matcher::Topic(_) => Ok(()),
        }
    }

    /// Adds a binding, whose arguments have passed [`Matcher::validate`].
    pub fn bind(&mut self, key: &str, arguments: RawTable<'_>, target: Target) {
        match self {
            Matcher::Direct(matcher) => matcher.bind(key, target.0),
            Matcher::Fanout(targets) => targets.insert(target.0),
            Matcher::Topic(matcher) => matcher.bind(key, target.0),
            Matcher::Headers(matcher) => matcher.bind(arguments, target.0),
        }
    }

    /// Takes back one [`Matcher::bind`] with the same arguments.
    pub fn unbind(&mut self, key: &str, arguments: RawTable<'_>, target: Target) {
        match self {
            Matcher::Direct(matcher) => matcher.unbind(key, target.0),
            Matcher::Fanout(targets) => targets.remove(target.0),
            Matcher::Topic(matcher) => matcher.unbind(key, target.0),
            Matcher::Headers(matcher) => matcher.unbind(arguments, target.0),
        }
    }

    /// Appends the targets of the bindings that match. True when each comes once.
    #[inline]
    pub fn route(
        &self,
        keys: RoutingKeys<'_>,
        headers: RawTable<'_>,
        scratch: &mut MatchScratch,
        out: &mut Vec<u32>,
    ) -> bool {
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
                matcher.route(headers, &mut scratch.patterns_met, out);
                false
            }
        }
    }

    /// True when the headers decide where a message goes, and not only its routing key.
    #[inline]
    pub fn reads_headers(&self) -> bool {
        matches!(self, Matcher::Headers(_))
    }
}
