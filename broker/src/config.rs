//! The broker's configuration: what can be set, what it is when nobody sets it, and what it must satisfy.
//!
//! A value comes from a command-line flag, else from an environment variable, else from the configuration file, else
//! from [`Config::default`]. The variable of `amqp.frame_max` is `LEVERET_AMQP_FRAME_MAX`; a list is written with
//! commas. `assets/leveret.toml` is the reference for operators; a test holds it to the keys and defaults here.
//!
//! - this file: the values and their defaults
//! - `keys`: the table of keys, how each is read and what it must satisfy
//! - `load`: the layers, and errors that name file, line, key and rule

mod keys;
mod load;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

pub use load::{ConfigError, Flag, Loaded, Origin};

/// Everything that can be set. Made by [`Config::load`]; tests start from [`Config::default`] and change fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Folder of everything durable; created when missing. One broker at a time may use it.
    pub data_dir: PathBuf,
    /// User created with full permissions on vhost `/` when the broker starts without any user.
    pub default_user: String,
    /// Password of [`Config::default_user`] at that moment; changing it here later changes nothing.
    pub default_password: Secret,
    /// Definitions to import whenever the broker starts. The default user and vhost are not created then.
    pub load_definitions: Option<PathBuf>,
    /// Users that may log in from this machine only.
    pub loopback_users: Vec<String>,
    pub amqp: Amqp,
    pub admin: Admin,
    pub audit: Audit,
    pub tls: Tls,
    pub identity: Identity,
    pub log: Log,
    pub store: Store,
    pub memory: Memory,
    pub disk: Disk,
    pub runtime: Runtime,
}

/// The AMQP listeners and what is agreed with clients.
#[derive(Debug, Clone, PartialEq)]
pub struct Amqp {
    /// Where clients connect without TLS. Port 0 lets the system choose.
    pub listen: Vec<SocketAddr>,
    /// Where clients connect with TLS (amqps): 5671 by convention.
    pub tls_listen: Vec<SocketAddr>,
    /// Largest frame in bytes, head and end included. Clients may ask for less, down to 4,096.
    pub frame_max: u32,
    /// Highest channel number of a connection.
    pub channel_max: u16,
    /// Heartbeat interval proposed to clients, in seconds; 0 proposes none.
    pub heartbeat_s: u16,
    /// How long a client may take from connecting to `connection.open`.
    pub handshake_timeout_ms: u64,
    /// Largest message body.
    pub max_message_bytes: u64,
    /// How long a consumer may hold a message unacknowledged before its channel is closed, where its queue says nothing
    /// else; 0 for as long as it likes.
    pub consumer_timeout_ms: u64,
}

/// The listeners of the admin API.
#[derive(Debug, Clone, PartialEq)]
pub struct Admin {
    /// Where the admin API is served over HTTP. Empty serves none.
    pub listen: Vec<SocketAddr>,
    /// Where it is served over HTTPS: 15671 by convention.
    pub tls_listen: Vec<SocketAddr>,
}

/// How long the audit log remembers.
#[derive(Debug, Clone, PartialEq)]
pub struct Audit {
    /// Changes that are kept at most.
    pub entries_max: u64,
    /// Days that they are kept at most.
    pub days_max: u64,
}

/// Certificates, for the listeners that speak TLS. All files are PEM.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tls {
    /// The server's certificate, followed by the intermediate ones.
    pub certificate: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
    /// Authorities that sign clients' certificates. When set, every TLS client must present one.
    pub client_ca: Option<PathBuf>,
}

/// What the broker calls itself towards clients.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// `product` in the server properties. Some clients decide by it what they may use.
    pub product: String,
    /// `version` in the server properties.
    pub version: String,
    /// `cluster_name` in the server properties.
    pub cluster_name: String,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// Level, or levels by module: `info`, `warn,leveret_broker::net=debug`.
    pub filter: String,
    pub format: LogFormat,
}

/// What a log line looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The store on disk.
#[derive(Debug, Clone, PartialEq)]
pub struct Store {
    pub sync: SyncPolicy,
    /// How far apart syncs are when `sync` is [`SyncPolicy::Interval`].
    pub sync_interval_ms: u64,
    /// One of the four buffers for what is logged but not yet in sorted files.
    pub write_buffer_bytes: u64,
    /// Size of the write-ahead log at which its oldest part is made superfluous.
    pub wal_bytes_max: u64,
}

/// When a written message counts as durable, and is confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncPolicy {
    /// After the disk has said that it has it.
    Always,
    /// After it was handed to the operating system, which is told to write at intervals: a power cut or a crash of the
    /// system loses up to one interval of confirmed messages; a crash of the broker loses none.
    Interval,
    /// After it was handed to the operating system, which writes when it likes: a power cut or a crash of the system
    /// may lose any confirmed message of the last half minute or so; a crash of the broker loses none.
    Never,
}

/// Bounds on memory.
#[derive(Debug, Clone, PartialEq)]
pub struct Memory {
    /// Budget for messages held in memory, over all queues; what is beyond it waits on disk.
    pub message_bytes: u64,
    /// Share of the machine's memory (or of the control group's limit) above which publishers are held back.
    pub high_watermark: f64,
}

/// Bounds on disk space.
#[derive(Debug, Clone, PartialEq)]
pub struct Disk {
    /// Free space below which publishers are held back.
    pub free_limit_bytes: u64,
}

/// Threads.
#[derive(Debug, Clone, PartialEq)]
pub struct Runtime {
    /// Threads that serve connections; 0 means one per core.
    pub threads: usize,
}

/// A string that must not reach a log: it debug-prints as stars.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl Default for Config {
    fn default() -> Self {
        let local = |port| vec![SocketAddr::from((Ipv4Addr::LOCALHOST, port))];
        Config {
            data_dir: "leveret-data".into(),
            default_user: "guest".into(),
            default_password: Secret("guest".into()),
            load_definitions: None,
            loopback_users: vec!["guest".into()],
            amqp: Amqp {
                listen: local(5672),
                tls_listen: Vec::new(),
                frame_max: 128 * KIB as u32,
                channel_max: 2047,
                heartbeat_s: 60,
                handshake_timeout_ms: 10_000,
                max_message_bytes: 16 * MIB,
                consumer_timeout_ms: 30 * 60 * 1000,
            },
            admin: Admin { listen: local(15672), tls_listen: Vec::new() },
            audit: Audit { entries_max: 10_000, days_max: 365 },
            tls: Tls::default(),
            identity: Identity {
                product: "Leveret".into(),
                version: env!("CARGO_PKG_VERSION").into(),
                cluster_name: "leveret".into(),
            },
            log: Log { filter: "info".into(), format: LogFormat::Text },
            store: Store {
                sync: SyncPolicy::Always,
                sync_interval_ms: 200,
                write_buffer_bytes: 32 * MIB,
                wal_bytes_max: 256 * MIB,
            },
            memory: Memory { message_bytes: 128 * MIB, high_watermark: 0.6 },
            disk: Disk { free_limit_bytes: 50_000_000 },
            runtime: Runtime { threads: 0 },
        }
    }
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Gives an enum its words in configuration: `FromStr`, `Display`, and the list of them all.
macro_rules! words {
    ($type:ident { $($variant:ident = $word:literal),* }) => {
        impl $type {
            pub const WORDS: &[&str] = &[$($word),*];
        }

        impl FromStr for $type {
            type Err = ();

            fn from_str(word: &str) -> Result<Self, ()> {
                match word {
                    $($word => Ok($type::$variant),)*
                    _ => Err(()),
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $($type::$variant => $word,)*
                })
            }
        }
    };
}

words!(SyncPolicy { Always = "always", Interval = "interval", Never = "never" });
words!(LogFormat { Text = "text", Json = "json" });

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
