//! AMQP 0-9-1 on the wire: frames, methods, content properties and field tables. No IO.
//!
//! ```text
//!  0      1         3             7                  7+n     8+n
//!  +------+---------+-------------+------------------+-------+
//!  | kind | channel | payload n   | payload          | 0xCE  |      frame::decode_frame
//!  +------+---------+-------------+------------------+-------+
//!    kind 1  method   class u16, method u16, fields                  method::Method
//!    kind 2  header   class u16, weight u16, body size u64, flags…   frame::ContentHeader, properties::PropertiesView
//!    kind 3  body     bytes
//!    kind 8  heartbeat, empty
//! ```
//!
//! Decoding borrows from the input and allocates nothing; field tables and properties stay raw until somebody asks
//! ([`table::RawTable`], [`properties::PropertiesView`]). Encoding appends to a `Vec<u8>`. Nothing that a peer sends
//! makes a decoder panic, recurse without bound or allocate.

#[cfg(feature = "admin")]
pub mod admin;
pub mod codec;
pub mod error;
pub mod frame;
pub mod method;
pub mod properties;
pub mod reply_code;
pub mod table;
