//! What exchanges, queues and bindings were declared as.

use leveret_protocol::table::{RawTable, Table, Value};

use super::faults;
use super::records::NESTING_MAX;
use crate::deduplication::DeduplicationOptions;
use crate::delayed::delayed_kind;
use crate::exchange::{ExchangeKind, HashOn, HashProperty};
use crate::fault::Fault;
use crate::queue::ConnectionId;
use crate::queue::arguments::QueueOptions;
use crate::session::host::{Binding, Destination};
use crate::term::Term;

/// An exchange, as declared.
#[derive(Debug, Clone, PartialEq)]
pub struct ExchangeDefinition {
    /// Never used again, where the name may be. Delayed exchanges have one; others are 0.
    pub uid: u64,
    pub name: String,
    pub kind: ExchangeKind,
    pub durable: bool,
    pub auto_delete: bool,
    /// Only other exchanges may publish to it.
    pub internal: bool,
    pub arguments: Table,
    /// Who declared it, "" for the broker.
    pub user: String,
}

/// What an exchange does beyond its kind. Its arguments and policies say so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExchangeOptions {
    /// Where messages go that no binding matches; the exchange need not exist.
    pub alternate_exchange: Option<String>,
    /// What hash exchanges look at.
    pub hash_on: HashOn,
    /// How many of its latest messages a recent-history exchange keeps.
    pub history_length: Option<usize>,
    pub deduplication: DeduplicationOptions,
}

impl ExchangeOptions {
    /// Reads the arguments of a new exchange. `exchange` is how reply texts call it.
    pub fn parse(exchange: &str, kind: ExchangeKind, arguments: &Table) -> Result<ExchangeOptions, Fault> {
        let alternate_exchange = match arguments.get("alternate-exchange") {
            None => None,
            Some(Value::LongString(name)) => Some(String::from_utf8_lossy(name).into_owned()),
            Some(other) => {
                return Err(Fault::precondition_failed(format!(
                    "invalid type '{}' for arg 'alternate-exchange' in {exchange}",
                    other.type_name()
                )));
            }
        };
        // A delayed exchange takes the arguments of the type by which it routes.
        let hash_on = match delayed_kind(kind, arguments)?.unwrap_or(kind) {
            ExchangeKind::ConsistentHash => parse_hash_on(exchange, arguments)?,
            _ => HashOn::default(),
        };
        let history_length = match kind {
            ExchangeKind::RecentHistory => Some(parse_history_length(arguments)?),
            _ => None,
        };
        let deduplication = DeduplicationOptions::parse(arguments).map_err(|(name, reason)| {
            Fault::precondition_failed(format!("invalid arg '{name}' for {exchange}: {reason}"))
        })?;
        Ok(ExchangeOptions { alternate_exchange, hash_on, history_length, deduplication })
    }

    /// True when the exchange remembers messages: no route across it may be taken without telling it.
    pub(super) fn remembers(&self) -> bool {
        self.history_length.is_some() || self.deduplication.enabled == Some(true)
    }
}

fn parse_hash_on(exchange: &str, arguments: &Table) -> Result<HashOn, Fault> {
    let text = |name| match arguments.get(name) {
        None => Ok(None),
        Some(Value::LongString(text)) => Ok(Some(text)),
        Some(other) => Err(Fault::precondition_failed(format!(
            "invalid type '{}' for arg '{name}' in {exchange}",
            other.type_name()
        ))),
    };
    match (text("hash-header")?, text("hash-property")?) {
        (None, None) => Ok(HashOn::RoutingKey),
        (Some(header), None) => Ok(HashOn::Header(String::from_utf8_lossy(header).into_owned())),
        (None, Some(property)) => match HashProperty::from_name(property) {
            Some(property) => Ok(HashOn::Property(property)),
            None => Err(Fault::precondition_failed(format!(
                "Unsupported property: {}",
                String::from_utf8_lossy(property)
            ))),
        },
        (Some(_), Some(_)) => {
            Err(Fault::precondition_failed("hash-header and hash-property are mutually exclusive"))
        }
    }
}

fn parse_history_length(arguments: &Table) -> Result<usize, Fault> {
    let Some(value) = arguments.get("x-recent-history-length") else { return Ok(HISTORY_LENGTH_DEFAULT) };
    match value.as_i64().map(usize::try_from) {
        Some(Ok(length)) if length > 0 => Ok(length),
        _ => Err(Fault::precondition_failed(format!(
            "Invalid argument {}, 'x-recent-history-length' must be a positive integer",
            Term(value)
        ))),
    }
}

/// What the plugin of RabbitMQ keeps.
const HISTORY_LENGTH_DEFAULT: usize = 20;

/// A queue, as declared.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueDefinition {
    /// Never used again, where the name may be.
    pub uid: u64,
    pub name: String,
    /// Survives a restart. Never together with an owner.
    pub durable: bool,
    pub auto_delete: bool,
    /// The only connection that may use it; it goes when that connection does.
    pub exclusive_owner: Option<ConnectionId>,
    pub arguments: Table,
    /// What the arguments ask for, before any policy.
    pub options: QueueOptions,
    /// Who declared it.
    pub user: String,
    /// Nothing is handed out at present.
    pub paused: bool,
}

/// A binding that stands on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingDefinition {
    pub source: String,
    pub destination: DestinationName,
    pub routing_key: Box<str>,
    /// Entries of a field table, sorted by name.
    pub(crate) arguments: Box<[u8]>,
}

/// A [`Destination`] that stands on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DestinationName {
    Queue(String),
    Exchange(String),
}

impl BindingDefinition {
    pub fn as_binding(&self) -> Binding<'_> {
        Binding {
            source: &self.source,
            destination: self.destination.as_destination(),
            routing_key: &self.routing_key,
            arguments: RawTable::new_unchecked_valid(&self.arguments),
        }
    }
}

impl From<&Binding<'_>> for BindingDefinition {
    /// From a binding that a topology has, whose arguments are in order.
    fn from(binding: &Binding<'_>) -> BindingDefinition {
        BindingDefinition {
            source: binding.source.to_owned(),
            destination: match binding.destination {
                Destination::Queue(name) => DestinationName::Queue(name.to_owned()),
                Destination::Exchange(name) => DestinationName::Exchange(name.to_owned()),
            },
            routing_key: binding.routing_key.into(),
            arguments: binding.arguments.as_bytes().into(),
        }
    }
}

impl DestinationName {
    pub fn as_destination(&self) -> Destination<'_> {
        match self {
            DestinationName::Queue(name) => Destination::Queue(name),
            DestinationName::Exchange(name) => Destination::Exchange(name),
        }
    }
}

/// Arguments on their way into a definition: owned, and shallow enough to be stored.
pub(crate) fn owned_arguments(arguments: RawTable<'_>) -> Result<Table, Fault> {
    let table = arguments.to_table().map_err(|error| Fault::new(error.code, error.what))?;
    if nesting(&table) > NESTING_MAX { Err(faults::arguments_too_deep()) } else { Ok(table) }
}

/// Arguments in the form by which bindings are compared: entries sorted by name, as RabbitMQ sorts them.
pub(crate) fn canonical_arguments(arguments: RawTable<'_>) -> Result<Box<[u8]>, Fault> {
    if arguments.is_empty() {
        return Ok(Box::default());
    }
    let mut table = owned_arguments(arguments)?;
    table.0.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut bytes = Vec::new();
    table.encode_entries(&mut bytes);
    Ok(bytes.into())
}

/// How many tables and arrays are inside one another, this table counted.
fn nesting(table: &Table) -> u32 {
    fn of(value: &Value) -> u32 {
        match value {
            Value::Table(table) => nesting(table),
            Value::Array(values) => 1 + values.iter().map(of).max().unwrap_or(0),
            _ => 0,
        }
    }
    1 + table.iter().map(|(_, value)| of(value)).max().unwrap_or(0)
}
