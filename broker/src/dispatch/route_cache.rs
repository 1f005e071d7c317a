//! Where a connection's messages go: what is known of their routes, and how many took each.

use std::sync::Arc;

use hashbrown::HashMap;
use leveret_core::message::Message;
use leveret_core::vhost::RouteScratch;

use crate::flows::Run;
use crate::queue_host::QueueCell;

/// Where messages of this connection went, by exchange and routing key.
#[derive(Default)]
pub struct RouteCache {
    pub generation: u64,
    by_key: HashMap<Box<[u8]>, usize>,
    routes: Vec<Route>,
    /// The key of what `found` holds, so that a run of equal messages costs one comparison.
    found_key: Vec<u8>,
    pub found: Vec<Arc<QueueCell>>,
    /// Delayed exchanges that hold the message back; never remembered, as its headers say so.
    pub holding: Vec<u64>,
    /// An exchange on the way of the last message remembers messages: it was not cached.
    pub is_remembered: bool,
    /// Which of `routes` `found` is, and how many messages took it since it was found.
    found_at: Option<usize>,
    run: u64,
    /// Messages whose way is not remembered, by exchange and where they went.
    uncached: HashMap<String, HashMap<u64, (Arc<QueueCell>, u64)>>,
    uncached_published: HashMap<String, u64>,
    /// True when there is something for [`crate::flows`].
    pub is_counted: bool,
    pub scratch: RouteScratch,
    key: Vec<u8>,
}

/// A way that messages took.
struct Route {
    exchange: Box<str>,
    queues: Box<[Arc<QueueCell>]>,
    /// Messages that took it and are not added up elsewhere.
    messages: u64,
}

impl RouteCache {
    /// With a seed for the choices of random exchanges.
    pub fn seeded(seed: u64) -> RouteCache {
        RouteCache { scratch: RouteScratch::seeded(seed), ..RouteCache::default() }
    }

    /// Puts what is known about where `message` goes into `found`.
    pub fn find(&mut self, message: &Message) -> bool {
        let key = message.route_key();
        if !self.found_key.is_empty() && same_route(&self.found_key, &key) {
            return true;
        }
        self.key.clear();
        self.key.push(key.0);
        self.key.extend_from_slice(key.1);
        let Some(&at) = self.by_key.get(self.key.as_slice()) else {
            return false;
        };
        self.credit();
        self.found.clear();
        self.holding.clear();
        self.found.extend_from_slice(&self.routes[at].queues);
        self.found_at = Some(at);
        std::mem::swap(&mut self.found_key, &mut self.key);
        true
    }

    pub fn forget_found(&mut self) {
        self.credit();
        self.found_key.clear();
        self.found.clear();
        self.holding.clear();
        self.found_at = None;
    }

    pub fn is_full(&self) -> bool {
        self.routes.len() >= ROUTES_MAX
    }

    pub fn remember(&mut self, message: &Message) {
        if self.is_full() {
            self.by_key.clear();
            self.routes.clear();
        }
        let key = message.route_key();
        self.found_key.clear();
        self.found_key.push(key.0);
        self.found_key.extend_from_slice(key.1);
        let at = self.routes.len();
        self.routes.push(Route {
            exchange: message.exchange().into(),
            queues: self.found.as_slice().into(),
            messages: 0,
        });
        self.by_key.insert(self.found_key.as_slice().into(), at);
        self.found_at = Some(at);
    }

    pub fn clear(&mut self, generation: u64) {
        self.generation = generation;
        self.forget_found();
        self.by_key.clear();
        self.routes.clear();
    }

    /// A message goes to what was found.
    #[inline]
    pub fn count(&mut self, exchange: &str) {
        match self.found_at {
            Some(_) => self.run += 1,
            None => self.count_uncached(exchange),
        }
    }

    fn count_uncached(&mut self, exchange: &str) {
        self.is_counted = true;
        *self.uncached_published.entry_ref(exchange).or_default() += 1;
        let queues = self.uncached.entry_ref(exchange).or_default();
        for cell in &self.found {
            queues.entry(cell.uid()).or_insert_with(|| (cell.clone(), 0)).1 += 1;
        }
    }

    /// Writes down how many messages took the way that was found last.
    #[inline]
    pub fn credit(&mut self) {
        if self.run > 0
            && let Some(at) = self.found_at
        {
            self.routes[at].messages += std::mem::take(&mut self.run);
            self.is_counted = true;
        }
    }

    /// What was counted and is not added up.
    pub fn runs(&self) -> impl Iterator<Item = Run<'_>> {
        let cached = self.routes.iter().filter(|route| route.messages > 0).map(|route| Run {
            exchange: &route.exchange,
            messages: route.messages,
            queues: &route.queues,
        });
        let published = self.uncached_published.iter();
        let published =
            published.map(|(exchange, messages)| Run { exchange, messages: *messages, queues: &[] });
        cached.chain(published)
    }

    /// Copies that went ways that are not remembered.
    pub fn uncached_copies(&self) -> impl Iterator<Item = (&str, &Arc<QueueCell>, u64)> {
        self.uncached.iter().flat_map(|(exchange, queues)| {
            queues.values().map(move |(cell, copies)| (exchange.as_str(), cell, *copies))
        })
    }

    pub fn forget_counts(&mut self) {
        self.routes.iter_mut().for_each(|route| route.messages = 0);
        self.uncached.clear();
        self.uncached_published.clear();
        self.is_counted = false;
    }
}

fn same_route(known: &[u8], key: &(u8, &[u8])) -> bool {
    known[0] == key.0 && known[1..] == *key.1
}

/// Routes remembered by one connection.
const ROUTES_MAX: usize = 1024;
