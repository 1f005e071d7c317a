//! What can go wrong, sorted by who has to act.
//!
//! * The broker said no: [`Error::Refused`], [`Error::Unroutable`], [`Error::Nacked`]. Trying the same thing again
//!   gives the same answer.
//! * The link broke: [`Error::Connect`], [`Error::GaveUp`], [`Error::Unconfirmed`], [`Error::Interrupted`]. Publishers
//!   and consumers get over a lost connection themselves, so these are seen only when there is nothing left to try.
//! * The caller asked for something that cannot be: [`Error::Uri`], [`Error::TooLong`], [`Error::Closed`].

use crate::message::Message;
use lapin::{ErrorKind, protocol::AMQPErrorKind};
use std::time::Duration;

/// Everything this crate reports.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URI cannot be read. Its text is not repeated here: it may hold a password.
    #[error("the broker's URI cannot be read: {0}")]
    Uri(String),
    /// The first attempt to reach the broker failed.
    #[error("cannot connect to the broker: {0}")]
    Connect(String),
    /// The broker answered with an error of its own, such as 404 NOT_FOUND.
    #[error("refused by the broker: {code} {text}")]
    Refused {
        /// The AMQP reply code.
        code: u16,
        /// The broker's explanation.
        text: String,
    },
    /// A mandatory message reached no queue; it comes back inside.
    #[error("message to exchange '{}' with key '{}' reached no queue: {} {}",
        .0.message.exchange, .0.message.routing_key, .0.reply_code, .0.reply_text)]
    Unroutable(Box<Returned>),
    /// The broker took the message but could not keep it, for example because a queue is full and rejects publishes.
    #[error("the broker rejected the message (basic.nack)")]
    Nacked,
    /// The connection was lost before the broker confirmed the message, and the publisher was told not to publish
    /// twice. Whether the broker has the message is unknown.
    #[error("the connection was lost before the message was confirmed")]
    Unconfirmed,
    /// The connection was lost while a call waited for its reply. Whether the server acted is unknown.
    #[error("the connection was lost before the reply arrived")]
    Interrupted,
    /// The other side of a call answered that it failed.
    #[error("the server reported: {0}")]
    Remote(String),
    /// The time given was not enough.
    #[error("timed out after {0:?}")]
    Timeout(Duration),
    /// Reconnecting was given up after the time set in [`Backoff::give_up_after`](crate::Backoff).
    #[error("gave up reconnecting after {after:?}: {last}")]
    GaveUp {
        /// How long it was tried.
        after: Duration,
        /// What the last attempt said.
        last: String,
    },
    /// A name or property does not fit into AMQP's 255 bytes.
    #[error("{what} has {bytes} bytes, AMQP allows 255")]
    TooLong {
        /// Which name or property.
        what: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// The connection, publisher or consumer was closed by this program.
    #[error("closed")]
    Closed,
    /// Anything else the AMQP library reports.
    #[error("{0}")]
    Amqp(String),
}

/// A message the broker handed back because it reached no queue.
#[derive(Debug, Clone, PartialEq)]
pub struct Returned {
    /// The AMQP reply code, 312 for NO_ROUTE.
    pub reply_code: u16,
    /// The broker's explanation.
    pub reply_text: String,
    /// The message as it was published.
    pub message: Message,
}

/// Shorthand for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// The AMQP reply code the broker gave, if it gave one.
    #[must_use]
    pub fn reply_code(&self) -> Option<u16> {
        match self {
            Error::Refused { code, .. } => Some(*code),
            Error::Unroutable(returned) => Some(returned.reply_code),
            _ => None,
        }
    }

    /// Whether something named in the request does not exist (404 NOT_FOUND).
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.reply_code() == Some(404)
    }
}

/// What an error of the AMQP library means for whoever was using the channel.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Fault {
    /// The channel or connection is gone for a reason outside the request: reconnect and go on.
    Lost(String),
    /// The broker rejected the request itself.
    Refused { code: u16, text: String },
    /// Neither: a limit or a bug on this side.
    Local(String),
}

/// CONNECTION_FORCED: an operator or a shutdown closed the connection.
const CONNECTION_FORCED: u16 = 320;
/// INTERNAL_ERROR: the broker failed, not the request.
const INTERNAL_ERROR: u16 = 541;

impl Fault {
    pub(crate) fn of(error: &lapin::Error) -> Fault {
        match error.kind() {
            ErrorKind::ProtocolError(amqp) => {
                let (code, text) = (amqp.get_id(), amqp.get_message().to_string());
                match amqp.kind() {
                    AMQPErrorKind::Hard(_) if matches!(code, CONNECTION_FORCED | INTERNAL_ERROR) => {
                        Fault::Lost(format!("{code} {text}"))
                    }
                    AMQPErrorKind::Hard(_) | AMQPErrorKind::Soft(_) => Fault::Refused { code, text },
                }
            }
            ErrorKind::IOError(_)
            | ErrorKind::InvalidChannel(_)
            | ErrorKind::InvalidChannelState(..)
            | ErrorKind::InvalidConnectionState(_)
            | ErrorKind::MissingHeartbeatError => Fault::Lost(error.to_string()),
            _ => Fault::Local(error.to_string()),
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Error {
        match fault {
            Fault::Lost(text) => Error::Connect(text),
            Fault::Refused { code, text } => Error::Refused { code, text },
            Fault::Local(text) => Error::Amqp(text),
        }
    }
}

impl From<lapin::Error> for Error {
    fn from(error: lapin::Error) -> Error {
        Fault::of(&error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lapin::protocol::{AMQPError, AMQPHardError, AMQPSoftError};

    fn fault(error: AMQPError) -> Fault {
        Fault::of(&ErrorKind::ProtocolError(error).into())
    }

    #[test]
    fn a_channel_error_is_a_refusal() {
        let error = AMQPError::new(AMQPSoftError::NOTFOUND.into(), "NOT_FOUND - no queue 'q'".into());
        assert_eq!(fault(error), Fault::Refused { code: 404, text: "NOT_FOUND - no queue 'q'".into() });
    }

    #[test]
    fn a_shutdown_of_the_broker_is_a_loss_not_a_refusal() {
        let error = AMQPError::new(AMQPHardError::CONNECTIONFORCED.into(), "shutdown".into());
        assert_eq!(fault(error), Fault::Lost("320 shutdown".into()));
    }

    #[test]
    fn a_closed_channel_is_a_loss() {
        let error: lapin::Error = ErrorKind::InvalidChannel(3).into();
        assert!(matches!(Fault::of(&error), Fault::Lost(_)));
    }

    #[test]
    fn reply_codes_are_found() {
        let refused = Error::Refused { code: 404, text: String::new() };
        assert!(refused.is_not_found());
        assert_eq!(Error::Nacked.reply_code(), None);
    }
}
