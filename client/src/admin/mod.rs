//! The admin API over HTTP: what the console and `leveretctl` are built on.
//!
//! [`Client`] has a method for every path of the API, over the types of [`types`]. It speaks RabbitMQ's management API
//! as well: what RabbitMQ does not have answers [`Error::Unsupported`], and what it writes differently is read as it is
//! meant.
//!
//! ```no_run
//! use leveret_client::admin::{Client, ListQuery};
//!
//! # async fn example() -> leveret_client::admin::Result<()> {
//! let client = Client::builder("http://127.0.0.1:15672").login("guest", "guest").build()?;
//! let largest = client.queues(None, &ListQuery::new().sort("messages").reverse().page(1, 10)).await?;
//! for queue in largest.items {
//!     println!("{} {}", queue.name, queue.totals.messages);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! - this file: the client, how it is made, how a request is sent
//! - `broker`: the broker as such: overview, health, definitions, topology, audit
//! - `objects`: queues, exchanges, bindings, connections, channels, consumers
//! - `messages`: messages in queues and in delayed exchanges, and operations on many of them
//! - `access`: users, permissions, vhosts, limits, policies, parameters
//! - `events`: the live feed
//! - `query`, `path`, `lenient`, `error`: what lists are asked for, names in paths, reading, failures

mod access;
mod broker;
mod error;
mod events;
mod lenient;
mod messages;
mod objects;
mod path;
mod query;

use std::time::Duration;

use reqwest::{Method, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use error::{Error, Result};
pub use events::{EventQuery, Events};
pub use leveret_protocol::admin as types;
pub use messages::PeekQuery;
pub use objects::{
    AckMode, ConnectionTarget, DeclareExchange, DeclareQueue, GetRequest, GotMessage, NewBinding,
    PublishRequest,
};
pub use query::{AuditQuery, ListQuery};

use path::Path;

/// A client of one broker's admin API. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    /// Without a slash at its end.
    base: String,
    user: String,
    password: String,
    timeout: Duration,
}

/// How a [`Client`] is to reach its broker.
#[derive(Debug, Clone)]
pub struct Builder {
    url: String,
    user: String,
    password: String,
    authorities_pem: Option<Vec<u8>>,
    timeout: Duration,
    connect_timeout: Duration,
}

impl Client {
    /// A client for the admin listener at `url`, such as `http://127.0.0.1:15672` or `https://broker:15671`.
    pub fn builder(url: impl Into<String>) -> Builder {
        Builder {
            url: url.into(),
            user: "guest".to_owned(),
            password: "guest".to_owned(),
            authorities_pem: None,
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(5),
        }
    }

    /// Where the broker is, as given to [`Client::builder`].
    pub fn url(&self) -> &str {
        &self.base
    }

    /// Who this client logs in as.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Sends a request that no other method has, and reads the whole answer. `path` begins with `/api` and is encoded;
    /// `content` is JSON.
    pub async fn send_raw(
        &self,
        method: &str,
        path: &str,
        content: Option<Vec<u8>>,
        headers: &[(&'static str, String)],
    ) -> Result<Vec<u8>> {
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|_| Error::Unwritable { reason: format!("{method} is no method of HTTP") })?;
        self.ask(method, Path::as_it_is(path), content, headers).await.map(|(_, body)| body)
    }

    /// The body of an answer to [`send_raw`](Client::send_raw) with what brokers write in more than one way put right; `None`
    /// when it is no JSON.
    pub fn put_right(body: &[u8]) -> Option<Vec<u8>> {
        lenient::put_right_text(body)
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: Path) -> Result<T> {
        let (path, body) = self.ask(Method::GET, path, None, &[]).await?;
        lenient::read(&path, &body)
    }

    pub(crate) async fn get_page<T: DeserializeOwned>(&self, path: Path) -> Result<types::Page<T>> {
        let (path, body) = self.ask(Method::GET, path, None, &[]).await?;
        lenient::read_page(&path, &body)
    }

    pub(crate) async fn post<T: DeserializeOwned>(&self, path: Path, content: &impl Serialize) -> Result<T> {
        let content = json(content)?;
        let (path, body) = self.ask(Method::POST, path, Some(content), &[]).await?;
        lenient::read(&path, &body)
    }

    /// For requests whose answer has nothing in it.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: Path,
        content: Option<&impl Serialize>,
    ) -> Result<()> {
        let content = content.map(json).transpose()?;
        self.ask(method, path, content, &[]).await.map(drop)
    }

    pub(crate) async fn put(&self, path: Path, content: &impl Serialize) -> Result<()> {
        self.send(Method::PUT, path, Some(content)).await
    }

    pub(crate) async fn delete(&self, path: Path) -> Result<()> {
        self.ask(Method::DELETE, path, None, &[]).await.map(drop)
    }

    /// `reason` is told to whoever is affected.
    pub(crate) async fn delete_with_reason(&self, path: Path, reason: &str) -> Result<()> {
        // A header cannot hold everything that a person may write.
        let printable: String =
            reason.chars().map(|at| if at.is_ascii_graphic() { at } else { ' ' }).collect();
        self.ask(Method::DELETE, path, None, &[("x-reason", printable)]).await.map(drop)
    }

    /// Sends a request and reads the whole answer; the path comes back for messages about it.
    async fn ask(
        &self,
        method: Method,
        path: Path,
        content: Option<Vec<u8>>,
        headers: &[(&'static str, String)],
    ) -> Result<(String, Vec<u8>)> {
        let path = path.into_text();
        let may_repeat = method == Method::GET;
        let mut request = self.request(method, &path).timeout(self.timeout);
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        if let Some(content) = content {
            request = request.header(header::CONTENT_TYPE, "application/json").body(content);
        }
        // A connection that was kept since the last request may have been closed meanwhile, which shows only when it is
        // used. What only asks is asked again.
        let again = if may_repeat { request.try_clone() } else { None };
        let answer = match (request.send().await, again) {
            (Err(error), Some(again)) if !error.is_timeout() && !error.is_connect() => again.send().await,
            (answer, _) => answer,
        };
        let answer = answer.map_err(|error| self.failed(&error))?;
        let answer = self.check(&path, answer).await?;
        let body = self.read_body(answer, ANSWER_BYTES_MAX).await?;
        Ok((path, body))
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        request.basic_auth(&self.user, Some(&self.password)).header(header::ACCEPT, "application/json")
    }

    /// Turns an answer that is a failure into what the broker says of it.
    async fn check(&self, path: &str, answer: reqwest::Response) -> Result<reqwest::Response> {
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        if status == StatusCode::UNAUTHORIZED && answer.headers().contains_key(header::WWW_AUTHENTICATE) {
            return Err(Error::Login { user: self.user.clone() });
        }
        let body = self.read_body(answer, ERROR_BYTES_MAX).await.unwrap_or_default();
        Err(Error::refused(path, status.as_u16(), &body))
    }

    async fn read_body(&self, mut answer: reqwest::Response, bytes_max: usize) -> Result<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.failed(&error))? {
            if body.len() + chunk.len() > bytes_max {
                return Err(Error::TooLarge { bytes_max });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn failed(&self, error: &reqwest::Error) -> Error {
        Error::of_transport(&self.base, self.timeout, error)
    }
}

impl Builder {
    /// Who logs in; `guest` with the password `guest` unless said otherwise.
    #[must_use]
    pub fn login(mut self, user: impl Into<String>, password: impl Into<String>) -> Builder {
        self.user = user.into();
        self.password = password.into();
        self
    }

    /// Trusts certificates that these authorities signed, in PEM, beside those that the system trusts.
    #[must_use]
    pub fn authorities(mut self, pem: impl Into<Vec<u8>>) -> Builder {
        self.authorities_pem = Some(pem.into());
        self
    }

    /// How long one request may take, its answer included. The live feed may take as long as it likes.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Builder {
        self.timeout = timeout;
        self
    }

    /// How long connecting may take.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Builder {
        self.connect_timeout = timeout;
        self
    }

    /// Makes the client. Nothing is sent yet.
    pub fn build(self) -> Result<Client> {
        let base = path::base(&self.url)?;
        // reqwest is built without a cryptography of its own and takes the process's.
        if rustls::crypto::CryptoProvider::get_default().is_none() {
            // Another thread may have been faster, which is as good.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let mut http = reqwest::Client::builder()
            .connect_timeout(self.connect_timeout)
            // The live feed has no end; its silence has one.
            .read_timeout(self.timeout.max(SILENCE_MAX))
            .user_agent(concat!("leveret-client/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = &self.authorities_pem {
            let found = reqwest::Certificate::from_pem_bundle(pem)
                .map_err(|error| Error::Authorities { reason: error.to_string() })?;
            if found.is_empty() {
                return Err(Error::Authorities { reason: "there is no certificate in it".to_owned() });
            }
            http = http.tls_certs_merge(found);
        }
        let http = http.build().map_err(|error| Error::of_transport(&base, self.timeout, &error))?;
        Ok(Client { http, base, user: self.user, password: self.password, timeout: self.timeout })
    }
}

fn json(content: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(content).map_err(|error| Error::Unwritable { reason: error.to_string() })
}

/// An answer beyond this is refused: no list that a broker can have is near it.
const ANSWER_BYTES_MAX: usize = 512 << 20;
/// What is read of an answer that says why something failed.
const ERROR_BYTES_MAX: usize = 256 << 10;
/// The live feed says something at least three times as often.
const SILENCE_MAX: Duration = Duration::from_secs(45);

#[cfg(test)]
mod tests;
