//! What the console knows and decides, without a window.
//!
//! ```text
//!  net thread ──Event──▶ State::fold ──▶ Store (values by query) ──▶ screens read
//!      ▲                                                               │
//!      └──────────── Effect ◀── State::apply ◀────────── Intent ◀──────┘
//! ```
//!
//! Nothing here draws, waits or asks for the time: `now` comes in, effects go out. Values are fetched by [`Query`], kept
//! in the [`Store`] as [`Remote`] and stay readable while they are fetched again; what people do becomes an [`Intent`].

pub mod attention;
pub mod dead;
pub mod deaths;
pub mod definitions;
pub mod draft;
pub mod feed;
pub mod filter;
pub mod flow;
pub mod format;
pub mod index;
pub mod intent;
pub mod lookups;
pub mod palette;
pub mod payload;
pub mod query;
pub mod remote;
pub mod ring;
pub mod route;
pub mod settings;
pub mod state;
pub mod store;
pub mod topic;

pub use feed::Feed;
pub use intent::{Action, Danger, Effect, Intent, Notice, Severity};
pub use query::{Method, Query, Request};
pub use remote::{Problem, ProblemKind, Remote};
pub use route::Route;
pub use state::{Event, State};
pub use store::Store;

/// Milliseconds since 1970: the only form of time in the model.
pub type Millis = u64;
