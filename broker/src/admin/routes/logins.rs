//! Logins: how many there were, and the browser's.

use axum::Json;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use leveret_protocol::admin::requests::{AuthAttempts, AuthAttemptsBySource};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::*;
use crate::admin::state;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/auth", Who::Anyone, "How one logs in: by HTTP basic authentication.", settings).gives::<Value>(),
        post("/api/login", Who::Management, "Checks a login, and does nothing more.", log_in).gives::<String>(),
        get("/api/auth/attempts/{node}", Who::Monitor, "Logins since start, by protocol.", attempts)
            .gives::<Vec<AuthAttempts>>(),
        delete("/api/auth/attempts/{node}", Who::Administrator, "Counts logins from zero again, by protocol and by source.", forget),
        get(
            "/api/auth/attempts/{node}/source",
            Who::Monitor,
            "Logins since start by address, user and protocol, the latest first. The last thousand of these are kept.",
            by_source,
        )
        .gives::<Vec<AuthAttemptsBySource>>(),
        delete(
            "/api/auth/attempts/{node}/source",
            Who::Administrator,
            "Counts logins from zero again, by protocol and by source.",
            forget,
        ),
        get(
            "/api/auth/hash_password/{password}",
            Who::Administrator,
            "A password's salted SHA-256 hash, for definitions. Log files of proxies may keep the path: prefer \
             `PUT /api/users/{user}`.",
            hash,
        )
        .gives::<Value>(),
    ]
}

async fn settings() -> Response {
    Json(json!({"oauth_enabled": false})).into_response()
}

async fn log_in() -> Response {
    Json("ok").into_response()
}

async fn attempts(State(broker): State<Arc<Broker>>, InPath(node): InPath<String>) -> Answer {
    must_be_here(&node)?;
    Ok(Json(state::auth_attempts(&broker)).into_response())
}

async fn by_source(State(broker): State<Arc<Broker>>, InPath(node): InPath<String>) -> Answer {
    must_be_here(&node)?;
    Ok(Json(state::auth_attempts_by_source(&broker)).into_response())
}

async fn forget(
    State(broker): State<Arc<Broker>>,
    InPath(node): InPath<String>,
) -> Result<StatusCode, ApiError> {
    must_be_here(&node)?;
    broker.metrics().forget_logins();
    Ok(StatusCode::NO_CONTENT)
}

async fn hash(InPath(password): InPath<String>) -> Answer {
    if password.is_empty() {
        return Err(ApiError::bad_request("password must not be empty"));
    }
    let mut salt = [0; 4];
    rand::fill(&mut salt);
    let hash = Sha256::new().chain_update(salt).chain_update(password.as_bytes()).finalize();
    Ok(Json(json!({"ok": BASE64.encode([&salt[..], &hash].concat())})).into_response())
}

fn must_be_here(node: &str) -> Result<(), ApiError> {
    if node == state::node_name() { Ok(()) } else { Err(ApiError::not_found("Not Found")) }
}
