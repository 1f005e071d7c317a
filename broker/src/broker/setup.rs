//! What the options of a queue come to: for its machine, and for what the shell does around it.

use leveret_core::dead_letter::{DEAD_LETTER_SUFFIX, DeadLetterTarget};
use leveret_core::queue::Config as QueueConfig;
use leveret_core::queue::arguments::{DURATION_MS_MAX, ExpiryMode, QueueKind, QueueOptions};
use leveret_core::queue::retry::Retry;
use leveret_core::vhost::QueueDefinition;

use super::Broker;
use crate::queue_host::QueueSetup;

impl Broker {
    /// How a queue is set up that has these options in force.
    pub(super) fn queue_setup(&self, definition: &QueueDefinition, options: &QueueOptions) -> QueueSetup {
        let dead_letter_target = dead_letter_target(definition, options);
        let default_timeout_ms = self.config().amqp.consumer_timeout_ms;
        let consumer_timeout_ms = options.consumer_timeout_ms.unwrap_or(default_timeout_ms);
        let machine = QueueConfig {
            dead_letters: dead_letter_target.is_some(),
            // 0 is no timeout: with the next look it would end every channel that has anything.
            consumer_timeout_ms: Some(consumer_timeout_ms).filter(|ms| *ms > 0),
            ..queue_config(definition.durable, options)
        };
        let deduplication = options.deduplication.rule();
        QueueSetup { machine, dead_letter_target, expires_ms: options.expires_ms, deduplication }
    }
}

fn dead_letter_target(definition: &QueueDefinition, options: &QueueOptions) -> Option<DeadLetterTarget> {
    if let Some(exchange) = &options.dead_letter_exchange {
        return Some(DeadLetterTarget {
            exchange: exchange.as_str().into(),
            routing_key: options.dead_letter_routing_key.as_deref().map(Into::into),
            makes_queue: false,
        });
    }
    // A policy for all queues does not give the queues of dead letters such queues in turn.
    let ends_here = definition.name.ends_with(DEAD_LETTER_SUFFIX) && !definition.options.dead_letter_auto;
    if options.dead_letter_auto && !ends_here { DeadLetterTarget::own_queue(&definition.name) } else { None }
}

/// What a queue's options come to for its machine, dead letters and timeouts aside.
fn queue_config(durable: bool, options: &QueueOptions) -> QueueConfig {
    let quorum = options.kind == QueueKind::Quorum;
    let delivery_limit = match options.delivery_limit {
        Some(limit) => u32::try_from(limit).ok(),
        None => quorum.then_some(QUORUM_DELIVERY_LIMIT),
    };
    QueueConfig {
        durable,
        max_priority: options.max_priority,
        single_active: options.single_active_consumer,
        message_ttl_ms: options.message_ttl_ms,
        max_length: options.max_length,
        max_length_bytes: options.max_length_bytes,
        overflow: options.overflow,
        delivery_limit,
        shows_delivery_count: quorum || options.retry_delay.is_some() || options.retry_limit.is_some(),
        retry: options.retry_delay.clone().map(|delay| Retry {
            delay,
            jitter: options.retry_jitter.unwrap_or(0),
            max_ms: options.retry_max_ms.unwrap_or(DURATION_MS_MAX),
        }),
        retry_limit: options.retry_limit,
        expires_anywhere: options.expiry_mode == ExpiryMode::Anywhere,
        ..QueueConfig::default()
    }
}

/// RabbitMQ's default for quorum queues since 4.0.
const QUORUM_DELIVERY_LIMIT: u32 = 20;
