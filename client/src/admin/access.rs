//! Who may do what: users, permissions, vhosts, limits, policies, parameters.

use leveret_protocol::admin::policies::{
    GlobalParameter, Parameter, Policy, PolicyPreview, UserLimits, VhostLimits,
};
use leveret_protocol::admin::{Permission, TopicPermission, User, Vhost};
use reqwest::Method;
use serde_json::{Value, json};

use super::path::Path;
use super::{Client, Result};

impl Client {
    /// All users.
    pub async fn users(&self) -> Result<Vec<User>> {
        self.get(Path::new("users")).await
    }

    /// One user.
    pub async fn user_named(&self, name: &str) -> Result<User> {
        self.get(Path::new("users").name(name)).await
    }

    /// Adds a user or changes their tags and password. Without a password nobody logs in as them with one.
    pub async fn put_user(&self, name: &str, password: Option<&str>, tags: &[String]) -> Result<()> {
        let tags = tags.join(",");
        let content = match password {
            Some(password) => json!({"password": password, "tags": tags}),
            None => json!({"password_hash": "", "tags": tags}),
        };
        self.put(Path::new("users").name(name), &content).await
    }

    /// Changes a user's tags; the password stays.
    pub async fn put_user_tags(&self, user: &User, tags: &[String]) -> Result<()> {
        let content = json!({
            "password_hash": user.password_hash,
            "hashing_algorithm": user.hashing_algorithm,
            "tags": tags.join(","),
        });
        self.put(Path::new("users").name(&user.name), &content).await
    }

    /// Deletes a user with their permissions.
    pub async fn delete_user(&self, name: &str) -> Result<()> {
        self.delete(Path::new("users").name(name)).await
    }

    /// All permissions.
    pub async fn permissions(&self) -> Result<Vec<Permission>> {
        self.get(Path::new("permissions")).await
    }

    /// Gives a user rights on a vhost, in place of those they had there.
    pub async fn put_permission(&self, permission: &Permission) -> Result<()> {
        let Permission { user, vhost, configure, write, read } = permission;
        let content = json!({"configure": configure, "write": write, "read": read});
        self.put(Path::new("permissions").name(vhost).name(user), &content).await
    }

    /// Takes a user's rights on a vhost away.
    pub async fn delete_permission(&self, vhost: &str, user: &str) -> Result<()> {
        self.delete(Path::new("permissions").name(vhost).name(user)).await
    }

    /// All rights on topics.
    pub async fn topic_permissions(&self) -> Result<Vec<TopicPermission>> {
        self.get(Path::new("topic-permissions")).await
    }

    /// Gives a user rights on an exchange's topics.
    pub async fn put_topic_permission(&self, permission: &TopicPermission) -> Result<()> {
        let TopicPermission { user, vhost, exchange, write, read } = permission;
        let content = json!({"exchange": exchange, "write": write, "read": read});
        self.put(Path::new("topic-permissions").name(vhost).name(user), &content).await
    }

    /// Takes a user's rights on topics in a vhost away.
    pub async fn delete_topic_permissions(&self, vhost: &str, user: &str) -> Result<()> {
        self.delete(Path::new("topic-permissions").name(vhost).name(user)).await
    }

    /// All vhosts that this user may see.
    pub async fn vhosts(&self) -> Result<Vec<Vhost>> {
        self.get(Path::new("vhosts")).await
    }

    /// Adds a vhost or changes what is said of it.
    pub async fn put_vhost(&self, name: &str, description: &str, tags: &[String]) -> Result<()> {
        let content = json!({"description": description, "tags": tags.join(",")});
        self.put(Path::new("vhosts").name(name), &content).await
    }

    /// Deletes a vhost with all that is in it.
    pub async fn delete_vhost(&self, name: &str) -> Result<()> {
        self.delete(Path::new("vhosts").name(name)).await
    }

    /// Keeps a vhost from being deleted, or ends that.
    pub async fn protect_vhost(&self, name: &str, protected: bool) -> Result<()> {
        let path = Path::new("vhosts").name(name).fixed("deletion/protection");
        let method = if protected { Method::POST } else { Method::DELETE };
        self.send(method, path, None::<&Value>).await
    }

    /// Limits of vhosts.
    pub async fn vhost_limits(&self) -> Result<Vec<VhostLimits>> {
        self.get(Path::new("vhost-limits")).await
    }

    /// Sets a vhost's limit: `max-connections` or `max-queues`. Below zero is none.
    pub async fn put_vhost_limit(&self, vhost: &str, limit: &str, value: i64) -> Result<()> {
        self.put(Path::new("vhost-limits").name(vhost).name(limit), &json!({"value": value})).await
    }

    /// Takes a vhost's limit away.
    pub async fn delete_vhost_limit(&self, vhost: &str, limit: &str) -> Result<()> {
        self.delete(Path::new("vhost-limits").name(vhost).name(limit)).await
    }

    /// Limits of users.
    pub async fn user_limits(&self) -> Result<Vec<UserLimits>> {
        self.get(Path::new("user-limits")).await
    }

    /// Sets a user's limit: `max-connections` or `max-channels`. Below zero is none.
    pub async fn put_user_limit(&self, user: &str, limit: &str, value: i64) -> Result<()> {
        self.put(Path::new("user-limits").name(user).name(limit), &json!({"value": value})).await
    }

    /// Takes a user's limit away.
    pub async fn delete_user_limit(&self, user: &str, limit: &str) -> Result<()> {
        self.delete(Path::new("user-limits").name(user).name(limit)).await
    }

    /// Policies of one vhost, or of all; `operator` asks for operator policies.
    pub async fn policies(&self, vhost: Option<&str>, operator: bool) -> Result<Vec<Policy>> {
        self.get(policies_path(operator).name_if(vhost)).await
    }

    /// Adds or changes a policy.
    pub async fn put_policy(&self, policy: &Policy, operator: bool) -> Result<()> {
        let content = json!({
            "pattern": policy.pattern,
            "apply-to": policy.apply_to,
            "priority": policy.priority,
            "definition": policy.definition,
        });
        self.put(policies_path(operator).name(&policy.vhost).name(&policy.name), &content).await
    }

    /// Deletes a policy.
    pub async fn delete_policy(&self, vhost: &str, name: &str, operator: bool) -> Result<()> {
        self.delete(policies_path(operator).name(vhost).name(name)).await
    }

    /// Which queues and exchanges a policy would match, and what would be in effect there. Nothing is changed.
    pub async fn preview_policy(&self, policy: &Policy) -> Result<PolicyPreview> {
        self.post(Path::new("policies").name(&policy.vhost).fixed("preview"), policy).await
    }

    /// Runtime parameters, of one component where it is given.
    pub async fn parameters(&self, component: Option<&str>) -> Result<Vec<Parameter>> {
        self.get(Path::new("parameters").name_if(component)).await
    }

    /// Sets a runtime parameter.
    pub async fn put_parameter(&self, parameter: &Parameter) -> Result<()> {
        let Parameter { vhost, component, name, value } = parameter;
        let content = json!({"vhost": vhost, "component": component, "name": name, "value": value});
        self.put(Path::new("parameters").name(component).name(vhost).name(name), &content).await
    }

    /// Takes a runtime parameter away.
    pub async fn delete_parameter(&self, component: &str, vhost: &str, name: &str) -> Result<()> {
        self.delete(Path::new("parameters").name(component).name(vhost).name(name)).await
    }

    /// Parameters of the whole broker.
    pub async fn global_parameters(&self) -> Result<Vec<GlobalParameter>> {
        self.get(Path::new("global-parameters")).await
    }

    /// Sets a parameter of the whole broker.
    pub async fn put_global_parameter(&self, parameter: &GlobalParameter) -> Result<()> {
        let content = json!({"name": parameter.name, "value": parameter.value});
        self.put(Path::new("global-parameters").name(&parameter.name), &content).await
    }

    /// Takes a parameter of the whole broker away.
    pub async fn delete_global_parameter(&self, name: &str) -> Result<()> {
        self.delete(Path::new("global-parameters").name(name)).await
    }
}

fn policies_path(operator: bool) -> Path {
    Path::new(if operator { "operator-policies" } else { "policies" })
}
