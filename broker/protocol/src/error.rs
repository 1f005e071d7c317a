//! Why bytes could not be decoded.

use crate::reply_code::ReplyCode;

/// Bytes that are not what the protocol says they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} (at byte {offset})")]
pub struct DecodeError {
    /// The reply code that the peer deserves.
    pub code: ReplyCode,
    /// What was wrong, in words for the reply text.
    pub what: &'static str,
    /// Where in the decoded slice it was found.
    pub offset: usize,
}

impl DecodeError {
    /// 502: fields that do not fit their method, table or property list.
    #[cold]
    pub fn syntax(what: &'static str, offset: usize) -> DecodeError {
        DecodeError { code: ReplyCode::SyntaxError, what, offset }
    }

    /// 501: bytes that do not form a frame.
    #[cold]
    pub fn frame(what: &'static str, offset: usize) -> DecodeError {
        DecodeError { code: ReplyCode::FrameError, what, offset }
    }
}
