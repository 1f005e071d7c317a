//! What the console remembers between runs: brokers, the look, tables. A versioned TOML file without passwords.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The version of the file that is written.
const VERSION: u32 = 1;

/// What the console remembers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    pub version: u32,
    pub look: Look,
    pub language: Language,
    /// Size of everything, 0.7 to 2.5.
    pub zoom: f32,
    pub reduce_motion: bool,
    /// Icons only on the left.
    pub narrow_navigation: bool,
    /// Which of the brokers was connected last.
    pub last: Option<String>,
    pub brokers: Vec<SavedBroker>,
    /// How tables look, by their names.
    pub tables: BTreeMap<String, TableSettings>,
    /// Messages that are sent often.
    pub templates: Vec<crate::draft::Draft>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            version: VERSION,
            look: Look::System,
            language: Language::System,
            zoom: 1.0,
            reduce_motion: false,
            narrow_navigation: false,
            last: None,
            brokers: Vec::new(),
            tables: BTreeMap::new(),
            templates: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Look {
    System,
    Dark,
    Light,
    HighContrast,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Language {
    #[serde(rename = "system")]
    System,
    #[serde(rename = "en")]
    English,
    #[serde(rename = "zh-CN")]
    Chinese,
}

/// A broker one connects to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SavedBroker {
    pub name: String,
    /// `http://127.0.0.1:15672`
    pub url: String,
    pub user: String,
    /// Mistakes are dear there: everything that loses something has to be typed out.
    pub production: bool,
    /// Nothing can be changed.
    pub read_only: bool,
    /// Which of the series colours marks it.
    pub colour: u8,
    /// The password is in the keyring of the system.
    pub keep_password: bool,
}

impl Default for SavedBroker {
    fn default() -> SavedBroker {
        SavedBroker {
            name: String::new(),
            url: "http://127.0.0.1:15672".to_owned(),
            user: "guest".to_owned(),
            production: false,
            read_only: false,
            colour: 1,
            keep_password: false,
        }
    }
}

impl SavedBroker {
    /// A broker at `url`, which may carry `user:password@`; the password comes apart.
    pub fn from_url(url: &str) -> Result<(SavedBroker, Option<String>), String> {
        let address = Address::parse(url)?;
        let broker = SavedBroker {
            name: address.host_and_port(),
            url: address.to_string(),
            user: address.user.clone().unwrap_or_else(|| "guest".to_owned()),
            ..SavedBroker::default()
        };
        Ok((broker, address.password))
    }

    /// Tells it from others: who one is where.
    pub fn key(&self) -> String {
        format!("{}@{}", self.user, self.url)
    }

    /// What it is called on the screen.
    pub fn title(&self) -> String {
        if self.name.is_empty() {
            Address::parse(&self.url).map_or_else(|_| self.url.clone(), |address| address.host_and_port())
        } else {
            self.name.clone()
        }
    }
}

/// The parts of the address of an admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub tls: bool,
    pub host: String,
    pub port: u16,
    /// Before `/api`, without a slash at its end.
    pub prefix: String,
    pub user: Option<String>,
    pub password: Option<String>,
}

impl Address {
    pub fn parse(url: &str) -> Result<Address, String> {
        let url = url.trim();
        let (tls, rest) = match url.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some((scheme, _)) => return Err(format!("{scheme}:// is not http:// or https://")),
            None => (false, url),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, authority) = match authority.rsplit_once('@') {
            Some((login, authority)) => (Some(login), authority),
            None => (None, authority),
        };
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
            Some((user, "")) => (Some(user.to_owned()), None),
            Some((user, password)) => (Some(user.to_owned()), Some(password.to_owned())),
            None => (None, None),
        };
        let default_port = if tls { 15671 } else { 15672 };
        let (host, port) = if let Some(rest) = authority.strip_prefix('[') {
            let (host, after) = rest.split_once(']').ok_or("the [ of the address has no ]")?;
            (host, after.strip_prefix(':'))
        } else {
            match authority.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            }
        };
        if host.is_empty() {
            return Err("the name of the host is missing".to_owned());
        }
        let port = match port {
            Some(port) => port.parse().map_err(|_| format!("{port} is not a port"))?,
            None => default_port,
        };
        let path = path.trim_end_matches('/');
        let path = path.strip_suffix("api").unwrap_or(path).trim_end_matches('/');
        let prefix = if path.is_empty() { String::new() } else { format!("/{path}") };
        Ok(Address { tls, host: host.to_owned(), port, prefix, user, password })
    }

    pub fn host_and_port(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// Without user and password.
impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.host_and_port(), self.prefix)
    }
}

/// How a table looks.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TableSettings {
    /// Columns that are not shown, of those that are by default.
    pub hidden: Vec<String>,
    /// Columns that are shown, of those that are not by default.
    pub shown: Vec<String>,
    /// Widths that were changed.
    pub widths: BTreeMap<String, f32>,
    /// Column, and `-` before it when descending.
    pub sort: Option<String>,
}

impl Settings {
    /// Reads the file. What does not make sense takes its default; a file of a later version is an error, so that
    /// it is not overwritten.
    pub fn parse(text: &str) -> Result<Settings, String> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
        let version = table.get("version").and_then(toml::Value::as_integer).unwrap_or(0);
        if version > i64::from(VERSION) {
            return Err(format!("it was written by a later version of the console ({version})"));
        }
        let mut settings: Settings =
            table.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
        settings.version = VERSION;
        settings.zoom = if settings.zoom.is_finite() { settings.zoom.clamp(0.7, 2.5) } else { 1.0 };
        Ok(settings)
    }

    pub fn to_text(&self) -> String {
        let head = "# Settings of leveret-admin. Passwords are not here.\n\n";
        match toml::to_string_pretty(self) {
            Ok(text) => format!("{head}{text}"),
            // Numbers, texts and tables: there is nothing that TOML has no form for.
            Err(_) => head.to_owned(),
        }
    }

    /// Adds a broker, or replaces the one of the same address and user.
    pub fn remember(&mut self, broker: SavedBroker) {
        self.last = Some(broker.url.clone());
        let same = |known: &&mut SavedBroker| known.url == broker.url && known.user == broker.user;
        match self.brokers.iter_mut().find(same) {
            Some(known) => *known = broker,
            None => self.brokers.push(broker),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_come_back_as_they_were_written() {
        let mut settings =
            Settings { look: Look::HighContrast, language: Language::Chinese, ..Settings::default() };
        settings.remember(SavedBroker {
            name: "订单".to_owned(),
            production: true,
            ..SavedBroker::default()
        });
        let table = settings.tables.entry("queues".to_owned()).or_default();
        table.widths.insert("name".to_owned(), 312.5);
        table.sort = Some("-ready".to_owned());
        assert_eq!(Settings::parse(&settings.to_text()), Ok(settings));
    }

    #[test]
    fn an_empty_file_is_all_defaults_and_a_later_one_is_left_alone() {
        assert_eq!(Settings::parse(""), Ok(Settings::default()));
        assert!(Settings::parse("version = 2").is_err());
        assert!(Settings::parse("version = ").is_err());
        assert_eq!(Settings::parse("zoom = 90.0").map(|settings| settings.zoom), Ok(2.5));
    }

    #[test]
    fn a_broker_is_remembered_once() {
        let mut settings = Settings::default();
        settings.remember(SavedBroker::default());
        settings.remember(SavedBroker { name: "local".to_owned(), ..SavedBroker::default() });
        settings.remember(SavedBroker { user: "admin".to_owned(), ..SavedBroker::default() });
        assert_eq!(settings.brokers.len(), 2);
        assert_eq!(settings.brokers[0].name, "local");
    }

    #[test]
    fn addresses_have_defaults() {
        let check = |url: &str, expected: &str| {
            assert_eq!(Address::parse(url).map(|address| address.to_string()), Ok(expected.to_owned()));
        };
        check("localhost", "http://localhost:15672");
        check("http://localhost:8080/", "http://localhost:8080");
        check("https://broker.example/rabbit/api/", "https://broker.example:15671/rabbit");
        check("http://[::1]:9/api", "http://[::1]:9");
        assert!(Address::parse("amqp://localhost").is_err());
        assert!(Address::parse("http://localhost:many").is_err());
        assert!(Address::parse("http://").is_err());
    }

    #[test]
    fn the_password_of_an_address_is_taken_out_of_it() {
        let (broker, password) = SavedBroker::from_url("http://ops:p:w@10.0.0.1:15672").expect("an address");
        assert_eq!((broker.user.as_str(), broker.url.as_str()), ("ops", "http://10.0.0.1:15672"));
        assert_eq!(password.as_deref(), Some("p:w"));
    }
}
