//! Faults with the method that caused them, and the reply texts made of them.

use std::fmt::Write;

use leveret_protocol::error::DecodeError;
use leveret_protocol::method::Method;

use crate::fault::Fault;

/// A fault and the method that it is about: what a close frame says.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) fault: Fault,
    pub(super) class_id: u16,
    pub(super) method_id: u16,
}

impl Failure {
    /// A fault of `method`.
    pub(super) fn of(method: &Method<'_>, fault: Fault) -> Failure {
        let (class_id, method_id) = method.ids();
        Failure { fault, class_id, method_id }
    }

    /// A fault of a `basic.publish` whose content is not as it should be.
    pub(super) fn of_publish(fault: Fault) -> Failure {
        Failure { fault, class_id: 60, method_id: 40 }
    }

    /// A fault that is no method's.
    pub(super) fn of_none(fault: Fault) -> Failure {
        Failure { fault, class_id: 0, method_id: 0 }
    }

    /// A method frame that could not be decoded: its ids may still be readable.
    pub(super) fn of_payload(payload: &[u8], error: DecodeError) -> Failure {
        let ids = |at| payload.get(at..at + 2).map_or(0, |ids| u16::from_be_bytes([ids[0], ids[1]]));
        let (class_id, method_id) = if payload.len() >= 4 { (ids(0), ids(2)) } else { (0, 0) };
        Failure { fault: Fault::connection(error.code, error.what), class_id, method_id }
    }

    /// `NOT_FOUND - no queue 'q' in vhost '/'`, limited to the 255 bytes of a short string as RabbitMQ does.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let _ = write!(text, "{}", self.fault);
        if text.len() > REPLY_TEXT_MAX {
            let mut end = REPLY_TEXT_MAX - ELLIPSIS.len();
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text.push_str(ELLIPSIS);
        }
        text
    }
}

const REPLY_TEXT_MAX: usize = 255;
const ELLIPSIS: &str = "...";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_end_in_an_ellipsis() {
        let text = |explanation: String| Failure::of_none(Fault::not_found(explanation)).text();
        assert_eq!(text("no queue 'q' in vhost '/'".into()), "NOT_FOUND - no queue 'q' in vhost '/'");
        assert_eq!(text("x".repeat(243)).len(), 255);
        let long = text("é".repeat(200));
        assert!(long.len() <= 255 && long.ends_with("é..."), "{long}");
    }
}
