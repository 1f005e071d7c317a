//! What a user may do inside a vhost: three patterns over names, and two more over the topics of an exchange.
//!
//! As in RabbitMQ a pattern is searched anywhere in the name, an empty pattern fits only the empty name, and the
//! default exchange goes by `amq.default`. Topic patterns narrow what is allowed already: an exchange for which none
//! are set is not restricted by them. They may say `{username}` and `{vhost}`.

use std::fmt;

use crate::pattern::{Pattern, PatternError};

/// What somebody wants to do with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Declare and delete.
    Configure,
    /// Publish to an exchange, bind a destination.
    Write,
    /// Consume, get, purge; bind from a source.
    Read,
}

/// What they want to do it with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Resource<'a> {
    Exchange(&'a str),
    Queue(&'a str),
}

/// A user's rights in one vhost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    configure: Pattern,
    write: Pattern,
    read: Pattern,
}

/// A user's rights on the routing keys of one exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicPermission {
    /// As they were given, with their placeholders.
    sources: [String; 2],
    write: Pattern,
    read: Pattern,
}

/// A pattern that cannot be used, and which one it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {error}")]
pub struct PermissionError {
    /// `configure`, `write` or `read`.
    pub field: Access,
    pub error: PatternError,
}

impl Permission {
    /// Rights given as patterns.
    pub fn new(configure: &str, write: &str, read: &str) -> Result<Permission, PermissionError> {
        let configure = compile(Access::Configure, configure)?;
        // Most permissions repeat one pattern; it is compiled once.
        let write = reuse(&configure, write).map_or_else(|| compile(Access::Write, write), Ok)?;
        let read = reuse(&write, read).map_or_else(|| compile(Access::Read, read), Ok)?;
        Ok(Permission { configure, write, read })
    }

    /// Everything.
    pub fn full() -> Permission {
        Permission::new(".*", ".*", ".*").expect("the pattern is not compiled")
    }

    /// True when `access` to a resource of this name is within the rights.
    pub fn allows(&self, access: Access, resource: Resource<'_>) -> bool {
        self.pattern(access).is_match(resource.name())
    }

    /// The pattern for `access`.
    pub fn pattern(&self, access: Access) -> &Pattern {
        match access {
            Access::Configure => &self.configure,
            Access::Write => &self.write,
            Access::Read => &self.read,
        }
    }

    /// The patterns as they were given: configure, write, read.
    pub fn sources(&self) -> [&str; 3] {
        [&self.configure, &self.write, &self.read].map(Pattern::as_str)
    }
}

impl TopicPermission {
    /// Rights of `user` in `vhost`, given as patterns that may contain `{username}` and `{vhost}`.
    ///
    /// The names are inserted literally. RabbitMQ would read a user called `.*` as a pattern.
    pub fn new(user: &str, vhost: &str, write: &str, read: &str) -> Result<TopicPermission, PermissionError> {
        let expand = |source: &str| {
            source.replace("{username}", &regex::escape(user)).replace("{vhost}", &regex::escape(vhost))
        };
        Ok(TopicPermission {
            sources: [write.to_owned(), read.to_owned()],
            write: compile(Access::Write, &expand(write))?,
            read: compile(Access::Read, &expand(read))?,
        })
    }

    /// True when `access` with this routing key is within the rights. Nothing configures topics.
    pub fn allows(&self, access: Access, routing_key: &str) -> bool {
        match access {
            Access::Configure => true,
            Access::Write => self.write.is_match(routing_key),
            Access::Read => self.read.is_match(routing_key),
        }
    }

    /// The patterns as they were given: write, read.
    pub fn sources(&self) -> [&str; 2] {
        [&self.sources[0], &self.sources[1]]
    }
}

impl<'a> Resource<'a> {
    /// The name that patterns are held against.
    pub fn name(self) -> &'a str {
        match self {
            Resource::Exchange("") => "amq.default",
            Resource::Exchange(name) | Resource::Queue(name) => name,
        }
    }
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Resource::Exchange(_) => "exchange",
            Resource::Queue(_) => "queue",
        };
        write!(f, "{kind} '{}'", self.name())
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Access::Configure => "configure",
            Access::Write => "write",
            Access::Read => "read",
        })
    }
}

fn compile(field: Access, source: &str) -> Result<Pattern, PermissionError> {
    Pattern::permission(source).map_err(|error| PermissionError { field, error })
}

fn reuse(known: &Pattern, source: &str) -> Option<Pattern> {
    (known.as_str() == source).then(|| known.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_searched_in_the_resources_name() {
        let permission = Permission::new("^own-", "orders", "").expect("valid");
        assert!(permission.allows(Access::Configure, Resource::Queue("own-q")));
        assert!(!permission.allows(Access::Configure, Resource::Queue("not-own-q")));
        assert!(permission.allows(Access::Write, Resource::Exchange("eu.orders.created")));
        assert!(!permission.allows(Access::Read, Resource::Queue("own-q")));
        assert!(Permission::full().allows(Access::Read, Resource::Queue("anything")));
    }

    #[test]
    fn an_empty_pattern_allows_nothing_that_has_a_name() {
        let nothing = Permission::new("", "", "^$").expect("valid");
        for access in [Access::Configure, Access::Write, Access::Read] {
            assert!(!nothing.allows(access, Resource::Queue("q")));
            assert!(!nothing.allows(access, Resource::Exchange("")), "the default exchange has a name");
        }
        assert_eq!(nothing.sources(), ["", "", "^$"]);
    }

    #[test]
    fn the_default_exchange_goes_by_amq_default() {
        let permission = Permission::new("", "^amq\\.default$", "").expect("valid");
        assert!(permission.allows(Access::Write, Resource::Exchange("")));
        assert_eq!(Resource::Exchange("").to_string(), "exchange 'amq.default'");
    }

    #[test]
    fn topics_are_allowed_by_patterns_with_placeholders() {
        let permission = TopicPermission::new("an.na", "/", "^{username}\\.", "^{vhost}x$").expect("valid");
        assert!(permission.allows(Access::Write, "an.na.created"));
        assert!(!permission.allows(Access::Write, "anXna.created"), "the name is not a pattern");
        assert!(permission.allows(Access::Read, "/x"));
        assert!(!permission.allows(Access::Read, "x"));
        assert_eq!(permission.sources(), ["^{username}\\.", "^{vhost}x$"]);
        let closed = TopicPermission::new("a", "/", "", "^{client_id}").expect("valid");
        assert!(closed.allows(Access::Write, ""), "as RabbitMQ: the empty pattern is ^$");
        assert!(!closed.allows(Access::Write, "a"));
        assert!(closed.allows(Access::Read, "{client_id}"), "unknown placeholders are text");
    }

    #[test]
    fn a_bad_pattern_is_named_with_its_field() {
        let error = Permission::new(".*", "(", ".*").expect_err("unclosed");
        assert_eq!(error.to_string(), "write pattern '(' is not usable: unclosed group");
        assert_eq!(TopicPermission::new("a", "/", ".*", "[").expect_err("unclosed").field, Access::Read);
    }
}
