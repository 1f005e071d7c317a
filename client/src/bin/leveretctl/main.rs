//! `leveretctl`: messages over AMQP and administration over HTTP, for shells and scripts.
//!
//! Data goes to stdout, everything else to stderr. Exit codes are part of the interface; `exit.rs` has them.

mod admin;
mod arguments;
mod bench;
mod consume;
mod declare;
mod exit;
mod json;
mod lines;
mod output;
mod pace;
mod progress;
mod publish;

use arguments::{Arguments, Command};
use clap::{CommandFactory, Parser};
use std::{io::IsTerminal, process::ExitCode};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("LEVERET_LOG").unwrap_or_else(|_| EnvFilter::new("warn,lapin=off"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(&error.into()),
    };
    let outcome = runtime.block_on(run(&arguments));
    // A thread may sit in a read of stdin that nobody waits for any more.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error),
    }
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let connect = &arguments.connect;
    if let Command::Completions { shell } = &arguments.command {
        clap_complete::generate(*shell, &mut Arguments::command(), "leveretctl", &mut std::io::stdout());
        return Ok(());
    }
    let work = async {
        if let Some(outcome) = admin::run(&arguments.command, connect.timeout).await {
            return outcome;
        }
        match &arguments.command {
            Command::Publish(options) => publish::run(connect, options).await,
            Command::Get(options) => consume::get(connect, options).await,
            Command::Declare(what) => declare::declare(connect, what).await,
            Command::Delete(what) => declare::delete(connect, what).await,
            Command::Bind(binding) => declare::bind(connect, binding).await,
            Command::Unbind(binding) => declare::unbind(connect, binding).await,
            Command::Purge(queue) => declare::purge(connect, queue).await,
            Command::Consume(options) => consume::run(connect, options).await,
            Command::Bench(options) => bench::run(connect, options).await,
            other => unreachable!("{other:?} was taken care of above"),
        }
    };
    tokio::select! {
        outcome = work => outcome,
        interrupted = exit::interrupted(), if !arguments.command.minds_interrupts() => interrupted,
    }
}
