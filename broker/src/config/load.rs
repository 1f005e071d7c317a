//! Brings the layers together: file, environment, flags, each above the one before.
//!
//! Every layer is read to its end before anything is judged, so that a rule is held against the value that wins, and
//! the error names the place where that value was written.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Config;
use super::keys::{self, Given, KEYS, Key};

/// A configuration, and where each of its values comes from.
#[derive(Debug)]
pub struct Loaded {
    pub config: Config,
    /// As [`KEYS`].
    origins: Vec<Origin>,
}

/// A command-line flag that sets a key.
#[derive(Debug, Clone)]
pub struct Flag {
    /// As the user typed it: `--amqp-listen`.
    pub flag: &'static str,
    /// What it sets: `amqp.listen`.
    pub key: &'static str,
    /// One for each time it was given; more than one only for keys that take lists.
    pub values: Vec<String>,
}

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    Default,
    File { file: PathBuf, line: usize },
    Environment(String),
    Flag(&'static str),
}

/// Why there is no configuration.
#[derive(Debug, Error)]
pub enum ConfigError {
    #[error("cannot read configuration file {}: {error}", file.display())]
    Read { file: PathBuf, error: std::io::Error },
    #[error("{}: {message}", Origin::File { file: file.clone(), line: *line })]
    Syntax { file: PathBuf, line: usize, message: String },
    #[error("{origin}: unknown key {key}; {known}")]
    Unknown { origin: Origin, key: String, known: String },
    #[error("{origin}: {key} {rule}")]
    Rule { origin: Origin, key: String, rule: String },
}

impl Config {
    /// Reads all layers and checks the result.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        flags: &[Flag],
    ) -> Result<Loaded, ConfigError> {
        let mut loaded = Loaded { config: Config::default(), origins: vec![Origin::Default; KEYS.len()] };
        if let Some(file) = file {
            let text = std::fs::read_to_string(file)
                .map_err(|error| ConfigError::Read { file: file.to_path_buf(), error })?;
            loaded.read_file(file, &text)?;
        }
        loaded.read_environment(environment)?;
        for flag in flags.iter().filter(|flag| !flag.values.is_empty()) {
            let origin = Origin::Flag(flag.flag);
            let Some(key) = keys::find(flag.key) else {
                return Err(ConfigError::Unknown { origin, key: flag.key.to_owned(), known: known("") });
            };
            let given = match flag.values.as_slice() {
                [value] => Given::Untyped(value.clone()),
                values => Given::List(values.to_vec()),
            };
            loaded.set(key, &given, origin)?;
        }
        loaded.check()?;
        Ok(loaded)
    }

    /// Every key with its value as it is written in the file; passwords are not shown.
    pub fn shown(&self) -> Vec<(&'static str, Option<String>)> {
        let value = |key: &Key| match key.name {
            "default_password" => Some("***".to_owned()),
            _ => (key.show)(self),
        };
        KEYS.iter().map(|key| (key.name, value(key))).collect()
    }

    /// Checks what [`Config::load`] checks, for a configuration that was made otherwise.
    pub fn validate(&self) -> Result<(), ConfigError> {
        Loaded { config: self.clone(), origins: vec![Origin::Default; KEYS.len()] }.check()
    }
}

impl Loaded {
    /// Every key with its value and where it comes from, as TOML; passwords are not shown.
    pub fn effective(&self) -> String {
        let mut text = String::new();
        let mut section = "";
        for (key, origin) in KEYS.iter().zip(&self.origins) {
            if key.section() != section {
                section = key.section();
                text.push_str(&format!("\n[{section}]\n"));
            }
            let short = key.name.rsplit('.').next().unwrap_or(key.name);
            let line = match (key.show)(&self.config) {
                Some(_) if key.name == "default_password" => format!("{short} = \"***\""),
                Some(value) => format!("{short} = {value}"),
                None => format!("# {short} is not set"),
            };
            text.push_str(&format!("{line:<50} # {origin}\n"));
        }
        text
    }

    fn read_file(&mut self, file: &Path, text: &str) -> Result<(), ConfigError> {
        let place = |at: usize| Origin::File {
            file: file.to_path_buf(),
            line: text.get(..at).unwrap_or(text).matches('\n').count() + 1,
        };
        let syntax = |error: toml::de::Error| ConfigError::Syntax {
            file: file.to_path_buf(),
            line: text[..error.span().map_or(0, |span| span.start.min(text.len()))].matches('\n').count() + 1,
            message: error.message().to_owned(),
        };
        let document = DeTable::parse(text).map_err(syntax)?;
        for (name, value) in document.get_ref() {
            let origin = place(name.span().start);
            if let Some(key) = keys::find(name.get_ref()) {
                self.set(key, &given(value), origin)?;
                continue;
            }
            let section = name.get_ref().as_ref();
            if !KEYS.iter().any(|key| key.section() == section && !section.is_empty()) {
                return Err(ConfigError::Unknown { origin, key: section.to_owned(), known: known("") });
            }
            let Some(table) = value.get_ref().as_table() else {
                let rule = format!("must be a section, as in [{section}]");
                return Err(ConfigError::Rule { origin, key: section.to_owned(), rule });
            };
            for (name, value) in table {
                let origin = place(name.span().start);
                let full = format!("{section}.{}", name.get_ref());
                match keys::find(&full) {
                    Some(key) => self.set(key, &given(value), origin)?,
                    None => return Err(ConfigError::Unknown { origin, key: full, known: known(section) }),
                }
            }
        }
        Ok(())
    }

    /// A variable that begins like a key, `LEVERET_STORE_...`, but names none is an error, as it would be in the file.
    /// Other names with our prefix are not the broker's to judge: `leveretctl` has some, and Kubernetes sets
    /// `LEVERET_PORT` and `LEVERET_SERVICE_HOST` for a service of that name, and even `LEVERET_ADMIN_SERVICE_PORT`.
    fn read_environment(
        &mut self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(), ConfigError> {
        for (variable, value) in environment {
            let Some(variable) = variable.to_str().filter(|variable| variable.starts_with("LEVERET_")) else {
                continue;
            };
            let origin = || Origin::Environment(variable.to_owned());
            if let Some(key) = KEYS.iter().find(|key| key.variable() == variable) {
                let Ok(value) = value.into_string() else {
                    let rule = "must be valid UTF-8".to_owned();
                    return Err(ConfigError::Rule { origin: origin(), key: key.name.to_owned(), rule });
                };
                self.set(key, &Given::Untyped(value), origin())?;
                continue;
            }
            let is_service_link = variable.contains("_SERVICE_") || variable.contains("_PORT");
            let Some((section, rest)) = variable["LEVERET_".len()..].split_once('_') else { continue };
            let (section, rest) = (section.to_lowercase(), rest.to_lowercase());
            if !is_service_link && KEYS.iter().any(|key| key.section() == section) {
                let (key, known) = (format!("{section}.{rest}"), known(&section));
                return Err(ConfigError::Unknown { origin: origin(), key, known });
            }
        }
        Ok(())
    }

    fn set(&mut self, key: &'static Key, given: &Given, origin: Origin) -> Result<(), ConfigError> {
        (key.set)(&mut self.config, given).map_err(|rule| ConfigError::Rule {
            origin: origin.clone(),
            key: key.name.to_owned(),
            rule,
        })?;
        if let Some(index) = KEYS.iter().position(|other| other.name == key.name) {
            self.origins[index] = origin;
        }
        Ok(())
    }

    fn check(&self) -> Result<(), ConfigError> {
        for key in KEYS {
            (key.check)(&self.config).map_err(|rule| self.broken(key.name, rule))?;
        }
        let Config { amqp, admin, tls, .. } = &self.config;
        let has_both = tls.certificate.is_some() && tls.key.is_some();
        for (name, listeners) in
            [("amqp.tls_listen", &amqp.tls_listen), ("admin.tls_listen", &admin.tls_listen)]
        {
            if !listeners.is_empty() && !has_both {
                return Err(self.broken(name, "needs tls.certificate and tls.key".to_owned()));
            }
        }
        match (&tls.certificate, &tls.key) {
            (Some(_), None) => {
                return Err(self.broken("tls.certificate", "needs tls.key beside it".to_owned()));
            }
            (None, Some(_)) => {
                return Err(self.broken("tls.key", "needs tls.certificate beside it".to_owned()));
            }
            _ => {}
        }
        if amqp.listen.is_empty() && amqp.tls_listen.is_empty() {
            let rule = "must not be empty unless amqp.tls_listen has an address".to_owned();
            return Err(self.broken("amqp.listen", rule));
        }
        Ok(())
    }

    fn broken(&self, key: &str, rule: String) -> ConfigError {
        let index = KEYS.iter().position(|other| other.name == key);
        let origin = index.map_or(Origin::Default, |index| self.origins[index].clone());
        ConfigError::Rule { origin, key: key.to_owned(), rule }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => write!(f, "default"),
            Origin::File { file, line } => write!(f, "{}:{line}", file.display()),
            Origin::Environment(variable) => write!(f, "environment variable {variable}"),
            Origin::Flag(flag) => write!(f, "flag {flag}"),
        }
    }
}

/// What would have been right in that section: `[log] has filter, format`.
fn known(section: &str) -> String {
    let in_section = KEYS.iter().filter(|key| key.section() == section);
    let names: Vec<&str> = in_section.filter_map(|key| key.name.rsplit('.').next()).collect();
    if !section.is_empty() {
        return format!("[{section}] has {}", names.join(", "));
    }
    let mut sections: Vec<&str> =
        KEYS.iter().map(Key::section).filter(|section| !section.is_empty()).collect();
    sections.dedup();
    format!("there are {}, and the sections {}", names.join(", "), sections.join(", "))
}

/// A value of the file as keys take it.
fn given(value: &Spanned<DeValue<'_>>) -> Given {
    match value.get_ref() {
        DeValue::String(text) => Given::Text(text.clone().into_owned()),
        DeValue::Integer(number) => match i128::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Given::Integer(number),
            Err(_) => Given::Other("a number of that size"),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Given::Float(number),
            Err(_) => Given::Other("a number of that size"),
        },
        DeValue::Boolean(_) => Given::Other("a boolean"),
        DeValue::Datetime(_) => Given::Other("a date"),
        DeValue::Array(items) => {
            let strings: Option<Vec<String>> =
                items.iter().map(|item| Some(item.get_ref().as_str()?.to_owned())).collect();
            strings.map_or(Given::Other("a list of something else"), Given::List)
        }
        DeValue::Table(_) => Given::Other("a section"),
    }
}
