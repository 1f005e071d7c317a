//! The policies of a vhost, and what they make of what exists in it.

use super::definitions::{ExchangeDefinition, ExchangeOptions, QueueDefinition};
use super::faults;
use super::records;
use super::topology::{Change, DEFAULT_EXCHANGE, Topology};
use crate::policy::{Applied, Definition, Policies, Policy, PolicyKind, Subject};
use crate::queue::arguments::QueueOptions;

/// What a policy would do to one queue or exchange that it fits.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyEffect {
    pub name: String,
    pub is_exchange: bool,
    /// The policy of the same kind that is in effect there now.
    pub current: Option<String>,
    /// False when another policy goes before it.
    pub wins: bool,
    /// What would be in effect, policies and operator policies together.
    pub effective: Definition,
}

impl<H> Topology<H> {
    /// Adds a policy, in place of one of the same name. `affected` is told of every queue that has other options from now
    /// on; exchanges have theirs already.
    pub fn put_policy(
        &mut self,
        kind: PolicyKind,
        policy: Policy,
        affected: impl FnMut(&H, &QueueDefinition, &QueueOptions),
    ) -> Change {
        let record = records::put_policy(&self.vhost, kind, &policy);
        self.policies.put(kind, policy);
        self.apply_policies(affected);
        Change { records: vec![record], ..Change::default() }
    }

    /// Takes a policy out; `None` when there is none of that name. For `affected` see [`Topology::put_policy`].
    pub fn remove_policy(
        &mut self,
        kind: PolicyKind,
        name: &str,
        affected: impl FnMut(&H, &QueueDefinition, &QueueOptions),
    ) -> Option<Change> {
        if !self.policies.remove(kind, name) {
            return None;
        }
        self.apply_policies(affected);
        Some(Change { records: vec![records::remove_policy(&self.vhost, kind, name)], ..Change::default() })
    }

    /// Takes all policies out, when the vhost is deleted; their effects stay with what goes, too.
    pub fn clear_policies(&mut self) -> Change {
        let mut change = Change::default();
        for kind in [PolicyKind::Policy, PolicyKind::Operator] {
            let names = self.policies.of(kind).iter().map(|policy| &policy.name);
            change.records.extend(names.map(|name| records::remove_policy(&self.vhost, kind, name)));
        }
        self.policies = Policies::default();
        change
    }

    /// What a policy would do, without doing it: queues first, in the order of their names.
    pub fn preview_policy(&self, kind: PolicyKind, policy: Policy) -> Vec<PolicyEffect> {
        let name = policy.name.clone();
        let mut policies = self.policies.clone();
        let tried = policy.clone();
        policies.put(kind, policy);
        let of_kind = |applied: Option<&Applied>| {
            let applied = applied?;
            match kind {
                PolicyKind::Policy => applied.policy.as_ref(),
                PolicyKind::Operator => applied.operator_policy.as_ref(),
            }
            .map(|policy| policy.name.clone())
        };
        let effect = |subject: Subject<'_>, current: Option<&Applied>| {
            let (subject_name, is_exchange) = match subject {
                Subject::Queue(name, _) => (name, false),
                Subject::Exchange(name) => (name, true),
            };
            let applied = policies.apply(subject);
            PolicyEffect {
                name: subject_name.to_owned(),
                is_exchange,
                current: of_kind(current),
                wins: of_kind(applied.as_deref()).as_ref() == Some(&name),
                effective: applied.map(|applied| applied.definition).unwrap_or_default(),
            }
        };
        let queues = self.queues.iter().filter_map(|queue| {
            let subject = queue_subject(queue.definition());
            tried.fits(subject).then(|| effect(subject, queue.applied.as_deref()))
        });
        let exchanges = self.exchanges.iter().filter_map(|exchange| {
            let subject = Subject::Exchange(&exchange.definition.name);
            tried.fits(subject).then(|| effect(subject, exchange.applied.as_deref()))
        });
        let mut effects: Vec<PolicyEffect> = queues.chain(exchanges).collect();
        effects.sort_by(|a, b| (a.is_exchange, &a.name).cmp(&(b.is_exchange, &b.name)));
        effects
    }

    /// The policies, for looking at.
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// What a queue of this definition does, policies counted in.
    pub fn options_in_force(&self, definition: &QueueDefinition) -> QueueOptions {
        options_with(definition, self.policies.apply(queue_subject(definition)).as_deref())
    }

    /// What policies make of a queue; `None` when none applies.
    pub fn applied_to_queue(&self, name: &str) -> Option<&Applied> {
        self.queues.get(name)?.applied.as_deref()
    }

    /// What policies make of an exchange; `None` when none applies.
    pub fn applied_to_exchange(&self, name: &str) -> Option<&Applied> {
        self.exchanges.get(name)?.applied.as_deref()
    }

    /// Gives everything what policies make of it now.
    pub(super) fn apply_policies(&mut self, mut affected: impl FnMut(&H, &QueueDefinition, &QueueOptions)) {
        for queue in self.queues.iter_mut() {
            let applied = self.policies.apply(queue_subject(queue.definition()));
            if applied != queue.applied {
                queue.applied = applied;
                let options = options_with(queue.definition(), queue.applied.as_deref());
                affected(&queue.handle, queue.definition(), &options);
            }
        }
        let mut routes_change = false;
        for (index, exchange) in self.exchanges.indexed_mut() {
            let applied = self.policies.apply(Subject::Exchange(&exchange.definition.name));
            if applied != exchange.applied {
                exchange.applied = applied;
                // The default exchange leads to queues and nowhere else, whatever a pattern fits.
                if index != DEFAULT_EXCHANGE {
                    let resource = faults::exchange(&exchange.definition.name, &self.vhost);
                    let declared = ExchangeOptions::parse(
                        &resource,
                        exchange.definition.kind,
                        &exchange.definition.arguments,
                    );
                    exchange.options = exchange_options_with(
                        &exchange.definition,
                        declared.unwrap_or_default(),
                        exchange.applied.as_deref(),
                    );
                    exchange.remembers = exchange.options.remembers();
                    routes_change = true;
                }
            }
        }
        if routes_change {
            self.routes_changed();
        }
    }
}

pub(super) fn queue_subject(definition: &QueueDefinition) -> Subject<'_> {
    Subject::Queue(&definition.name, definition.options.kind)
}

pub(super) fn options_with(definition: &QueueDefinition, applied: Option<&Applied>) -> QueueOptions {
    let options = definition.options.clone();
    match applied {
        None => options,
        Some(applied) => applied.to_queue(&definition.arguments, options),
    }
}

pub(super) fn exchange_options_with(
    definition: &ExchangeDefinition,
    declared: ExchangeOptions,
    applied: Option<&Applied>,
) -> ExchangeOptions {
    match applied {
        None => declared,
        Some(applied) => applied.to_exchange(&definition.arguments, declared),
    }
}

#[cfg(test)]
mod tests;
