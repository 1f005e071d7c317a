//! The OpenAPI document, made from the table of routes.
//!
//! The table knows path, method, who may and the types of bodies; schemars knows what those types look like as JSON,
//! from the same attributes that serde reads. A generator that wants an attribute on every handler would say all of that
//! a second time.

use std::fmt::Write;

use axum::http::Method;
use leveret_protocol::admin::ErrorBody;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value as Json, json};

use super::routes::{Route, Who};

/// The document for these routes.
pub fn document(routes: &[Route]) -> Json {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let error = generator.subschema_for::<ErrorBody>();
    let mut paths: Map<String, Json> = Map::new();
    for route in routes {
        let operation = operation(route, &mut generator, &json!(error));
        let path = paths.entry(route.path).or_insert_with(|| json!({ "parameters": in_path(route.path) }));
        path[route.method.as_str().to_lowercase()] = operation;
    }
    let mut schemas = generator.take_definitions(true);
    for route in routes.iter().filter(|route| route.query.iter().any(|(name, _)| *name == "columns")) {
        let answer = &paths[route.path][route.method.as_str().to_lowercase()]["responses"]["200"]["content"];
        for name in items(&answer[route.media]["schema"]) {
            // Whoever chooses columns gets no others.
            if let Some(Json::Object(schema)) = schemas.get_mut(name) {
                schema.remove("required");
            }
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Leveret admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "RabbitMQ's management API, and more. Names in paths are percent-encoded: the vhost `/` is \
                `%2F`, the default exchange is `amq.default`.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"basic": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"basic": {"type": "http", "scheme": "basic"}},
            "schemas": schemas,
        },
    })
}

/// The document as a page to read: a line for each route.
pub fn page(routes: &[Route]) -> String {
    let mut rows = String::new();
    for route in routes {
        // Writing to a string does not fail.
        let _ = writeln!(
            rows,
            "<tr><td>{}</td><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
            route.method,
            route.path,
            escaped(route.who.description()),
            escaped(route.summary),
        );
    }
    PAGE.replace("{rows}", &rows)
}

fn operation(route: &Route, generator: &mut SchemaGenerator, error: &Json) -> Json {
    let mut responses = Map::new();
    let refused =
        |what: &str| json!({"description": what, "content": {"application/json": {"schema": error}}});
    let (status, what) = match (&route.gives, route.method.as_str()) {
        (Some(_), _) | (None, "GET") => ("200", "What was asked for."),
        (None, "PUT") => ("201", "It was made."),
        (None, "POST") => ("201", "It was made, or done."),
        (None, _) => ("204", "It was done."),
    };
    let mut answer = json!({ "description": what });
    if let Some(gives) = route.gives {
        answer["content"] = json!({route.media: {"schema": gives(generator)}});
    } else if status == "200" && route.method == Method::GET && route.media != "application/json" {
        answer["content"] = json!({route.media: {"schema": {"type": "string"}}});
    }
    responses.insert(status.to_owned(), answer);
    if route.gives.is_none() && status == "201" {
        responses.insert("204".to_owned(), json!({"description": "It was there, and is as asked for."}));
    }
    if route.may_be_empty {
        responses.insert("204".to_owned(), json!({"description": "It was done."}));
    }
    if let Some(warns) = route.warns {
        let content = json!({"application/json": {"schema": warns(generator)}});
        responses.insert("503".to_owned(), json!({"description": "It is not well.", "content": content}));
    }
    if route.who != Who::Anyone {
        responses.insert("401".to_owned(), refused("The login is missing or wrong, or its user may not."));
    }
    responses.insert("default".to_owned(), refused("The request was refused, with the reason."));
    let mut operation = json!({
        "operationId": operation_id(route),
        "summary": route.summary,
        "description": format!("For {}.", route.who.description()),
        "tags": [family(route.path)],
        "responses": responses,
    });
    if !route.query.is_empty() {
        let parameters = route.query.iter().map(|(name, description)| {
            json!({"name": name, "in": "query", "description": description, "schema": {"type": "string"}})
        });
        operation["parameters"] = parameters.collect();
    }
    if let Some(takes) = route.takes {
        operation["requestBody"] =
            json!({"required": true, "content": {"application/json": {"schema": takes(generator)}}});
    }
    if route.who == Who::Anyone {
        operation["security"] = json!([]);
    }
    operation
}

/// Names of the types that a list is of, or that one answer is.
fn items(schema: &Json) -> Vec<&str> {
    if let Some(name) = schema["$ref"].as_str() {
        return name.rsplit('/').next().filter(|name| !name.ends_with("Page")).into_iter().collect();
    }
    let choices = schema["anyOf"].as_array().into_iter().flatten();
    choices.chain(schema.get("items")).flat_map(items).collect()
}

/// The names in braces.
fn in_path(path: &str) -> Json {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    names
        .map(|name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}))
        .collect()
}

/// `get_queues_vhost_queue`.
fn operation_id(route: &Route) -> String {
    let parts = route.path.split('/').filter(|part| !part.is_empty() && *part != "api");
    let name = |part: &str| part.trim_matches(['{', '}']).replace(['-', '.'], "_");
    let names: Vec<String> = parts.map(name).collect();
    format!("{}_{}", route.method.as_str().to_lowercase(), names.join("_"))
}

/// The first word of the path.
fn family(path: &str) -> &str {
    path.strip_prefix("/api/").unwrap_or(path.trim_start_matches('/')).split('/').next().unwrap_or_default()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

impl Who {
    /// Who that is, in words.
    pub fn description(self) -> &'static str {
        match self {
            Who::Anyone => "everybody, without a login",
            Who::Management => {
                "users with a tag of the API: management, policymaker, monitoring or administrator"
            }
            Who::SeesVhost => "monitors, and users with permissions in the vhost",
            Who::UsesVhost => "users with the permissions in the vhost that the same takes over AMQP",
            Who::Policymaker => "policymakers with permissions in the vhost, and administrators",
            Who::Monitor => "monitors and administrators",
            Who::Administrator => "administrators",
        }
    }
}

const PAGE: &str = "<!doctype html>
<html lang=\"en\">
<head>
<meta charset=\"utf-8\">
<title>Leveret admin API</title>
<style>
body { font: 15px/1.4 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; color: #222 }
table { border-collapse: collapse; width: 100% }
td, th { text-align: left; vertical-align: top; padding: .35em .8em .35em 0; border-bottom: 1px solid #ddd }
code { white-space: nowrap }
</style>
</head>
<body>
<h1>Leveret admin API</h1>
<p>RabbitMQ's management API, and more. Bodies are JSON, logins are HTTP basic authentication. Names in paths are
percent-encoded: the vhost <code>/</code> is <code>%2F</code>, the default exchange is <code>amq.default</code>. What
goes into and comes out of each route is in the <a href=\"/api/openapi.json\">OpenAPI document</a>.</p>
<table>
<tr><th>Method</th><th>Path</th><th>For</th><th></th></tr>
{rows}</table>
</body>
</html>
";
