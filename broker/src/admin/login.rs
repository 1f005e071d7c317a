//! Who asks: HTTP basic authentication, and what a user's tags let them see.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header;
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use leveret_core::auth::User;
use tracing::info;

use super::error::ApiError;
use super::{AdminState, LoginRefused};

/// A user who logged in with this request and may use the API.
pub struct Visitor {
    user: Arc<User>,
}

/// Where a request comes from; the server leaves it with every request.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub SocketAddr);

impl<S: AdminState> FromRequestParts<Arc<S>> for Visitor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<S>) -> Result<Visitor, ApiError> {
        let Some(header) = parts.headers.get(header::AUTHORIZATION) else {
            return Err(ApiError::login_required("Not_Authorized"));
        };
        let (name, password) = parse_basic(header.as_bytes())?;
        let Some(Peer(peer)) = parts.extensions.get::<Peer>().copied() else {
            return Err(ApiError::internal("the peer's address is not known"));
        };
        let refused = |reason: &'static str| {
            info!(user = name, %peer, reason, "admin login refused");
            reason
        };
        match state.authenticate(&name, &password, peer.ip()).await {
            Ok(user) if user.tags().may_manage() => Ok(Visitor { user }),
            Ok(_) => Err(ApiError::not_authorised(refused("Not management user"))),
            Err(LoginRefused::NotFromHere) => {
                Err(ApiError::not_authorised(refused("User can only log in via localhost")))
            }
            Err(LoginRefused::Credentials) => Err(ApiError::login_required(refused("Not_Authorized"))),
            Err(LoginRefused::Busy) => Err(ApiError::unavailable(refused("Too many logins at a time"))),
        }
    }
}

impl Visitor {
    /// Who it is.
    pub fn user(&self) -> &Arc<User> {
        &self.user
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
    pub fn must_see_vhost<S: AdminState>(&self, state: &S, vhost: &str) -> Result<(), ApiError> {
        if !state.has_vhost(vhost) {
            return Err(ApiError::not_found(format!("vhost '{vhost}' not found")));
        }
        self.must(self.sees_vhost(vhost), "User not authorised to access virtual host")
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
    fn another_scheme_asks_for_a_login_and_rubbish_is_refused() {
        assert_eq!(parse_basic(b"Bearer x"), Err(ApiError::login_required("Not_Authorized")));
        assert_eq!(parse_basic(b""), Err(ApiError::login_required("Not_Authorized")));
        let malformed = Err(ApiError::bad_request("the authorization header is malformed"));
        assert_eq!(parse_basic(b"Basic !!!"), malformed);
        assert_eq!(parse_basic(b"Basic /zph"), malformed, "the user is no UTF-8");
    }
}
