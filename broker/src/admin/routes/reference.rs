//! What the API is, for programs and for people.

use std::sync::LazyLock;

use axum::Json;
use axum::response::Html;

use super::*;
use crate::admin::openapi;

pub(super) fn routes() -> Vec<Route> {
    vec![
        get("/api/openapi.json", Who::Anyone, "This API as an OpenAPI document.", document)
            .gives::<serde_json::Value>(),
        get("/api", Who::Anyone, "The routes of this API, as a page to read.", page).gives_text("text/html"),
        get("/api/index.html", Who::Anyone, "The routes of this API, as a page to read.", page)
            .gives_text("text/html"),
    ]
}

async fn document() -> Response {
    static DOCUMENT: LazyLock<serde_json::Value> = LazyLock::new(|| openapi::document(&table()));
    Json(&*DOCUMENT).into_response()
}

async fn page() -> Response {
    static PAGE: LazyLock<String> = LazyLock::new(|| openapi::page(&table()));
    Html(PAGE.as_str()).into_response()
}
