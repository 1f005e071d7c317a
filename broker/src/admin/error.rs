//! Failures as the API tells them: a status and `{"error": .., "reason": ..}`, in RabbitMQ's words.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use leveret_core::fault::Fault;
use leveret_protocol::admin::ErrorBody;
use leveret_protocol::reply_code::ReplyCode;

use super::audited::Refusal;

/// A request that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    status: StatusCode,
    error: &'static str,
    reason: String,
    /// True when other credentials would help.
    challenge: bool,
}

impl ApiError {
    /// 400: the request makes no sense.
    pub fn bad_request(reason: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, "bad_request", reason)
    }

    /// 400 with another word than `bad_request`.
    pub fn bad_request_as(error: &'static str, reason: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, error, reason)
    }

    /// 404: there is no such path or object.
    pub fn not_found(reason: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::NOT_FOUND, "Object Not Found", reason)
    }

    /// 401: who asks is known and may not. RabbitMQ does not use 403.
    pub fn not_authorised(reason: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::UNAUTHORIZED, "not_authorised", reason)
    }

    /// 401: nobody knows who asks.
    pub fn login_required(reason: impl Into<String>) -> ApiError {
        ApiError { challenge: true, ..ApiError::new(StatusCode::UNAUTHORIZED, "not_authorized", reason) }
    }

    /// 405: the path exists, the method does not.
    pub fn method_not_allowed() -> ApiError {
        ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method Not Allowed")
    }

    /// 412: something is in the way.
    pub fn precondition_failed(reason: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", reason)
    }

    /// 503: try again.
    pub fn unavailable(reason: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", reason)
    }

    /// 500: our fault.
    pub fn internal(reason: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_server_error", reason)
    }

    /// The status it is answered with.
    #[cfg(test)]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// What went wrong, for people.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    fn new(status: StatusCode, error: &'static str, reason: impl Into<String>) -> ApiError {
        ApiError { status, error, reason: reason.into(), challenge: false }
    }
}

impl ApiError {
    /// What AMQP would close a channel with, as RabbitMQ tells it where it does what was asked without a channel: for
    /// declaring, deleting, binding and purging. The text comes without its code. Where RabbitMQ says no more than "Access
    /// refused." to those who may not, this says what they may not.
    pub fn of_declaration(fault: Fault) -> ApiError {
        match fault.code {
            ReplyCode::NotFound => ApiError::new(StatusCode::NOT_FOUND, "not_found", fault.text),
            ReplyCode::AccessRefused | ReplyCode::NotAllowed | ReplyCode::InternalError => fault.into(),
            _ => ApiError::bad_request(fault.text),
        }
    }
}

/// What AMQP would close a channel with.
impl From<Fault> for ApiError {
    fn from(fault: Fault) -> ApiError {
        match fault.code {
            ReplyCode::NotFound => ApiError::not_found(fault.text),
            ReplyCode::AccessRefused | ReplyCode::NotAllowed => ApiError::not_authorised(fault.text),
            ReplyCode::InternalError => ApiError::internal(fault.text),
            code => ApiError::bad_request(format!("{} {fault}", code.code())),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let refusal = Refusal(self.reason.clone());
        let body = ErrorBody { error: self.error.to_owned(), reason: self.reason };
        let mut response = (self.status, Json(body)).into_response();
        response.extensions_mut().insert(refusal);
        if self.challenge {
            let challenge = HeaderValue::from_static("Basic realm=\"Leveret\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_declarations_are_told_in_rabbitmqs_words() {
        let check = |fault: Fault, status: u16, error: &str, reason: &str| {
            let found = ApiError::of_declaration(fault);
            assert_eq!((found.status.as_u16(), found.error, found.reason.as_str()), (status, error, reason));
        };
        let text =
            "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'";
        check(Fault::precondition_failed(text), 400, "bad_request", text);
        check(Fault::resource_locked("locked"), 400, "bad_request", "locked");
        let text = "configure access to queue 'q' in vhost '/' refused for user 'u'";
        check(Fault::access_refused(text), 401, "not_authorised", text);
        check(Fault::not_found("no exchange 'x'"), 404, "not_found", "no exchange 'x'");
    }

    #[test]
    fn amqp_faults_become_the_status_that_rabbitmq_gives_them() {
        let check = |fault: Fault, status: u16, reason: &str| {
            let error = ApiError::from(fault);
            assert_eq!((error.status.as_u16(), error.reason.as_str()), (status, reason));
        };
        check(Fault::not_found("no queue 'q' in vhost '/'"), 404, "no queue 'q' in vhost '/'");
        check(Fault::access_refused("read access refused"), 401, "read access refused");
        check(Fault::not_allowed("vhost v not found"), 401, "vhost v not found");
        check(Fault::resource_locked("locked"), 400, "405 RESOURCE_LOCKED - locked");
        check(Fault::new(ReplyCode::InternalError, "the disk is full"), 500, "the disk is full");
    }
}
