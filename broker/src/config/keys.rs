//! The table of keys: one line each, with the rule its value must satisfy.
//!
//! A value arrives as [`Given`], whatever layer it comes from; its type turns it into itself or says what it must be.
//! Rules complete sentences that begin with the key: `amqp.frame_max` + `must be at least 4096`.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{Config, LogFormat, Secret, SyncPolicy};
use crate::logging;

/// One setting.
pub struct Key {
    /// Its name in the file: `amqp.frame_max`.
    pub name: &'static str,
    /// Puts a given value into the configuration, or says what it must be.
    pub set: fn(&mut Config, &Given) -> Result<(), String>,
    /// The value as it is written in the file; none when nothing is set.
    pub show: fn(&Config) -> Option<String>,
    /// Checks the rule.
    pub check: fn(&Config) -> Result<(), String>,
}

/// A value on its way into the configuration.
#[derive(Debug, Clone, PartialEq)]
pub enum Given {
    /// From the environment or a flag: what it means is the key's business.
    Untyped(String),
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<String>),
    /// Something no key takes; the text names it.
    Other(&'static str),
}

macro_rules! key {
    ($first:ident $(.$rest:ident)*) => { key!($first $(.$rest)*, |_| Ok(())) };
    ($first:ident $(.$rest:ident)*, $rule:expr) => {
        Key {
            name: concat!(stringify!($first) $(, ".", stringify!($rest))*),
            set: |config, given| {
                config.$first $(.$rest)* = Value::read(given)?;
                Ok(())
            },
            show: |config| Value::show(&config.$first $(.$rest)*),
            check: |config| {
                let rule: fn(&_) -> Result<(), String> = $rule;
                rule(&config.$first $(.$rest)*)
            },
        }
    };
}

/// Every key, in the order of the reference file.
pub const KEYS: &[Key] = &[
    key!(data_dir, |path: &PathBuf| must(!path.as_os_str().is_empty(), "not be empty")),
    key!(default_user, |user| name(user)),
    key!(default_password),
    key!(load_definitions),
    key!(loopback_users),
    key!(amqp.listen),
    key!(amqp.tls_listen),
    key!(amqp.frame_max, |&bytes| between(bytes, 4096, 128 << 20)),
    key!(amqp.channel_max, |&channels| must(channels > 0, "be at least 1")),
    key!(amqp.heartbeat_s),
    key!(amqp.handshake_timeout_ms, |&time| between(time, 1, HOUR_MS)),
    key!(amqp.max_message_bytes, |&bytes| between(bytes, 1, 512 << 20)),
    key!(amqp.consumer_timeout_ms, |&time| between(time, 0, 10 * 365 * 24 * HOUR_MS)),
    key!(admin.listen),
    key!(admin.tls_listen),
    key!(audit.entries_max, |&entries| between(entries, 1, 1_000_000)),
    key!(audit.days_max, |&days| between(days, 1, 100_000)),
    key!(tls.certificate),
    key!(tls.key),
    key!(tls.client_ca),
    key!(identity.product, |product| name(product)),
    key!(identity.version, |version| name(version)),
    key!(identity.cluster_name, |cluster| name(cluster)),
    key!(log.filter, |filter| logging::check_filter(filter)),
    key!(log.format),
    key!(store.sync),
    key!(store.sync_interval_ms, |&time| between(time, 1, HOUR_MS)),
    key!(store.write_buffer_bytes, |&bytes| between(bytes, 1 << 20, 1 << 40)),
    key!(store.wal_bytes_max, |&bytes| between(bytes, 1 << 20, 1 << 40)),
    key!(memory.message_bytes, |&bytes| must(bytes >= 1 << 16, "be at least 65536")),
    key!(memory.high_watermark, |share| must((0.0..=1.0).contains(share), "be between 0.0 and 1.0")),
    key!(disk.free_limit_bytes),
    key!(runtime.threads, |&threads| between(threads as u64, 0, 1024)),
];

/// The key of that name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

impl Key {
    /// The environment variable that sets it.
    pub fn variable(&self) -> String {
        format!("LEVERET_{}", self.name.replace('.', "_").to_uppercase())
    }

    /// Its section in the file: `amqp`, or nothing.
    pub fn section(&self) -> &'static str {
        self.name.split_once('.').map_or("", |(section, _)| section)
    }
}

/// A type that a key may have.
trait Value: Sized {
    fn read(given: &Given) -> Result<Self, String>;
    fn show(&self) -> Option<String>;
}

macro_rules! integers {
    ($($type:ident),*) => {$(
        impl Value for $type {
            fn read(given: &Given) -> Result<Self, String> {
                let number = match given {
                    Given::Integer(number) => Some(*number),
                    Given::Untyped(text) => text.trim().parse().ok(),
                    _ => None,
                };
                let number = number.ok_or_else(|| wrong_type("an integer", given))?;
                $type::try_from(number).map_err(|_| format!("must be between 0 and {}", $type::MAX))
            }

            fn show(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )*};
}

integers!(u16, u32, u64, usize);

impl Value for f64 {
    fn read(given: &Given) -> Result<Self, String> {
        let number = match given {
            Given::Float(number) => Some(*number),
            Given::Integer(number) => Some(*number as f64),
            Given::Untyped(text) => text.trim().parse().ok(),
            _ => None,
        };
        number.ok_or_else(|| wrong_type("a number", given))
    }

    fn show(&self) -> Option<String> {
        Some(format!("{self:?}"))
    }
}

impl Value for String {
    fn read(given: &Given) -> Result<Self, String> {
        match given {
            Given::Text(text) | Given::Untyped(text) => Ok(text.clone()),
            _ => Err(wrong_type("a string", given)),
        }
    }

    fn show(&self) -> Option<String> {
        Some(toml::Value::from(self.as_str()).to_string())
    }
}

impl Value for Secret {
    fn read(given: &Given) -> Result<Self, String> {
        String::read(given).map(Secret)
    }

    fn show(&self) -> Option<String> {
        self.0.show()
    }
}

impl Value for PathBuf {
    fn read(given: &Given) -> Result<Self, String> {
        String::read(given).map(PathBuf::from)
    }

    fn show(&self) -> Option<String> {
        self.to_string_lossy().into_owned().show()
    }
}

/// An empty string says that nothing is set, so that a layer can take back what a lower one said.
impl Value for Option<PathBuf> {
    fn read(given: &Given) -> Result<Self, String> {
        Ok(Some(PathBuf::read(given)?).filter(|path| !path.as_os_str().is_empty()))
    }

    fn show(&self) -> Option<String> {
        self.as_ref()?.show()
    }
}

impl Value for Vec<String> {
    fn read(given: &Given) -> Result<Self, String> {
        match given {
            Given::List(items) => Ok(items.clone()),
            Given::Untyped(text) => Ok(text
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty())
                .map(str::to_owned)
                .collect()),
            _ => Err(wrong_type("a list of strings", given)),
        }
    }

    fn show(&self) -> Option<String> {
        Some(toml::Value::from(self.clone()).to_string())
    }
}

impl Value for Vec<SocketAddr> {
    fn read(given: &Given) -> Result<Self, String> {
        let address = |item: &String| {
            item.parse().map_err(|_| {
                format!("must be a list of ADDRESS:PORT such as 127.0.0.1:5672 or [::]:5672, which {item:?} is not")
            })
        };
        Vec::<String>::read(given)?.iter().map(address).collect()
    }

    fn show(&self) -> Option<String> {
        self.iter().map(SocketAddr::to_string).collect::<Vec<_>>().show()
    }
}

macro_rules! enums {
    ($($type:ident),*) => {$(
        impl Value for $type {
            fn read(given: &Given) -> Result<Self, String> {
                let rule = || format!("must be one of {}", $type::WORDS.join(", "));
                let word = String::read(given).map_err(|_| rule())?;
                word.parse().map_err(|()| format!("{}, not {word:?}", rule()))
            }

            fn show(&self) -> Option<String> {
                self.to_string().show()
            }
        }
    )*};
}

enums!(SyncPolicy, LogFormat);

fn wrong_type(expected: &str, given: &Given) -> String {
    match given {
        Given::Untyped(text) => format!("must be {expected}, which {text:?} is not"),
        Given::Integer(_) => format!("must be {expected}, not an integer"),
        Given::Float(_) => format!("must be {expected}, not a floating-point number"),
        Given::Text(_) => format!("must be {expected}, not a string"),
        Given::List(_) => format!("must be {expected}, not a list"),
        Given::Other(what) => format!("must be {expected}, not {what}"),
    }
}

fn must(holds: bool, rule: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(format!("must {rule}")) }
}

fn between(value: impl Into<u64>, least: u64, most: u64) -> Result<(), String> {
    let value = value.into();
    must((least..=most).contains(&value), &format!("be between {least} and {most}, not {value}"))
}

/// Names travel as AMQP short strings or are compared with them.
fn name(text: &str) -> Result<(), String> {
    must((1..=255).contains(&text.len()), "have 1 to 255 bytes")
}

const HOUR_MS: u64 = 3_600_000;
