//! Questions to the broker: a request, how often to ask again, and what the answer is read as.
//!
//! A screen that wants data asks the [`crate::Store`] for a query each frame, which costs a look-up. What was asked for
//! in a frame is what is polled until the next; nobody subscribes or unsubscribes.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;

use leveret_protocol::admin as api;
use serde::de::DeserializeOwned;

use crate::route::encode;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    Get,
    Put,
    Post,
    Delete,
}

impl Method {
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Put => "PUT",
            Method::Post => "POST",
            Method::Delete => "DELETE",
        }
    }
}

/// One HTTP request to the admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    /// From `/api` on, encoded.
    pub path: String,
    /// JSON.
    pub body: Option<String>,
    /// Headers beside the usual ones.
    pub headers: Vec<(&'static str, String)>,
}

impl Request {
    pub fn new(method: Method, path: impl Into<String>) -> Request {
        Request { method, path: path.into(), body: None, headers: Vec::new() }
    }

    pub fn get(path: impl Into<String>) -> Request {
        Request::new(Method::Get, path)
    }

    pub fn body(mut self, body: &serde_json::Value) -> Request {
        self.body = Some(body.to_string());
        self
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Request {
        self.headers.push((name, value.into()));
        self
    }

    /// `GET /api/queues`, for messages.
    pub fn summary(&self) -> String {
        let path = self.path.split('?').next().unwrap_or_default();
        format!("{} {path}", self.method.as_str())
    }
}

/// A value of a type that the store does not know.
pub type Value = Arc<dyn Any + Send + Sync>;

/// Reads the body of an answer. An empty body is read as `null`.
pub type Decode = fn(&[u8]) -> Result<Value, String>;

fn decode<T: DeserializeOwned + Send + Sync + 'static>(body: &[u8]) -> Result<Value, String> {
    let body = if body.is_empty() { b"null" } else { body };
    serde_json::from_slice::<T>(body).map(|value| Arc::new(value) as Value).map_err(|error| error.to_string())
}

/// A question whose answer is a `T`.
#[derive(Debug)]
pub struct Query<T> {
    /// Names the answer in the store: two queries with one key are one.
    pub key: String,
    pub request: Request,
    /// How long after an answer to ask again; `None` asks once.
    pub period_ms: Option<u64>,
    pub decode: Decode,
    answer: PhantomData<fn() -> T>,
}

impl<T> Clone for Query<T> {
    fn clone(&self) -> Query<T> {
        Query {
            key: self.key.clone(),
            request: self.request.clone(),
            period_ms: self.period_ms,
            decode: self.decode,
            answer: PhantomData,
        }
    }
}

impl<T: DeserializeOwned + Send + Sync + 'static> Query<T> {
    /// A GET, asked again and again while somebody looks; the path is its key.
    pub fn live(path: impl Into<String>, period_ms: u64) -> Query<T> {
        let path = path.into();
        Query {
            key: path.clone(),
            request: Request::get(path),
            period_ms: Some(period_ms),
            decode: decode::<T>,
            answer: PhantomData,
        }
    }

    /// Any request, made once when it is sent; the answer is kept under `key`.
    pub fn once(key: impl Into<String>, request: Request) -> Query<T> {
        Query { key: key.into(), request, period_ms: None, decode: decode::<T>, answer: PhantomData }
    }
}

/// A query whose type has been forgotten: what the network thread works with.
#[derive(Debug, Clone)]
pub struct AnyQuery {
    pub key: String,
    pub request: Request,
    pub period_ms: Option<u64>,
    pub decode: Decode,
}

impl<T> From<&Query<T>> for AnyQuery {
    fn from(query: &Query<T>) -> AnyQuery {
        AnyQuery {
            key: query.key.clone(),
            request: query.request.clone(),
            period_ms: query.period_ms,
            decode: query.decode,
        }
    }
}

impl PartialEq for AnyQuery {
    fn eq(&self, other: &AnyQuery) -> bool {
        self.key == other.key && self.period_ms == other.period_ms && self.request == other.request
    }
}

/// The broker as a whole: tiles and charts, and the sign that it lives. Polled whatever is on the screen.
pub fn overview() -> Query<api::Overview> {
    Query::live("/api/overview", 1_000)
}

pub fn nodes() -> Query<Vec<api::Node>> {
    Query::live("/api/nodes", 2_000)
}

pub fn whoami() -> Query<api::WhoAmI> {
    Query::live("/api/whoami", 60_000)
}

pub fn vhosts() -> Query<Vec<api::Vhost>> {
    Query::live("/api/vhosts", 5_000)
}

pub fn queues() -> Query<Vec<api::Queue>> {
    Query::live("/api/queues", 1_000)
}

pub fn queue(vhost: &str, name: &str) -> Query<api::Queue> {
    Query::live(format!("/api/queues/{}/{}", encode(vhost), encode(name)), 1_000)
}

pub fn queue_bindings(vhost: &str, name: &str) -> Query<Vec<api::Binding>> {
    Query::live(format!("/api/queues/{}/{}/bindings", encode(vhost), encode(name)), 3_000)
}

/// Messages of a queue, looked at without being touched.
pub fn messages(vhost: &str, name: &str, state: &str, limit: u32) -> Query<api::messages::MessagePage> {
    let path = match state {
        "unacked" => "unacked",
        _ => "messages",
    };
    Query::live(
        format!("/api/queues/{}/{}/{path}?limit={limit}&payload_max=65536", encode(vhost), encode(name)),
        2_000,
    )
}

/// The path segment of an exchange; the default one has a name there.
pub fn exchange_segment(name: &str) -> String {
    if name.is_empty() { "amq.default".to_owned() } else { encode(name) }
}

pub fn exchange_bindings(vhost: &str, name: &str, end: &str) -> Query<Vec<api::Binding>> {
    Query::live(format!("/api/exchanges/{}/{}/bindings/{end}", encode(vhost), exchange_segment(name)), 3_000)
}

pub fn exchanges() -> Query<Vec<api::Exchange>> {
    Query::live("/api/exchanges", 2_000)
}

pub fn bindings() -> Query<Vec<api::Binding>> {
    Query::live("/api/bindings", 3_000)
}

pub fn connections() -> Query<Vec<api::Connection>> {
    Query::live("/api/connections", 2_000)
}

pub fn channels() -> Query<Vec<api::Channel>> {
    Query::live("/api/channels", 2_000)
}

pub fn consumers() -> Query<Vec<api::Consumer>> {
    Query::live("/api/consumers", 2_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_the_type_of_its_query() {
        let value = (overview().decode)(br#"{"product_name":"Leveret"}"#).expect("an overview");
        let overview = value.downcast::<api::Overview>().expect("of that type");
        assert_eq!(overview.product_name, "Leveret");
        assert!((nodes().decode)(b"{}").is_err());
        assert!((Query::<()>::once("x", Request::get("/x")).decode)(b"").is_ok());
    }

    #[test]
    fn names_are_encoded_in_paths() {
        assert_eq!(queue("/", "a b/订单").key, "/api/queues/%2F/a%20b%2F%E8%AE%A2%E5%8D%95");
        assert_eq!(queue("/", "q").request.summary(), "GET /api/queues/%2F/q");
    }
}
