//! Where the admin API is and who logs in: flags and environment first, then the profile, then what is usual.
//!
//! ```toml
//! # ~/.config/leveret/leveretctl.toml
//! default_profile = "local"
//!
//! [profiles.local]
//! admin = "http://127.0.0.1:15672"
//!
//! [profiles.production]
//! admin = "https://broker.example:15671"
//! user = "ops"
//! password_file = "/home/me/.config/leveret/production.password"
//! ca = "/etc/leveret/ca.pem"
//! vhost = "orders"
//! ```

use super::arguments::AdminConnect;
use crate::exit::Failure;
use anyhow::Context;
use leveret_client::admin::Client;
use serde::Deserialize;
use std::{collections::BTreeMap, path::Path, path::PathBuf, time::Duration};

/// A broker to talk to, and how to answer.
pub struct Session {
    pub client: Client,
    pub vhost: String,
    pub json: bool,
    pub yes: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profiles {
    default_profile: Option<String>,
    #[serde(default)]
    profiles: BTreeMap<String, Profile>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Profile {
    admin: Option<String>,
    user: Option<String>,
    password_file: Option<PathBuf>,
    ca: Option<PathBuf>,
    vhost: Option<String>,
}

impl Session {
    /// Brings flags, environment and profile together.
    pub fn open(connect: &AdminConnect, timeout: Duration) -> anyhow::Result<Session> {
        let profile = profile(connect.profile.as_deref())?;
        let url = connect.admin.clone().or(profile.admin).unwrap_or_else(|| DEFAULT_URL.to_owned());
        let user = connect.user.clone().or(profile.user).unwrap_or_else(|| "guest".to_owned());
        let password = match std::env::var("LEVERET_PASSWORD") {
            Ok(password) => password,
            Err(_) => match connect.password_file.as_ref().or(profile.password_file.as_ref()) {
                Some(file) => first_line(file)?,
                None if user == "guest" => "guest".to_owned(),
                None => {
                    return Err(Failure::Usage(format!(
                        "no password for user '{user}': set LEVERET_PASSWORD or give --password-file"
                    ))
                    .into());
                }
            },
        };
        let mut builder = Client::builder(url).login(user, password).timeout(timeout);
        if let Some(file) = connect.ca.as_ref().or(profile.ca.as_ref()) {
            let pem = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            builder = builder.authorities(pem);
        }
        Ok(Session {
            client: builder.build()?,
            vhost: connect.vhost.clone().or(profile.vhost).unwrap_or_else(|| "/".to_owned()),
            json: connect.json,
            yes: connect.yes,
        })
    }
}

fn profile(name: Option<&str>) -> anyhow::Result<Profile> {
    let Some(file) = configuration_file() else { return Ok(Profile::default()) };
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    choose(&text, name).with_context(|| format!("in {}", file.display()))
}

fn choose(text: &str, name: Option<&str>) -> anyhow::Result<Profile> {
    let profiles: Profiles = toml::from_str(text)?;
    let Some(name) = name.map(str::to_owned).or(profiles.default_profile) else {
        return Ok(Profile::default());
    };
    let known: Vec<&str> = profiles.profiles.keys().map(String::as_str).collect();
    match profiles.profiles.get(&name) {
        Some(profile) => Ok(profile.clone()),
        None => Err(Failure::Usage(format!("no profile '{name}'; there are: {}", known.join(", "))).into()),
    }
}

fn configuration_file() -> Option<PathBuf> {
    if let Some(file) = std::env::var_os("LEVERETCTL_CONFIG") {
        return Some(file.into());
    }
    let folder = match std::env::var_os("XDG_CONFIG_HOME").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(std::env::var_os("HOME")?).join(".config"),
    };
    Some(folder.join("leveret/leveretctl.toml"))
}

fn first_line(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the password file {}", file.display()))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

const DEFAULT_URL: &str = "http://127.0.0.1:15672";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_chosen_by_name_or_by_default() {
        let text = "default_profile = 'a'\n[profiles.a]\nuser = 'anna'\n[profiles.b]\nvhost = 'v'\n";
        assert_eq!(choose(text, None).expect("a").user.as_deref(), Some("anna"));
        assert_eq!(choose(text, Some("b")).expect("b").vhost.as_deref(), Some("v"));
        let error = format!("{:#}", choose(text, Some("c")).expect_err("no c"));
        assert!(error.contains("a, b"), "{error}");
        assert!(choose("", None).expect("nothing").admin.is_none());
        assert!(choose("[profiles.a]\npassword = 'x'", None).is_err(), "passwords do not belong here");
    }
}
