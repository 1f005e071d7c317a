//! `leveretctl users`, `permissions`, `vhosts`, `policies` and `limits`.

use super::arguments::{LimitOf, Limits, Permissions, Policies, PolicyArguments, Users, Vhosts};
use super::connect::Session;
use super::show::arguments;
use crate::exit::Failure;
use leveret_client::admin::types::policies::{Policy, PolicyMatch};
use leveret_client::admin::types::{Permission, User, Vhost};
use serde::Serialize;
use std::io::IsTerminal;

pub async fn users(session: &Session, command: &Users) -> anyhow::Result<()> {
    let client = &session.client;
    match command {
        Users::List => {
            /// Hashes are for definitions, not for eyes.
            #[derive(Serialize)]
            struct Shown {
                name: String,
                tags: Vec<String>,
                limits: leveret_client::admin::types::Arguments,
            }
            let users = client.users().await?.into_iter();
            let users: Vec<Shown> =
                users.map(|User { name, tags, limits, .. }| Shown { name, tags, limits }).collect();
            session.list::<Shown>(
                &users,
                &[
                    ("name", &|user| user.name.clone()),
                    ("tags", &|user| user.tags.join(", ")),
                    ("limits", &|user| arguments(&user.limits)),
                ],
            )
        }
        Users::Put { name, tags, no_password } => {
            let password = if *no_password { None } else { Some(new_password()?) };
            Ok(client.put_user(name, password.as_deref(), tags).await?)
        }
        Users::Tags { name, tags } => {
            let user = client.user_named(name).await?;
            Ok(client.put_user_tags(&user, tags).await?)
        }
        Users::Delete { name } => {
            session.confirm(&format!("Delete user '{name}' with all permissions?"))?;
            Ok(client.delete_user(name).await?)
        }
    }
}

/// From the environment or stdin, so that no list of processes ever shows it.
fn new_password() -> anyhow::Result<String> {
    if let Ok(password) = std::env::var("LEVERET_NEW_PASSWORD") {
        return Ok(password);
    }
    if std::io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "the password is read from LEVERET_NEW_PASSWORD, or from stdin where that is no terminal"
                .to_owned(),
        )
        .into());
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    match line.trim_end_matches(['\r', '\n']) {
        "" => Err(Failure::Usage("stdin holds no password".to_owned()).into()),
        password => Ok(password.to_owned()),
    }
}

pub async fn permissions(session: &Session, command: &Permissions) -> anyhow::Result<()> {
    let client = &session.client;
    match command {
        Permissions::List => session.list::<Permission>(
            &client.permissions().await?,
            &[
                ("user", &|permission| permission.user.clone()),
                ("vhost", &|permission| permission.vhost.clone()),
                ("configure", &|permission| permission.configure.clone()),
                ("write", &|permission| permission.write.clone()),
                ("read", &|permission| permission.read.clone()),
            ],
        ),
        Permissions::Set { name, configure, write, read } => {
            let permission = Permission {
                user: name.clone(),
                vhost: session.vhost.clone(),
                configure: configure.clone(),
                write: write.clone(),
                read: read.clone(),
            };
            Ok(client.put_permission(&permission).await?)
        }
        Permissions::Clear { name } => Ok(client.delete_permission(&session.vhost, name).await?),
    }
}

pub async fn vhosts(session: &Session, command: &Vhosts) -> anyhow::Result<()> {
    let client = &session.client;
    match command {
        Vhosts::List => session.list::<Vhost>(
            &client.vhosts().await?,
            &[
                ("name", &|vhost| vhost.name.clone()),
                ("description", &|vhost| vhost.description.clone()),
                ("tags", &|vhost| vhost.tags.join(", ")),
                ("ready", &|vhost| vhost.totals.messages_ready.to_string()),
                ("unacked", &|vhost| vhost.totals.messages_unacknowledged.to_string()),
                ("protected", &|vhost| if vhost.protected_from_deletion { "yes" } else { "" }.to_owned()),
            ],
        ),
        Vhosts::Put { name, description, tags } => Ok(client.put_vhost(name, description, tags).await?),
        Vhosts::Delete { name } => {
            session.confirm(&format!("Delete vhost '{name}' with all queues and messages in it?"))?;
            Ok(client.delete_vhost(name).await?)
        }
        Vhosts::Protect { name } => Ok(client.protect_vhost(name, true).await?),
        Vhosts::Unprotect { name } => Ok(client.protect_vhost(name, false).await?),
    }
}

pub async fn policies(session: &Session, command: &Policies) -> anyhow::Result<()> {
    let (client, vhost) = (&session.client, session.vhost.as_str());
    match command {
        Policies::List { operator } => session.list::<Policy>(
            &client.policies(Some(vhost), *operator).await?,
            &[
                ("name", &|policy| policy.name.clone()),
                ("pattern", &|policy| policy.pattern.clone()),
                ("applies to", &|policy| policy.apply_to.clone()),
                ("priority", &|policy| policy.priority.to_string()),
                ("definition", &|policy| arguments(&policy.definition)),
            ],
        ),
        Policies::Set(options) => Ok(client.put_policy(&policy(vhost, options), options.operator).await?),
        Policies::Preview(options) => {
            let preview = client.preview_policy(&policy(vhost, options)).await?;
            session.list::<PolicyMatch>(
                &preview.matches,
                &[
                    ("name", &|found| found.name.clone()),
                    ("kind", &|found| found.kind.clone()),
                    ("now", &|found| found.current.clone().unwrap_or_default()),
                    ("takes effect", &|found| if found.wins { "yes" } else { "no" }.to_owned()),
                    ("in effect then", &|found| arguments(&found.effective)),
                ],
            )
        }
        Policies::Delete { name, operator } => Ok(client.delete_policy(vhost, name, *operator).await?),
    }
}

fn policy(vhost: &str, options: &PolicyArguments) -> Policy {
    Policy {
        vhost: vhost.to_owned(),
        name: options.name.clone(),
        pattern: options.pattern.clone(),
        apply_to: options.apply_to.clone(),
        priority: options.priority,
        definition: options.definition.iter().cloned().collect(),
    }
}

pub async fn limits(session: &Session, command: &Limits) -> anyhow::Result<()> {
    let client = &session.client;
    match command {
        Limits::List => {
            #[derive(Serialize)]
            struct Limit {
                of: &'static str,
                name: String,
                limits: leveret_client::admin::types::Arguments,
            }
            let vhosts = client.vhost_limits().await?.into_iter();
            let users = client.user_limits().await?.into_iter();
            let limits: Vec<Limit> = vhosts
                .map(|of| Limit { of: "vhost", name: of.vhost, limits: of.value })
                .chain(users.map(|of| Limit { of: "user", name: of.user, limits: of.value }))
                .collect();
            session.list::<Limit>(
                &limits,
                &[
                    ("of", &|limit| limit.of.to_owned()),
                    ("name", &|limit| limit.name.clone()),
                    ("limits", &|limit| arguments(&limit.limits)),
                ],
            )
        }
        Limits::Set { of: LimitOf::Vhost, name, limit, value } => {
            Ok(client.put_vhost_limit(name, limit, *value).await?)
        }
        Limits::Set { of: LimitOf::User, name, limit, value } => {
            Ok(client.put_user_limit(name, limit, *value).await?)
        }
        Limits::Clear { of: LimitOf::Vhost, name, limit } => {
            Ok(client.delete_vhost_limit(name, limit).await?)
        }
        Limits::Clear { of: LimitOf::User, name, limit } => Ok(client.delete_user_limit(name, limit).await?),
    }
}
