//! One operation's work, a batch at a time: look at some messages, find out where they go, carry that out.
//!
//! What an operation works on is what was in the queue when it began; what comes later stays. A batch of messages leaves
//! the queue and arrives elsewhere as one [`Transfer`]. A message that a consumer gets first is simply gone.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;
use leveret_core::auth::User;
use leveret_core::queue::Entry;
use leveret_core::session::host::Ticket;
use leveret_protocol::admin::messages::Selection;
use leveret_protocol::admin::operations::{OperationKind, OperationPlan, OperationRequest, PlannedRoute};

use super::way::{Router, Way};
use super::{Skipped, message_place};
use crate::broker::{Broker, Vhost};
use crate::clock;
use crate::dead_letter;
use crate::message_filter::Filter;
use crate::queue_host::{Place, QueueCell, Seen, StoreFailed};
use crate::transfer::Transfer;

/// What is left to do.
pub struct Work {
    cell: Arc<QueueCell>,
    kind: OperationKind,
    router: Router,
    source: Source,
    /// Selected and not worked on yet.
    selected: VecDeque<Seen>,
}

/// Where the messages come from.
enum Source {
    /// A walk through the queue; no further than to `ends`, by lane.
    Walk { filter: Box<Filter>, next: Option<Place>, ends: Vec<u64> },
    /// These, those of a lane together and in order.
    Places(VecDeque<Place>),
}

/// What a batch came to.
#[derive(Default)]
pub struct Report {
    /// Messages looked at.
    pub seen: u64,
    /// Messages that were moved, copied, requeued or deleted.
    pub done: u64,
    /// Nothing is left to do.
    pub is_over: bool,
    /// When it is durable.
    pub after: Ticket,
}

impl Work {
    /// What `request` asks for, on a queue of this vhost. Text says what is wrong with it.
    pub fn new(
        broker: Arc<Broker>,
        vhost: Arc<Vhost>,
        cell: Arc<QueueCell>,
        user: Arc<User>,
        kind: OperationKind,
        request: &OperationRequest,
    ) -> Result<Work, String> {
        let source = match &request.selection {
            Selection::Filter(filter) => Source::Walk {
                filter: Box::new(Filter::new(filter)?),
                next: Some(Place::FRONT),
                ends: cell.ends(),
            },
            Selection::Ids(ids) => {
                if ids.len() > IDS_MAX {
                    return Err(format!(
                        "more than {IDS_MAX} messages are named; a filter may mean any number"
                    ));
                }
                let mut places = ids
                    .iter()
                    .map(|id| {
                        message_place(&cell, id).ok_or_else(|| format!("'{id}' is no message of this queue"))
                    })
                    .collect::<Result<Vec<Place>, String>>()?;
                places.sort_unstable_by_key(|place| (u8::MAX - place.lane, place.position));
                places.dedup();
                Source::Places(places.into())
            }
        };
        let router = Router::new(broker, vhost, user, kind, request);
        Ok(Work { cell, kind, router, source, selected: VecDeque::new() })
    }

    /// How many messages it will look at, as far as that can be known.
    pub fn total(&self) -> u64 {
        match &self.source {
            Source::Walk { .. } => self.cell.info().ready,
            Source::Places(places) => places.len() as u64,
        }
    }

    /// True when there is no queue any more to work on.
    pub fn is_orphaned(&self) -> bool {
        self.cell.is_deleted()
    }

    /// Does a batch of `max` messages at most. Waits for the disk where it has to.
    pub fn step(&mut self, max: usize, skipped: &mut Skipped) -> Result<Report, StoreFailed> {
        let mut report = Report::default();
        let batch = self.select(max, &mut report, skipped)?;
        if self.kind == OperationKind::Delete {
            self.delete(&batch, &mut report, skipped);
        } else if !batch.is_empty() {
            let ways = self.router.find(&batch);
            self.send(batch, ways, &mut report, skipped);
        }
        Ok(report)
    }

    /// Adds to a plan what a batch would do. True when all is planned.
    pub fn plan(&mut self, plan: &mut OperationPlan, skipped: &mut Skipped) -> Result<bool, StoreFailed> {
        let mut report = Report::default();
        let batch = self.select(BATCH_MAX, &mut report, skipped)?;
        plan.selected += batch.len() as u64;
        if self.kind == OperationKind::Delete {
            return Ok(report.is_over);
        }
        for (seen, way) in batch.iter().zip(self.router.find(&batch)) {
            match way {
                Way::Nowhere(reason) => skipped.add(reason, &self.cell, seen.place),
                Way::To(way) => {
                    let is_same = |route: &&mut PlannedRoute| {
                        route.exchange == way.exchange && route.routing_key == way.routing_key
                    };
                    if let Some(route) = plan.routes.iter_mut().find(is_same) {
                        route.messages += 1;
                    } else if plan.routes.len() < ROUTES_MAX {
                        let queues = way.cells.iter().map(|cell| cell.name().to_string()).collect();
                        let (exchange, routing_key) = (way.exchange, way.routing_key);
                        plan.routes.push(PlannedRoute { exchange, routing_key, queues, messages: 1 });
                    } else {
                        plan.other += 1;
                    }
                }
            }
        }
        Ok(report.is_over)
    }

    /// The next messages to work on; none is not the end yet.
    fn select(
        &mut self,
        max: usize,
        report: &mut Report,
        skipped: &mut Skipped,
    ) -> Result<Vec<Seen>, StoreFailed> {
        match &mut self.source {
            Source::Walk { next, .. } if self.selected.is_empty() && next.is_none() => {}
            Source::Walk { filter, next, ends } if self.selected.is_empty() => {
                let look = self.cell.look_at_ready(next.take().unwrap_or(Place::FRONT))?;
                let end = |lane: u8| ends.get(usize::from(lane)).copied().unwrap_or(0);
                let now_ms = clock::now_ms();
                let before = look.seen.into_iter().filter(|seen| seen.place.position < end(seen.place.lane));
                for seen in before {
                    report.seen += 1;
                    if filter.fits(&seen.message, None, now_ms) {
                        self.selected.push_back(seen);
                    }
                }
                *next = match look.next {
                    Some(Place { lane, position }) if position >= end(lane) => {
                        lane.checked_sub(1).map(|lane| Place { lane, position: 0 })
                    }
                    next => next,
                };
            }
            Source::Places(places) if self.selected.is_empty() => {
                let lane = places.front().map_or(0, |place| place.lane);
                let count = places.iter().take(max.max(1)).take_while(|place| place.lane == lane).count();
                let positions: Vec<u64> = places.drain(..count).map(|place| place.position).collect();
                let found = self.cell.look_at_these(lane, &positions)?;
                report.seen += positions.len() as u64;
                let mut there = found.iter().map(|seen| seen.place.position).peekable();
                for position in positions {
                    if there.next_if_eq(&position).is_none() {
                        skipped.add(GONE, &self.cell, Place { lane, position });
                    }
                }
                self.selected.extend(found);
            }
            _ => {}
        }
        let count = self.selected.len().min(max.max(1));
        let batch = self.selected.drain(..count).collect();
        report.is_over = self.selected.is_empty()
            && match &self.source {
                Source::Walk { next, .. } => next.is_none(),
                Source::Places(places) => places.is_empty(),
            };
        Ok(batch)
    }

    fn delete(&self, batch: &[Seen], report: &mut Report, skipped: &mut Skipped) {
        let taken = self.take(batch.iter());
        for seen in batch.iter().filter(|seen| !taken.contains_key(&seen.place)) {
            skipped.add(GONE, &self.cell, seen.place);
        }
        report.done += taken.len() as u64;
        report.after = self.cell.settle_stored(stored(taken.iter().map(|(place, entry)| (*place, entry))));
    }

    fn send(&self, batch: Vec<Seen>, ways: Vec<Way>, report: &mut Report, skipped: &mut Skipped) {
        let takes = self.kind != OperationKind::Copy;
        let mut taken = if takes {
            let sent = batch.iter().zip(&ways).filter(|(_, way)| matches!(way, Way::To(_)));
            self.take(sent.map(|(seen, _)| seen))
        } else {
            HashMap::new()
        };
        let mut transfer = Transfer::new(batch.len());
        let mut sent = vec![false; batch.len()];
        for (index, (seen, way)) in batch.iter().zip(ways).enumerate() {
            match way {
                Way::Nowhere(reason) => skipped.add(reason, &self.cell, seen.place),
                Way::To(_) if takes && !taken.contains_key(&seen.place) => {
                    skipped.add(GONE, &self.cell, seen.place);
                }
                Way::To(way) => {
                    sent[index] = true;
                    way.cells.into_iter().for_each(|cell| transfer.add(cell, index, way.message.clone()));
                }
            }
        }
        let carried = transfer.carry_out(self.cell.store(), |accepted| {
            let accepted = batch.iter().zip(accepted).filter(|(_, accepted)| **accepted);
            let entries = accepted.filter_map(|(seen, _)| Some((seen.place, taken.get(&seen.place)?)));
            self.cell.settle_stored(stored(entries))
        });
        // What a full queue refused stays where it was; it is no dead letter.
        for (index, seen) in batch.into_iter().enumerate().filter(|(index, _)| sent[*index]) {
            if carried.accepted[index] {
                report.done += 1;
                continue;
            }
            skipped.add(TARGET_FULL, &self.cell, seen.place);
            if let Some(entry) = taken.remove(&seen.place) {
                let entry = Entry {
                    message: Some(seen.message),
                    expires_at_ms: seen.expires_at_ms,
                    delivery_count: seen.delivery_count,
                    redelivered: seen.redelivered,
                    ..entry
                };
                self.cell.give_back(seen.place.lane, vec![entry]);
            }
        }
        let dead = carried.dead.into_iter().map(|(cell, mut dead)| {
            dead.retain(|dead| dead.was_queued());
            (cell, dead)
        });
        dead_letter::send_on_all(dead.collect());
        report.after = carried.ticket;
    }

    /// Takes messages out of the queue, those that are still there.
    fn take<'a>(&self, wanted: impl Iterator<Item = &'a Seen>) -> HashMap<Place, Entry> {
        let mut by_lane: HashMap<u8, Vec<(u64, u32)>> = HashMap::new();
        for seen in wanted {
            let body_bytes = seen.message.body().len() as u32;
            by_lane.entry(seen.place.lane).or_default().push((seen.place.position, body_bytes));
        }
        let mut taken = HashMap::new();
        for (lane, mut wanted) in by_lane {
            wanted.sort_unstable();
            for entry in self.cell.take_ready(lane, &wanted) {
                taken.insert(Place { lane, position: entry.position }, entry);
            }
        }
        taken
    }
}

/// Where the store has these messages.
fn stored<'a>(entries: impl Iterator<Item = (Place, &'a Entry)>) -> impl Iterator<Item = (u8, u64)> {
    entries.filter(|(_, entry)| entry.stored).map(|(place, _)| (place.lane, place.position))
}

/// Messages of one batch at most.
pub const BATCH_MAX: usize = 256;
/// Messages that a request may name.
const IDS_MAX: usize = 10_000;
/// Different routes that a plan tells of.
const ROUTES_MAX: usize = 200;
const GONE: &str = "gone";
const TARGET_FULL: &str = "target full";
