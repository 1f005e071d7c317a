//! Users and their permissions: the machine that changes them and answers for them.
//!
//! Every change returns the [`Record`]s that make it durable: one for the user, one for each vhost and one for each
//! exchange they have rights in, so that a change rewrites only itself. [`Users::restore`] reads them all back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::password::PasswordHash;
use super::permissions::{Access, Permission, PermissionError, Resource, TopicPermission};
use super::tags::Tags;
use crate::fault::Fault;
use crate::record::{self, Record, RecordError};

/// All users of the broker.
#[derive(Debug, Clone, Default)]
pub struct Users {
    users: BTreeMap<String, Arc<User>>,
    /// Users who may only log in from this machine; a setting, not stored.
    loopback_only: BTreeSet<String>,
    generation: u64,
}

/// One user, as of one moment.
#[derive(Debug, Clone)]
pub struct User {
    name: String,
    password: PasswordHash,
    tags: Tags,
    limits: UserLimits,
    /// By vhost.
    permissions: BTreeMap<String, Permission>,
    /// By vhost, then exchange.
    topic_permissions: BTreeMap<String, BTreeMap<String, TopicPermission>>,
}

/// How much one user may open; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct UserLimits {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_channels: Option<u64>,
}

/// Why a change was refused; nothing changed then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsersError {
    #[error("user '{0}' does not exist")]
    NoSuchUser(String),
    #[error("{field} must have 1 to 255 bytes")]
    InvalidName { field: &'static str },
    #[error(transparent)]
    Permission(#[from] PermissionError),
}

impl Users {
    /// No users yet. Those in `loopback_only` may only log in from this machine once they exist.
    pub fn new(loopback_only: impl IntoIterator<Item = String>) -> Users {
        Users { loopback_only: loopback_only.into_iter().collect(), ..Users::default() }
    }

    /// Reads users back from stored keys and values, in any order; records of other kinds are skipped.
    pub fn restore<K: AsRef<[u8]>, V: AsRef<[u8]>>(
        loopback_only: impl IntoIterator<Item = String>,
        records: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Users, RecordError> {
        let mut users = Users::new(loopback_only);
        let mut rights = Vec::new();
        for (key, value) in records {
            let (key, value) = (key.as_ref(), value.as_ref());
            if record::is_kind(key, USER) {
                let user: StoredUser = record::read_json(key, VERSION, value)?;
                users.users.insert(user.name.clone(), Arc::new(User::from(user)));
            } else if record::is_kind(key, PERMISSION) {
                rights.push((key.to_vec(), Right::Vhost(record::read_json(key, VERSION, value)?)));
            } else if record::is_kind(key, TOPIC_PERMISSION) {
                rights.push((key.to_vec(), Right::Topic(record::read_json(key, VERSION, value)?)));
            }
        }
        for (key, right) in rights {
            let user = match &right {
                Right::Vhost(stored) => &stored.user,
                Right::Topic(stored) => &stored.user,
            };
            // A user goes in one batch with all their rights, so that none can be left without its user.
            let user =
                users.users.get_mut(user).ok_or_else(|| record::damaged(&key, "its user does not exist"))?;
            Arc::make_mut(user).restore(right).map_err(|error| record::damaged(&key, error))?;
        }
        Ok(users)
    }

    /// Creates a user without rights, or changes password and tags of one who exists.
    pub fn put_user(
        &mut self,
        name: &str,
        password: PasswordHash,
        tags: Tags,
    ) -> Result<Vec<Record>, UsersError> {
        check_name("user name", name)?;
        let user = self.users.entry(name.to_owned()).or_insert_with(|| Arc::new(User::new(name)));
        let user = Arc::make_mut(user);
        user.password = password;
        user.tags = tags;
        let record = user.record();
        Ok(self.changed(vec![record]))
    }

    /// Changes a user's password.
    pub fn set_password(&mut self, name: &str, password: PasswordHash) -> Result<Vec<Record>, UsersError> {
        let user = self.user_mut(name)?;
        user.password = password;
        let record = user.record();
        Ok(self.changed(vec![record]))
    }

    /// Changes a user's tags.
    pub fn set_tags(&mut self, name: &str, tags: Tags) -> Result<Vec<Record>, UsersError> {
        let user = self.user_mut(name)?;
        user.tags = tags;
        let record = user.record();
        Ok(self.changed(vec![record]))
    }

    /// Changes what a user may open.
    pub fn set_limits(&mut self, name: &str, limits: UserLimits) -> Result<Vec<Record>, UsersError> {
        let user = self.user_mut(name)?;
        user.limits = limits;
        let record = user.record();
        Ok(self.changed(vec![record]))
    }

    /// Deletes a user with all their rights.
    pub fn delete_user(&mut self, name: &str) -> Result<Vec<Record>, UsersError> {
        let user = self.users.remove(name).ok_or_else(|| UsersError::NoSuchUser(name.to_owned()))?;
        let mut records = vec![Record::remove(record::key(USER, &[name]))];
        records.extend(user.permissions.keys().map(|vhost| Record::remove(permission_key(name, vhost))));
        for (vhost, exchanges) in &user.topic_permissions {
            records.extend(exchanges.keys().map(|exchange| Record::remove(topic_key(name, vhost, exchange))));
        }
        Ok(self.changed(records))
    }

    /// Gives a user rights in a vhost, in place of those they had there. The caller knows that the vhost exists.
    pub fn set_permission(
        &mut self,
        user: &str,
        vhost: &str,
        permission: Permission,
    ) -> Result<Vec<Record>, UsersError> {
        check_name("vhost name", vhost)?;
        let stored = StoredPermission::new(user, vhost, &permission);
        self.user_mut(user)?.permissions.insert(vhost.to_owned(), permission);
        Ok(self.changed(vec![Record::put_json(permission_key(user, vhost), VERSION, &stored)]))
    }

    /// Takes a user's rights in a vhost away; no records when there were none.
    pub fn clear_permission(&mut self, user: &str, vhost: &str) -> Result<Vec<Record>, UsersError> {
        if self.user_mut(user)?.permissions.remove(vhost).is_none() {
            return Ok(Vec::new());
        }
        Ok(self.changed(vec![Record::remove(permission_key(user, vhost))]))
    }

    /// Restricts a user to some routing keys of an exchange, in place of an earlier restriction.
    pub fn set_topic_permission(
        &mut self,
        user: &str,
        vhost: &str,
        exchange: &str,
        write: &str,
        read: &str,
    ) -> Result<Vec<Record>, UsersError> {
        check_name("vhost name", vhost)?;
        check_name("exchange name", if exchange.is_empty() { "amq.default" } else { exchange })?;
        let permission = TopicPermission::new(user, vhost, write, read)?;
        let stored = StoredTopicPermission::new(user, vhost, exchange, &permission);
        let exchanges = self.user_mut(user)?.topic_permissions.entry(vhost.to_owned()).or_default();
        exchanges.insert(exchange.to_owned(), permission);
        Ok(self.changed(vec![Record::put_json(topic_key(user, vhost, exchange), VERSION, &stored)]))
    }

    /// Lifts a user's topic restrictions in a vhost: of one exchange, or of all.
    pub fn clear_topic_permission(
        &mut self,
        user: &str,
        vhost: &str,
        exchange: Option<&str>,
    ) -> Result<Vec<Record>, UsersError> {
        let records = self.user_mut(user)?.clear_topics(vhost, exchange);
        Ok(self.changed(records))
    }

    /// Takes everybody's rights in a vhost away: it was deleted.
    pub fn clear_vhost(&mut self, vhost: &str) -> Vec<Record> {
        let mut records = Vec::new();
        for (name, user) in &mut self.users {
            if !user.permissions.contains_key(vhost) && !user.topic_permissions.contains_key(vhost) {
                continue;
            }
            let user = Arc::make_mut(user);
            if user.permissions.remove(vhost).is_some() {
                records.push(Record::remove(permission_key(name, vhost)));
            }
            records.extend(user.clear_topics(vhost, None));
        }
        self.changed(records)
    }

    /// A user by name.
    pub fn user(&self, name: &str) -> Option<&Arc<User>> {
        self.users.get(name)
    }

    /// All users, by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<User>> {
        self.users.values()
    }

    /// True when the first user has yet to be created.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// False for a user who may only log in from this machine, when `peer` is another.
    pub fn may_log_in_from(&self, name: &str, peer: IpAddr) -> bool {
        // On a dual-stack socket 127.0.0.1 arrives as ::ffff:127.0.0.1.
        !self.loopback_only.contains(name) || peer.to_canonical().is_loopback()
    }

    /// Rises with every change: what was read from here before is out of date then.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    fn user_mut(&mut self, name: &str) -> Result<&mut User, UsersError> {
        self.users.get_mut(name).map(Arc::make_mut).ok_or_else(|| UsersError::NoSuchUser(name.to_owned()))
    }

    fn changed(&mut self, records: Vec<Record>) -> Vec<Record> {
        self.generation += u64::from(!records.is_empty());
        records
    }
}

impl User {
    fn new(name: &str) -> User {
        User {
            name: name.to_owned(),
            password: PasswordHash::none(),
            tags: Tags::default(),
            limits: UserLimits::default(),
            permissions: BTreeMap::new(),
            topic_permissions: BTreeMap::new(),
        }
    }

    /// Whether the user may use a vhost, which they may when they have rights in it, even empty ones.
    pub fn check_vhost(&self, vhost: &str) -> Result<(), Fault> {
        if self.permissions.contains_key(vhost) {
            return Ok(());
        }
        Err(Fault::not_allowed(format!("access to vhost '{vhost}' refused for user '{}'", self.name)))
    }

    /// Whether the user may do something with an exchange or a queue.
    pub fn check(&self, vhost: &str, resource: Resource<'_>, access: Access) -> Result<(), Fault> {
        if self.permissions.get(vhost).is_some_and(|permission| permission.allows(access, resource)) {
            return Ok(());
        }
        Err(Fault::access_refused(format!(
            "{access} access to {resource} in vhost '{vhost}' refused for user '{}'",
            self.name
        )))
    }

    /// Whether the user may publish to a topic exchange with this routing key, or bind from it with this pattern.
    ///
    /// Asked for topic exchanges only, beside [`User::check`].
    pub fn check_topic(
        &self,
        vhost: &str,
        exchange: &str,
        routing_key: &str,
        access: Access,
    ) -> Result<(), Fault> {
        let restriction = self.topic_permissions.get(vhost).and_then(|exchanges| exchanges.get(exchange));
        if restriction.is_none_or(|permission| permission.allows(access, routing_key)) {
            return Ok(());
        }
        Err(Fault::access_refused(format!(
            "{access} access to topic '{routing_key}' in exchange '{exchange}' in vhost '{vhost}' refused for user \
             '{}'",
            self.name
        )))
    }

    /// True when topics of `vhost` are restricted for the user at all, so that [`User::check_topic`] has to be asked.
    pub fn has_topic_permissions(&self, vhost: &str) -> bool {
        self.topic_permissions.contains_key(vhost)
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a password is checked against.
    pub fn password(&self) -> &PasswordHash {
        &self.password
    }

    /// The tags.
    pub fn tags(&self) -> &Tags {
        &self.tags
    }

    /// How much the user may open.
    pub fn limits(&self) -> UserLimits {
        self.limits
    }

    /// The user's rights by vhost.
    pub fn permissions(&self) -> impl ExactSizeIterator<Item = (&str, &Permission)> {
        self.permissions.iter().map(|(vhost, permission)| (vhost.as_str(), permission))
    }

    /// The user's topic restrictions: vhost, exchange, rights.
    pub fn topic_permissions(&self) -> impl Iterator<Item = (&str, &str, &TopicPermission)> {
        self.topic_permissions.iter().flat_map(|(vhost, exchanges)| {
            exchanges
                .iter()
                .map(move |(exchange, permission)| (vhost.as_str(), exchange.as_str(), permission))
        })
    }

    fn clear_topics(&mut self, vhost: &str, exchange: Option<&str>) -> Vec<Record> {
        let Some(exchanges) = self.topic_permissions.get_mut(vhost) else { return Vec::new() };
        let removed = match exchange {
            Some(exchange) => exchanges.remove(exchange).map(|_| exchange.to_owned()).into_iter().collect(),
            None => std::mem::take(exchanges).into_keys().collect::<Vec<_>>(),
        };
        if exchanges.is_empty() {
            self.topic_permissions.remove(vhost);
        }
        removed.iter().map(|exchange| Record::remove(topic_key(&self.name, vhost, exchange))).collect()
    }

    fn restore(&mut self, right: Right) -> Result<(), PermissionError> {
        match right {
            Right::Vhost(stored) => {
                let permission = Permission::new(&stored.configure, &stored.write, &stored.read)?;
                self.permissions.insert(stored.vhost, permission);
            }
            Right::Topic(stored) => {
                let permission =
                    TopicPermission::new(&self.name, &stored.vhost, &stored.write, &stored.read)?;
                self.topic_permissions.entry(stored.vhost).or_default().insert(stored.exchange, permission);
            }
        }
        Ok(())
    }

    fn record(&self) -> Record {
        let stored = StoredUser {
            name: self.name.clone(),
            password: self.password.clone(),
            tags: self.tags.clone(),
            limits: self.limits,
        };
        Record::put_json(record::key(USER, &[&self.name]), VERSION, &stored)
    }
}

/// Kinds of records, and the version of all three formats.
const USER: &str = "user";
const PERMISSION: &str = "permission";
const TOPIC_PERMISSION: &str = "topic-permission";
const VERSION: u8 = 1;

const NAME_BYTES_MAX: usize = 255;

fn check_name(field: &'static str, name: &str) -> Result<(), UsersError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(UsersError::InvalidName { field });
    }
    Ok(())
}

fn permission_key(user: &str, vhost: &str) -> Vec<u8> {
    record::key(PERMISSION, &[user, vhost])
}

fn topic_key(user: &str, vhost: &str, exchange: &str) -> Vec<u8> {
    record::key(TOPIC_PERMISSION, &[user, vhost, exchange])
}

#[derive(Serialize, Deserialize)]
struct StoredUser {
    name: String,
    password: PasswordHash,
    #[serde(default)]
    tags: Tags,
    #[serde(default)]
    limits: UserLimits,
}

#[derive(Serialize, Deserialize)]
struct StoredPermission {
    user: String,
    vhost: String,
    configure: String,
    write: String,
    read: String,
}

#[derive(Serialize, Deserialize)]
struct StoredTopicPermission {
    user: String,
    vhost: String,
    exchange: String,
    write: String,
    read: String,
}

/// A right that waits for its user while records are read.
enum Right {
    Vhost(StoredPermission),
    Topic(StoredTopicPermission),
}

impl From<StoredUser> for User {
    fn from(stored: StoredUser) -> User {
        User {
            password: stored.password,
            tags: stored.tags,
            limits: stored.limits,
            ..User::new(&stored.name)
        }
    }
}

impl StoredPermission {
    fn new(user: &str, vhost: &str, permission: &Permission) -> StoredPermission {
        let [configure, write, read] = permission.sources().map(str::to_owned);
        StoredPermission { user: user.to_owned(), vhost: vhost.to_owned(), configure, write, read }
    }
}

impl StoredTopicPermission {
    fn new(user: &str, vhost: &str, exchange: &str, permission: &TopicPermission) -> StoredTopicPermission {
        let [write, read] = permission.sources().map(str::to_owned);
        StoredTopicPermission {
            user: user.to_owned(),
            vhost: vhost.to_owned(),
            exchange: exchange.to_owned(),
            write,
            read,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";

    fn hash() -> PasswordHash {
        PasswordHash::import("rabbit_password_hashing_sha256", HASH).expect("valid")
    }

    fn permission(configure: &str, write: &str, read: &str) -> Permission {
        Permission::new(configure, write, read).expect("valid patterns")
    }

    fn users_with(names: &[&str]) -> Users {
        let mut users = Users::new(["guest".to_owned()]);
        for name in names {
            users.put_user(name, hash(), Tags::default()).expect("a valid name");
        }
        users
    }

    /// What a store holds after it applied `records` one after the other.
    #[derive(Default)]
    struct Stored(BTreeMap<Vec<u8>, Vec<u8>>);

    impl Stored {
        fn apply(&mut self, records: Vec<Record>) {
            for record in records {
                match record.value {
                    Some(value) => drop(self.0.insert(record.key, value)),
                    None => drop(self.0.remove(&record.key).expect("only what is stored is removed")),
                }
            }
        }

        fn restore(&self) -> Result<Users, RecordError> {
            Users::restore([], &self.0)
        }
    }

    /// Everything about users that is stored, as text.
    fn dump(users: &Users) -> Vec<String> {
        users.iter().map(|user| format!("{user:?}")).collect()
    }

    #[test]
    fn vhost_access_needs_rights_in_it_even_if_empty() {
        let mut users = users_with(&["anna"]);
        users.set_permission("anna", "/", permission("", "", "")).expect("valid");
        let anna = users.user("anna").expect("exists");
        assert_eq!(anna.check_vhost("/"), Ok(()));
        assert_eq!(
            anna.check_vhost("other"),
            Err(Fault::not_allowed("access to vhost 'other' refused for user 'anna'"))
        );
    }

    #[test]
    fn refused_access_names_access_resource_vhost_and_user() {
        let mut users = users_with(&["anna"]);
        users.set_permission("anna", "/", permission("^own-", ".*", "")).expect("valid");
        let anna = users.user("anna").expect("exists");
        assert_eq!(anna.check("/", Resource::Queue("own-q"), Access::Configure), Ok(()));
        assert_eq!(anna.check("/", Resource::Exchange(""), Access::Write), Ok(()));
        let refused = |vhost, resource, access, text: &'static str| {
            assert_eq!(anna.check(vhost, resource, access), Err(Fault::access_refused(text)));
        };
        refused(
            "/",
            Resource::Queue("q"),
            Access::Configure,
            "configure access to queue 'q' in vhost '/' refused for user 'anna'",
        );
        refused(
            "/",
            Resource::Exchange(""),
            Access::Read,
            "read access to exchange 'amq.default' in vhost '/' refused for user 'anna'",
        );
        refused(
            "other",
            Resource::Exchange("x"),
            Access::Write,
            "write access to exchange 'x' in vhost 'other' refused for user 'anna'",
        );
    }

    #[test]
    fn topics_are_free_until_an_exchange_is_restricted() {
        let mut users = users_with(&["anna"]);
        let topic = |users: &Users, vhost, exchange, key| {
            users.user("anna").expect("exists").check_topic(vhost, exchange, key, Access::Write)
        };
        assert_eq!(topic(&users, "/", "x", "a.b"), Ok(()));
        users.set_topic_permission("anna", "/", "x", "^{username}\\.", ".*").expect("valid");
        assert!(users.user("anna").expect("exists").has_topic_permissions("/"));
        assert_eq!(topic(&users, "/", "x", "anna.b"), Ok(()));
        assert_eq!(topic(&users, "/", "y", "a.b"), Ok(()));
        assert_eq!(topic(&users, "other", "x", "a.b"), Ok(()));
        assert_eq!(
            topic(&users, "/", "x", "a.b"),
            Err(Fault::access_refused(
                "write access to topic 'a.b' in exchange 'x' in vhost '/' refused for user 'anna'"
            ))
        );
        users.clear_topic_permission("anna", "/", Some("x")).expect("exists");
        assert_eq!(topic(&users, "/", "x", "a.b"), Ok(()));
        assert!(!users.user("anna").expect("exists").has_topic_permissions("/"));
    }

    #[test]
    fn a_loopback_only_user_logs_in_from_this_machine_only() {
        let users = users_with(&["guest", "anna"]);
        let from = |name, peer: &str| users.may_log_in_from(name, peer.parse().expect("an address"));
        for peer in ["127.0.0.1", "127.8.0.1", "::1", "::ffff:127.0.0.1"] {
            assert!(from("guest", peer), "{peer}");
        }
        for peer in ["10.0.0.1", "2001:db8::1", "::ffff:10.0.0.1", "0.0.0.0"] {
            assert!(!from("guest", peer), "{peer}");
            assert!(from("anna", peer), "{peer}");
        }
    }

    #[test]
    fn changing_a_user_keeps_their_rights() {
        let mut users = users_with(&["anna"]);
        users.set_permission("anna", "/", permission(".*", ".*", ".*")).expect("valid");
        users
            .set_limits("anna", UserLimits { max_connections: Some(2), max_channels: None })
            .expect("exists");
        users.put_user("anna", PasswordHash::none(), Tags::parse("monitoring")).expect("valid");
        let anna = users.user("anna").expect("exists");
        assert!(anna.password().is_none());
        assert!(anna.tags().may_monitor());
        assert_eq!(anna.limits().max_connections, Some(2));
        assert_eq!(anna.check_vhost("/"), Ok(()));
    }

    #[test]
    fn a_snapshot_stays_as_it_was_and_the_generation_tells() {
        let mut users = users_with(&["anna"]);
        let before = (users.generation(), Arc::clone(users.user("anna").expect("exists")));
        users.set_permission("anna", "/", permission(".*", ".*", ".*")).expect("valid");
        assert!(users.generation() > before.0);
        assert!(before.1.check_vhost("/").is_err());
        let unchanged = users.generation();
        assert_eq!(users.clear_permission("anna", "nowhere"), Ok(Vec::new()));
        assert_eq!(users.generation(), unchanged);
    }

    #[test]
    fn a_refused_change_changes_nothing() {
        let mut users = users_with(&["anna"]);
        users.set_permission("anna", "/", permission("a", "b", "c")).expect("valid");
        let before = (users.generation(), dump(&users));
        let no_such = Err(UsersError::NoSuchUser("bert".to_owned()));
        assert_eq!(users.set_tags("bert", Tags::default()), no_such);
        assert_eq!(users.set_password("bert", hash()), no_such);
        assert_eq!(users.delete_user("bert"), no_such);
        assert_eq!(users.set_permission("bert", "/", permission("", "", "")), no_such);
        assert_eq!(users.set_topic_permission("bert", "/", "x", "", ""), no_such);
        let invalid = |result: Result<Vec<Record>, UsersError>| result.expect_err("invalid").to_string();
        assert_eq!(
            invalid(users.set_topic_permission("anna", "/", "x", "(", "")),
            "write pattern '(' is not usable: unclosed group"
        );
        assert_eq!(
            invalid(users.put_user("", hash(), Tags::default())),
            "user name must have 1 to 255 bytes"
        );
        assert_eq!(
            invalid(users.set_permission("anna", &"v".repeat(256), permission("", "", ""))),
            "vhost name must have 1 to 255 bytes"
        );
        assert_eq!((users.generation(), dump(&users)), before);
    }

    #[test]
    fn stored_users_come_back_as_they_were() {
        let mut users = Users::default();
        let mut stored = Stored::default();
        stored.apply(users.put_user("anna", hash(), Tags::parse("administrator,x")).expect("valid"));
        stored.apply(users.put_user("bert/\u{0}ü", PasswordHash::none(), Tags::default()).expect("valid"));
        stored.apply(users.put_user("gone", hash(), Tags::default()).expect("valid"));
        for user in ["anna", "gone"] {
            stored.apply(users.set_permission(user, "/", permission("^own-", "", "^$")).expect("valid"));
            stored.apply(users.set_permission(user, "eu", permission(".*", "(a|b)", ".*")).expect("valid"));
            for exchange in ["x", "y", ""] {
                stored.apply(
                    users
                        .set_topic_permission(user, "eu", exchange, "^{username}", "^{vhost}")
                        .expect("valid"),
                );
            }
        }
        stored.apply(
            users
                .set_limits("anna", UserLimits { max_connections: None, max_channels: Some(7) })
                .expect("exists"),
        );
        stored.apply(users.clear_topic_permission("anna", "eu", Some("y")).expect("exists"));
        stored.apply(users.delete_user("gone").expect("exists"));
        assert_eq!(dump(&stored.restore().expect("readable")), dump(&users));
        assert_eq!(stored.0.len(), 2 + 2 + 2, "nothing is left of a deleted user");

        stored.apply(users.clear_vhost("eu"));
        assert_eq!(dump(&stored.restore().expect("readable")), dump(&users));
        assert_eq!(stored.0.len(), 2 + 1);
    }

    #[test]
    fn the_stored_format_stays_readable() {
        let records: [(&[u8], &[u8]); 4] = [
            (b"queue/\0\x01q", b"not ours"),
            (
                b"permission/\0\x04anna\0\x01/",
                b"\x01{\"user\":\"anna\",\"vhost\":\"/\",\"configure\":\"\",\"write\":\".*\",\"read\":\"^$\"}",
            ),
            (
                b"topic-permission/\0\x04anna\0\x01/\0\x01x",
                b"\x01{\"user\":\"anna\",\"vhost\":\"/\",\"exchange\":\"x\",\"write\":\"a\",\"read\":\"b\"}",
            ),
            (
                b"user/\0\x04anna",
                b"\x01{\"name\":\"anna\",\"password\":{\"algorithm\":\"rabbit_password_hashing_sha256\",\"hash\":\
                  \"kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR\"},\"tags\":[\"management\"],\
                  \"limits\":{\"max-channels\":3}}",
            ),
        ];
        let restored = Users::restore([], records).expect("readable");
        let mut users = Users::default();
        users.put_user("anna", hash(), Tags::parse("management")).expect("valid");
        let limits = UserLimits { max_connections: None, max_channels: Some(3) };
        let written = users.set_limits("anna", limits).expect("exists");
        assert_eq!(written[0].value.as_deref(), Some(records[3].1));
        users.set_permission("anna", "/", permission("", ".*", "^$")).expect("valid");
        users.set_topic_permission("anna", "/", "x", "a", "b").expect("valid");
        assert_eq!(dump(&restored), dump(&users));
    }

    #[test]
    fn damaged_records_are_errors_that_name_the_key() {
        let restore =
            |key: &[u8], value: &[u8]| Users::restore([], [(key, value)]).expect_err("damaged").to_string();
        assert_eq!(
            restore(b"user/\0\x01a", b"\x02{}"),
            "record 'user/\\x00\\x01a' has version 2, which this release does not know"
        );
        assert!(restore(b"user/\0\x01a", b"\x01{}").starts_with("record 'user/\\x00\\x01a' is damaged: "));
        assert_eq!(
            restore(
                b"permission/x",
                b"\x01{\"user\":\"anna\",\"vhost\":\"/\",\"configure\":\"\",\"write\":\"\",\"read\":\"\"}"
            ),
            "record 'permission/x' is damaged: its user does not exist"
        );
    }

    proptest::proptest! {
        #[test]
        fn whatever_happens_the_store_and_the_machine_agree(
            steps in proptest::collection::vec((0_u8..8, 0_usize..3, 0_usize..2, 0_usize..2), 0..60)
        ) {
            let (names, vhosts, exchanges) = (["a", "b", "c"], ["/", "v"], ["x", "y"]);
            let mut users = Users::default();
            let mut stored = Stored::default();
            for (step, name, vhost, exchange) in steps {
                let (name, vhost, exchange) = (names[name], vhosts[vhost], exchanges[exchange]);
                let records = match step {
                    0 => users.put_user(name, hash(), Tags::parse(vhost)),
                    1 => users.delete_user(name),
                    2 => users.set_permission(name, vhost, permission(".*", exchange, "")),
                    3 => users.clear_permission(name, vhost),
                    4 => users.set_topic_permission(name, vhost, exchange, "a", "b"),
                    5 => users.clear_topic_permission(name, vhost, Some(exchange)),
                    6 => users.clear_topic_permission(name, vhost, None),
                    _ => Ok(users.clear_vhost(vhost)),
                };
                stored.apply(records.unwrap_or_default());
                proptest::prop_assert_eq!(dump(&stored.restore().expect("readable")), dump(&users));
            }
        }
    }
}
