//! What requests change, for the audit log: told from the route that they took.

use axum::http::{Method, StatusCode};
use leveret_protocol::admin::Arguments;
use leveret_protocol::admin::audit::AuditEntry;
use serde_json::Value;

use super::login::Visitor;

/// Why a request was refused; left with the answer for those who write it down.
#[derive(Debug, Clone)]
pub struct Refusal(pub String);

/// True when a request may change something, as far as method and route tell.
pub fn may_change(method: &Method, route: &str) -> bool {
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    let last = route.rsplit('/').next().unwrap_or_default();
    let is_preview = *method == Method::POST && route.starts_with("/api/policies/");
    // Publishing is traffic, and counted as such.
    !reads && !is_preview && !matches!(last, "route" | "publish")
}

/// True when what the request carries belongs into the log: not where passwords or messages are in it.
pub fn keeps_content(route: &str) -> bool {
    let mut words = route.split('/').skip(2);
    let family = words.next().unwrap_or_default();
    !matches!(family, "users" | "definitions" | "login") && !route.ends_with("/get")
}

/// What a request did.
pub fn entry(
    visitor: &Visitor,
    source: String,
    method: &Method,
    route: &'static str,
    names: &[(String, String)],
    content: Option<Value>,
    (status, refusal): (StatusCode, Option<&Refusal>),
) -> Option<AuditEntry> {
    let is_rehearsal =
        content.as_ref().is_some_and(|content| content.get("dry_run") == Some(&Value::Bool(true)));
    if is_rehearsal {
        return None;
    }
    let words: Vec<&str> = route.trim_matches('/').split('/').skip(1).collect();
    let family = words.first().copied().unwrap_or_default();
    let last = words.last().copied().unwrap_or_default();
    let action = match (method, last) {
        (_, "contents") => "purge",
        (&Method::DELETE, "{id}") if family == "operations" => "cancel",
        (&Method::DELETE, _) if matches!(family, "connections" | "channels") => "close",
        (&Method::DELETE, _) if family == "consumers" => "cancel",
        (&Method::DELETE, _) if family == "bindings" => "unbind",
        (&Method::POST, _) if family == "bindings" => "bind",
        (&Method::POST, "definitions" | "{vhost}") if family == "definitions" => "import",
        (_, word) if !word.starts_with('{') && words.len() > 1 => word,
        (&Method::DELETE, _) => "delete",
        (&Method::PUT, _) if matches!(family, "queues" | "exchanges") => "declare",
        _ => "put",
    };
    let name = |wanted: &str| names.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    let vhost = name("vhost");
    // The first name is what the object is called, mostly the one after the vhost.
    let mut others = names.iter().filter(|(name, _)| name != "vhost");
    let object = match others.next() {
        Some((_, value)) => value.clone(),
        None => vhost.clone().unwrap_or_default(),
    };
    let mut details: Arguments = others.map(|(name, value)| (name.clone(), value.clone().into())).collect();
    if let Some(Value::Object(content)) = content {
        details.extend(content);
    }
    Some(AuditEntry {
        user: visitor.user().name().to_owned(),
        via: "http".to_owned(),
        source,
        action: action.to_owned(),
        kind: singular(family),
        vhost,
        name: object,
        details,
        result: match refusal {
            _ if status.is_success() => "ok".to_owned(),
            Some(Refusal(reason)) => reason.clone(),
            None => status.to_string(),
        },
        ..AuditEntry::default()
    })
}

fn singular(family: &str) -> String {
    match family {
        "policies" => "policy".to_owned(),
        "operator-policies" => "operator-policy".to_owned(),
        "definitions" => "definitions".to_owned(),
        _ => family.strip_suffix('s').unwrap_or(family).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use leveret_core::auth::{PasswordHash, Tags, Users};
    use serde_json::json;

    use super::*;

    fn visitor() -> Visitor {
        let mut users = Users::default();
        let hash = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";
        let hash = PasswordHash::import("rabbit_password_hashing_sha256", hash).expect("valid");
        users.put_user("anna", hash, Tags::parse("administrator")).expect("valid");
        Visitor::for_tests(Arc::clone(users.user("anna").expect("there")))
    }

    fn check(method: Method, route: &'static str, names: &[(&str, &str)], expected: (&str, &str, &str)) {
        let names: Vec<_> = names.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let answer = (StatusCode::NO_CONTENT, None);
        let found = entry(&visitor(), String::new(), &method, route, &names, None, answer).expect("a change");
        assert_eq!((&*found.kind, &*found.action, &*found.name), expected, "{method} {route}");
        assert_eq!(found.result, "ok");
    }

    #[test]
    fn routes_tell_what_was_changed() {
        let queue = [("vhost", "/"), ("queue", "q")];
        check(Method::PUT, "/api/queues/{vhost}/{queue}", &queue, ("queue", "declare", "q"));
        check(Method::DELETE, "/api/queues/{vhost}/{queue}", &queue, ("queue", "delete", "q"));
        check(Method::DELETE, "/api/queues/{vhost}/{queue}/contents", &queue, ("queue", "purge", "q"));
        check(Method::POST, "/api/queues/{vhost}/{queue}/move", &queue, ("queue", "move", "q"));
        check(Method::PUT, "/api/vhosts/{vhost}", &[("vhost", "v")], ("vhost", "put", "v"));
        let user = [("vhost", "v"), ("user", "u")];
        check(Method::PUT, "/api/permissions/{vhost}/{user}", &user, ("permission", "put", "u"));
        let policy = [("vhost", "v"), ("policy", "p")];
        check(Method::PUT, "/api/policies/{vhost}/{policy}", &policy, ("policy", "put", "p"));
        let name = [("connection", "c")];
        check(Method::DELETE, "/api/connections/{connection}", &name, ("connection", "close", "c"));
        let consumer = [("vhost", "v"), ("connection", "c"), ("channel", "1"), ("tag", "t")];
        let path = "/api/consumers/{vhost}/{connection}/{channel}/{tag}";
        check(Method::DELETE, path, &consumer, ("consumer", "cancel", "c"));
        check(Method::POST, "/api/definitions", &[], ("definitions", "import", ""));
    }

    #[test]
    fn what_changes_nothing_is_no_entry() {
        assert!(!may_change(&Method::GET, "/api/queues"));
        assert!(!may_change(&Method::POST, "/api/exchanges/{vhost}/{exchange}/route"));
        assert!(may_change(&Method::POST, "/api/queues/{vhost}/{queue}/get"));
        let dry = Some(json!({"dry_run": true}));
        let answer = (StatusCode::OK, None);
        let route = "/api/queues/{vhost}/{queue}/move";
        assert_eq!(entry(&visitor(), String::new(), &Method::POST, route, &[], dry, answer), None);
    }

    #[test]
    fn passwords_stay_out_of_the_log_and_refusals_do_not() {
        assert!(!keeps_content("/api/users/{user}") && keeps_content("/api/policies/{vhost}/{policy}"));
        let refusal = Refusal("Not administrator user".to_owned());
        let answer = (StatusCode::UNAUTHORIZED, Some(&refusal));
        let content = Some(json!({"configure": "^a"}));
        let route = "/api/permissions/{vhost}/{user}";
        let found =
            entry(&visitor(), "p".to_owned(), &Method::PUT, route, &[], content, answer).expect("tried");
        assert_eq!((&*found.result, &found.details["configure"]), ("Not administrator user", &json!("^a")));
    }
}
