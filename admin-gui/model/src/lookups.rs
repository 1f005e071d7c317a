//! Questions and requests about what flows, messages in queues, policies, people, and the broker's own records.

use leveret_protocol::admin as api;
use leveret_protocol::admin::audit::AuditPage;
use leveret_protocol::admin::delayed::DelayedPage;
use leveret_protocol::admin::events::AlarmReport;
use leveret_protocol::admin::messages::{MessageFilter, MessagePage, QueuedMessage};
use leveret_protocol::admin::operations::{Operation, OperationKind, OperationPlan, OperationRequest};
use leveret_protocol::admin::policies::{Policy, PolicyPreview, UserLimits, VhostLimits};
use leveret_protocol::admin::topology::TopologyGraph;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::query::{Method, Query, Request};
use crate::route::encode;

/// Bytes of each body that a list of messages asks for; one that is looked at is asked for whole.
const BODY_BYTES: u64 = 2_048;
/// Messages of a page.
pub const PAGE: u32 = 200;

pub fn topology(vhost: &str) -> Query<TopologyGraph> {
    Query::live(format!("/api/topology?vhost={}", encode(vhost)), 1_000)
}

/// A page of a queue's messages.
pub fn messages(
    vhost: &str,
    queue: &str,
    filter: &MessageFilter,
    cursor: Option<&str>,
) -> Query<MessagePage> {
    let mut path = format!(
        "/api/queues/{}/{}/messages?limit={PAGE}&payload_max={BODY_BYTES}",
        encode(vhost),
        encode(queue)
    );
    if let Some(cursor) = cursor {
        path.push_str("&cursor=");
        path.push_str(&encode(cursor));
    }
    if *filter != MessageFilter::default()
        && let Ok(filter) = serde_json::to_string(filter)
    {
        path.push_str("&filter=");
        path.push_str(&encode(&filter));
    }
    Query::live(path, 3_000)
}

/// Messages of a broker that shows them only by handing them out and taking them back.
pub fn get_messages(vhost: &str, queue: &str, count: u32, requeue: bool) -> Query<Vec<GotMessage>> {
    let path = format!("/api/queues/{}/{}/get", encode(vhost), encode(queue));
    let ackmode = if requeue { "ack_requeue_true" } else { "ack_requeue_false" };
    let body = json!({"count": count, "ackmode": ackmode, "encoding": "auto", "truncate": 200_000});
    Query::once(format!("get {vhost}\n{queue}"), Request::new(Method::Post, path).body(&body))
}

/// A message as `get` hands it out.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct GotMessage {
    pub exchange: String,
    pub routing_key: String,
    pub redelivered: bool,
    /// Messages left in the queue.
    pub message_count: u64,
    pub payload_bytes: u64,
    pub payload: String,
    pub payload_encoding: String,
    /// An empty list when there are none.
    pub properties: Json,
}

impl GotMessage {
    /// The same in the form in which messages are shown; `number` stands for an id.
    pub fn shown(&self, number: usize) -> QueuedMessage {
        QueuedMessage {
            id: number.to_string(),
            position: number as u64,
            exchange: self.exchange.clone(),
            routing_key: self.routing_key.clone(),
            properties: self.properties.as_object().cloned().unwrap_or_default(),
            payload_bytes: self.payload_bytes,
            payload: self.payload.clone(),
            payload_encoding: self.payload_encoding.clone(),
            truncated: (self.payload.len() as u64) < self.payload_bytes && self.payload_encoding == "string",
            redelivered: self.redelivered,
            ..QueuedMessage::default()
        }
    }
}

fn operation_path(kind: OperationKind, vhost: &str, queue: &str) -> String {
    let verb = match kind {
        OperationKind::Move => "move",
        OperationKind::Copy => "copy",
        OperationKind::Requeue => "requeue",
        OperationKind::Delete => "delete-messages",
    };
    format!("/api/queues/{}/{}/{verb}", encode(vhost), encode(queue))
}

/// What an operation would do.
pub fn plan(
    kind: OperationKind,
    vhost: &str,
    queue: &str,
    request: &OperationRequest,
) -> Query<OperationPlan> {
    let request = OperationRequest { dry_run: true, ..request.clone() };
    let body = serde_json::to_value(&request).unwrap_or_default();
    // A plan of another selection is another plan.
    let key = format!("plan {kind:?} {vhost}\n{queue}\n{body}");
    Query::once(key, Request::new(Method::Post, operation_path(kind, vhost, queue)).body(&body))
}

/// The request that starts an operation.
pub fn operate(kind: OperationKind, vhost: &str, queue: &str, request: &OperationRequest) -> Request {
    let request = OperationRequest { dry_run: false, ..request.clone() };
    let body = serde_json::to_value(&request).unwrap_or_default();
    Request::new(Method::Post, operation_path(kind, vhost, queue)).body(&body)
}

pub fn operations() -> Query<Vec<Operation>> {
    Query::live("/api/operations", 1_000)
}

pub fn cancel_operation(id: &str) -> Request {
    Request::new(Method::Delete, format!("/api/operations/{}", encode(id)))
}

/// Messages that wait for their time.
pub fn delayed(vhost: &str, exchange: &str, cursor: Option<&str>) -> Query<DelayedPage> {
    let mut path = format!("/api/exchanges/{}/{}/delayed?limit={PAGE}", encode(vhost), encode(exchange));
    if let Some(cursor) = cursor {
        path.push_str("&cursor=");
        path.push_str(&encode(cursor));
    }
    Query::live(path, 2_000)
}

pub fn cancel_delayed(vhost: &str, exchange: &str, id: &str) -> Request {
    let path = format!("/api/exchanges/{}/{}/delayed/{}", encode(vhost), encode(exchange), encode(id));
    Request::new(Method::Delete, path)
}

pub fn release_delayed(vhost: &str, exchange: &str, id: &str) -> Request {
    let path =
        format!("/api/exchanges/{}/{}/delayed/{}/release", encode(vhost), encode(exchange), encode(id));
    Request::new(Method::Post, path).body(&json!({}))
}

/// Policies, or operator policies.
pub fn policies(operator: bool) -> Query<Vec<Policy>> {
    Query::live(format!("/api/{}", policies_segment(operator)), 3_000)
}

fn policies_segment(operator: bool) -> &'static str {
    if operator { "operator-policies" } else { "policies" }
}

/// What a policy would change.
pub fn preview_policy(policy: &Policy) -> Query<PolicyPreview> {
    let body = serde_json::to_value(policy).unwrap_or_default();
    let path = format!("/api/policies/{}/preview", encode(&policy.vhost));
    Query::once(format!("preview {body}"), Request::new(Method::Post, path).body(&body))
}

pub fn put_policy(policy: &Policy, operator: bool) -> Request {
    let path =
        format!("/api/{}/{}/{}", policies_segment(operator), encode(&policy.vhost), encode(&policy.name));
    Request::new(Method::Put, path).body(&json!({
        "pattern": policy.pattern,
        "apply-to": policy.apply_to,
        "priority": policy.priority,
        "definition": policy.definition,
    }))
}

pub fn delete_policy(vhost: &str, name: &str, operator: bool) -> Request {
    let path = format!("/api/{}/{}/{}", policies_segment(operator), encode(vhost), encode(name));
    Request::new(Method::Delete, path)
}

pub fn users() -> Query<Vec<api::User>> {
    Query::live("/api/users", 5_000)
}

/// Adds a user or changes one; without a password the one there stays.
pub fn put_user(name: &str, tags: &str, password: Option<&str>, known: Option<&api::User>) -> Request {
    let body = match (password, known) {
        (Some(password), _) => json!({"password": password, "tags": tags}),
        (None, Some(user)) => json!({
            "password_hash": user.password_hash,
            "hashing_algorithm": user.hashing_algorithm,
            "tags": tags,
        }),
        (None, None) => json!({"password_hash": "", "tags": tags}),
    };
    Request::new(Method::Put, format!("/api/users/{}", encode(name))).body(&body)
}

pub fn delete_user(name: &str) -> Request {
    Request::new(Method::Delete, format!("/api/users/{}", encode(name)))
}

pub fn permissions() -> Query<Vec<api::Permission>> {
    Query::live("/api/permissions", 5_000)
}

pub fn put_permission(permission: &api::Permission) -> Request {
    let path = format!("/api/permissions/{}/{}", encode(&permission.vhost), encode(&permission.user));
    let api::Permission { configure, write, read, .. } = permission;
    Request::new(Method::Put, path).body(&json!({"configure": configure, "write": write, "read": read}))
}

pub fn delete_permission(vhost: &str, user: &str) -> Request {
    Request::new(Method::Delete, format!("/api/permissions/{}/{}", encode(vhost), encode(user)))
}

pub fn put_vhost(name: &str, description: &str, tags: &str) -> Request {
    let body = json!({"description": description, "tags": tags});
    Request::new(Method::Put, format!("/api/vhosts/{}", encode(name))).body(&body)
}

pub fn delete_vhost(name: &str) -> Request {
    Request::new(Method::Delete, format!("/api/vhosts/{}", encode(name)))
}

pub fn vhost_limits() -> Query<Vec<VhostLimits>> {
    Query::live("/api/vhost-limits", 5_000)
}

pub fn user_limits() -> Query<Vec<UserLimits>> {
    Query::live("/api/user-limits", 5_000)
}

/// Sets a limit of a vhost or a user, or takes it away.
pub fn limit(of_vhost: bool, name: &str, limit: &str, value: Option<u64>) -> Request {
    let kind = if of_vhost { "vhost-limits" } else { "user-limits" };
    let path = format!("/api/{kind}/{}/{}", encode(name), encode(limit));
    match value {
        Some(value) => Request::new(Method::Put, path).body(&json!({"value": value})),
        None => Request::new(Method::Delete, path),
    }
}

/// Definitions of everything, or of one vhost; asked for once.
pub fn definitions(vhost: Option<&str>) -> Query<Json> {
    let path = definitions_path(vhost);
    Query::once(path.clone(), Request::get(path))
}

pub fn import_definitions(vhost: Option<&str>, definitions: &Json) -> Request {
    Request::new(Method::Post, definitions_path(vhost)).body(definitions)
}

fn definitions_path(vhost: Option<&str>) -> String {
    match vhost {
        Some(vhost) => format!("/api/definitions/{}", encode(vhost)),
        None => "/api/definitions".to_owned(),
    }
}

pub fn alarms() -> Query<AlarmReport> {
    Query::live("/api/alarms", 2_000)
}

/// Who changed what, the latest first.
pub fn audit(cursor: Option<&str>) -> Query<AuditPage> {
    let cursor = cursor.map(|cursor| format!("&cursor={}", encode(cursor))).unwrap_or_default();
    Query::live(format!("/api/audit?limit={PAGE}{cursor}"), 3_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_and_cursors_are_part_of_the_question() {
        let plain = messages("/", "q", &MessageFilter::default(), None);
        assert!(!plain.key.contains("filter") && !plain.key.contains("cursor"), "{}", plain.key);
        let filter = MessageFilter { reason: Some("rejected".into()), ..MessageFilter::default() };
        let filtered = messages("/", "q", &filter, Some("a b"));
        assert!(
            filtered.key.ends_with("&cursor=a%20b&filter=%7B%22reason%22%3A%22rejected%22%7D"),
            "{}",
            filtered.key
        );
    }

    #[test]
    fn a_plan_changes_nothing_and_the_operation_does() {
        let request = OperationRequest::default();
        let body = |request: &Request| request.body.clone().unwrap_or_default();
        assert!(
            body(&plan(OperationKind::Requeue, "/", "q", &request).request).contains(r#""dry_run":true"#)
        );
        assert!(body(&operate(OperationKind::Requeue, "/", "q", &request)).contains(r#""dry_run":false"#));
    }

    #[test]
    fn what_get_hands_out_is_shown_like_any_message() {
        let json = r#"[{"payload_bytes":2,"redelivered":true,"exchange":"","routing_key":"q","message_count":0,
            "properties":[],"payload":"hi","payload_encoding":"string"}]"#;
        let got: Vec<GotMessage> = serde_json::from_str(json).expect("as RabbitMQ writes it");
        let shown = got[0].shown(3);
        assert_eq!((shown.id.as_str(), shown.payload.as_str(), shown.truncated), ("3", "hi", false));
        assert!(shown.properties.is_empty());
    }

    #[test]
    fn a_user_keeps_the_password_that_is_not_changed() {
        let user = api::User {
            name: "u".into(),
            password_hash: "h".into(),
            hashing_algorithm: "a".into(),
            tags: vec![],
            limits: Default::default(),
        };
        let body = put_user("u", "monitoring", None, Some(&user)).body.unwrap_or_default();
        assert!(body.contains(r#""password_hash":"h""#), "{body}");
    }
}
