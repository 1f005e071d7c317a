//! Where one is in the console. Every place has an address that can be copied and opened again.

use std::fmt::{self, Display, Write};

/// A place in the console.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Route {
    /// Saved brokers.
    Connect,
    Overview,
    Queues,
    Queue {
        vhost: String,
        name: String,
        tab: QueueTab,
    },
    Exchanges,
    Exchange {
        vhost: String,
        name: String,
    },
    Bindings,
    Connections,
    Connection {
        name: String,
    },
    Channels,
    Consumers,
    /// What flows where, drawn.
    Flow,
    DeadLetters,
    /// One queue of dead letters.
    DeadQueue {
        vhost: String,
        name: String,
    },
    /// Publishing, and looking at messages.
    Messages,
    /// Messages that wait for their time.
    Delayed,
    Policies,
    /// Users, permissions, vhosts, limits.
    Access,
    Definitions,
    /// Alarms, operations, and who changed what.
    Alarms,
    Settings,
    /// Every widget on one page, for those who change the theme.
    Gallery,
}

/// Parts of the page of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum QueueTab {
    #[default]
    Overview,
    Messages,
    Consumers,
    Unacked,
    Bindings,
    Arguments,
}

impl QueueTab {
    pub const ALL: [QueueTab; 6] = [
        QueueTab::Overview,
        QueueTab::Messages,
        QueueTab::Consumers,
        QueueTab::Unacked,
        QueueTab::Bindings,
        QueueTab::Arguments,
    ];

    fn as_str(self) -> &'static str {
        match self {
            QueueTab::Overview => "overview",
            QueueTab::Messages => "messages",
            QueueTab::Consumers => "consumers",
            QueueTab::Unacked => "unacked",
            QueueTab::Bindings => "bindings",
            QueueTab::Arguments => "arguments",
        }
    }
}

impl Route {
    /// The page of a queue.
    pub fn queue(vhost: impl Into<String>, name: impl Into<String>) -> Route {
        Route::Queue { vhost: vhost.into(), name: name.into(), tab: QueueTab::default() }
    }

    /// The page of an exchange.
    pub fn exchange(vhost: impl Into<String>, name: impl Into<String>) -> Route {
        Route::Exchange { vhost: vhost.into(), name: name.into() }
    }

    /// The entry of the navigation under which this place is.
    pub fn section(&self) -> Route {
        match self {
            Route::Queue { .. } => Route::Queues,
            Route::Exchange { .. } => Route::Exchanges,
            Route::Connection { .. } => Route::Connections,
            Route::DeadQueue { .. } => Route::DeadLetters,
            other => other.clone(),
        }
    }

    /// True when there is nothing to see without a broker.
    pub fn needs_broker(&self) -> bool {
        !matches!(self, Route::Connect | Route::Settings | Route::Gallery)
    }

    /// The place with this address.
    pub fn parse(address: &str) -> Option<Route> {
        let parts: Option<Vec<String>> = address.trim_start_matches('/').split('/').map(decode).collect();
        let parts = parts?;
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        Some(match parts.as_slice() {
            ["connect"] => Route::Connect,
            ["" | "overview"] => Route::Overview,
            ["queues"] => Route::Queues,
            ["queues", vhost, name] => Route::queue(*vhost, *name),
            ["queues", vhost, name, tab] => {
                let tab = QueueTab::ALL.into_iter().find(|known| known.as_str() == *tab)?;
                Route::Queue { vhost: (*vhost).to_owned(), name: (*name).to_owned(), tab }
            }
            ["exchanges"] => Route::Exchanges,
            ["exchanges", vhost, name] => Route::exchange(*vhost, *name),
            ["bindings"] => Route::Bindings,
            ["connections"] => Route::Connections,
            ["connections", name] => Route::Connection { name: (*name).to_owned() },
            ["channels"] => Route::Channels,
            ["consumers"] => Route::Consumers,
            ["flow"] => Route::Flow,
            ["dead-letters"] => Route::DeadLetters,
            ["messages"] => Route::Messages,
            ["delayed"] => Route::Delayed,
            ["policies"] => Route::Policies,
            ["access"] => Route::Access,
            ["definitions"] => Route::Definitions,
            ["alarms"] => Route::Alarms,
            ["dead-letters", vhost, name] => {
                Route::DeadQueue { vhost: (*vhost).to_owned(), name: (*name).to_owned() }
            }
            ["settings"] => Route::Settings,
            ["gallery"] => Route::Gallery,
            _ => return None,
        })
    }
}

impl Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Route::Connect => f.write_str("connect"),
            Route::Overview => f.write_str("overview"),
            Route::Queues => f.write_str("queues"),
            Route::Queue { vhost, name, tab } => {
                write!(f, "queues/{}/{}", encode(vhost), encode(name))?;
                if *tab == QueueTab::Overview { Ok(()) } else { write!(f, "/{}", tab.as_str()) }
            }
            Route::Exchanges => f.write_str("exchanges"),
            Route::Exchange { vhost, name } => write!(f, "exchanges/{}/{}", encode(vhost), encode(name)),
            Route::Bindings => f.write_str("bindings"),
            Route::Connections => f.write_str("connections"),
            Route::Connection { name } => write!(f, "connections/{}", encode(name)),
            Route::Channels => f.write_str("channels"),
            Route::Consumers => f.write_str("consumers"),
            Route::Flow => f.write_str("flow"),
            Route::DeadLetters => f.write_str("dead-letters"),
            Route::Messages => f.write_str("messages"),
            Route::Delayed => f.write_str("delayed"),
            Route::Policies => f.write_str("policies"),
            Route::Access => f.write_str("access"),
            Route::Definitions => f.write_str("definitions"),
            Route::Alarms => f.write_str("alarms"),
            Route::DeadQueue { vhost, name } => write!(f, "dead-letters/{}/{}", encode(vhost), encode(name)),
            Route::Settings => f.write_str("settings"),
            Route::Gallery => f.write_str("gallery"),
        }
    }
}

/// Places that were visited, and where one is among them.
#[derive(Debug)]
pub struct History {
    places: Vec<Route>,
    at: usize,
}

/// Places remembered.
const PLACES_MAX: usize = 100;

impl History {
    pub fn new(start: Route) -> History {
        History { places: vec![start], at: 0 }
    }

    pub fn current(&self) -> &Route {
        &self.places[self.at]
    }

    /// Goes there; what was ahead is forgotten.
    pub fn go(&mut self, route: Route) {
        if *self.current() == route {
            return;
        }
        self.places.truncate(self.at + 1);
        self.places.push(route);
        if self.places.len() > PLACES_MAX {
            self.places.remove(0);
        }
        self.at = self.places.len() - 1;
    }

    /// Goes there without leaving a trace of where one was: another tab of the same page.
    pub fn replace(&mut self, route: Route) {
        self.places[self.at] = route;
    }

    pub fn back(&mut self) -> bool {
        let can = self.can_go_back();
        self.at -= usize::from(can);
        can
    }

    pub fn forward(&mut self) -> bool {
        let can = self.can_go_forward();
        self.at += usize::from(can);
        can
    }

    pub fn can_go_back(&self) -> bool {
        self.at > 0
    }

    pub fn can_go_forward(&self) -> bool {
        self.at + 1 < self.places.len()
    }
}

/// Percent-encodes a name for one segment of a path.
pub fn encode(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(byte.into()),
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

/// The name behind a percent-encoded segment.
fn decode(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [first, others @ ..] = rest {
        rest = others;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, others) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = others;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_an_address_that_leads_back_to_it() {
        let tab = |tab| Route::Queue { vhost: "/".to_owned(), name: "a/b %订单".to_owned(), tab };
        let mut routes = vec![
            Route::Connect,
            Route::Overview,
            Route::Queues,
            Route::Exchanges,
            Route::exchange("/", ""),
            Route::exchange("v", "amq.topic"),
            Route::Bindings,
            Route::Connections,
            Route::Connection { name: "127.0.0.1:40000 -> 127.0.0.1:5672".to_owned() },
            Route::Channels,
            Route::Consumers,
            Route::Flow,
            Route::DeadLetters,
            Route::Messages,
            Route::Delayed,
            Route::Policies,
            Route::Access,
            Route::Definitions,
            Route::Alarms,
            Route::DeadQueue { vhost: "/".to_owned(), name: "orders.dlq".to_owned() },
            Route::Settings,
            Route::Gallery,
        ];
        routes.extend(QueueTab::ALL.map(tab));
        for route in routes {
            assert_eq!(Route::parse(&route.to_string()).as_ref(), Some(&route), "{route}");
        }
    }

    #[test]
    fn what_is_no_address_leads_nowhere() {
        for address in
            ["nowhere", "queues/%2F", "queues/%2/q", "queues/%zz/q", "queues/a/b/c", "queues/%ff/q"]
        {
            assert_eq!(Route::parse(address), None, "{address}");
        }
    }

    #[test]
    fn back_and_forward_walk_what_was_visited() {
        let mut history = History::new(Route::Overview);
        assert!(!history.back());
        history.go(Route::Queues);
        history.go(Route::queue("/", "q"));
        history.go(Route::queue("/", "q"));
        assert!(history.back());
        assert_eq!(history.current(), &Route::Queues);
        assert!(history.back() && !history.back() && history.forward());
        history.go(Route::Settings);
        assert!(!history.can_go_forward());
        assert!(history.back());
        assert_eq!(history.current(), &Route::Queues);
    }

    #[test]
    fn a_long_walk_is_not_remembered_whole() {
        let mut history = History::new(Route::Overview);
        for step in 0..1_000 {
            history.go(Route::queue("/", step.to_string()));
        }
        assert_eq!(history.places.len(), PLACES_MAX);
        assert_eq!(history.current(), &Route::queue("/", "999"));
    }
}
