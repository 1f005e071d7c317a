//! From frames to channels: content, requests, and the flush that lies between them.
//!
//! Publishes and settles are only noted by their channels. They reach queues together, at the end of a read or before
//! the next method that is answered ([`Connection::flush`]), so that a queue is visited once per read.

use leveret_protocol::frame::{Frame, FrameKind};
use leveret_protocol::method::Method;
use leveret_protocol::reply_code::ReplyCode;

use crate::fault::{Fault, Scope};
use crate::session::channel::{Channel, Link};
use crate::session::connection::{Connection, unexpected_frame};
use crate::session::host::{Host, Settle, Ticket};
use crate::session::publish::{Content, Flags, Publish, message_in};
use crate::session::reply::Failure;

impl<H: Host> Connection<H> {
    /// Publishes the message whose method frame was read, if the rest of it stands in `rest` and nothing about it is
    /// unusual.
    #[inline]
    pub(super) fn publish_at_once(
        &mut self,
        number: u16,
        publish: Publish<'_>,
        rest: &[u8],
        host: &mut H,
    ) -> Option<usize> {
        let channel = self.channels.get_mut(&number)?;
        if channel.closing || channel.content.is_some() {
            return None;
        }
        let body_bytes_max = self.shared.config.max_message_bytes;
        let frame_max = self.shared.frame_limit();
        let (message, used) = message_in(rest, number, publish, frame_max, body_bytes_max, &mut self.parts)?;
        channel.mark_dirty(&mut self.dirty);
        self.unflushed = true;
        let link = &mut Link { host, output: &mut self.output, shared: &mut self.shared };
        let result = channel.publish(message, publish.flags, link);
        self.note_publish();
        if let Err(fault) = result {
            self.fail_channel(number, Failure::of_publish(fault), host);
        }
        Some(used)
    }

    /// Notes that this connection publishes: during an alarm, that pauses it.
    #[inline]
    fn note_publish(&mut self) {
        self.has_published = true;
        if let Some(reason) = self.alarm
            && !self.blocked
        {
            self.blocked = true;
            if self.shared.capabilities.connection_blocked {
                Method::ConnectionBlocked { reason }.encode(0, self.output.buffer());
            }
        }
    }

    pub(super) fn handle_channel_frame(&mut self, frame: Frame<'_>, host: &mut H) -> Result<(), Failure> {
        let number = frame.channel;
        match frame.kind {
            FrameKind::Heartbeat => Err(unexpected_frame(frame)),
            FrameKind::Method => self.handle_channel_method(number, frame.payload, host),
            FrameKind::Header | FrameKind::Body => match self.channels.get_mut(&number) {
                Some(channel) if channel.closing => Ok(()),
                Some(channel) if channel.content.is_some() => self.add_content(frame, host),
                _ => {
                    let text = "expected method frame, got non method frame instead";
                    Err(Failure::of_none(Fault::connection(ReplyCode::UnexpectedFrame, text)))
                }
            },
        }
    }

    /// The next frame of content that did not arrive in one piece.
    fn add_content(&mut self, frame: Frame<'_>, host: &mut H) -> Result<(), Failure> {
        let body_bytes_max = self.shared.config.max_message_bytes;
        let Some(channel) = self.channels.get_mut(&frame.channel) else {
            return Ok(());
        };
        let Some(mut content) = channel.content.take() else {
            return Ok(());
        };
        let complete = content.add(frame.kind, frame.payload, body_bytes_max).map_err(Failure::of_publish)?;
        if !complete {
            channel.content = Some(content);
            return Ok(());
        }
        channel.mark_dirty(&mut self.dirty);
        self.unflushed = true;
        let flags = content.flags;
        let link = &mut Link { host, output: &mut self.output, shared: &mut self.shared };
        let result = channel.publish(content.into_message(), flags, link);
        self.note_publish();
        result.map_err(Failure::of_publish)
    }

    fn handle_channel_method(&mut self, number: u16, payload: &[u8], host: &mut H) -> Result<(), Failure> {
        let Some(channel) = self.channels.get_mut(&number) else {
            return self.open_channel(number, payload, host);
        };
        let decoded = Method::decode(payload);
        if channel.closing {
            match decoded {
                Ok(Method::ChannelCloseOk {}) => {
                    self.channels.remove(&number);
                }
                Ok(Method::ChannelClose { .. }) => {
                    Method::ChannelCloseOk {}.encode(number, self.output.buffer());
                }
                _ => {}
            }
            return Ok(());
        }
        let method = decoded.map_err(|error| Failure::of_payload(payload, error))?;
        if let Some(content) = &mut channel.content {
            // Fails: content frames have to follow one another.
            let failed = content.add(FrameKind::Method, payload, 0);
            return failed.map(drop).map_err(Failure::of_publish);
        }
        let settle = match method {
            Method::BasicPublish { exchange, routing_key, mandatory, immediate } => {
                let flags = Flags { mandatory, immediate };
                let content = Content::new(Publish { exchange, routing_key, flags });
                channel.content = Some(Box::new(content));
                return Ok(());
            }
            Method::BasicAck { delivery_tag, multiple } => Some((delivery_tag, multiple, Settle::Ack)),
            Method::BasicNack { delivery_tag, multiple, requeue: false } => {
                Some((delivery_tag, multiple, Settle::Reject))
            }
            Method::BasicNack { delivery_tag, multiple, requeue: true } => {
                Some((delivery_tag, multiple, Settle::Requeue))
            }
            Method::BasicReject { delivery_tag, requeue: false } => {
                Some((delivery_tag, false, Settle::Reject))
            }
            Method::BasicReject { delivery_tag, requeue: true } => {
                Some((delivery_tag, false, Settle::RejectRequeue))
            }
            _ => None,
        };
        let result = match settle {
            Some((delivery_tag, multiple, outcome)) => {
                channel.mark_dirty(&mut self.dirty);
                channel.settle(delivery_tag, multiple, outcome, host)
            }
            None => self.handle_request(number, &method, host),
        };
        result.map_err(|fault| Failure::of(&method, fault))
    }

    /// A method that is answered, on an open channel. Its answer may depend on what was published and settled before
    /// it on any channel, so that goes first.
    fn handle_request(&mut self, number: u16, method: &Method<'_>, host: &mut H) -> Result<(), Fault> {
        self.flush(host);
        match *method {
            Method::ChannelOpen {} => {
                Err(Fault::connection(ReplyCode::ChannelError, "second 'channel.open' seen"))
            }
            Method::ChannelClose { .. } => {
                host.channel_closed(number);
                self.channels.remove(&number);
                Method::ChannelCloseOk {}.encode(number, self.output.buffer());
                Ok(())
            }
            Method::BasicCancel { consumer_tag, no_wait } => {
                self.cancel(number, consumer_tag, no_wait, host);
                Ok(())
            }
            Method::TxCommit {} => self.commit(number, host),
            _ => match self.channels.get_mut(&number) {
                Some(channel) => {
                    let link = &mut Link { host, output: &mut self.output, shared: &mut self.shared };
                    channel.handle_method(method, link)
                }
                None => Ok(()),
            },
        }
    }

    fn open_channel(&mut self, number: u16, payload: &[u8], host: &mut H) -> Result<(), Failure> {
        let limit = usize::from(self.shared.channel_max);
        if limit != 0 && self.channels.len() >= limit {
            let count = self.channels.len();
            return Err(Failure::of_none(Fault::not_allowed(format!(
                "number of channels opened ({count}) has reached the negotiated channel_max ({limit})"
            ))));
        }
        let method = Method::decode(payload).map_err(|error| Failure::of_payload(payload, error))?;
        if method != (Method::ChannelOpen {}) {
            let fault = Fault::connection(ReplyCode::ChannelError, "expected 'channel.open'");
            return Err(Failure::of(&method, fault));
        }
        host.channel_opened(number).map_err(|fault| {
            // There is no channel yet that could be closed alone.
            Failure::of(&method, Fault { scope: Scope::Connection, ..fault })
        })?;
        let serial = self.shared.next_serial();
        self.channels.insert(number, Box::new(Channel::new(number, serial)));
        Method::ChannelOpenOk {}.encode(number, self.output.buffer());
        Ok(())
    }

    /// Ends a consumer. What its queue handed over before goes out ahead of the answer.
    pub(super) fn cancel(&mut self, number: u16, consumer_tag: &str, no_wait: bool, host: &mut H) {
        let found = self.channels.get(&number).and_then(|channel| channel.consumer(consumer_tag));
        if let Some((queue, key)) = found {
            host.cancel(queue, key);
            let mut deliveries = std::mem::take(&mut self.deliveries);
            host.take_deliveries(&mut deliveries);
            self.deliver(deliveries.drain(..));
            self.deliveries = deliveries;
            if let Some(channel) = self.channels.get_mut(&number) {
                channel.forget_consumer(key);
            }
        } else if let Some(channel) = self.channels.get_mut(&number) {
            channel.cancel_replies(consumer_tag, host);
        }
        if !no_wait {
            Method::BasicCancelOk { consumer_tag }.encode(number, self.output.buffer());
        }
    }

    fn commit(&mut self, number: u16, host: &mut H) -> Result<(), Fault> {
        let Some(channel) = self.channels.get_mut(&number) else {
            return Ok(());
        };
        channel.mark_dirty(&mut self.dirty);
        self.unflushed = true;
        channel.begin_commit(&mut Link { host, output: &mut self.output, shared: &mut self.shared })?;
        let after = self.flush(host);
        match self.channels.get_mut(&number) {
            Some(channel) => {
                let link = &mut Link { host, output: &mut self.output, shared: &mut self.shared };
                channel.finish_commit(after, link)
            }
            None => Ok(()),
        }
    }

    /// Hands settles and publishes to their queues, and confirms what is safe at once. Returns when all of it is safe.
    #[inline]
    pub(super) fn flush(&mut self, host: &mut H) -> Ticket {
        if self.dirty.is_empty() {
            return Ticket::default();
        }
        for number in &self.dirty {
            if let Some(channel) = self.channels.get_mut(number) {
                channel.flush_settles(host);
            }
        }
        self.receipts.after = Ticket::default();
        self.receipts.rejected.clear();
        if self.unflushed {
            self.unflushed = false;
            host.flush(&mut self.receipts);
            self.receipts.rejected.sort_unstable();
        }
        let Connection { dirty, channels, receipts, durable, output, confirming, .. } = self;
        for number in dirty.drain(..) {
            let Some(channel) = channels.get_mut(&number) else {
                continue;
            };
            let start = receipts.rejected.partition_point(|(rejected, _)| *rejected < number);
            let of_channel =
                receipts.rejected[start..].iter().take_while(|(rejected, _)| *rejected == number);
            let sequences = of_channel.map(|(_, sequence)| *sequence);
            channel.publishes_flushed(receipts.after, sequences, *durable, output);
            if channel.awaited().is_some() && !confirming.contains(&number) {
                confirming.push(number);
            }
        }
        receipts.after
    }
}
