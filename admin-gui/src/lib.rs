//! The console of Leveret: see what flows where, and repair it. `ARCHITECTURE.md` beside this crate explains it.

pub mod app;
pub mod cx;
mod dialogs;
pub mod files;
pub mod net;
pub mod screens;
mod secrets;
pub mod shell;
pub mod text;
pub mod theme;
pub mod widgets;
