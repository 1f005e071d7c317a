//! What goes wrong because of the peer, as a value: scope, reply code and text.

use std::borrow::Cow;

use leveret_protocol::reply_code::ReplyCode;

/// An error that is answered on the wire with `channel.close` or `connection.close`.
///
/// `text` is the explanation only; the session writes `"<NAME> - <text>"`, adds the ids of the failing method and
/// limits the whole to 255 bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} - {text}", code.name())]
pub struct Fault {
    /// Whether the channel or the whole connection ends.
    pub scope: Scope,
    /// The reply code.
    pub code: ReplyCode,
    /// The explanation, as RabbitMQ words it.
    pub text: Cow<'static, str>,
}

/// How much a [`Fault`] ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// AMQP's channel exception.
    Channel,
    /// AMQP's connection exception.
    Connection,
}

impl Fault {
    /// A fault with the scope that the protocol gives to `code`.
    pub fn new(code: ReplyCode, text: impl Into<Cow<'static, str>>) -> Fault {
        let scope = if code.is_connection_error() { Scope::Connection } else { Scope::Channel };
        Fault { scope, code, text: text.into() }
    }

    /// A fault that ends the connection whatever its code says.
    pub fn connection(code: ReplyCode, text: impl Into<Cow<'static, str>>) -> Fault {
        Fault { scope: Scope::Connection, code, text: text.into() }
    }

    /// 404 NOT_FOUND.
    pub fn not_found(text: impl Into<Cow<'static, str>>) -> Fault {
        Fault::new(ReplyCode::NotFound, text)
    }

    /// 406 PRECONDITION_FAILED.
    pub fn precondition_failed(text: impl Into<Cow<'static, str>>) -> Fault {
        Fault::new(ReplyCode::PreconditionFailed, text)
    }

    /// 403 ACCESS_REFUSED.
    pub fn access_refused(text: impl Into<Cow<'static, str>>) -> Fault {
        Fault::new(ReplyCode::AccessRefused, text)
    }

    /// 405 RESOURCE_LOCKED.
    pub fn resource_locked(text: impl Into<Cow<'static, str>>) -> Fault {
        Fault::new(ReplyCode::ResourceLocked, text)
    }

    /// 530 NOT_ALLOWED.
    pub fn not_allowed(text: impl Into<Cow<'static, str>>) -> Fault {
        Fault::new(ReplyCode::NotAllowed, text)
    }

    /// 540 NOT_IMPLEMENTED.
    pub fn not_implemented(text: impl Into<Cow<'static, str>>) -> Fault {
        Fault::new(ReplyCode::NotImplemented, text)
    }
}
