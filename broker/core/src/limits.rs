//! How much vhosts and users may have open, and how much they have: connections, channels, queues.
//!
//! Whoever opens something counts it here first, and is refused in RabbitMQ's words when that is one too many.

use hashbrown::HashMap;
use serde_json::Value;

use crate::auth::UserLimits;
use crate::fault::Fault;
use crate::term::JsonTerm;
use crate::vhosts::VhostLimits;

/// What is open at present.
#[derive(Debug, Default)]
pub struct Tallies {
    /// Connections by vhost.
    vhosts: HashMap<String, u64>,
    users: HashMap<String, UserTally>,
}

#[derive(Debug, Default)]
struct UserTally {
    connections: u64,
    channels: u64,
}

/// Why a limit cannot be set, in RabbitMQ's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LimitError(String);

impl Tallies {
    /// Counts a connection in, unless its vhost or its user has as many as allowed.
    pub fn open_connection(
        &mut self,
        user: &str,
        vhost: &str,
        of_vhost: VhostLimits,
        of_user: UserLimits,
    ) -> Result<(), Fault> {
        let in_vhost = self.vhosts.get(vhost).copied().unwrap_or(0);
        if let Some(limit) = of_vhost.max_connections.filter(|limit| in_vhost >= *limit) {
            return Err(Fault::not_allowed(format!(
                "access to vhost '{vhost}' refused for user '{user}': connection limit ({limit}) is reached"
            )));
        }
        let own = self.user(user).map_or(0, |tally| tally.connections);
        if let Some(limit) = of_user.max_connections.filter(|limit| own >= *limit) {
            return Err(Fault::not_allowed(format!(
                "connection refused for user '{user}': user connection limit ({limit}) is reached"
            )));
        }
        *self.vhosts.entry_ref(vhost).or_insert(0) += 1;
        self.users.entry_ref(user).or_default().connections += 1;
        Ok(())
    }

    /// Counts a connection out that was counted in, with the channels that it still has.
    pub fn close_connection(&mut self, user: &str, vhost: &str, channels: u64) {
        if let Some(count) = self.vhosts.get_mut(vhost) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.vhosts.remove(vhost);
            }
        }
        self.leave(user, 1, channels);
    }

    /// Counts a channel in, unless its user has as many as allowed.
    pub fn open_channel(&mut self, user: &str, limits: UserLimits) -> Result<(), Fault> {
        let tally = self.users.entry_ref(user).or_default();
        if let Some(limit) = limits.max_channels.filter(|limit| tally.channels >= *limit) {
            return Err(Fault::not_allowed(format!(
                "number of channels opened for user '{user}' has reached the maximum allowed user limit of ({limit})"
            )));
        }
        tally.channels += 1;
        Ok(())
    }

    /// Counts a channel out that was counted in.
    pub fn close_channel(&mut self, user: &str) {
        self.leave(user, 0, 1);
    }

    fn user(&self, user: &str) -> Option<&UserTally> {
        self.users.get(user)
    }

    fn leave(&mut self, user: &str, connections: u64, channels: u64) {
        if let Some(tally) = self.users.get_mut(user) {
            tally.connections = tally.connections.saturating_sub(connections);
            tally.channels = tally.channels.saturating_sub(channels);
            if tally.connections == 0 && tally.channels == 0 {
                self.users.remove(user);
            }
        }
    }
}

/// Whether a vhost with this many queues may have one more, called `queue`.
pub fn check_queue_count(vhost: &str, queue: &str, count: usize, limit: Option<u64>) -> Result<(), Fault> {
    match limit.filter(|limit| count as u64 >= *limit) {
        None => Ok(()),
        Some(limit) => Err(Fault::precondition_failed(format!(
            "cannot declare queue '{queue}': queue limit in vhost '{vhost}' ({limit}) is reached"
        ))),
    }
}

impl VhostLimits {
    /// Sets one limit by its name; a negative value lifts it.
    pub fn set(&mut self, name: &str, value: &Value) -> Result<(), LimitError> {
        let field = match name {
            "max-connections" => &mut self.max_connections,
            "max-queues" => &mut self.max_queues,
            _ => return Err(LimitError::of_vhost(unknown(name, value, "limits"))),
        };
        *field = read(name, value).map_err(LimitError::of_vhost)?;
        Ok(())
    }

    /// Lifts one limit; false when there is none of that name.
    pub fn clear(&mut self, name: &str) -> bool {
        match name {
            "max-connections" => self.max_connections.take().is_some(),
            "max-queues" => self.max_queues.take().is_some(),
            _ => false,
        }
    }
}

impl UserLimits {
    /// Sets one limit by its name; a negative value lifts it.
    pub fn set(&mut self, name: &str, value: &Value) -> Result<(), LimitError> {
        let field = match name {
            "max-connections" => &mut self.max_connections,
            "max-channels" => &mut self.max_channels,
            _ => return Err(LimitError(unknown(name, value, "user-limits"))),
        };
        *field = read(name, value).map_err(LimitError)?;
        Ok(())
    }

    /// Lifts one limit; false when there is none of that name.
    pub fn clear(&mut self, name: &str) -> bool {
        match name {
            "max-connections" => self.max_connections.take().is_some(),
            "max-channels" => self.max_channels.take().is_some(),
            _ => false,
        }
    }
}

impl LimitError {
    /// Limits of vhosts are parameters, and refused as such.
    fn of_vhost(reason: String) -> LimitError {
        LimitError(format!("Validation failed\n\n{reason}\n"))
    }
}

fn read(name: &str, value: &Value) -> Result<Option<u64>, String> {
    match (value.as_u64(), value.as_i64()) {
        (Some(limit), _) => Ok(Some(limit)),
        (None, Some(_)) => Ok(None),
        (None, None) => Err(format!("{name} should be a number, actually was {}", JsonTerm(value))),
    }
}

fn unknown(name: &str, value: &Value, what: &str) -> String {
    format!("Unrecognised terms [{{<<\"{name}\">>,{}}}] in {what}", JsonTerm(value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FREE: (VhostLimits, UserLimits) = (
        VhostLimits { max_connections: None, max_queues: None },
        UserLimits { max_connections: None, max_channels: None },
    );

    fn connections(vhost: Option<u64>, user: Option<u64>) -> (VhostLimits, UserLimits) {
        (VhostLimits { max_connections: vhost, ..FREE.0 }, UserLimits { max_connections: user, ..FREE.1 })
    }

    fn open(tallies: &mut Tallies, limits: (VhostLimits, UserLimits)) -> Result<(), String> {
        let result = tallies.open_connection("anna", "eu", limits.0, limits.1);
        result.map_err(|fault| fault.to_string())
    }

    #[test]
    fn a_vhost_has_as_many_connections_as_it_may() {
        let refused = |limit: u64| {
            Err(format!(
                "NOT_ALLOWED - access to vhost 'eu' refused for user 'anna': connection limit ({limit}) is reached"
            ))
        };
        let mut tallies = Tallies::default();
        assert_eq!(open(&mut tallies, connections(Some(0), None)), refused(0));
        assert_eq!(open(&mut tallies, connections(Some(1), None)), Ok(()));
        assert_eq!(open(&mut tallies, connections(Some(1), None)), refused(1));
        assert_eq!(tallies.open_connection("anna", "us", connections(Some(1), None).0, FREE.1), Ok(()));
        tallies.close_connection("anna", "eu", 0);
        assert_eq!(open(&mut tallies, connections(Some(1), None)), Ok(()));
    }

    #[test]
    fn a_user_has_as_many_connections_and_channels_as_they_may() {
        let mut tallies = Tallies::default();
        assert_eq!(open(&mut tallies, connections(None, Some(1))), Ok(()));
        assert_eq!(
            open(&mut tallies, connections(None, Some(1))),
            Err("NOT_ALLOWED - connection refused for user 'anna': user connection limit (1) is reached"
                .to_owned())
        );
        let limits = UserLimits { max_connections: None, max_channels: Some(2) };
        assert_eq!(tallies.open_channel("anna", limits), Ok(()));
        assert_eq!(tallies.open_channel("anna", limits), Ok(()));
        let text =
            "number of channels opened for user 'anna' has reached the maximum allowed user limit of (2)";
        assert_eq!(tallies.open_channel("anna", limits), Err(Fault::not_allowed(text)));
        tallies.close_channel("anna");
        assert_eq!(tallies.open_channel("anna", limits), Ok(()));
        tallies.close_connection("anna", "eu", 2);
        assert!(tallies.users.is_empty() && tallies.vhosts.is_empty(), "nothing is left of those who left");
    }

    #[test]
    fn a_vhost_has_as_many_queues_as_it_may() {
        assert_eq!(check_queue_count("eu", "q", 7, None), Ok(()));
        assert_eq!(check_queue_count("eu", "q", 7, Some(8)), Ok(()));
        let text = "cannot declare queue 'q': queue limit in vhost 'eu' (7) is reached";
        assert_eq!(check_queue_count("eu", "q", 7, Some(7)), Err(Fault::precondition_failed(text)));
    }

    #[test]
    fn limits_are_set_and_lifted_by_name() {
        let mut limits = VhostLimits::default();
        limits.set("max-queues", &json!(5)).expect("valid");
        limits.set("max-connections", &json!(0)).expect("valid");
        assert_eq!(limits, VhostLimits { max_connections: Some(0), max_queues: Some(5) });
        limits.set("max-connections", &json!(-1)).expect("no limit");
        assert!(limits.clear("max-queues") && !limits.clear("max-queues"));
        assert_eq!(limits, VhostLimits::default());

        let mut limits = UserLimits::default();
        limits.set("max-channels", &json!(3)).expect("valid");
        assert_eq!(limits.max_channels, Some(3));
        let error =
            |name: &str, value: Value| UserLimits::default().set(name, &value).unwrap_err().to_string();
        assert_eq!(
            error("max-queues", json!(1)),
            "Unrecognised terms [{<<\"max-queues\">>,1}] in user-limits"
        );
        assert_eq!(
            error("max-channels", json!("x")),
            "max-channels should be a number, actually was <<\"x\">>"
        );
        assert_eq!(
            VhostLimits::default().set("max-queues", &json!("x")).unwrap_err().to_string(),
            "Validation failed\n\nmax-queues should be a number, actually was <<\"x\">>\n"
        );
    }
}
