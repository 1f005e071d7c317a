//! The `leveret` program: reads arguments and configuration, starts the broker, stops it on a signal.
//!
//! Exit codes: 0 after a graceful stop, 1 when the broker could not start or had to give up, 2 for wrong arguments.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use leveret_broker::broker::Broker;
use leveret_broker::config::{Config, Flag, LogFormat};
use leveret_broker::net::tls;
use leveret_broker::{logging, runtime};

// A message is freed by another thread than the one that made it, which glibc's allocator makes dear.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Leveret, an AMQP 0-9-1 message broker.
///
/// Without a command it runs the broker until SIGTERM or Ctrl-C.
#[derive(Parser)]
#[command(name = "leveret", version, after_help = AFTER_HELP, max_term_width = 110, disable_help_subcommand = true)]
struct Arguments {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE", env = "LEVERET_CONFIG", hide_env_values = true, global = true)]
    config: Option<PathBuf>,

    /// Folder of everything durable, created when missing [default: leveret-data].
    #[arg(long, value_name = "DIR", global = true)]
    data_dir: Option<String>,

    /// Where AMQP clients connect; may be given several times [default: 127.0.0.1:5672].
    ///
    /// `0.0.0.0:5672` is every IPv4 address of this machine, `[::]:5672` every IPv6 address. Port 0 lets the system
    /// choose; the banner and the log say which it was.
    #[arg(long, value_name = "ADDR:PORT", global = true)]
    amqp_listen: Vec<String>,

    /// Where the admin API is served; may be given several times [default: 127.0.0.1:15672].
    #[arg(long, value_name = "ADDR:PORT", global = true)]
    admin_listen: Vec<String>,

    /// What to log: error, warn, info, debug, trace, off, or by module [default: info].
    ///
    /// Several with commas between, the more specific wins: warn,leveret_broker::net=debug.
    #[arg(long, value_name = "FILTER", global = true)]
    log: Option<String>,

    /// Log lines for people or for machines [default: text].
    #[arg(long, value_name = "text|json", value_parser = LogFormat::WORDS.to_vec(), hide_possible_values = true, global = true)]
    log_format: Option<String>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Check the configuration and its files, show what is in force and why, and exit.
    CheckConfig,
}

const AFTER_HELP: &str = "\
Settings come from flags, else from environment variables (LEVERET_AMQP_FRAME_MAX sets amqp.frame_max), else from the \
configuration file, else from the defaults. `leveret check-config` shows all of them.";

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Some(Command::CheckConfig) => check_config(&arguments),
        None => run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("leveret: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let config = Config::load(arguments.config.as_deref(), std::env::vars_os(), &arguments.flags())?.config;
    logging::init(&config.log);
    if let Some(files) = runtime::raise_file_limit() {
        tracing::debug!(files, "limit on open files");
    }
    let runtime = runtime::build(&config.runtime).context("cannot start the runtime")?;
    let result = runtime.block_on(async {
        let running = Broker::start(config).await?;
        print(&running.banner());
        running.wait_for_signal_and_stop().await
    });
    // What still runs then is nothing that anybody waits for.
    runtime.shutdown_timeout(SHUTDOWN_TIMEOUT);
    result
}

fn check_config(arguments: &Arguments) -> Result<()> {
    let loaded = Config::load(arguments.config.as_deref(), std::env::vars_os(), &arguments.flags())?;
    tls::acceptor(&loaded.config.tls)?;
    print(&format!("{}\n# The configuration is valid.", loaded.effective()));
    Ok(())
}

impl Arguments {
    /// The flags that set configuration keys.
    fn flags(&self) -> Vec<Flag> {
        let one = |value: &Option<String>| value.iter().cloned().collect();
        vec![
            Flag { flag: "--data-dir", key: "data_dir", values: one(&self.data_dir) },
            Flag { flag: "--amqp-listen", key: "amqp.listen", values: self.amqp_listen.clone() },
            Flag { flag: "--admin-listen", key: "admin.listen", values: self.admin_listen.clone() },
            Flag { flag: "--log", key: "log.filter", values: one(&self.log) },
            Flag { flag: "--log-format", key: "log.format", values: one(&self.log_format) },
        ]
    }
}

/// Prints a line to standard output, which nobody has to read: a closed pipe does not stop the broker.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_flag_sets_its_key() {
        let line = "leveret --data-dir /d --amqp-listen 127.0.0.1:1 --amqp-listen [::1]:2 --admin-listen 127.0.0.1:3 \
                    --log warn --log-format json";
        let arguments = Arguments::parse_from(line.split_whitespace());
        let config = Config::load(None, [], &arguments.flags()).unwrap().config;
        assert_eq!(config.data_dir, PathBuf::from("/d"));
        assert_eq!(config.amqp.listen, ["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()]);
        assert_eq!(config.admin.listen, ["127.0.0.1:3".parse().unwrap()]);
        assert_eq!(config.log.filter, "warn");
        assert_eq!(config.log.format, LogFormat::Json);
    }

    #[test]
    fn flags_may_stand_before_or_after_the_command() {
        for line in ["leveret --data-dir /d check-config", "leveret check-config --data-dir /d"] {
            let arguments = Arguments::parse_from(line.split_whitespace());
            assert_eq!(arguments.data_dir.as_deref(), Some("/d"));
            assert!(matches!(arguments.command, Some(Command::CheckConfig)));
        }
    }

    #[test]
    fn defaults_in_the_help_are_the_defaults() {
        let help = Arguments::command().render_long_help().to_string();
        let config = Config::default();
        for default in [
            config.data_dir.display().to_string(),
            config.amqp.listen[0].to_string(),
            config.admin.listen[0].to_string(),
            config.log.filter,
            config.log.format.to_string(),
        ] {
            assert!(help.contains(&format!("[default: {default}]")), "{default} in\n{help}");
        }
    }
}
