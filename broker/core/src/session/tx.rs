//! The transaction of a channel in tx mode: publishes and settles kept until `tx.commit`.

use crate::fault::Fault;
use crate::message::Message;
use crate::session::delivery::Entry;
use crate::session::host::Settle;

#[derive(Debug, Default)]
pub(super) struct Tx {
    pub(super) publishes: Vec<Publish>,
    /// In the order in which they were asked for.
    pub(super) settles: Vec<(Entry, Settle)>,
    /// Numbers publishes within this channel, so that queues can refuse single ones.
    pub(super) sequence: u64,
    /// Whether a queue refused a publish of the transaction that is being committed.
    pub(super) rejected: bool,
    /// What the buffered publishes cost.
    publish_bytes: usize,
}

#[derive(Debug)]
pub(super) struct Publish {
    pub(super) message: Message,
    pub(super) mandatory: bool,
}

impl Tx {
    /// Keeps a publish for the commit.
    pub(super) fn publish(&mut self, message: Message, mandatory: bool) -> Result<(), Fault> {
        self.publish_bytes += message.memory_bytes();
        if self.publish_bytes > TX_BYTES_MAX {
            return Err(Fault::precondition_failed(format!(
                "transaction is larger than {TX_BYTES_MAX} bytes"
            )));
        }
        self.publishes.push(Publish { message, mandatory });
        Ok(())
    }

    /// Takes out the publishes, leaving an empty transaction.
    pub(super) fn take_publishes(&mut self) -> Vec<Publish> {
        self.publish_bytes = 0;
        std::mem::take(&mut self.publishes)
    }
}

/// The largest transaction. A channel that goes beyond it is closed with 406, and the transaction dropped.
const TX_BYTES_MAX: usize = 512 * 1024 * 1024;
