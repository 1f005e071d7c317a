//! Exit codes, and which failure gets which.

use leveret_client::{Error, admin};
use std::process::ExitCode;

/// Shown at the end of `leveretctl --help`; the table and [`code_of`] say the same.
pub const HELP: &str = "\
Exit codes:
    0  done
    1  error: no connection, a broken pipe to the broker, unreadable input
    2  wrong usage
    3  not found: no such queue or exchange, or nothing in the queue to get
    4  time was up before everything was done
    5  refused: no permission, other settings than the existing ones, in use, locked
    6  not delivered: a message reached no queue (--mandatory) or was rejected by a full one
    7  the broker is not well (health), or an operation did not reach its end
  130  interrupted by Ctrl-C or SIGTERM

Environment:
  LEVERET_URI            the broker over AMQP, as --uri
  LEVERET_ADMIN          the admin listener, as --admin; LEVERET_USER, LEVERET_VHOST and LEVERET_PROFILE likewise
  LEVERET_PASSWORD       the password for the admin API; never an argument, which every user of the machine sees.
                         Without it --password-file, the profile's file and the keyring are asked (leveretctl login)
  LEVERET_PASSWORD_FILE  a file with it, as --password-file
  LEVERETCTL_CONFIG      the file of profiles [default: ~/.config/leveret/leveretctl.toml]
  LEVERET_LOG            what to log to stderr [default: warn,lapin=off]";

/// Failures of the tool itself, beside those of the client library.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("the queue is empty")]
    Empty,
    #[error("timed out: {0}")]
    TimedOut(String),
    #[error("{0} of {1} messages were not delivered")]
    Undelivered(u64, u64),
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Missing(String),
    #[error("the broker is not well: {0}")]
    Unwell(String),
    #[error("not done to the end: {0}")]
    Incomplete(String),
    #[error("{0}")]
    Keyring(String),
    #[error("interrupted")]
    Interrupted,
}

/// Waits for Ctrl-C or SIGTERM, which end a command in order with code 130.
pub async fn interrupted() -> anyhow::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt?,
        _ = terminate.recv() => {}
    }
    Err(Failure::Interrupted.into())
}

/// Says what went wrong and answers the exit code for it.
pub fn report(error: &anyhow::Error) -> ExitCode {
    let code = code_of(error);
    if is_broken_pipe(error) {
        // The reader of our output has enough: `leveretctl consume q | head -1` is no error.
        return ExitCode::SUCCESS;
    }
    eprintln!("leveretctl: {error:#}");
    ExitCode::from(code)
}

fn code_of(error: &anyhow::Error) -> u8 {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return match failure {
            Failure::Usage(_) => 2,
            Failure::Empty | Failure::Missing(_) => 3,
            Failure::TimedOut(_) => 4,
            Failure::Keyring(_) => 1,
            Failure::Undelivered(..) => 6,
            Failure::Unwell(_) | Failure::Incomplete(_) => 7,
            Failure::Interrupted => 130,
        };
    }
    if let Some(error) = error.downcast_ref::<admin::Error>() {
        return match error {
            admin::Error::Url { .. } | admin::Error::Authorities { .. } => 2,
            admin::Error::Timeout { .. } => 4,
            admin::Error::Login { .. } => 5,
            _ if error.is_not_found() => 3,
            admin::Error::Refused { status: 400..=499, .. } => 5,
            _ => 1,
        };
    }
    match error.downcast_ref::<Error>() {
        Some(Error::Uri(_) | Error::TooLong { .. }) => 2,
        Some(Error::Refused { code: 404, .. }) => 3,
        Some(Error::Timeout(_) | Error::GaveUp { .. }) => 4,
        Some(Error::Refused { .. }) => 5,
        Some(Error::Unroutable(_) | Error::Nacked) => 6,
        _ => 1,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn failures_have_their_documented_codes() {
        let check = |error: anyhow::Error, expected| {
            assert_eq!(code_of(&error), expected, "{error:#}");
            assert!(expected == 1 || HELP.contains(&format!("{expected}  ")), "{expected} is not documented");
        };
        let refused = |code| Error::Refused { code, text: String::new() };
        check(Error::Connect("refused".into()).into(), 1);
        check(Error::Uri("no scheme".into()).into(), 2);
        check(Failure::Usage("both --lines and --json".into()).into(), 2);
        check(refused(404).into(), 3);
        check(Failure::Empty.into(), 3);
        check(Error::Timeout(std::time::Duration::from_secs(1)).into(), 4);
        check(Failure::TimedOut("2 of 3 messages".into()).into(), 4);
        check(refused(406).into(), 5);
        check(refused(403).into(), 5);
        check(Failure::Undelivered(1, 2).into(), 6);
        check(Failure::Interrupted.into(), 130);
        let answered = |status| admin::Error::Refused { status, error: String::new(), reason: String::new() };
        check(answered(404).into(), 3);
        check(answered(400).into(), 5);
        check(answered(500).into(), 1);
        check(admin::Error::Login { user: "a".into() }.into(), 5);
        check(Failure::Unwell("alarms".into()).into(), 7);
        check(Err::<(), _>(refused(404)).context("declaring").expect_err("it is one"), 3);
    }
}
