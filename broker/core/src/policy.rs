//! Policies: settings that queues and exchanges get by their names, while they live.
//!
//! Of a vhost's policies that fit a queue or exchange, the one with the highest priority applies, and beside it, chosen
//! the same way, one operator policy, with which whoever runs the broker bounds what its users ask for.
//!
//! ```text
//!   policy ──────────┐
//!                    ├─▶ effective definition ─┐
//!   operator policy ─┘   (limits: the smaller) ├─▶ options in force
//!   arguments of the declaration ──────────────┘   (limits: the smaller; else the argument, where there is one)
//! ```
//!
//! Which settings there are, what they accept and how they merge is one table: [`keys`].

pub mod keys;

use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;

use leveret_protocol::table::Table;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::pattern::Pattern;
use crate::queue::arguments::{QueueKind, QueueOptions};
use crate::term::JsonTerm;
use crate::vhost::ExchangeOptions;

/// Settings by key, sorted by key.
pub type Definition = Map<String, Value>;

/// A policy that was checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    pub name: String,
    /// What is to be found in names.
    pub pattern: Pattern,
    pub apply_to: ApplyTo,
    /// The highest wins.
    pub priority: i64,
    pub definition: Definition,
}

/// The two sets of policies that a vhost has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PolicyKind {
    Policy,
    /// Set by whoever runs the broker: may hold limits only, of which the smaller wins.
    Operator,
}

/// What a policy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyTo {
    All,
    Exchanges,
    Queues,
    ClassicQueues,
    QuorumQueues,
    Streams,
}

/// A policy as somebody asks for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    pub pattern: Value,
    #[serde(rename = "apply-to", default = "everything")]
    pub apply_to: Value,
    #[serde(default = "lowest_usual")]
    pub priority: Value,
    pub definition: Value,
}

/// Why a policy was refused, in RabbitMQ's words: a line for each thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Validation failed\n\n{0}")]
pub struct PolicyError(String);

/// The policies of one vhost.
#[derive(Debug, Clone, Default)]
pub struct Policies {
    /// Highest priority first; among equals, by name.
    policies: Vec<Arc<Policy>>,
    operator_policies: Vec<Arc<Policy>>,
}

/// What policies make of one queue or exchange.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    pub policy: Option<Arc<Policy>>,
    pub operator_policy: Option<Arc<Policy>>,
    /// The settings of both.
    pub definition: Definition,
}

/// What a policy is tried on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    Queue(&'a str, QueueKind),
    Exchange(&'a str),
}

impl Policy {
    /// Checks what somebody asks for.
    pub fn new(kind: PolicyKind, name: &str, proposal: &Proposal) -> Result<Policy, PolicyError> {
        let mut errors = Vec::new();
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            errors.push(format!("policy name must have 1 to {NAME_BYTES_MAX} bytes"));
        }
        let mut note = |error: String| errors.push(error);
        let definition = keys::check(kind, &proposal.definition).map_err(&mut note).ok();
        let apply_to = ApplyTo::read(&proposal.apply_to).map_err(&mut note).ok();
        let pattern = read_pattern(&proposal.pattern).map_err(&mut note).ok();
        let priority = proposal.priority.as_i64();
        if priority.is_none() {
            note(format!("priority should be a number, actually was {}", JsonTerm(&proposal.priority)));
        }
        match (errors.is_empty(), definition, apply_to, pattern, priority) {
            (true, Some(definition), Some(apply_to), Some(pattern), Some(priority)) => {
                Ok(Policy { name: name.to_owned(), pattern, apply_to, priority, definition })
            }
            _ => Err(PolicyError(errors.iter().map(|error| format!("{error}\n")).collect())),
        }
    }

    /// The form in which it is asked for and stored.
    pub fn proposal(&self) -> Proposal {
        Proposal {
            pattern: self.pattern.as_str().into(),
            apply_to: self.apply_to.name().into(),
            priority: self.priority.into(),
            definition: self.definition.clone().into(),
        }
    }

    /// Whether it is for this at all: by its name, its type, and what its type knows.
    pub fn fits(&self, subject: Subject<'_>) -> bool {
        let (name, is_for) = match subject {
            Subject::Exchange(name) => (name, matches!(self.apply_to, ApplyTo::All | ApplyTo::Exchanges)),
            Subject::Queue(name, kind) => (name, self.is_for_queues(kind)),
        };
        is_for && self.pattern.is_match(name)
    }

    /// A setting that a type of queue does not know keeps the whole policy from it.
    fn is_for_queues(&self, kind: QueueKind) -> bool {
        let is_type = match self.apply_to {
            ApplyTo::All | ApplyTo::Queues => true,
            ApplyTo::ClassicQueues => kind == QueueKind::Classic,
            ApplyTo::QuorumQueues => kind == QueueKind::Quorum,
            ApplyTo::Exchanges | ApplyTo::Streams => false,
        };
        is_type && self.definition.keys().all(|key| keys::is_known_to(key, kind))
    }
}

impl PolicyKind {
    /// What its records and RabbitMQ's parameters are called.
    pub fn name(self) -> &'static str {
        match self {
            PolicyKind::Policy => "policy",
            PolicyKind::Operator => "operator_policy",
        }
    }
}

impl ApplyTo {
    const ALL: [ApplyTo; 6] = [
        ApplyTo::Queues,
        ApplyTo::ClassicQueues,
        ApplyTo::QuorumQueues,
        ApplyTo::Streams,
        ApplyTo::Exchanges,
        ApplyTo::All,
    ];

    /// What clients call it.
    pub fn name(self) -> &'static str {
        match self {
            ApplyTo::All => "all",
            ApplyTo::Exchanges => "exchanges",
            ApplyTo::Queues => "queues",
            ApplyTo::ClassicQueues => "classic_queues",
            ApplyTo::QuorumQueues => "quorum_queues",
            ApplyTo::Streams => "streams",
        }
    }

    fn read(value: &Value) -> Result<ApplyTo, String> {
        let found = ApplyTo::ALL.into_iter().find(|apply_to| value.as_str() == Some(apply_to.name()));
        found.ok_or_else(|| {
            let given = value.as_str().map_or_else(|| JsonTerm(value).to_string(), str::to_owned);
            format!(
                "apply-to '{given}' unrecognised; should be one of: 'queues', 'classic_queues',  'quorum_queues', \
                 'streams', 'exchanges', or 'all'"
            )
        })
    }
}

impl fmt::Display for ApplyTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Policies {
    /// Adds a policy, in place of one with the same name.
    pub fn put(&mut self, kind: PolicyKind, policy: Policy) {
        self.remove(kind, &policy.name);
        let policies = self.of_mut(kind);
        let at = policies.partition_point(|other| rank(other) < rank(&policy));
        policies.insert(at, Arc::new(policy));
    }

    /// Takes a policy out; false when there is none of that name.
    pub fn remove(&mut self, kind: PolicyKind, name: &str) -> bool {
        let policies = self.of_mut(kind);
        let before = policies.len();
        policies.retain(|policy| policy.name != name);
        policies.len() < before
    }

    pub fn get(&self, kind: PolicyKind, name: &str) -> Option<&Arc<Policy>> {
        self.of(kind).iter().find(|policy| policy.name == name)
    }

    /// All policies of a kind: the highest priority first, and by name among equals.
    pub fn of(&self, kind: PolicyKind) -> &[Arc<Policy>] {
        match kind {
            PolicyKind::Policy => &self.policies,
            PolicyKind::Operator => &self.operator_policies,
        }
    }

    /// What applies to a queue or exchange; `None` when nothing does.
    pub fn apply(&self, subject: Subject<'_>) -> Option<Box<Applied>> {
        let first = |kind: PolicyKind| self.of(kind).iter().find(|policy| policy.fits(subject)).cloned();
        let (policy, operator_policy) = (first(PolicyKind::Policy), first(PolicyKind::Operator));
        let definition = match (&policy, &operator_policy) {
            (None, None) => return None,
            (Some(only), None) | (None, Some(only)) => only.definition.clone(),
            (Some(policy), Some(operator)) => keys::merged(&policy.definition, &operator.definition),
        };
        Some(Box::new(Applied { policy, operator_policy, definition }))
    }

    fn of_mut(&mut self, kind: PolicyKind) -> &mut Vec<Arc<Policy>> {
        match kind {
            PolicyKind::Policy => &mut self.policies,
            PolicyKind::Operator => &mut self.operator_policies,
        }
    }
}

impl Applied {
    /// What a queue comes to: `options` are what its arguments ask for.
    pub fn to_queue(&self, arguments: &Table, mut options: QueueOptions) -> QueueOptions {
        keys::apply_to_queue(&self.definition, arguments, &mut options);
        options
    }

    /// What an exchange comes to: `options` are what its arguments ask for.
    pub fn to_exchange(&self, arguments: &Table, mut options: ExchangeOptions) -> ExchangeOptions {
        keys::apply_to_exchange(&self.definition, arguments, &mut options);
        options
    }
}

fn rank(policy: &Policy) -> (Reverse<i64>, &str) {
    (Reverse(policy.priority), &policy.name)
}

fn read_pattern(value: &Value) -> Result<Pattern, String> {
    let Some(source) = value.as_str() else {
        return Err(format!("pattern should be a binary but was {}", JsonTerm(value)));
    };
    Pattern::new(source)
        .map_err(|error| format!("pattern should be regular expression but is invalid: {}", error.rule))
}

fn everything() -> Value {
    ApplyTo::All.name().into()
}

fn lowest_usual() -> Value {
    0.into()
}

const NAME_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests;
