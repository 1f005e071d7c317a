//! Who asks: HTTP basic authentication, and what a user's tags let them see and do.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use leveret_core::auth::{Credentials, Proof, User};
use tracing::info;

use super::LoginRefused;
use super::error::ApiError;
use crate::broker::Broker;
use crate::metrics::LoginSource;

/// A user who logged in with this request and may use the API.
#[derive(Clone)]
pub struct Visitor {
    user: Arc<User>,
    peer: IpAddr,
}

/// Where a request comes from; the server leaves it with every request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

/// A handler gets the visitor whom its route let in.
impl<S: Send + Sync> FromRequestParts<S> for Visitor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Visitor, ApiError> {
        let visitor = parts.extensions.get::<Visitor>().cloned();
        visitor.ok_or_else(|| ApiError::internal("the route lets everybody in, and asks who it was"))
    }
}

impl Visitor {
    /// Checks the login that a request from `peer` carries.
    pub async fn log_in(broker: &Broker, headers: &HeaderMap, peer: IpAddr) -> Result<Visitor, ApiError> {
        let Some(header) = headers.get(header::AUTHORIZATION) else {
            return Err(ApiError::login_required("Not_Authorized"));
        };
        let (name, password) = parse_basic(header.as_bytes())?;
        let credentials = Credentials { user: name.clone(), proof: Proof::Password(password) };
        let checked = broker.check_login(credentials, peer).await;
        let metrics = broker.metrics();
        match &checked {
            Ok(_) => metrics.http_logins.fetch_add(1, Ordering::Relaxed),
            Err(LoginRefused::Busy) => 0,
            Err(_) => metrics.http_logins_failed.fetch_add(1, Ordering::Relaxed),
        };
        if checked.as_ref().err() != Some(&LoginRefused::Busy) {
            let source = LoginSource::new(peer, &name, "http");
            metrics.login_sources.lock().note(source, checked.is_ok());
        }
        let error = match checked {
            Ok(user) if user.tags().may_manage() => return Ok(Visitor { user, peer }),
            Ok(_) => ApiError::not_authorised("Not management user"),
            Err(refused) => refused.into(),
        };
        info!(user = name, %peer, reason = error.reason(), "admin login refused");
        Err(error)
    }

    /// A visitor who did not log in.
    #[cfg(test)]
    pub fn for_tests(user: Arc<User>) -> Visitor {
        Visitor { user, peer: std::net::Ipv4Addr::LOCALHOST.into() }
    }

    /// The same visitor with the rights they have now; none when they may not use the API any more.
    pub fn refreshed(&self, broker: &Broker) -> Option<Visitor> {
        let user = broker.users().read().user(self.user.name()).cloned()?;
        user.tags().may_manage().then_some(Visitor { user, peer: self.peer })
    }

    /// Who it is.
    pub fn user(&self) -> &Arc<User> {
        &self.user
    }

    /// Where they are.
    pub fn peer(&self) -> IpAddr {
        self.peer
    }

    /// Administrators only.
    pub fn must_administrate(&self) -> Result<(), ApiError> {
        self.must(self.user.tags().is_administrator(), "Not administrator user")
    }

    /// Those who may see the whole broker.
    pub fn must_monitor(&self) -> Result<(), ApiError> {
        self.must(self.user.tags().may_monitor(), "Not monitor user")
    }

    /// Those who may see a vhost, which has to exist.
    pub fn must_see_vhost(&self, broker: &Broker, vhost: &str) -> Result<(), ApiError> {
        must_exist(broker, vhost)?;
        self.must(self.sees_vhost(vhost), "User not authorised to access virtual host")
    }

    /// Those who may use a vhost, which has to exist, and administrators.
    pub fn must_use_vhost(&self, broker: &Broker, vhost: &str) -> Result<(), ApiError> {
        must_exist(broker, vhost)?;
        let may = self.user.tags().is_administrator() || self.user.check_vhost(vhost).is_ok();
        self.must(may, "User not authorised to access virtual host")
    }

    /// Policymakers, in the vhosts that they may use, and administrators.
    pub fn must_make_policies(&self, broker: &Broker, vhost: Option<&str>) -> Result<(), ApiError> {
        let reason = "User not authorised to access object";
        self.must(self.user.tags().may_set_policies(), reason)?;
        let Some(vhost) = vhost else { return Ok(()) };
        must_exist(broker, vhost)?;
        self.must(self.user.tags().is_administrator() || self.user.check_vhost(vhost).is_ok(), reason)
    }

    /// Monitors see every vhost, others those they may use.
    pub fn sees_vhost(&self, vhost: &str) -> bool {
        self.sees_everything() || self.user.check_vhost(vhost).is_ok()
    }

    /// Monitors see everybody's connections and channels, others their own.
    pub fn sees_user(&self, user: &str) -> bool {
        self.sees_everything() || self.user.name() == user
    }

    /// True for monitors and administrators.
    pub fn sees_everything(&self) -> bool {
        self.user.tags().may_monitor()
    }

    fn must(&self, allowed: bool, reason: &'static str) -> Result<(), ApiError> {
        if allowed { Ok(()) } else { Err(ApiError::not_authorised(reason)) }
    }
}

fn must_exist(broker: &Broker, vhost: &str) -> Result<(), ApiError> {
    if broker.vhost(vhost).is_some() {
        return Ok(());
    }
    Err(ApiError::not_found(format!("vhost '{vhost}' not found")))
}

impl From<LoginRefused> for ApiError {
    fn from(refused: LoginRefused) -> ApiError {
        match refused {
            LoginRefused::NotFromHere => ApiError::not_authorised("User can only log in via localhost"),
            LoginRefused::Credentials => ApiError::login_required("Not_Authorized"),
            LoginRefused::Busy => ApiError::unavailable("Too many logins at a time"),
        }
    }
}

/// RFC 7617: base64 of `user:password`, of which only the user may not contain a colon.
fn parse_basic(header: &[u8]) -> Result<(String, Vec<u8>), ApiError> {
    let Some((scheme, encoded)) = header.split_first_chunk::<6>() else {
        return Err(ApiError::login_required("Not_Authorized"));
    };
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return Err(ApiError::login_required("Not_Authorized"));
    }
    let malformed = || ApiError::bad_request("the authorization header is malformed");
    let decoded = BASE64.decode(encoded.trim_ascii()).map_err(|_| malformed())?;
    let colon = decoded.iter().position(|&byte| byte == b':').ok_or_else(malformed)?;
    let user = std::str::from_utf8(&decoded[..colon]).map_err(|_| malformed())?;
    Ok((user.to_owned(), decoded[colon + 1..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_credentials_are_split_at_the_first_colon() {
        let parse = |text: &str| parse_basic(format!("Basic {}", BASE64.encode(text)).as_bytes());
        assert_eq!(parse("guest:secret"), Ok(("guest".to_owned(), b"secret".to_vec())));
        assert_eq!(parse("guest:a:b"), Ok(("guest".to_owned(), b"a:b".to_vec())));
        assert_eq!(parse("jürgen:"), Ok(("jürgen".to_owned(), Vec::new())));
        assert!(parse("guest").is_err());
        let lower = format!("basic  {}", BASE64.encode("a:b"));
        assert_eq!(parse_basic(lower.as_bytes()), Ok(("a".to_owned(), b"b".to_vec())));
    }

    #[test]
    fn each_refusal_has_its_status() {
        let check = |refused: LoginRefused, status: u16, reason: &str| {
            let error = ApiError::from(refused);
            assert_eq!((error.status().as_u16(), error.reason()), (status, reason));
        };
        check(LoginRefused::Credentials, 401, "Not_Authorized");
        check(LoginRefused::NotFromHere, 401, "User can only log in via localhost");
        check(LoginRefused::Busy, 503, "Too many logins at a time");
    }

    #[test]
    fn another_scheme_asks_for_a_login_and_rubbish_is_refused() {
        assert_eq!(parse_basic(b"Bearer x"), Err(ApiError::login_required("Not_Authorized")));
        assert_eq!(parse_basic(b""), Err(ApiError::login_required("Not_Authorized")));
        let malformed = Err(ApiError::bad_request("the authorization header is malformed"));
        assert_eq!(parse_basic(b"Basic !!!"), malformed);
        assert_eq!(parse_basic(b"Basic /zph"), malformed, "the user is no UTF-8");
    }
}
