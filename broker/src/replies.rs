//! Direct reply-to: consumers without a queue.
//!
//! A channel that consumes `amq.rabbitmq.reply-to` gets an address, which requests carry in their `reply_to`. A reply
//! is published to the default exchange with the address as its routing key and goes straight into the mailbox of the
//! connection that asked: no queue, no disk, and nothing to clean up but an entry here.

use std::sync::Arc;

use hashbrown::HashMap;
use leveret_core::message::Message;
use leveret_core::session::host::{ConsumerKey, Delivery, DeliveryId};
use parking_lot::RwLock;

use crate::outbox::Outbox;

/// All direct reply-to consumers of a broker, by address.
#[derive(Default)]
pub struct Replies {
    consumers: RwLock<HashMap<Box<str>, ReplyConsumer>>,
}

struct ReplyConsumer {
    vhost: Arc<str>,
    outbox: Arc<Outbox>,
    key: ConsumerKey,
}

impl Replies {
    /// Adds a consumer and returns its address, which nobody can guess.
    pub fn add(&self, vhost: Arc<str>, outbox: Arc<Outbox>, key: ConsumerKey) -> Box<str> {
        let mut random = [0; 16];
        rand::fill(&mut random);
        let address: Box<str> = format!("{REPLY_PREFIX}{:032x}", u128::from_be_bytes(random)).into();
        self.consumers.write().insert(address.clone(), ReplyConsumer { vhost, outbox, key });
        address
    }

    /// Ends the consumer at `address`.
    pub fn remove(&self, address: &str) {
        self.consumers.write().remove(address);
    }

    /// True when a reply to `name` would reach somebody. The name that stands for all of them always does.
    pub fn exists(&self, vhost: &str, name: &str) -> bool {
        name == REPLY_TO || self.consumers.read().get(name).is_some_and(|consumer| *consumer.vhost == *vhost)
    }

    /// Hands a reply over; false when its address is nobody's, or the connection there does not read.
    pub fn deliver(&self, vhost: &str, message: &Message) -> bool {
        let consumers = self.consumers.read();
        let Some(consumer) =
            consumers.get(message.routing_key()).filter(|consumer| *consumer.vhost == *vhost)
        else {
            return false;
        };
        let delivery = Delivery {
            consumer: consumer.key,
            id: DeliveryId(u64::MAX),
            redelivered: false,
            delivery_count: 0,
            message: message.clone(),
        };
        let outbox = consumer.outbox.clone();
        drop(consumers);
        outbox.push_reply(delivery)
    }
}

/// True for the queue names that stand for direct reply-to consumers and never for queues.
pub fn is_reply_name(name: &str) -> bool {
    name == REPLY_TO || name.starts_with(REPLY_PREFIX)
}

/// True when the message is published to the address of a direct reply-to consumer.
pub fn is_reply(message: &Message) -> bool {
    message.exchange().is_empty() && message.routing_key().starts_with(REPLY_PREFIX)
}

/// What a client consumes and puts into its requests.
const REPLY_TO: &str = "amq.rabbitmq.reply-to";
/// What addresses begin with.
const REPLY_PREFIX: &str = "amq.rabbitmq.reply-to.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_reach_their_address_in_their_vhost_only() {
        let replies = Replies::default();
        let outbox = Arc::new(Outbox::new());
        let address = replies.add("/".into(), outbox.clone(), ConsumerKey(7));
        let other = replies.add("/".into(), outbox.clone(), ConsumerKey(8));
        assert_ne!(address, other);
        let reply = Message::new("", &address, &[0, 0], b"answer");
        assert!(is_reply(&reply) && replies.exists("/", &address));
        assert!(!replies.deliver("other", &reply));
        assert!(replies.deliver("/", &reply));
        let mut deliveries = Vec::new();
        outbox.take_deliveries(&mut deliveries);
        assert_eq!(deliveries.len(), 1);
        assert_eq!(deliveries[0].consumer, ConsumerKey(7));
        replies.remove(&address);
        assert!(!replies.deliver("/", &reply) && !replies.exists("/", &address));
    }
}
