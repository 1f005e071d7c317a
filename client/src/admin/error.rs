//! What can go wrong with a request, and what helps.

use std::error::Error as _;
use std::time::Duration;

use leveret_protocol::admin::ErrorBody;

/// Everything that a [`Client`](super::Client) reports. Each says in words what to do, where something can be done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What was given is no address.
    #[error("{url} is no address of an admin API: {reason}; write it like http://127.0.0.1:15672")]
    Url { url: String, reason: String },
    /// The certificates given to trust cannot be used.
    #[error("the certificate authorities cannot be read: {reason}; they have to be certificates in PEM")]
    Authorities { reason: String },
    /// Nobody answered there, or not in HTTP.
    #[error(
        "cannot reach the broker at {url}: {reason}; check that it runs and that this is its admin listener"
    )]
    Unreachable { url: String, reason: String },
    /// The broker's certificate is not trusted, or TLS failed otherwise.
    #[error(
        "no secure connection to {url}: {reason}; if its certificate is your own, give its authority as trusted"
    )]
    Tls { url: String, reason: String },
    /// The time was up. Whether the broker acted is unknown.
    #[error("no answer from {url} within {after:?}")]
    Timeout { url: String, after: Duration },
    /// The connection was lost while the answer came. Whether the broker acted is unknown.
    #[error("the connection to {url} was lost: {reason}")]
    Interrupted { url: String, reason: String },
    /// The user or the password is wrong; which of the two is not told.
    #[error("the broker does not know user '{user}' with this password")]
    Login { user: String },
    /// The broker said no.
    #[error("{}", refusal(*status, reason))]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Which kind of failure: `bad_request`, `not_authorised`, `Object Not Found`.
        error: String,
        /// What the broker says of it.
        reason: String,
    },
    /// The broker has no such path: it is an older one, or RabbitMQ.
    #[error("the broker has no {path}; this needs Leveret, or a newer one")]
    Unsupported { path: String },
    /// The answer makes no sense.
    #[error("cannot read the broker's answer to {path}: {reason}")]
    Unreadable { path: String, reason: String },
    /// The answer is larger than any list can be.
    #[error("the broker's answer is larger than {bytes_max} bytes; ask for pages")]
    TooLarge { bytes_max: usize },
    /// What was to be sent cannot be written as JSON.
    #[error("the request cannot be written: {reason}")]
    Unwritable { reason: String },
}

/// Shorthand for results of the admin API.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The HTTP status, when the broker answered with a failure.
    pub fn status(&self) -> Option<u16> {
        match self {
            Error::Refused { status, .. } => Some(*status),
            Error::Login { .. } => Some(401),
            Error::Unsupported { .. } => Some(404),
            _ => None,
        }
    }

    /// Something that the request names does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Error::Refused { status: 404, .. })
    }

    /// Who asks is known and may not.
    pub fn is_not_authorised(&self) -> bool {
        matches!(self, Error::Refused { status: 401 | 403, .. })
    }

    /// The same request may succeed later without anything else being changed.
    pub fn is_temporary(&self) -> bool {
        match self {
            Error::Unreachable { .. } | Error::Timeout { .. } | Error::Interrupted { .. } => true,
            Error::Refused { status, .. } => matches!(status, 429 | 502..=504),
            _ => false,
        }
    }

    pub(super) fn refused(path: &str, status: u16, body: &[u8]) -> Error {
        let fallback = || ErrorBody {
            error: String::new(),
            // A proxy answers in HTML; its beginning says enough.
            reason: String::from_utf8_lossy(body).chars().take(200).collect::<String>().trim().to_owned(),
        };
        let ErrorBody { error, reason } = super::lenient::error_body(body).unwrap_or_else(fallback);
        // Both brokers say only this when it is the path that they do not know, RabbitMQ 3 of objects, too.
        let knows_no_path = matches!(reason.as_str(), "Not Found" | "") && is_own_path(path);
        match status {
            400 | 404 if knows_no_path => Error::Unsupported { path: without_query(path).to_owned() },
            // RabbitMQ takes what it does not know for a file, and has none in JSON.
            405 | 406 => Error::Unsupported { path: without_query(path).to_owned() },
            _ => Error::Refused { status, error, reason },
        }
    }

    pub(super) fn of_transport(url: &str, after: Duration, error: &reqwest::Error) -> Error {
        let url = url.to_owned();
        // reqwest's own words name the URL again and hide the cause behind it.
        let mut reason = String::new();
        let mut source = error.source();
        while let Some(cause) = source {
            reason = cause.to_string();
            if reason.contains("certificate") {
                return Error::Tls { url, reason };
            }
            source = cause.source();
        }
        if reason.is_empty() {
            reason = error.to_string();
        }
        if error.is_timeout() {
            return Error::Timeout { url, after };
        }
        if error.is_connect() {
            return match reason.contains("tls") || reason.contains("TLS") || reason.contains("HandshakeFail")
            {
                true => Error::Tls { url, reason },
                false => Error::Unreachable { url, reason },
            };
        }
        if error.is_body() || error.is_decode() {
            return Error::Interrupted { url, reason };
        }
        Error::Unreachable { url, reason }
    }
}

/// Paths that only Leveret has.
fn is_own_path(path: &str) -> bool {
    let path = without_query(path).trim_start_matches("/api/");
    let mut words = path.split('/');
    let first = words.next().unwrap_or_default();
    let last = words.next_back().unwrap_or_default();
    match first {
        "events" | "topology" | "audit" | "alarms" | "operations" => true,
        "queues" => matches!(
            last,
            "messages" | "unacked" | "move" | "copy" | "requeue" | "delete-messages" | "pause" | "resume"
        ),
        "exchanges" => matches!(last, "route" | "delayed") || path.contains("/delayed/"),
        "policies" => last == "preview",
        _ => false,
    }
}

fn without_query(path: &str) -> &str {
    path.split('?').next().unwrap_or(path)
}

fn refusal(status: u16, reason: &str) -> String {
    let reason = if reason.is_empty() { "the broker gives no reason" } else { reason };
    match status {
        400 => format!("the broker refuses this: {reason}"),
        401 | 403 => format!("not allowed: {reason}; a user with more rights may do it"),
        404 => format!("not found: {reason}"),
        409 => format!("it is not as it was: {reason}; look again and repeat"),
        429 => format!("too much at a time: {reason}; try again in a moment"),
        500..=599 => format!("the broker failed ({status}): {reason}; its log says more"),
        _ => format!("the broker answered {status}: {reason}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_the_broker_says() {
        let refused = |status, body: &str| Error::refused("/api/queues/%2F/q", status, body.as_bytes());
        let error = refused(400, r#"{"error":"bad_request","reason":"406 PRECONDITION_FAILED - no"}"#);
        assert_eq!(error.to_string(), "the broker refuses this: 406 PRECONDITION_FAILED - no");
        assert_eq!(error.status(), Some(400));
        let error = refused(404, r#"{"error":"Object Not Found","reason":"Not Found"}"#);
        assert!(error.is_not_found(), "{error}");
        let error = refused(401, r#"{"error":"not_authorised","reason":"Not administrator user"}"#);
        assert!(error.is_not_authorised() && error.to_string().contains("Not administrator user"), "{error}");
        let error = refused(502, "<html>bad gateway</html>");
        assert!(error.is_temporary() && error.to_string().contains("bad gateway"), "{error}");
    }

    #[test]
    fn what_rabbitmq_does_not_have_is_told_from_what_is_not_there() {
        let body = br#"{"error":"Object Not Found","reason":"Not Found"}"#;
        let is_unsupported =
            |path: &str, status: u16| matches!(Error::refused(path, status, body), Error::Unsupported { .. });
        for path in [
            "/api/events?topics=queues",
            "/api/queues/%2F/q/messages?limit=1",
            "/api/operations/1",
            "/api/exchanges/%2F/x/route",
            "/api/exchanges/%2F/x/delayed/7/release",
        ] {
            assert!(is_unsupported(path, 404), "{path}");
        }
        assert!(!is_unsupported("/api/queues/%2F/messages2", 404));
        assert!(!is_unsupported("/api/users/nobody", 404));
        assert!(is_unsupported("/api/queues/%2F/q/pause", 405));
        assert!(is_unsupported("/api/health/checks/is-in-service", 406));
        assert!(is_unsupported("/api/queues/%2F/q/messages", 400));
        let own = Error::refused("/api/operations/1", 404, br#"{"error":"x","reason":"no operation 1"}"#);
        assert!(own.is_not_found());
    }
}
