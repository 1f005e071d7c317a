//! Core types as the API's JSON. Core types themselves never become JSON, so that they may change.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leveret_core::auth;
use leveret_core::vhosts;
use leveret_protocol::admin::{
    Arguments, NamedFeature, Permission, TopicPermission, User, Vhost, VhostMetadata, WhoAmI,
};
use leveret_protocol::table::Table;
use sha2::{Digest, Sha256};

/// Who asks.
pub fn whoami(user: &auth::User) -> WhoAmI {
    WhoAmI { name: user.name().to_owned(), tags: user.tags().as_slice().to_vec() }
}

/// A user, with the stored hash: definitions are made from this.
pub fn user(user: &auth::User) -> User {
    User {
        name: user.name().to_owned(),
        password_hash: user.password().as_str().to_owned(),
        hashing_algorithm: user.password().algorithm().name().to_owned(),
        tags: user.tags().as_slice().to_vec(),
        limits: user_limits(&user.limits()),
    }
}

/// A user's limits by name.
pub fn user_limits(of: &auth::UserLimits) -> Arguments {
    limits([("max-connections", of.max_connections), ("max-channels", of.max_channels)])
}

/// A vhost's limits by name.
pub fn vhost_limits(of: &vhosts::VhostLimits) -> Arguments {
    limits([("max-connections", of.max_connections), ("max-queues", of.max_queues)])
}

/// A user's rights, by vhost.
pub fn permissions(user: &auth::User) -> impl Iterator<Item = Permission> {
    user.permissions().map(|(vhost, permission)| {
        let [configure, write, read] = permission.sources().map(str::to_owned);
        Permission { user: user.name().to_owned(), vhost: vhost.to_owned(), configure, write, read }
    })
}

/// A user's rights on topics, by vhost and exchange.
pub fn topic_permissions(user: &auth::User) -> impl Iterator<Item = TopicPermission> {
    user.topic_permissions().map(|(vhost, exchange, permission)| {
        let [write, read] = permission.sources().map(str::to_owned);
        TopicPermission {
            user: user.name().to_owned(),
            vhost: vhost.to_owned(),
            exchange: exchange.to_owned(),
            write,
            read,
        }
    })
}

/// A vhost on `node`, without its figures.
pub fn vhost(vhost: &vhosts::Vhost, node: &str) -> Vhost {
    let default_queue_type = vhost.default_queue_type.map(|kind| kind.name().to_owned());
    Vhost {
        name: vhost.name.clone(),
        description: vhost.description.clone(),
        tags: vhost.tags.clone(),
        default_queue_type: default_queue_type.clone(),
        protected_from_deletion: vhost.protected_from_deletion,
        metadata: VhostMetadata {
            description: vhost.description.clone(),
            tags: vhost.tags.clone(),
            default_queue_type,
        },
        cluster_state: Arguments::from_iter([(node.to_owned(), "running".into())]),
        ..Vhost::default()
    }
}

/// The exchange types that overview and node show.
pub fn exchange_types() -> Vec<NamedFeature> {
    let standard = ["direct", "fanout", "headers", "topic"]
        .map(|name| (name, format!("AMQP {name} exchange, as per the AMQP specification")));
    let further = [
        ("x-delayed-message", "Holds messages back until their time, then routes as another type"),
        ("x-consistent-hash", "One destination for each message, by a hash and by weights"),
        ("x-modulus-hash", "One destination for each message, by a hash"),
        ("x-random", "One destination for each message, at random"),
        ("x-recent-history", "All destinations, and the latest messages for those that are bound later"),
    ];
    standard
        .into_iter()
        .chain(further.map(|(name, description)| (name, description.to_owned())))
        .map(|(name, description)| NamedFeature { name: name.to_owned(), description, enabled: true })
        .collect()
}

/// What tells a binding from others between the same two: the routing key, made safe for a path, and a hash of the
/// arguments when there are any. `~` stands for neither.
pub fn properties_key(routing_key: &str, arguments: &Table) -> String {
    let mut key = in_path(routing_key).replace('~', "%7E");
    if !arguments.is_empty() {
        let mut encoded = Vec::new();
        arguments.encode(&mut encoded);
        let hash = Sha256::digest(&encoded);
        key.push('~');
        URL_SAFE_NO_PAD.encode_string(&hash[..16], &mut key);
    }
    if key.is_empty() {
        key.push('~');
    }
    key
}

/// True when `key`, out of a path, names this binding among those of the same two ends. The routing key alone does, where
/// there are no arguments.
pub fn is_properties_key(key: &str, routing_key: &str, arguments: &Table) -> bool {
    key == properties_key(routing_key, arguments)
        || (arguments.is_empty() && key == routing_key && !routing_key.is_empty())
}

/// Text as RabbitMQ writes it into a path, which may have to be written so again.
pub fn in_path(text: &str) -> String {
    let mut path = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' | b'~' => {
                path.push(char::from(byte))
            }
            b' ' => path.push('+'),
            _ => {
                // Writing to a string does not fail.
                let _ = write!(path, "%{byte:02X}");
            }
        }
    }
    path
}

fn limits<const N: usize>(limits: [(&str, Option<u64>); N]) -> Arguments {
    limits.into_iter().filter_map(|(name, limit)| Some((name.to_owned(), limit?.into()))).collect()
}

#[cfg(test)]
mod tests {
    use leveret_core::auth::{PasswordHash, Permission, Tags, UserLimits, Users};
    use leveret_protocol::table::Value;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_user_is_shown_with_hash_tags_limits_and_rights() {
        let mut users = Users::default();
        let hash = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";
        let password = PasswordHash::import("rabbit_password_hashing_sha256", hash).expect("valid");
        users.put_user("anna", password, Tags::parse("administrator,x")).expect("valid");
        let limits = UserLimits { max_connections: Some(5), max_channels: None };
        users.set_limits("anna", limits).expect("exists");
        users.set_permission("anna", "/", Permission::new("^a", "", ".*").expect("valid")).expect("exists");
        users.set_topic_permission("anna", "/", "x", "^{username}", ".*").expect("exists");
        let anna = users.user("anna").expect("exists");
        assert_eq!(
            json!(user(anna)),
            json!({"name": "anna", "password_hash": hash, "hashing_algorithm": "rabbit_password_hashing_sha256",
                   "tags": ["administrator", "x"], "limits": {"max-connections": 5}})
        );
        assert_eq!(
            json!(permissions(anna).collect::<Vec<_>>()),
            json!([{"user": "anna", "vhost": "/", "configure": "^a", "write": "", "read": ".*"}])
        );
        assert_eq!(
            json!(topic_permissions(anna).collect::<Vec<_>>()),
            json!([{"user": "anna", "vhost": "/", "exchange": "x", "write": "^{username}", "read": ".*"}])
        );
        assert_eq!(json!(whoami(anna)), json!({"name": "anna", "tags": ["administrator", "x"]}));
    }

    #[test]
    fn a_vhost_shows_its_settings_where_old_and_new_tools_look() {
        let record = vhosts::Vhost {
            description: "d".to_owned(),
            tags: vec!["t".to_owned()],
            default_queue_type: Some(vhosts::DefaultQueueType::Quorum),
            ..vhosts::Vhost::new("eu")
        };
        let shown = json!(vhost(&record, "leveret@host"));
        assert_eq!(
            shown["metadata"],
            json!({"description": "d", "tags": ["t"], "default_queue_type": "quorum"})
        );
        assert_eq!(shown["default_queue_type"], "quorum");
        assert_eq!(shown["cluster_state"], json!({"leveret@host": "running"}));
    }

    #[test]
    fn a_properties_key_is_safe_in_a_path_and_tells_arguments_apart() {
        let none = Table::new();
        assert_eq!(properties_key("q", &none), "q");
        assert_eq!(properties_key("a b/c.#", &none), "a+b%2Fc.%23", "as RabbitMQ writes it");
        assert_eq!(properties_key("~ü", &none), "%7E%C3%BC");
        assert_eq!(properties_key("", &none), "~");
        let one = Table::from_iter([("x", Value::I32(1))]);
        let two = Table::from_iter([("x", Value::I32(2))]);
        assert!(properties_key("q", &one).starts_with("q~"));
        assert_ne!(properties_key("q", &one), properties_key("q", &two));
        assert!(properties_key("", &one).starts_with('~'));
    }
}
