//! From the protocol header to `connection.open-ok`: versions, login, negotiated limits.

use leveret_protocol::frame::PROTOCOL_HEADER;
use leveret_protocol::reply_code::ReplyCode;
use leveret_protocol::table::{RawTable, RawValue, Table, Value};

use crate::fault::Fault;
use crate::session::config::SessionConfig;

/// What the client says it understands, in the `capabilities` table of its properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Capabilities {
    pub(super) authentication_failure_close: bool,
    pub(super) connection_blocked: bool,
    pub(super) consumer_cancel_notify: bool,
}

impl Capabilities {
    pub(super) fn of(client_properties: RawTable<'_>) -> Capabilities {
        let Some(RawValue::Table(capabilities)) = client_properties.get("capabilities") else {
            return Capabilities::default();
        };
        let has = |name| capabilities.get(name) == Some(RawValue::Bool(true));
        Capabilities {
            authentication_failure_close: has("authentication_failure_close"),
            connection_blocked: has("connection.blocked"),
            consumer_cancel_notify: has("consumer_cancel_notify"),
        }
    }
}

/// True for the protocol headers that we speak: 0-9-1, and 0-9, whose clients are content with it.
pub(super) fn is_known_protocol(header: &[u8; 8]) -> bool {
    *header == PROTOCOL_HEADER || header == b"AMQP\x01\x01\x00\x09"
}

/// What `connection.start` says of us.
pub(super) fn server_properties(config: &SessionConfig) -> Table {
    let capabilities: Table =
        SERVER_CAPABILITIES.into_iter().map(|capability| (capability, Value::Bool(true))).collect();
    Table::from([
        ("capabilities", Value::Table(capabilities)),
        ("cluster_name", Value::from(config.cluster_name.as_str())),
        ("copyright", Value::from(config.copyright.as_str())),
        ("information", Value::from(config.information.as_str())),
        ("platform", Value::from(config.platform.as_str())),
        ("product", Value::from(config.product.as_str())),
        ("version", Value::from(config.version.as_str())),
    ])
}

/// Features beyond the specification that clients look for.
const SERVER_CAPABILITIES: [&str; 9] = [
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
];

/// Checks what the client made of the limits offered in `connection.tune`. 0 means "no limit", which is more than ours.
pub(super) fn check_tuned(config: &SessionConfig, channel_max: u16, frame_max: u32) -> Result<(), Fault> {
    check_limit("frame_max", frame_max, "", FRAME_MAX_MIN, config.frame_max)?;
    let no_limit = if channel_max == 0 { " (no limit)" } else { "" };
    check_limit("channel_max", channel_max.into(), no_limit, 1, config.channel_max.into())
}

fn check_limit(name: &str, value: u32, detail: &str, min: u32, max: u32) -> Result<(), Fault> {
    let (relation, limit_name, limit) = if value != 0 && value < min {
        ("lower", "minimum", min)
    } else if max != 0 && (value == 0 || value > max) {
        ("higher", "maximum", max)
    } else {
        return Ok(());
    };
    Err(Fault::not_allowed(format!(
        "negotiated {name} = {value}{detail} is {relation} than the {limit_name} allowed value ({limit})"
    )))
}

/// The smallest frame limit we accept: what the specification guarantees to every peer. RabbitMQ wants 8192 since 4.1.
const FRAME_MAX_MIN: u32 = 4096;

/// The frame limit until `connection.tune-ok`: enough for a large token as a password.
pub(super) const INITIAL_FRAME_MAX: u32 = 8192;

/// A refused login.
pub(super) fn login_refused(mechanism: &str) -> Fault {
    Fault::connection(
        ReplyCode::AccessRefused,
        format!(
            "Login was refused using authentication mechanism {mechanism}. For details see the broker logfile."
        ),
    )
}
