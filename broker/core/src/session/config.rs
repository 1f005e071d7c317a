//! What every connection of a broker is told and allowed.

/// What a broker says of itself and allows on every connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionConfig {
    /// What clients read in the server properties; some decide by it what they may do.
    pub product: String,
    pub version: String,
    pub platform: String,
    pub cluster_name: String,
    pub copyright: String,
    pub information: String,
    /// The largest frame offered, 0 for no limit.
    pub frame_max: u32,
    /// How many channels a connection may open, 0 for no limit.
    pub channel_max: u16,
    /// The heartbeat interval suggested to clients, in seconds.
    pub heartbeat_s: u16,
    /// The largest message body.
    pub max_message_bytes: u64,
    /// How long a client may take to open the connection.
    pub handshake_timeout_ms: u64,
    /// SASL mechanisms offered, the preferred one first.
    pub mechanisms: Vec<String>,
}
