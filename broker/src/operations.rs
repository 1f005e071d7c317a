//! Work on many messages of a queue that goes on in the background: move, copy, requeue, delete.
//!
//! An operation is a task that does a batch at a time and waits until each is durable, so that what it says is done is
//! done, whatever happens. A few run at a time; others wait for their turn. Its record is written when it begins and when
//! it ends: the ones that the last stop of the broker interrupted are known as such.

mod way;
mod work;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use leveret_core::record::{self, Record};
use leveret_protocol::admin::messages::MessageId;
use leveret_protocol::admin::operations::{
    Operation, OperationKind, OperationPlan, OperationRequest, OperationState, SkippedMessages,
};
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore};
use tracing::{error, info, warn};

use work::Report;
pub use work::Work;

use crate::broker::Broker;
use crate::clock;
use crate::queue_host::{Place, QueueCell, StoreFailed};
use crate::store::Ticket;

/// The operations that go on, and the last that did.
pub struct Operations {
    state: Mutex<State>,
    slots: Semaphore,
}

#[derive(Default)]
struct State {
    last_id: u64,
    running: BTreeMap<u64, Arc<Running>>,
    /// The oldest first, bounded.
    finished: VecDeque<(u64, Operation)>,
}

struct Running {
    view: Mutex<Operation>,
    cancelled: AtomicBool,
    changed: Notify,
}

/// What is left out of an operation, by reason.
#[derive(Debug, Default)]
pub struct Skipped(Vec<SkippedMessages>);

/// Too many operations go on or wait for their turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{WAITING_MAX} operations go on already")]
pub struct TooMany;

impl Operations {
    /// None yet.
    pub fn new() -> Operations {
        Operations { state: Mutex::default(), slots: Semaphore::new(RUNNING_MAX) }
    }

    /// Takes over the records of the last run. Returns those to be written.
    pub fn restore<'a>(&self, records: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<Record> {
        let mut state = self.state.lock();
        let mut changed = Vec::new();
        let mut restored: Vec<(u64, Operation)> = Vec::new();
        for (key, value) in records.filter(|(key, _)| record::is_kind(key, KIND)) {
            let operation = match record::read_json::<Operation>(key, VERSION, value) {
                Ok(operation) => operation,
                Err(error) => {
                    // It tells of the past and is needed for nothing.
                    warn!(%error, "dropped the record of an operation");
                    changed.push(Record::remove(key.to_vec()));
                    continue;
                }
            };
            let Ok(id) = operation.id.parse() else { continue };
            restored.push((id, operation));
        }
        restored.sort_by_key(|(id, _)| *id);
        for (id, mut operation) in restored {
            state.last_id = state.last_id.max(id);
            if operation.state == OperationState::Running {
                operation.state = OperationState::Interrupted;
                operation.finished_at = Some(clock::now_ms());
                changed.push(to_record(&operation));
            }
            changed.extend(state.finish(id, operation));
        }
        changed
    }

    /// Begins an operation; the ticket is that of its record. The caller has checked that the user may.
    pub fn start(
        &self,
        broker: &Arc<Broker>,
        work: Work,
        kind: OperationKind,
        (vhost, queue, user): (&str, &str, &str),
        request: &OperationRequest,
    ) -> Result<(Operation, Ticket), TooMany> {
        let mut state = self.state.lock();
        if state.running.len() >= WAITING_MAX {
            return Err(TooMany);
        }
        state.last_id += 1;
        let id = state.last_id;
        let operation = Operation {
            id: id.to_string(),
            kind,
            state: OperationState::Running,
            vhost: vhost.to_owned(),
            queue: queue.to_owned(),
            destination: request.destination.clone(),
            user: user.to_owned(),
            started_at: clock::now_ms(),
            finished_at: None,
            total: work.total(),
            seen: 0,
            done: 0,
            skipped: Vec::new(),
            error: None,
        };
        let running = Arc::new(Running {
            view: Mutex::new(operation.clone()),
            cancelled: AtomicBool::new(false),
            changed: Notify::new(),
        });
        state.running.insert(id, running.clone());
        drop(state);
        let after = broker.write_records(vec![to_record(&operation)]);
        info!(id, ?kind, vhost, queue, user, "operation started");
        tokio::spawn(run(broker.clone(), id, running, work, request.rate));
        Ok((operation, after))
    }

    /// All that are known, the latest first.
    pub fn list(&self) -> Vec<Operation> {
        let state = self.state.lock();
        let running = state.running.values().rev().map(|running| running.view.lock().clone());
        running.chain(state.finished.iter().rev().map(|(_, operation)| operation.clone())).collect()
    }

    /// One of them.
    pub fn find(&self, id: &str) -> Option<Operation> {
        let id: u64 = id.parse().ok()?;
        let state = self.state.lock();
        if let Some(running) = state.running.get(&id) {
            return Some(running.view.lock().clone());
        }
        state.finished.iter().find(|(other, _)| *other == id).map(|(_, operation)| operation.clone())
    }

    /// Ends an operation before its next batch. Nothing happens to one that is over.
    pub fn cancel(&self, id: &str) {
        let id: Option<u64> = id.parse().ok();
        let running = id.and_then(|id| self.state.lock().running.get(&id).cloned());
        if let Some(running) = running {
            running.cancelled.store(true, Ordering::Release);
            running.changed.notify_one();
        }
    }
}

impl Default for Operations {
    fn default() -> Operations {
        Operations::new()
    }
}

impl State {
    /// Keeps what is over, and drops the oldest. Returns what to remove from the store.
    fn finish(&mut self, id: u64, operation: Operation) -> Vec<Record> {
        self.running.remove(&id);
        self.finished.push_back((id, operation));
        let excess = self.finished.len().saturating_sub(FINISHED_MAX);
        self.finished.drain(..excess).map(|(_, operation)| Record::remove(record_key(&operation))).collect()
    }
}

/// What an operation would do: looks at messages for a bounded time.
pub fn plan(mut work: Work) -> Result<OperationPlan, StoreFailed> {
    let until = Instant::now() + PLAN_TIME_MAX;
    let mut skipped = Skipped::default();
    let mut plan = OperationPlan { total: work.total(), ..OperationPlan::default() };
    while !plan.complete && Instant::now() < until {
        plan.complete = work.plan(&mut plan, &mut skipped)?;
    }
    plan.skipped = skipped.0;
    Ok(plan)
}

/// The name of a message of a queue.
pub fn message_id(cell: &QueueCell, place: Place) -> MessageId {
    format!("{}.{}.{}", cell.uid(), place.lane, place.position)
}

/// Where in its queue a message is by its name; nowhere when the name is that of another queue's message.
pub fn message_place(cell: &QueueCell, id: &str) -> Option<Place> {
    let mut parts = id.split('.');
    let uid: u64 = parts.next()?.parse().ok()?;
    let place = Place { lane: parts.next()?.parse().ok()?, position: parts.next()?.parse().ok()? };
    (uid == cell.uid() && parts.next().is_none()).then_some(place)
}

impl Skipped {
    /// Counts a message.
    pub fn add(&mut self, reason: &str, cell: &QueueCell, place: Place) {
        let at = match self.0.iter().position(|skipped| skipped.reason == reason) {
            Some(at) => at,
            None => {
                let reason = reason.to_owned();
                self.0.push(SkippedMessages { reason, ..SkippedMessages::default() });
                self.0.len() - 1
            }
        };
        self.0[at].messages += 1;
        if self.0[at].examples.len() < EXAMPLES_MAX {
            self.0[at].examples.push(message_id(cell, place));
        }
    }
}

impl Running {
    fn note(&self, report: &Report, skipped: &Skipped) {
        let mut view = self.view.lock();
        view.seen += report.seen;
        view.done += report.done;
        view.skipped.clone_from(&skipped.0);
    }
}

/// An operation's task, from its turn to its end.
async fn run(broker: Arc<Broker>, id: u64, running: Arc<Running>, work: Work, rate: Option<u32>) {
    let outcome = drive(&broker, &running, work, rate).await;
    let mut operation = running.view.lock().clone();
    operation.finished_at = Some(clock::now_ms());
    match outcome {
        Ok(state) => operation.state = state,
        Err(reason) => {
            operation.state = OperationState::Failed;
            operation.error = Some(reason);
        }
    }
    if operation.state == OperationState::Interrupted {
        // The next start says so.
        return;
    }
    info!(id, state = ?operation.state, done = operation.done, "operation ended");
    let mut records = vec![to_record(&operation)];
    records.extend(broker.operations().state.lock().finish(id, operation));
    broker.write_records(records);
}

async fn drive(
    broker: &Arc<Broker>,
    running: &Running,
    mut work: Work,
    rate: Option<u32>,
) -> Result<OperationState, String> {
    let is_cancelled = || running.cancelled.load(Ordering::Acquire);
    let slot = tokio::select! {
        slot = broker.operations().slots.acquire() => slot,
        () = cancellation(running) => return Ok(OperationState::Cancelled),
    };
    let _slot = slot.map_err(|error| error.to_string())?;
    let adds = running.view.lock().kind != OperationKind::Delete;
    let batch = rate.map_or(work::BATCH_MAX, |rate| (rate as usize / 5).clamp(1, work::BATCH_MAX));
    let mut skipped = Skipped::default();
    loop {
        if broker.is_stopping() {
            return Ok(OperationState::Interrupted);
        }
        if is_cancelled() {
            return Ok(OperationState::Cancelled);
        }
        if work.is_orphaned() {
            return Err("the queue was deleted".to_owned());
        }
        // Publishers are held up, too.
        if adds && broker.alarms().reason().is_some() {
            rest(running, ALARM_REST).await;
            continue;
        }
        let began = Instant::now();
        let step = tokio::task::spawn_blocking(move || {
            let report = work.step(batch, &mut skipped);
            (work, skipped, report)
        });
        let report;
        (work, skipped, report) = step.await.map_err(|error| {
            error!(%error, "an operation failed");
            "an internal error; see the broker's log".to_owned()
        })?;
        let report = report.map_err(|error| error.to_string())?;
        broker.await_durable(report.after).await.map_err(|fault| fault.text)?;
        running.note(&report, &skipped);
        if report.is_over {
            return Ok(OperationState::Done);
        }
        if let Some(rate) = rate {
            let pace = Duration::from_secs_f64(report.done as f64 / f64::from(rate.max(1)));
            rest(running, pace.saturating_sub(began.elapsed())).await;
        }
    }
}

/// Waits for a while, or for the operation to be cancelled.
async fn rest(running: &Running, time: Duration) {
    let _ = tokio::time::timeout(time, cancellation(running)).await;
}

async fn cancellation(running: &Running) {
    while !running.cancelled.load(Ordering::Acquire) {
        running.changed.notified().await;
    }
}

fn to_record(operation: &Operation) -> Record {
    Record::put_json(record_key(operation), VERSION, operation)
}

fn record_key(operation: &Operation) -> Vec<u8> {
    record::key(KIND, &[&operation.id])
}

const KIND: &str = "operation";
const VERSION: u8 = 1;
/// Operations at work at a time.
const RUNNING_MAX: usize = 4;
/// Operations that go on or wait for their turn; more are refused.
const WAITING_MAX: usize = 64;
/// Operations remembered after their end.
const FINISHED_MAX: usize = 200;
/// Messages named for each reason to leave some out.
const EXAMPLES_MAX: usize = 10;
/// How long a plan may take; it says when it is not complete.
const PLAN_TIME_MAX: Duration = Duration::from_secs(5);
/// How long an operation waits before it looks again whether an alarm is over.
const ALARM_REST: Duration = Duration::from_millis(200);
