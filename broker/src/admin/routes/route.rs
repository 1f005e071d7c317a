//! One entry of the table of routes: a path, a method, who may use it, and what is done.
//!
//! Who may is part of the entry and not of what is done: a handler that needs a login is not reached without one, and
//! the documents made from the table say what holds.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Extension;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::handler::Handler;
use axum::http::{Method, header, request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use leveret_protocol::admin::Page;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::admin::audited::{self, Refusal};
use crate::admin::error::ApiError;
use crate::admin::login::{Peer, Visitor};
use crate::broker::Broker;

/// One thing that the API can be asked.
pub struct Route {
    pub method: Method,
    /// With names in braces: `/api/queues/{vhost}/{queue}`.
    pub path: &'static str,
    pub who: Who,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// Names of what may stand behind the question mark, each with what it means.
    pub query: &'static [(&'static str, &'static str)],
    /// The JSON of the request's body.
    pub takes: Option<SchemaOf>,
    /// What the answer is.
    pub gives: Option<SchemaOf>,
    /// The answer's type of content; other types than JSON have no schema, unless events do.
    pub media: &'static str,
    /// It may also have nothing to answer with.
    pub may_be_empty: bool,
    /// The JSON of an answer that something is not well.
    pub warns: Option<SchemaOf>,
    handler: MethodRouter<Arc<Broker>>,
}

/// Who may use a route. All but [`Who::Anyone`] have logged in and may use the admin API at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Without a login.
    Anyone,
    /// Everybody with one of the API's tags. What they see of lists and do to objects is theirs.
    Management,
    /// Those who may see the vhost in the path: monitors, and those who may use it.
    SeesVhost,
    /// Those who may use the vhost in the path, and administrators. The permissions there decide the rest.
    UsesVhost,
    /// Policymakers, where the path names a vhost those who may use it, and administrators.
    Policymaker,
    /// Monitors and administrators.
    Monitor,
    Administrator,
}

/// Makes the schema of a type and of those it is made of.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// A route for `GET`, and with it for `HEAD`.
pub fn get<H, T>(path: &'static str, who: Who, summary: &'static str, handler: H) -> Route
where
    H: Handler<T, Arc<Broker>>,
    T: 'static,
{
    Route::new(Method::GET, path, who, summary, on(MethodFilter::GET, handler))
}

/// A route for `PUT`.
pub fn put<H, T>(path: &'static str, who: Who, summary: &'static str, handler: H) -> Route
where
    H: Handler<T, Arc<Broker>>,
    T: 'static,
{
    Route::new(Method::PUT, path, who, summary, on(MethodFilter::PUT, handler))
}

/// A route for `POST`.
pub fn post<H, T>(path: &'static str, who: Who, summary: &'static str, handler: H) -> Route
where
    H: Handler<T, Arc<Broker>>,
    T: 'static,
{
    Route::new(Method::POST, path, who, summary, on(MethodFilter::POST, handler))
}

/// A route for `DELETE`.
pub fn delete<H, T>(path: &'static str, who: Who, summary: &'static str, handler: H) -> Route
where
    H: Handler<T, Arc<Broker>>,
    T: 'static,
{
    Route::new(Method::DELETE, path, who, summary, on(MethodFilter::DELETE, handler))
}

impl Route {
    fn new(
        method: Method,
        path: &'static str,
        who: Who,
        summary: &'static str,
        handler: MethodRouter<Arc<Broker>>,
    ) -> Route {
        Route {
            method,
            path,
            who,
            summary,
            query: &[],
            takes: None,
            gives: None,
            media: "application/json",
            may_be_empty: false,
            warns: None,
            handler,
        }
    }

    /// Says what may stand behind the question mark.
    pub fn query(mut self, query: &'static [(&'static str, &'static str)]) -> Route {
        self.query = query;
        self
    }

    /// Says what the request's body is.
    pub fn takes<T: JsonSchema>(mut self) -> Route {
        self.takes = Some(|generator| generator.subschema_for::<T>());
        self
    }

    /// Says what the answer's body is.
    pub fn gives<T: JsonSchema>(mut self) -> Route {
        self.gives = Some(|generator| generator.subschema_for::<T>());
        self
    }

    /// Says that the answer is no JSON but of this type.
    pub fn gives_text(mut self, media: &'static str) -> Route {
        self.media = media;
        self
    }

    /// Says that the answer is a stream of events, each with this, written as JSON, as its data. The schema is that of
    /// one event, as OpenAPI describes server-sent events.
    pub fn streams<T: JsonSchema>(mut self) -> Route {
        self.gives = Some(|generator| {
            let data = generator.subschema_for::<T>();
            json_schema!({
                "type": "object",
                "properties": {
                    "event": {"type": "string"},
                    "data": {
                        "type": "string",
                        "contentMediaType": "application/json",
                        "contentSchema": data,
                    },
                },
                "required": ["event", "data"],
            })
        });
        self.gives_text("text/event-stream")
    }

    /// Says that the request may be done with nothing to answer.
    pub fn or_nothing(mut self) -> Route {
        self.may_be_empty = true;
        self
    }

    /// Says that the answer is the outcome of a check, with status 503 where it fails.
    pub fn checks<T: JsonSchema>(mut self) -> Route {
        self.warns = Some(|generator| generator.subschema_for::<T>());
        self.gives::<T>()
    }

    /// Says that the answer is a list, or a page of it where a page is asked for.
    pub fn lists<T: JsonSchema>(mut self) -> Route {
        self.gives = Some(|generator| {
            let (list, page) = (generator.subschema_for::<Vec<T>>(), generator.subschema_for::<Page<T>>());
            json_schema!({"anyOf": [list, page]})
        });
        self
    }

    /// The handler behind its gate.
    pub(super) fn guarded(self, broker: &Arc<Broker>) -> MethodRouter<Arc<Broker>> {
        if self.who == Who::Anyone {
            return self.handler;
        }
        let is_audited = audited::may_change(&self.method, self.path);
        let gate = Gate { broker: broker.clone(), who: self.who, audited: is_audited.then_some(self.path) };
        self.handler.layer(middleware::from_fn_with_state(gate, pass))
    }
}

#[derive(Clone)]
struct Gate {
    broker: Arc<Broker>,
    who: Who,
    /// The route's path, when what is done there is written into the audit log.
    audited: Option<&'static str>,
}

/// Lets a request through to its handler, with the visitor it comes from.
async fn pass(
    State(gate): State<Gate>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let visitor = match gate.admit(&mut parts, peer.ip()).await {
        Ok(visitor) => visitor,
        Err(refused) => return refused.into_response(),
    };
    parts.extensions.insert(visitor.clone());
    let request = Request::from_parts(parts, body);
    match gate.audited {
        None => next.run(request).await,
        Some(route) => run_audited(&gate.broker, &visitor, peer, route, request, next).await,
    }
}

/// Has a request answered, and writes down what it changed or was refused.
async fn run_audited(
    broker: &Broker,
    visitor: &Visitor,
    peer: SocketAddr,
    route: &'static str,
    request: Request,
    next: Next,
) -> Response {
    let method = request.method().clone();
    let is_rehearsal =
        request.uri().query().is_some_and(|query| query.split('&').any(|pair| pair == "dry_run=true"));
    let (mut parts, mut body) = request.into_parts();
    let names: Vec<(String, String)> = match RawPathParams::from_request_parts(&mut parts, &()).await {
        Ok(names) => names.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        Err(_) => Vec::new(),
    };
    let length =
        parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let is_short = length.is_some_and(|length: usize| length <= CONTENT_KEPT_BYTES);
    let mut content = None;
    if is_short && audited::keeps_content(route) {
        let Ok(bytes) = axum::body::to_bytes(body, CONTENT_KEPT_BYTES).await else {
            return ApiError::bad_request("the body cannot be read").into_response();
        };
        content = serde_json::from_slice(&bytes).ok();
        body = bytes.into();
    }
    let response = next.run(Request::from_parts(parts, body)).await;
    if !is_rehearsal {
        let outcome = (response.status(), response.extensions().get::<Refusal>());
        let source = peer.to_string();
        if let Some(entry) = audited::entry(visitor, source, &method, route, &names, content, outcome) {
            broker.audit().note(entry);
        }
    }
    response
}

/// What a request carries is kept in the audit log up to this size.
const CONTENT_KEPT_BYTES: usize = 4096;

impl Gate {
    async fn admit(&self, parts: &mut request::Parts, peer: std::net::IpAddr) -> Result<Visitor, ApiError> {
        let visitor = Visitor::log_in(&self.broker, &parts.headers, peer).await?;
        match self.who {
            Who::Anyone | Who::Management => {}
            Who::Monitor => visitor.must_monitor()?,
            Who::Administrator => visitor.must_administrate()?,
            Who::SeesVhost => {
                if let Some(vhost) = self.vhost(parts).await? {
                    visitor.must_see_vhost(&self.broker, &vhost)?;
                }
            }
            Who::UsesVhost => {
                if let Some(vhost) = self.vhost(parts).await? {
                    visitor.must_use_vhost(&self.broker, &vhost)?;
                }
            }
            Who::Policymaker => {
                let vhost = self.vhost(parts).await?;
                visitor.must_make_policies(&self.broker, vhost.as_deref())?;
            }
        }
        Ok(visitor)
    }

    /// The vhost that the path names.
    async fn vhost(&self, parts: &mut request::Parts) -> Result<Option<String>, ApiError> {
        match RawPathParams::from_request_parts(parts, &()).await {
            Ok(names) => {
                let vhost = names.iter().find(|(name, _)| *name == "vhost");
                Ok(vhost.map(|(_, vhost)| vhost.to_owned()))
            }
            Err(RawPathParamsRejection::MissingPathParams(_)) => Ok(None),
            Err(_) => Err(ApiError::bad_request("the path is malformed")),
        }
    }
}
