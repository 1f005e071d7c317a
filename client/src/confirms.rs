//! Many publishes under way on one channel, each with its own outcome.
//!
//! Two things make this more than a list of futures:
//!
//! * Order. The library numbers a publish and queues its frames in two steps, so two tasks publishing on one channel
//!   could swap them and take each other's confirms. A [`ConfirmChannel`] has one owner, and polls every publish once
//!   at the moment it is made, which does both steps.
//! * Returns. The broker sends back an unroutable mandatory message before it confirms it. The library keeps returned
//!   messages in a queue and hands the oldest to *whichever* publish is confirmed next, not to the one it belongs to.
//!   [`Outcomes`] puts them right.
//!
//! The futures are driven by a list of those that were woken, in the order of waking. `futures_util`'s unordered set
//! would do this too, but it may pause before its list is empty, and [`Outcomes`] needs to know that it is.

use crate::{
    connection::Live,
    error::{Error, Fault, Result, Returned},
    message::{Message, Properties, shortstr},
};
use lapin::{
    Confirmation,
    message::BasicReturnMessage,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use std::{
    collections::{BTreeMap, HashMap},
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

/// How a publish ended. `Failed` also ends the channel.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    Confirmed,
    Nacked,
    Returned(Box<Returned>),
    Failed(Fault),
}

/// A channel in confirm mode, owned by one task.
pub(crate) struct ConfirmChannel {
    channel: Arc<lapin::Channel>,
    woken: Arc<Woken>,
    /// Publishes whose confirm has not arrived, by the caller's sequence number.
    publishes: HashMap<u64, Publish>,
    outcomes: Outcomes,
}

struct Publish {
    future: PublishFuture,
    waker: Waker,
}

type PublishFuture = Pin<Box<dyn Future<Output = lapin::Result<Confirmation>> + Send>>;

/// Why a message was not handed to the connection.
pub(crate) enum NotSent {
    /// It never can be.
    Invalid(Error),
    /// It can on another channel.
    ChannelGone,
}

impl From<Error> for NotSent {
    fn from(error: Error) -> NotSent {
        NotSent::Invalid(error)
    }
}

impl ConfirmChannel {
    pub(crate) async fn open(live: &Live) -> Result<Self> {
        let channel = live.channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(ConfirmChannel {
            channel: Arc::new(channel),
            woken: Arc::new(Woken::default()),
            publishes: HashMap::new(),
            outcomes: Outcomes::default(),
        })
    }

    /// Hands a message to the connection. Sequence numbers grow and are the caller's. When this fails nothing was
    /// sent: the message has no outcome yet.
    pub(crate) fn publish(&mut self, sequence: u64, message: &Arc<Message>) -> Result<(), NotSent> {
        let exchange = shortstr("exchange name", &message.exchange)?;
        let routing_key = shortstr("routing key", &message.routing_key)?;
        let properties = message.properties.to_lapin()?;
        let options = BasicPublishOptions { mandatory: message.mandatory, immediate: false };
        let (channel, content) = (Arc::clone(&self.channel), Arc::clone(message));
        let mut future: PublishFuture = Box::pin(async move {
            channel.basic_publish(exchange, routing_key, options, &content.body, properties).await?.await
        });
        let waker = Waker::from(Arc::new(PublishWaker { sequence, woken: Arc::clone(&self.woken) }));
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            // The library looks at the state of the channel before it queues anything.
            Poll::Ready(Err(_)) => return Err(NotSent::ChannelGone),
            Poll::Ready(Ok(confirmation)) => {
                self.outcomes.published(sequence, message);
                self.resolved(sequence, Ok(confirmation));
            }
            Poll::Pending => {
                self.outcomes.published(sequence, message);
                self.publishes.insert(sequence, Publish { future, waker });
            }
        }
        Ok(())
    }

    /// Waits until at least one publish has its outcome and answers all that have.
    pub(crate) async fn settled(&mut self) -> Vec<(u64, Outcome)> {
        poll_fn(|context| {
            loop {
                let woken = self.woken.take(context.waker());
                if woken.is_empty() {
                    break;
                }
                for sequence in woken {
                    self.poll_publish(sequence);
                }
            }
            self.outcomes.end_of_batch(self.publishes.is_empty());
            let settled = std::mem::take(&mut self.outcomes.settled);
            if settled.is_empty() { Poll::Pending } else { Poll::Ready(settled) }
        })
        .await
    }

    /// Closes the channel; everything published must have settled.
    pub(crate) async fn close(self) {
        debug_assert!(self.publishes.is_empty());
        // The broker drops the channel with the connection otherwise.
        let _ = self.channel.close(200, "done".into()).await;
    }

    fn poll_publish(&mut self, sequence: u64) {
        let Some(publish) = self.publishes.get_mut(&sequence) else {
            return; // Woken twice, settled by the first.
        };
        let mut context = Context::from_waker(&publish.waker);
        let Poll::Ready(result) = publish.future.as_mut().poll(&mut context) else { return };
        self.publishes.remove(&sequence);
        self.resolved(sequence, result);
    }

    fn resolved(&mut self, sequence: u64, result: lapin::Result<Confirmation>) {
        match result {
            Ok(Confirmation::Ack(returned)) => {
                self.outcomes.confirmed(sequence, true, returned.map(content_of))
            }
            Ok(Confirmation::Nack(returned)) => {
                self.outcomes.confirmed(sequence, false, returned.map(content_of));
            }
            Ok(Confirmation::NotRequested) => {
                self.outcomes.failed(sequence, Fault::Local("the channel is not in confirm mode".to_owned()));
            }
            Err(error) => self.outcomes.failed(sequence, Fault::of(&error)),
        }
    }
}

/// The sequence numbers of publishes whose futures want to be polled, and the task that does it.
#[derive(Default)]
struct Woken(Mutex<WokenState>);

#[derive(Default)]
struct WokenState {
    sequences: Vec<u64>,
    task: Option<Waker>,
}

impl Woken {
    /// Takes the list; when it is empty, `task` is woken by the next entry.
    fn take(&self, task: &Waker) -> Vec<u64> {
        let mut state = self.lock();
        if state.sequences.is_empty() {
            state.task = Some(task.clone());
        }
        std::mem::take(&mut state.sequences)
    }

    fn lock(&self) -> MutexGuard<'_, WokenState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct PublishWaker {
    sequence: u64,
    woken: Arc<Woken>,
}

impl Wake for PublishWaker {
    fn wake(self: Arc<Self>) {
        let task = {
            let mut state = self.woken.lock();
            state.sequences.push(self.sequence);
            state.task.take()
        };
        if let Some(task) = task {
            task.wake();
        }
    }
}

fn content_of(returned: BasicReturnMessage) -> Returned {
    let delivery = returned.delivery;
    Returned {
        reply_code: returned.reply_code,
        reply_text: returned.reply_text.to_string(),
        message: Message {
            exchange: delivery.exchange.to_string(),
            routing_key: delivery.routing_key.to_string(),
            mandatory: true,
            properties: Properties::from(&delivery.properties),
            body: delivery.data.into(),
        },
    }
}

/// Sorts out which returned message belongs to which publish. No IO.
///
/// The library attaches the oldest waiting return to the next confirm, whatever its number. Let `R(n)` be the return
/// of publish `n`; it arrives before `n` is confirmed. So:
///
/// * A confirm that came *without* a return proves that no return was waiting at that moment: all earlier ones are
///   attached to confirms that were resolved before, and have been seen once the list of woken publishes is empty.
/// * A confirm of `n` that came *with* somebody else's return proves nothing about `n`: `R(n)` may still be waiting.
///   It must be held until a confirm of a later batch comes without a return, or no confirm is outstanding (every
///   return is followed by a confirm of its own, so the waiting returns run out with the confirms).
///
/// A return is recognised by its content. When two equal messages are under way it goes to the older one; nobody can
/// tell the difference.
#[derive(Default)]
struct Outcomes {
    /// Mandatory publishes without an outcome, by sequence number.
    mandatory: BTreeMap<u64, Mandatory>,
    /// Those of them that are confirmed, in the order in which that was seen.
    held: Vec<u64>,
    batch: u64,
    /// Whether some confirm of this batch came without a return.
    none_waiting: bool,
    settled: Vec<(u64, Outcome)>,
}

struct Mandatory {
    message: Arc<Message>,
    returned: Option<Returned>,
    confirm: Option<Confirm>,
}

struct Confirm {
    ack: bool,
    batch: u64,
    with_return: bool,
}

impl Outcomes {
    fn published(&mut self, sequence: u64, message: &Arc<Message>) {
        if message.mandatory {
            let message = Arc::clone(message);
            self.mandatory.insert(sequence, Mandatory { message, returned: None, confirm: None });
        }
    }

    fn confirmed(&mut self, sequence: u64, ack: bool, returned: Option<Returned>) {
        let with_return = returned.is_some();
        match returned {
            Some(returned) => self.attach(returned),
            None => self.none_waiting = true,
        }
        match self.mandatory.get_mut(&sequence) {
            Some(publish) => {
                publish.confirm = Some(Confirm { ack, batch: self.batch, with_return });
                self.held.push(sequence);
            }
            None => self.settled.push((sequence, Outcome::of(ack))),
        }
    }

    fn failed(&mut self, sequence: u64, fault: Fault) {
        self.mandatory.remove(&sequence);
        self.settled.push((sequence, Outcome::Failed(fault)));
    }

    /// Called when every confirm that was resolved so far has been reported.
    fn end_of_batch(&mut self, none_outstanding: bool) {
        let (batch, none_waiting) = (self.batch, self.none_waiting);
        let (mandatory, settled) = (&mut self.mandatory, &mut self.settled);
        self.held.retain(|sequence| {
            let publish = mandatory.get(sequence).expect("held publishes stay in the map until they settle");
            let confirm = publish.confirm.as_ref().expect("only confirmed publishes are held");
            let decided = publish.returned.is_some()
                || !confirm.with_return
                || (none_waiting && confirm.batch < batch)
                || none_outstanding;
            if decided {
                let ack = confirm.ack;
                let publish = mandatory.remove(sequence).expect("it was there a line ago");
                let outcome = match publish.returned {
                    Some(returned) => Outcome::Returned(Box::new(returned)),
                    None => Outcome::of(ack),
                };
                settled.push((*sequence, outcome));
            }
            !decided
        });
        self.batch += 1;
        self.none_waiting = false;
    }

    fn attach(&mut self, returned: Returned) {
        let same_target = |publish: &Mandatory| {
            publish.returned.is_none()
                && publish.message.routing_key == returned.message.routing_key
                && publish.message.exchange == returned.message.exchange
                && publish.message.body == returned.message.body
        };
        let exact = |publish: &Mandatory| {
            same_target(publish) && publish.message.properties == returned.message.properties
        };
        // Properties may come back changed when a broker or the library normalises a value.
        let sequence = (self.mandatory.iter().find(|(_, publish)| exact(publish)))
            .or_else(|| self.mandatory.iter().find(|(_, publish)| same_target(publish)))
            .map(|(sequence, _)| *sequence);
        if let Some(publish) = sequence.and_then(|sequence| self.mandatory.get_mut(&sequence)) {
            let message = Message::clone(&publish.message);
            publish.returned = Some(Returned { message, ..returned });
        } else {
            tracing::warn!(
                exchange = returned.message.exchange,
                routing_key = returned.message.routing_key,
                "the broker returned a message that is not under way"
            );
        }
    }
}

impl Outcome {
    fn of(ack: bool) -> Outcome {
        if ack { Outcome::Confirmed } else { Outcome::Nacked }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(key: &str, mandatory: bool) -> Arc<Message> {
        let message = Message::new("x", key.to_owned(), key.to_owned());
        Arc::new(if mandatory { message.mandatory() } else { message })
    }

    fn returned(key: &str) -> Option<Returned> {
        let message = Message::clone(&message(key, true));
        Some(Returned { reply_code: 312, reply_text: "NO_ROUTE".into(), message })
    }

    /// Publishes 1..=n, all mandatory, each with its number as routing key.
    fn under_way(n: u64) -> Outcomes {
        let mut outcomes = Outcomes::default();
        for sequence in 1..=n {
            outcomes.published(sequence, &message(&sequence.to_string(), true));
        }
        outcomes
    }

    /// Ends the batch and answers `(confirmed, returned)`.
    fn end(outcomes: &mut Outcomes, none_outstanding: bool) -> (Vec<u64>, Vec<u64>) {
        outcomes.end_of_batch(none_outstanding);
        let (mut confirmed, mut back) = (Vec::new(), Vec::new());
        for (sequence, outcome) in std::mem::take(&mut outcomes.settled) {
            match outcome {
                Outcome::Returned(_) => back.push(sequence),
                Outcome::Confirmed => confirmed.push(sequence),
                other => panic!("unexpected {other:?}"),
            }
        }
        confirmed.sort_unstable();
        back.sort_unstable();
        (confirmed, back)
    }

    #[test]
    fn plain_publishes_settle_at_once() {
        let mut outcomes = Outcomes::default();
        outcomes.published(1, &message("a", false));
        outcomes.confirmed(1, true, None);
        assert_eq!(outcomes.settled, [(1, Outcome::Confirmed)]);
        outcomes.confirmed(2, false, None);
        assert_eq!(outcomes.settled[1], (2, Outcome::Nacked));
    }

    #[test]
    fn a_batch_in_any_order_gives_every_return_to_its_publish() {
        let mut outcomes = under_way(5);
        // The broker returned 2 and 4, then confirmed 1 to 5 at once; the library went through them like this.
        outcomes.confirmed(5, true, returned("2"));
        outcomes.confirmed(3, true, returned("4"));
        outcomes.confirmed(4, true, None);
        outcomes.confirmed(1, true, None);
        outcomes.confirmed(2, true, None);
        assert_eq!(end(&mut outcomes, true), (vec![1, 3, 5], vec![2, 4]));
        assert!(outcomes.mandatory.is_empty() && outcomes.held.is_empty());
    }

    #[test]
    fn a_confirm_with_a_foreign_return_waits_for_its_own() {
        let mut outcomes = under_way(4);
        // Returns of 1, 2 and 3 are waiting when 3 is confirmed out of order: 3 gets the first.
        outcomes.confirmed(3, true, returned("1"));
        assert_eq!(end(&mut outcomes, false), (vec![], vec![]));
        outcomes.confirmed(1, true, returned("2"));
        assert_eq!(end(&mut outcomes, false), (vec![], vec![1]));
        outcomes.confirmed(2, true, returned("3"));
        assert_eq!(end(&mut outcomes, false), (vec![], vec![2, 3]));
        outcomes.confirmed(4, true, None);
        assert_eq!(end(&mut outcomes, true), (vec![4], vec![]));
    }

    #[test]
    fn a_later_confirm_without_a_return_releases_what_was_held() {
        let mut outcomes = under_way(3);
        outcomes.confirmed(2, true, returned("1"));
        assert_eq!(end(&mut outcomes, false), (vec![], vec![]), "the return of 2 may still come");
        outcomes.confirmed(3, true, None);
        assert_eq!(end(&mut outcomes, false), (vec![2, 3], vec![]));
        outcomes.confirmed(1, true, None);
        assert_eq!(end(&mut outcomes, true), (vec![], vec![1]));
    }

    #[test]
    fn plain_confirms_carry_returns_of_mandatory_ones() {
        let mut outcomes = Outcomes::default();
        outcomes.published(1, &message("1", true));
        outcomes.published(2, &message("2", false));
        outcomes.confirmed(2, true, returned("1"));
        outcomes.confirmed(1, true, None);
        assert_eq!(end(&mut outcomes, true), (vec![2], vec![1]));
    }

    #[test]
    fn equal_messages_share_their_returns_oldest_first() {
        let mut outcomes = Outcomes::default();
        for sequence in [1, 2] {
            outcomes.published(sequence, &message("same", true));
        }
        outcomes.confirmed(1, true, returned("same"));
        outcomes.confirmed(2, true, returned("same"));
        assert_eq!(end(&mut outcomes, true), (vec![], vec![1, 2]));
    }

    #[test]
    fn a_return_with_changed_properties_is_still_recognised() {
        let mut outcomes = under_way(1);
        let mut back = returned("1").expect("made two lines up");
        back.message.properties.app_id = Some("added on the way".into());
        outcomes.confirmed(1, true, Some(back));
        assert_eq!(end(&mut outcomes, true), (vec![], vec![1]));
    }

    #[test]
    fn every_order_of_confirms_and_returns_is_put_right() {
        // All subsets of returned publishes among 4, all orders of confirming them one by one or at once. The model
        // of the library: returns in publish order, the oldest one popped by each confirm.
        let orders = permutations(4);
        for unroutable in 0_u32..16 {
            let is_returned = |sequence: u64| unroutable & (1 << (sequence - 1)) != 0;
            for order in &orders {
                for batch_size in 1..=4 {
                    let mut outcomes = under_way(4);
                    let mut waiting: std::collections::VecDeque<u64> =
                        (1..=4).filter(|sequence| is_returned(*sequence)).collect();
                    let (mut confirmed, mut back, mut outstanding) = (Vec::new(), Vec::new(), 4);
                    for batch in order.chunks(batch_size) {
                        for sequence in batch {
                            let attached = waiting.pop_front().and_then(|owner| returned(&owner.to_string()));
                            outcomes.confirmed(*sequence, true, attached);
                            outstanding -= 1;
                        }
                        let (more_confirmed, more_back) = end(&mut outcomes, outstanding == 0);
                        confirmed.extend(more_confirmed);
                        back.extend(more_back);
                    }
                    confirmed.sort_unstable();
                    back.sort_unstable();
                    let (expected_back, expected): (Vec<u64>, Vec<u64>) =
                        (1..=4).partition(|sequence| is_returned(*sequence));
                    assert_eq!((back, confirmed), (expected_back, expected), "{unroutable:04b} {order:?}");
                }
            }
        }
    }

    fn permutations(n: u64) -> Vec<Vec<u64>> {
        if n == 0 {
            return vec![Vec::new()];
        }
        let mut all = Vec::new();
        for shorter in permutations(n - 1) {
            for place in 0..=shorter.len() {
                let mut longer = shorter.clone();
                longer.insert(place, n);
                all.push(longer);
            }
        }
        all
    }
}
