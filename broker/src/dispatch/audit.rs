//! What a connection changes, written into the audit log. See [`crate::audit`] for what is no change.

use leveret_core::session::host::{Binding, Destination, ExchangeDeclare, QueueDeclare};
use leveret_protocol::admin::audit::AuditEntry;
use leveret_protocol::admin::{Arguments, arguments};
use leveret_protocol::table::RawTable;
use serde_json::json;

use super::ConnectionHost;

impl ConnectionHost {
    /// Whoever acts through this writes down what was changed.
    pub fn audited_elsewhere(&mut self) {
        self.is_audited_elsewhere = true;
    }

    /// True when this declaration would make an exchange.
    pub(super) fn is_new_exchange(&self, request: &ExchangeDeclare<'_>) -> bool {
        !request.passive && self.has_exchange(request.exchange) == Some(false)
    }

    /// Whether there is such an exchange, where that is asked for the audit log.
    pub(super) fn has_exchange(&self, exchange: &str) -> Option<bool> {
        let vhost = self.vhost.as_ref().filter(|_| !self.is_audited_elsewhere)?;
        Some(vhost.topology().exchange(exchange).is_some())
    }

    /// True when this declaration would make a queue that others see.
    pub(super) fn is_new_queue(&self, request: &QueueDeclare<'_>) -> bool {
        !request.passive && !request.exclusive && self.has_shared_queue(request.queue) == Some(false)
    }

    /// Whether there is such a queue, and it is not this connection's own.
    pub(super) fn has_shared_queue(&self, queue: &str) -> Option<bool> {
        let vhost = self.vhost.as_ref().filter(|_| !self.is_audited_elsewhere)?;
        let topology = vhost.topology();
        match topology.queue(queue) {
            Some((definition, _)) if definition.exclusive_owner.is_some() => None,
            found => Some(found.is_some()),
        }
    }

    /// Whether such a binding exists, and what it binds to is not this connection's own.
    pub(super) fn has_shared_binding(&self, binding: &Binding<'_>) -> Option<bool> {
        if let Destination::Queue(queue) = binding.destination {
            self.has_shared_queue(queue)?;
        }
        let vhost = self.vhost.as_ref().filter(|_| !self.is_audited_elsewhere)?;
        Some(vhost.topology().is_bound(binding))
    }

    pub(super) fn note_exchange(&self, request: &ExchangeDeclare<'_>) {
        let details = json!({
            "type": request.kind,
            "durable": request.durable,
            "auto_delete": request.auto_delete,
            "internal": request.internal,
            "arguments": shown(request.arguments),
        });
        self.note("declare", "exchange", request.exchange, details);
    }

    pub(super) fn note_queue(&self, name: &str, request: &QueueDeclare<'_>) {
        let details = json!({
            "durable": request.durable,
            "auto_delete": request.auto_delete,
            "arguments": shown(request.arguments),
        });
        self.note("declare", "queue", name, details);
    }

    pub(super) fn note_binding(&self, action: &str, binding: &Binding<'_>) {
        let (name, kind) = match binding.destination {
            Destination::Queue(name) => (name, "queue"),
            Destination::Exchange(name) => (name, "exchange"),
        };
        let details = json!({
            "source": binding.source,
            "destination_type": kind,
            "routing_key": binding.routing_key,
            "arguments": shown(binding.arguments),
        });
        self.note(action, "binding", name, details);
    }

    /// Writes down what this connection did.
    pub(super) fn note(&self, action: &str, kind: &str, name: &str, details: serde_json::Value) {
        if self.is_audited_elsewhere {
            return;
        }
        self.broker.audit().note(AuditEntry {
            user: self.user_name().to_owned(),
            via: "amqp".to_owned(),
            source: self.peer.to_string(),
            action: action.to_owned(),
            kind: kind.to_owned(),
            vhost: self.vhost.as_ref().map(|vhost| vhost.name().to_string()),
            name: name.to_owned(),
            details: match details {
                serde_json::Value::Object(details) => details,
                _ => Arguments::default(),
            },
            result: "ok".to_owned(),
            ..AuditEntry::default()
        });
    }
}

fn shown(table: RawTable<'_>) -> Arguments {
    arguments(&table.to_table().unwrap_or_default())
}
