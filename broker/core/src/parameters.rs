//! Runtime parameters: values that components look up by name while they run, and global ones that belong to none.
//!
//! Policies and limits are RabbitMQ's parameters, too, but live where they act ([`crate::policy`],
//! [`crate::vhosts`]). What is here is kept, listed and restored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::record::{self, Record, RecordError};

/// All parameters of the broker.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parameters {
    /// By component, vhost and name.
    of_components: BTreeMap<(String, String, String), Value>,
    global: BTreeMap<String, Value>,
}

/// A parameter of a component in a vhost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameter<'a> {
    pub component: &'a str,
    pub vhost: &'a str,
    pub name: &'a str,
    pub value: &'a Value,
}

/// Why a parameter was refused, in RabbitMQ's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    #[error("policies may not be set using this method")]
    IsPolicy,
    #[error("Validation failed\n\ncomponent {0} not found\n")]
    NoSuchComponent(String),
    #[error("{0} must have 1 to 255 bytes")]
    InvalidName(&'static str),
}

#[derive(Serialize, Deserialize)]
struct StoredParameter {
    component: String,
    vhost: String,
    name: String,
    value: Value,
}

#[derive(Serialize, Deserialize)]
struct StoredGlobal {
    name: String,
    value: Value,
}

impl Parameters {
    /// Reads parameters back from stored keys and values; records of other kinds are skipped.
    pub fn restore<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        records: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Parameters, RecordError> {
        let mut parameters = Parameters::default();
        for (key, value) in records {
            let (key, value) = (key.as_ref(), value.as_ref());
            if record::is_kind(key, PARAMETER) {
                let StoredParameter { component, vhost, name, value } =
                    record::read_json(key, VERSION, value)?;
                parameters.of_components.insert((component, vhost, name), value);
            } else if record::is_kind(key, GLOBAL) {
                let StoredGlobal { name, value } = record::read_json(key, VERSION, value)?;
                parameters.global.insert(name, value);
            }
        }
        Ok(parameters)
    }

    /// Sets a component's parameter. The caller knows that the vhost exists.
    pub fn set(
        &mut self,
        component: &str,
        vhost: &str,
        name: &str,
        value: Value,
    ) -> Result<Vec<Record>, ParameterError> {
        match component {
            "policy" | "operator_policy" => return Err(ParameterError::IsPolicy),
            _ if !COMPONENTS.contains(&component) => {
                return Err(ParameterError::NoSuchComponent(component.to_owned()));
            }
            _ => {}
        }
        check_name("parameter name", name)?;
        let stored = StoredParameter {
            component: component.to_owned(),
            vhost: vhost.to_owned(),
            name: name.to_owned(),
            value: value.clone(),
        };
        let record = Record::put_json(record::key(PARAMETER, &[component, vhost, name]), VERSION, &stored);
        self.of_components.insert((component.to_owned(), vhost.to_owned(), name.to_owned()), value);
        Ok(vec![record])
    }

    /// Takes a component's parameter away; no records when there was none.
    pub fn clear(&mut self, component: &str, vhost: &str, name: &str) -> Vec<Record> {
        let key = (component.to_owned(), vhost.to_owned(), name.to_owned());
        match self.of_components.remove(&key) {
            Some(_) => vec![Record::remove(record::key(PARAMETER, &[component, vhost, name]))],
            None => Vec::new(),
        }
    }

    /// Takes away all that belongs to a vhost: it was deleted.
    pub fn clear_vhost(&mut self, vhost: &str) -> Vec<Record> {
        let mut records = Vec::new();
        self.of_components.retain(|(component, of, name), _| {
            let stays = of != vhost;
            if !stays {
                records.push(Record::remove(record::key(PARAMETER, &[component, of, name])));
            }
            stays
        });
        records
    }

    /// A component's parameter.
    pub fn get(&self, component: &str, vhost: &str, name: &str) -> Option<&Value> {
        self.of_components.get(&(component.to_owned(), vhost.to_owned(), name.to_owned()))
    }

    /// All parameters of components, by component, vhost and name.
    pub fn iter(&self) -> impl Iterator<Item = Parameter<'_>> {
        self.of_components.iter().map(|((component, vhost, name), value)| Parameter {
            component,
            vhost,
            name,
            value,
        })
    }

    /// Sets a global parameter.
    pub fn set_global(&mut self, name: &str, value: Value) -> Result<Vec<Record>, ParameterError> {
        check_name("parameter name", name)?;
        let stored = StoredGlobal { name: name.to_owned(), value: value.clone() };
        let record = Record::put_json(record::key(GLOBAL, &[name]), VERSION, &stored);
        self.global.insert(name.to_owned(), value);
        Ok(vec![record])
    }

    /// Takes a global parameter away; no records when there was none.
    pub fn clear_global(&mut self, name: &str) -> Vec<Record> {
        match self.global.remove(name) {
            Some(_) => vec![Record::remove(record::key(GLOBAL, &[name]))],
            None => Vec::new(),
        }
    }

    /// A global parameter.
    pub fn global(&self, name: &str) -> Option<&Value> {
        self.global.get(name)
    }

    /// All global parameters, by name.
    pub fn globals(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.global.iter().map(|(name, value)| (name.as_str(), value))
    }
}

fn check_name(field: &'static str, name: &str) -> Result<(), ParameterError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(ParameterError::InvalidName(field));
    }
    Ok(())
}

/// Components whose parameters are kept. Nothing here acts on them: they are there so that the definitions of a RabbitMQ
/// with these plugins come through an import and an export whole.
pub const COMPONENTS: &[&str] = &["federation-upstream", "federation-upstream-set", "shovel"];

const PARAMETER: &str = "parameter";
const GLOBAL: &str = "global-parameter";
const VERSION: u8 = 1;
const NAME_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn restored(records: Vec<Record>) -> Parameters {
        let mut stored = BTreeMap::new();
        for record in records {
            match record.value {
                Some(value) => stored.insert(record.key, value),
                None => stored.remove(&record.key),
            };
        }
        Parameters::restore(stored).expect("readable")
    }

    #[test]
    fn what_is_set_is_restored_and_what_is_cleared_is_not() {
        let mut parameters = Parameters::default();
        let mut records = parameters.set("shovel", "/", "a", json!({"src-uri": "amqp://"})).expect("known");
        records.extend(parameters.set("shovel", "eu", "b", json!(1)).expect("known"));
        records.extend(parameters.set("shovel", "/", "c", json!(2)).expect("known"));
        records.extend(parameters.set_global("limit", json!([1, "x"])).expect("a name"));
        records.extend(parameters.set_global("gone", json!(null)).expect("a name"));
        records.extend(parameters.clear_global("gone"));
        records.extend(parameters.clear("shovel", "/", "c"));
        records.extend(parameters.clear_vhost("eu"));
        assert_eq!(restored(records), parameters);
        assert_eq!(parameters.get("shovel", "/", "a"), Some(&json!({"src-uri": "amqp://"})));
        assert_eq!(parameters.iter().map(|parameter| parameter.name).collect::<Vec<_>>(), ["a"]);
        assert_eq!(parameters.globals().collect::<Vec<_>>(), [("limit", &json!([1, "x"]))]);
        assert!(
            parameters.clear("shovel", "eu", "b").is_empty() && parameters.clear_global("gone").is_empty()
        );
    }

    #[test]
    fn unknown_components_and_policies_are_refused() {
        let mut parameters = Parameters::default();
        let mut error =
            |component, name| parameters.set(component, "/", name, json!(1)).unwrap_err().to_string();
        assert_eq!(error("policy", "p"), "policies may not be set using this method");
        assert_eq!(error("nothing", "n"), "Validation failed\n\ncomponent nothing not found\n");
        assert_eq!(error("shovel", ""), "parameter name must have 1 to 255 bytes");
    }
}
