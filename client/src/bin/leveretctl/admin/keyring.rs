//! Passwords in the keyring of the system: the Secret Service on Linux, Keychain on macOS, the Credential Manager on
//! Windows.
//!
//! They are filed as the console files them, so that a password kept by one is found by the other.

use keyring::{Entry, Error};

/// The password that is kept for a user of a broker, or why there is none.
pub fn look_up(user: &str, url: &str) -> Result<String, String> {
    with(user, url, |entry| entry.get_password())
}

pub fn keep(user: &str, url: &str, password: &str) -> Result<(), String> {
    with(user, url, |entry| entry.set_password(password))
}

pub fn forget(user: &str, url: &str) -> Result<(), String> {
    with(user, url, |entry| entry.delete_credential())
}

/// On a thread of its own: on Linux the keyring is asked over D-Bus by a small runtime, which may not run inside another.
fn with<T: Send>(
    user: &str,
    url: &str,
    ask: impl FnOnce(&Entry) -> Result<T, Error> + Send,
) -> Result<T, String> {
    let name = format!("{user}@{}", url.trim_end_matches('/'));
    let asked = std::thread::scope(|scope| {
        scope.spawn(|| Entry::new(SERVICE, &name).and_then(|entry| ask(&entry))).join()
    });
    match asked {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(Error::NoEntry)) => Err("the keyring has none".to_owned()),
        Ok(Err(Error::NoDefaultStore)) => Err("there is no keyring here".to_owned()),
        Ok(Err(error)) => Err(format!("the keyring does not answer: {error}")),
        Err(_) => Err("the keyring cannot be asked".to_owned()),
    }
}

/// What passwords are filed under.
const SERVICE: &str = "leveret-admin";
