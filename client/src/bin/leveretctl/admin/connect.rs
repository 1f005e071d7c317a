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
use super::keyring;
use crate::exit::Failure;
use anyhow::Context;
use leveret_client::admin::Client;
use serde::Deserialize;
use std::{collections::BTreeMap, io::IsTerminal, path::Path, path::PathBuf, time::Duration};

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
        let url = connect.admin.clone().or(profile.admin.clone()).unwrap_or_else(|| DEFAULT_URL.to_owned());
        let user = connect.user.clone().or(profile.user.clone()).unwrap_or_else(|| GUEST.to_owned());
        let given = given_password(connect.password_file.as_deref().or(profile.password_file.as_deref()))?;
        let password = match given {
            Some(password) => password,
            None if user == GUEST => GUEST.to_owned(),
            None => keyring::look_up(&user, &url).map_err(|reason| {
                let advice = "log in, set LEVERET_PASSWORD or give --password-file";
                Failure::Usage(format!("no password for user '{user}' ({reason}): {advice}"))
            })?,
        };
        let mut builder = Client::builder(&url).login(user, password).timeout(timeout);
        if let Some(pem) = authorities(connect, &profile)? {
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

/// Checks a password and keeps it in the keyring.
pub async fn log_in(connect: &AdminConnect, timeout: Duration) -> anyhow::Result<()> {
    let profile = profile(connect.profile.as_deref())?;
    let (url, user) = where_and_who(connect, &profile)?;
    let password = match given_password(connect.password_file.as_deref())? {
        Some(password) => password,
        None => from_stdin()?,
    };
    let mut builder = Client::builder(&url).login(&user, &password).timeout(timeout);
    if let Some(pem) = authorities(connect, &profile)? {
        builder = builder.authorities(pem);
    }
    let who = builder.build()?.whoami().await?;
    keyring::keep(&user, &url, &password).map_err(Failure::Keyring)?;
    eprintln!("logged in as {} ({}); the password is in the keyring", who.name, who.tags.join(", "));
    Ok(())
}

/// Takes a password out of the keyring.
pub fn log_out(connect: &AdminConnect) -> anyhow::Result<()> {
    let (url, user) = where_and_who(connect, &profile(connect.profile.as_deref())?)?;
    Ok(keyring::forget(&user, &url).map_err(Failure::Keyring)?)
}

fn where_and_who(connect: &AdminConnect, profile: &Profile) -> anyhow::Result<(String, String)> {
    let url = connect.admin.clone().or(profile.admin.clone()).unwrap_or_else(|| DEFAULT_URL.to_owned());
    match connect.user.clone().or(profile.user.clone()) {
        Some(user) if user != GUEST => Ok((url, user)),
        _ => Err(Failure::Usage("whose password? Give --user, or --profile".to_owned()).into()),
    }
}

fn authorities(connect: &AdminConnect, profile: &Profile) -> anyhow::Result<Option<Vec<u8>>> {
    let Some(file) = connect.ca.as_ref().or(profile.ca.as_ref()) else { return Ok(None) };
    let pem = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(Some(pem))
}

fn given_password(file: Option<&Path>) -> anyhow::Result<Option<String>> {
    match std::env::var("LEVERET_PASSWORD") {
        Ok(password) => Ok(Some(password)),
        Err(_) => file.map(first_line).transpose(),
    }
}

fn from_stdin() -> anyhow::Result<String> {
    if std::io::stdin().is_terminal() {
        eprint!("Password (it will be seen as you type): ");
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    match line.trim_end_matches(['\r', '\n']) {
        "" => Err(Failure::Usage("stdin holds no password".to_owned()).into()),
        password => Ok(password.to_owned()),
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

/// Its password is its name, and it gets in from the broker's own machine only: no keyring is asked for that.
const GUEST: &str = "guest";
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
