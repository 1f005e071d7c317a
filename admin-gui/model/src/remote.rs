//! A value that lives elsewhere.
//!
//! It keeps what it last was while it is fetched again and when that fails, so that a screen never goes blank because
//! the network does; how old the value is, and why there is no newer one, is told beside it.

use std::sync::Arc;

use crate::Millis;

/// Why something could not be had or done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub kind: ProblemKind,
    /// `GET /api/queues`: for those who look into it.
    pub request: String,
    /// What the other side or the system said.
    pub detail: String,
}

/// Kinds of problem, each with its own advice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProblemKind {
    /// No connection: refused, no route, no such host, cut.
    Unreachable,
    /// The certificate was not accepted, or there is no TLS on the other side.
    Tls,
    /// No answer in time.
    Timeout,
    /// The password was not accepted.
    Unauthorised,
    /// This user may not see or do it.
    Forbidden,
    /// The object does not exist, or this broker does not offer it.
    NotFound,
    /// The broker refused it and says why.
    Refused,
    /// What is there is not what was looked at when this was asked for.
    Changed,
    /// The broker failed.
    Server,
    /// The answer was not what it should be.
    Malformed,
    /// Somebody stopped it.
    Cancelled,
}

impl Problem {
    pub fn new(kind: ProblemKind, request: impl Into<String>, detail: impl Into<String>) -> Problem {
        Problem { kind, request: request.into(), detail: detail.into() }
    }

    /// What a status of an answer means.
    pub fn of_status(status: u16, request: impl Into<String>, detail: impl Into<String>) -> Problem {
        let kind = match status {
            401 => ProblemKind::Unauthorised,
            403 => ProblemKind::Forbidden,
            404 | 405 | 501 => ProblemKind::NotFound,
            412 => ProblemKind::Changed,
            408 | 504 => ProblemKind::Timeout,
            500.. => ProblemKind::Server,
            _ => ProblemKind::Refused,
        };
        Problem::new(kind, request, detail)
    }

    /// True when it says that the broker cannot be reached, rather than that it answered with no.
    pub fn is_disconnected(&self) -> bool {
        matches!(self.kind, ProblemKind::Unreachable | ProblemKind::Tls | ProblemKind::Timeout)
    }
}

/// A value that lives elsewhere.
#[derive(Debug)]
pub struct Remote<T> {
    value: Option<Arc<T>>,
    /// When the value arrived.
    at: Millis,
    /// Rises with every value, never falls: what was computed from a value is good until it changes.
    version: u64,
    /// Since when it is being fetched.
    pending_since: Option<Millis>,
    /// Why there is no newer value.
    problem: Option<Problem>,
}

impl<T> Default for Remote<T> {
    fn default() -> Remote<T> {
        Remote { value: None, at: 0, version: 0, pending_since: None, problem: None }
    }
}

impl<T> Clone for Remote<T> {
    fn clone(&self) -> Remote<T> {
        Remote {
            value: self.value.clone(),
            at: self.at,
            version: self.version,
            pending_since: self.pending_since,
            problem: self.problem.clone(),
        }
    }
}

impl<T> Remote<T> {
    /// It was asked for.
    pub fn begin(&mut self, now: Millis) {
        self.pending_since.get_or_insert(now);
    }

    /// It came.
    pub fn complete(&mut self, value: Arc<T>, now: Millis) {
        self.value = Some(value);
        self.at = now;
        self.version += 1;
        self.pending_since = None;
        self.problem = None;
    }

    /// It came, and is what it was.
    pub fn confirm(&mut self, now: Millis) {
        self.at = now;
        self.pending_since = None;
        self.problem = None;
    }

    /// The value was still true then.
    pub fn held_until(&mut self, then: Millis) {
        self.at = self.at.max(then);
    }

    /// Takes the value out, for it to be changed and put back.
    pub fn take(&mut self) -> Option<Arc<T>> {
        self.value.take()
    }

    /// It did not come. The previous value stays.
    pub fn fail(&mut self, problem: Problem) {
        self.pending_since = None;
        self.problem = Some(problem);
    }

    pub fn value(&self) -> Option<&Arc<T>> {
        self.value.as_ref()
    }

    pub fn problem(&self) -> Option<&Problem> {
        self.problem.as_ref()
    }

    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn arrived_at(&self) -> Millis {
        self.at
    }

    pub fn is_pending(&self) -> bool {
        self.pending_since.is_some()
    }

    /// How long it is being waited for, with nothing to show meanwhile.
    pub fn first_load(&self, now: Millis) -> Option<Millis> {
        match self.value {
            None if self.problem.is_none() => Some(now.saturating_sub(self.pending_since.unwrap_or(now))),
            _ => None,
        }
    }

    /// How old the value is, if it is older than it should be because fetching it again failed.
    pub fn stale(&self, now: Millis) -> Option<Millis> {
        (self.value.is_some() && self.problem.is_some()).then(|| now.saturating_sub(self.at))
    }

    /// How long the answer has been waited for, with an older value to show meanwhile.
    pub fn waiting(&self, now: Millis) -> Option<Millis> {
        let since = self.pending_since.filter(|_| self.value.is_some() && self.problem.is_none());
        since.map(|since| now.saturating_sub(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Problem {
        Problem::new(ProblemKind::Unreachable, "GET /api/overview", "connection refused")
    }

    #[test]
    fn the_previous_value_stays_while_a_new_one_is_fetched_and_when_that_fails() {
        let mut remote = Remote::default();
        remote.begin(100);
        assert_eq!((remote.first_load(350), remote.is_pending()), (Some(250), true));
        remote.complete(Arc::new(7), 400);
        assert_eq!((remote.first_load(500), remote.stale(500), remote.version()), (None, None, 1));
        remote.begin(1_000);
        assert_eq!(remote.value().map(|value| **value), Some(7));
        assert_eq!((remote.waiting(900), remote.waiting(4_000)), (Some(0), Some(3_000)));
        remote.fail(refused());
        assert_eq!(remote.waiting(4_000), None);
        assert_eq!(remote.value().map(|value| **value), Some(7));
        assert_eq!((remote.stale(2_400), remote.version()), (Some(2_000), 1));
        remote.complete(Arc::new(8), 2_500);
        assert_eq!((remote.stale(3_000), remote.problem(), remote.version()), (None, None, 2));
    }

    #[test]
    fn a_failure_ends_the_first_load() {
        let mut remote: Remote<u8> = Remote::default();
        remote.begin(0);
        remote.fail(refused());
        assert_eq!((remote.first_load(10), remote.stale(10)), (None, None));
    }

    #[test]
    fn a_status_says_what_kind_of_problem_it_is() {
        let check = |status, kind| assert_eq!(Problem::of_status(status, "", "").kind, kind, "{status}");
        check(400, ProblemKind::Refused);
        check(401, ProblemKind::Unauthorised);
        check(403, ProblemKind::Forbidden);
        check(404, ProblemKind::NotFound);
        check(405, ProblemKind::NotFound);
        check(409, ProblemKind::Refused);
        check(412, ProblemKind::Changed);
        check(500, ProblemKind::Server);
        check(503, ProblemKind::Server);
    }
}
