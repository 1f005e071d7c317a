//! Runtime parameters of a running broker.
//!
//! To RabbitMQ operator policies and the limits of vhosts are parameters, too: they are listed among them and can be set
//! as such, while they live where they act.

use leveret_core::fault::Fault;
use leveret_core::parameters::ParameterError;
use leveret_core::policy::{Policy, PolicyKind, Proposal};
use leveret_core::session::host::Ticket;
use leveret_core::vhosts::{VhostLimits, VhostsError};
use leveret_protocol::admin::Arguments;
use serde_json::Value as Json;

use super::Broker;

/// A parameter with its vhost.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterOf {
    pub component: String,
    pub vhost: String,
    pub name: String,
    pub value: Json,
}

/// Why a parameter or limit was not set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotSet {
    /// There is no such vhost.
    NoVhost,
    /// What was given is not valid; the text says how.
    Invalid(String),
}

impl Broker {
    /// All parameters of components, as RabbitMQ lists them.
    pub fn all_parameters(&self) -> Vec<ParameterOf> {
        let mut all: Vec<ParameterOf> = Vec::new();
        for vhost in self.all_vhosts() {
            for policy in vhost.topology().policies().of(PolicyKind::Operator) {
                all.push(ParameterOf {
                    component: PolicyKind::Operator.name().to_owned(),
                    vhost: vhost.name().to_string(),
                    name: policy.name.clone(),
                    value: serde_json::json!(policy.proposal()),
                });
            }
        }
        for record in self.vhost_records.read().iter() {
            if record.limits != VhostLimits::default() {
                all.push(ParameterOf {
                    component: VHOST_LIMITS.to_owned(),
                    vhost: record.name.clone(),
                    name: LIMITS.to_owned(),
                    value: serde_json::json!(record.limits),
                });
            }
        }
        all.extend(self.parameters.read().iter().map(|parameter| ParameterOf {
            component: parameter.component.to_owned(),
            vhost: parameter.vhost.to_owned(),
            name: parameter.name.to_owned(),
            value: parameter.value.clone(),
        }));
        all
    }

    /// What operators say of the cluster, in the global parameter of that name.
    pub fn cluster_tags(&self) -> Arguments {
        match self.parameters.read().global(CLUSTER_TAGS) {
            Some(Json::Object(tags)) => tags.clone(),
            _ => Arguments::default(),
        }
    }

    /// Sets a component's parameter in a vhost.
    pub fn set_parameter(
        &self,
        component: &str,
        vhost: &str,
        name: &str,
        value: Json,
    ) -> Result<Ticket, NotSet> {
        let found = self.vhost(vhost).ok_or(NotSet::NoVhost)?;
        if component == PolicyKind::Operator.name() {
            let proposal: Proposal = serde_json::from_value(value).map_err(NotSet::invalid)?;
            let policy = Policy::new(PolicyKind::Operator, name, &proposal).map_err(NotSet::invalid)?;
            return Ok(self.put_policy(&found, PolicyKind::Operator, policy)?);
        }
        if component == VHOST_LIMITS {
            let Json::Object(limits) = value else { return Err(NotSet::invalid("limits not a list")) };
            return self.change_vhost_limits(vhost, |current| {
                *current = VhostLimits::default();
                limits.iter().try_for_each(|(name, limit)| current.set(name, limit)).map_err(NotSet::invalid)
            });
        }
        let records = self.parameters.write().set(component, vhost, name, value)?;
        Ok(self.write_records(records))
    }

    /// Takes a component's parameter away; `None` when there is none.
    pub fn clear_parameter(&self, component: &str, vhost: &str, name: &str) -> Option<Ticket> {
        let found = self.vhost(vhost)?;
        if component == PolicyKind::Operator.name() {
            return self.remove_policy(&found, PolicyKind::Operator, name).ok();
        }
        if component == VHOST_LIMITS && name == LIMITS {
            let clear = |current: &mut VhostLimits| match *current == VhostLimits::default() {
                true => Err(NotSet::NoVhost),
                false => {
                    *current = VhostLimits::default();
                    Ok(())
                }
            };
            return self.change_vhost_limits(vhost, clear).ok();
        }
        let records = self.parameters.write().clear(component, vhost, name);
        (!records.is_empty()).then(|| self.write_records(records))
    }

    /// Sets a global parameter.
    pub fn set_global_parameter(&self, name: &str, value: Json) -> Result<Ticket, NotSet> {
        let records = self.parameters.write().set_global(name, value)?;
        Ok(self.write_records(records))
    }

    /// Takes a global parameter away; `None` when there is none.
    pub fn clear_global_parameter(&self, name: &str) -> Option<Ticket> {
        let records = self.parameters.write().clear_global(name);
        (!records.is_empty()).then(|| self.write_records(records))
    }

    /// Changes how much a vhost may hold; nothing changes when `change` fails. What is open already stays open.
    pub fn change_vhost_limits(
        &self,
        vhost: &str,
        change: impl FnOnce(&mut VhostLimits) -> Result<(), NotSet>,
    ) -> Result<Ticket, NotSet> {
        let mut vhosts = self.vhost_records.write();
        let mut record = vhosts.get(vhost).cloned().ok_or(NotSet::NoVhost)?;
        change(&mut record.limits)?;
        let records = vhosts.put(record)?;
        Ok(self.write_records(records))
    }
}

impl NotSet {
    /// With what is wrong.
    pub fn invalid(reason: impl ToString) -> NotSet {
        NotSet::Invalid(reason.to_string())
    }
}

impl From<ParameterError> for NotSet {
    fn from(error: ParameterError) -> NotSet {
        NotSet::invalid(error)
    }
}

impl From<VhostsError> for NotSet {
    fn from(error: VhostsError) -> NotSet {
        match error {
            VhostsError::NoSuchVhost(_) => NotSet::NoVhost,
            error => NotSet::invalid(error),
        }
    }
}

/// A vhost that was deleted meanwhile.
impl From<Fault> for NotSet {
    fn from(_: Fault) -> NotSet {
        NotSet::NoVhost
    }
}

const CLUSTER_TAGS: &str = "cluster_tags";
const VHOST_LIMITS: &str = "vhost-limits";
const LIMITS: &str = "limits";
