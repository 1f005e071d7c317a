//! Policies, parameters and limits as definitions have them.
//!
//! RabbitMQ keeps all of these as parameters, and writes operator policies and limits of vhosts as such.

use leveret_core::fault::Fault;
use leveret_core::parameters::Parameters;
use leveret_core::policy::{Policy, PolicyKind, Proposal};
use leveret_core::session::host::Ticket;
use leveret_core::vhosts::{VhostLimits, Vhosts};
use leveret_protocol::admin::definitions::Definitions;
use leveret_protocol::admin::policies::{GlobalParameter, Parameter, Policy as DefinedPolicy};
use serde_json::{Value, json};

use super::CLUSTER_NAME;
use super::import::{ImportError, Plan, Step, error, must_have};
use crate::broker::{Broker, Vhost};

/// Something of these that an import sets.
pub enum Rule {
    Policy { vhost: String, kind: PolicyKind, policy: Policy },
    Parameter(Parameter),
    Global(GlobalParameter),
    Limits { vhost: String, limits: VhostLimits },
}

/// Adds the parameters that belong to no vhost, and those of components in `vhost` or in all.
pub fn add_parameters(definitions: &mut Definitions, broker: &Broker, vhost: Option<&str>) {
    let parameters = broker.parameters().read();
    for parameter in parameters.iter().filter(|it| vhost.is_none_or(|vhost| it.vhost == vhost)) {
        definitions.parameters.push(Parameter {
            vhost: parameter.vhost.to_owned(),
            component: parameter.component.to_owned(),
            name: parameter.name.to_owned(),
            value: parameter.value.clone(),
        });
    }
    for record in broker.vhost_records().read().iter() {
        let value = json!(record.limits);
        let is_wanted = vhost.is_none_or(|vhost| record.name == vhost);
        if is_wanted && value.as_object().is_some_and(|limits| !limits.is_empty()) {
            definitions.parameters.push(parameter(&record.name, VHOST_LIMITS, "limits", value));
        }
    }
    if vhost.is_none() {
        let others = parameters.globals().filter(|(name, _)| *name != CLUSTER_NAME);
        let global =
            |(name, value): (&str, &Value)| GlobalParameter { name: name.to_owned(), value: value.clone() };
        definitions.global_parameters.extend(others.map(global));
    }
}

/// Adds the policies of a vhost, operator policies among the parameters.
pub fn add_policies(definitions: &mut Definitions, vhost: &Vhost) {
    let topology = vhost.topology();
    for policy in topology.policies().of(PolicyKind::Policy) {
        definitions.policies.push(DefinedPolicy {
            vhost: vhost.name().to_string(),
            name: policy.name.clone(),
            pattern: policy.pattern.as_str().to_owned(),
            apply_to: policy.apply_to.name().to_owned(),
            priority: narrow(policy.priority),
            definition: policy.definition.clone(),
        });
    }
    for policy in topology.policies().of(PolicyKind::Operator) {
        let value = json!({
            "pattern": policy.pattern.as_str(),
            "apply-to": policy.apply_to.name(),
            "priority": policy.priority,
            "definition": policy.definition,
        });
        definitions.parameters.push(parameter(vhost.name(), OPERATOR_POLICY, &policy.name, value));
    }
}

/// Plans what definitions say of policies.
pub fn plan_policies(
    plan: &mut Plan,
    broker: &Broker,
    vhosts: &Vhosts,
    defined: Vec<DefinedPolicy>,
) -> Result<(), ImportError> {
    for policy in defined {
        let proposal = Proposal {
            pattern: policy.pattern.into(),
            // RabbitMQ takes an empty one for none.
            apply_to: if policy.apply_to.is_empty() { "all".into() } else { policy.apply_to.into() },
            priority: policy.priority.into(),
            definition: policy.definition.into(),
        };
        plan_policy(plan, broker, vhosts, &policy.vhost, PolicyKind::Policy, &policy.name, &proposal)?;
    }
    Ok(())
}

fn plan_policy(
    plan: &mut Plan,
    broker: &Broker,
    vhosts: &Vhosts,
    vhost: &str,
    kind: PolicyKind,
    name: &str,
    proposal: &Proposal,
) -> Result<(), ImportError> {
    let what = match kind {
        PolicyKind::Policy => "policy",
        PolicyKind::Operator => "operator policy",
    };
    must_have(vhosts, vhost).map_err(|reason| error(what, name, reason))?;
    let policy =
        Policy::new(kind, name, proposal).map_err(|refused| error(what, name, refused.to_string()))?;
    let before = broker.vhost(vhost).and_then(|vhost| vhost.topology().policies().get(kind, name).cloned());
    let is_same = before.as_deref() == Some(&policy);
    let step = Step::Rule(Rule::Policy { vhost: vhost.to_owned(), kind, policy });
    plan.note(what, vhost, name, before.is_some(), is_same, step);
    Ok(())
}

/// Plans what definitions say of parameters, and of what is written as such.
pub fn plan_parameters(
    plan: &mut Plan,
    broker: &Broker,
    vhosts: &Vhosts,
    defined: Vec<Parameter>,
) -> Result<(), ImportError> {
    let mut copy = broker.parameters().read().clone();
    for parameter in defined {
        let Parameter { vhost, component, name, value } = &parameter;
        let wrong = |reason: String| error("parameter", name, reason);
        must_have(vhosts, vhost).map_err(wrong)?;
        match component.as_str() {
            OPERATOR_POLICY => {
                let proposal: Proposal = serde_json::from_value(value.clone())
                    .map_err(|refused| error("operator policy", name, refused.to_string()))?;
                plan_policy(plan, broker, vhosts, vhost, PolicyKind::Operator, name, &proposal)?;
            }
            VHOST_LIMITS => {
                let mut limits = VhostLimits::default();
                for (limit, value) in value.as_object().into_iter().flatten() {
                    limits.set(limit, value).map_err(|refused| wrong(refused.to_string()))?;
                }
                let before = broker.vhost_records().read().get(vhost).map(|record| record.limits);
                let exists = before.is_some_and(|before| before != VhostLimits::default());
                let step = Step::Rule(Rule::Limits { vhost: vhost.clone(), limits });
                plan.note("parameter", vhost, VHOST_LIMITS, exists, before == Some(limits), step);
            }
            _ => {
                let before = copy.get(component, vhost, name).cloned();
                copy.set(component, vhost, name, value.clone())
                    .map_err(|refused| wrong(refused.to_string()))?;
                let (exists, is_same) = (before.is_some(), before.as_ref() == Some(value));
                let (vhost, name) = (vhost.clone(), format!("{component} {name}"));
                plan.note(
                    "parameter",
                    &vhost,
                    &name,
                    exists,
                    is_same,
                    Step::Rule(Rule::Parameter(parameter)),
                );
            }
        }
    }
    Ok(())
}

/// Plans a parameter that belongs to no vhost.
pub fn plan_global(plan: &mut Plan, broker: &Broker, global: GlobalParameter) -> Result<(), ImportError> {
    let before = broker.parameters().read().global(&global.name).cloned();
    let mut copy = Parameters::default();
    copy.set_global(&global.name, global.value.clone())
        .map_err(|refused| error("global parameter", &global.name, refused.to_string()))?;
    let (exists, is_same) = (before.is_some(), before.as_ref() == Some(&global.value));
    let name = global.name.clone();
    plan.note("global parameter", "", &name, exists, is_same, Step::Rule(Rule::Global(global)));
    Ok(())
}

impl Rule {
    /// Sets it.
    pub fn carry_out(self, broker: &Broker) -> Result<Ticket, Fault> {
        let wrong = |text: String| Fault::precondition_failed(text);
        match self {
            Rule::Policy { vhost, kind, policy } => {
                broker.put_policy(&*super::import::vhost(broker, &vhost)?, kind, policy)
            }
            Rule::Parameter(Parameter { vhost, component, name, value }) => {
                let mut parameters = broker.parameters().write();
                let set = parameters.set(&component, &vhost, &name, value);
                Ok(broker.write_records(set.map_err(|error| wrong(error.to_string()))?))
            }
            Rule::Global(GlobalParameter { name, value }) => {
                let mut parameters = broker.parameters().write();
                let set = parameters.set_global(&name, value);
                Ok(broker.write_records(set.map_err(|error| wrong(error.to_string()))?))
            }
            Rule::Limits { vhost, limits } => {
                let record = broker.vhost_records().read().get(&vhost).cloned();
                let mut record = record.ok_or_else(|| wrong(format!("no_such_vhost: {vhost}")))?;
                record.limits = limits;
                broker.put_vhost(record).map(|(_, ticket)| ticket).map_err(|error| wrong(error.to_string()))
            }
        }
    }
}

fn parameter(vhost: &str, component: &str, name: &str, value: Value) -> Parameter {
    Parameter { vhost: vhost.to_owned(), component: component.to_owned(), name: name.to_owned(), value }
}

/// A priority for tools that read 16 bits: it stays at the largest, or the smallest.
fn narrow(priority: i64) -> i16 {
    i16::try_from(priority).unwrap_or(if priority < 0 { i16::MIN } else { i16::MAX })
}

const OPERATOR_POLICY: &str = "operator_policy";
const VHOST_LIMITS: &str = "vhost-limits";
