//! Passwords in the keyring of the system: the Secret Service on Linux, Keychain on macOS, the Credential Manager on
//! Windows. Each call may ask somebody to unlock it, so none is made on the thread that draws.

use keyring::{Entry, Error};
use leveret_admin_model::intent::Password;
use leveret_admin_model::settings::SavedBroker;

/// What they are filed under.
const SERVICE: &str = "leveret-admin";

/// The password that is kept for a broker, if one is.
pub fn look_up(broker: &SavedBroker) -> Result<Option<Password>, String> {
    match entry(broker).and_then(|entry| entry.get_password()) {
        Ok(password) => Ok(Some(Password(password))),
        Err(Error::NoEntry) => Ok(None),
        Err(error) => Err(reason(&error)),
    }
}

pub fn keep(broker: &SavedBroker, password: &Password) -> Result<(), String> {
    entry(broker).and_then(|entry| entry.set_password(&password.0)).map_err(|error| reason(&error))
}

/// One that was not kept is forgotten already.
pub fn forget(broker: &SavedBroker) -> Result<(), String> {
    match entry(broker).and_then(|entry| entry.delete_credential()) {
        Ok(()) | Err(Error::NoEntry) => Ok(()),
        Err(error) => Err(reason(&error)),
    }
}

fn entry(broker: &SavedBroker) -> Result<Entry, Error> {
    Entry::new(SERVICE, &broker.key())
}

fn reason(error: &Error) -> String {
    match (error, Entry::store_status()) {
        (Error::NoDefaultStore, Err(error)) => error.to_string(),
        _ => error.to_string(),
    }
}
