//! The life of a connection as others see it, and how it ends.

use std::fmt;

use crate::fault::Fault;

/// How a login failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthRefused {
    /// The credentials are not right, or not from there.
    Credentials,
    /// The response is not what the mechanism asks for.
    Fault(Fault),
}

/// Where a connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not opened yet.
    Handshake,
    /// Open.
    Running,
    /// We closed it and wait for the peer to agree.
    Closing,
    /// Over: what is left of the output may be written, then the socket closed.
    Closed,
}

/// Why a connection ended or is about to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The client closed it.
    Client { code: u16, text: String },
    /// We closed it.
    Server(Fault),
    /// The peer speaks another protocol.
    Protocol,
    /// Wrong credentials from a client that cannot be told so.
    LoginRefused,
    /// The handshake took too long.
    HandshakeTimeout,
    /// Nothing arrived for two heartbeat intervals.
    HeartbeatTimeout,
    /// The peer did not answer our close.
    CloseTimeout,
    /// The socket was closed without a word.
    Disconnected,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Client { code, text } => write!(f, "closed by the client: {code} {text}"),
            Reason::Server(fault) => write!(f, "closed by the server: {fault}"),
            Reason::Protocol => f.write_str("the peer speaks another protocol"),
            Reason::LoginRefused => f.write_str("login refused"),
            Reason::HandshakeTimeout => f.write_str("the handshake took too long"),
            Reason::HeartbeatTimeout => f.write_str("no heartbeat from the peer"),
            Reason::CloseTimeout => f.write_str("the peer did not answer the close"),
            Reason::Disconnected => f.write_str("the peer closed the socket without closing the connection"),
        }
    }
}
