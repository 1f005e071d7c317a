//! Checks of who logs in, for AMQP and the admin API alike.
//!
//! A password hash is slow and large by intent: 19 MiB and tens of milliseconds. At most one per core is computed at a
//! time; further logins wait for their turn, in order and no longer than a handshake may take. Passwords that were right
//! a moment ago wait for nothing.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use leveret_core::auth::{
    Credentials, Mechanism, PasswordHash, Proof, SALT_BYTES, User, Users, UsersError, VerifiedCache,
    verify_decoy,
};
use leveret_core::fault::Fault;
use leveret_core::record::Record;
use leveret_core::session::host::Ticket;
use leveret_core::session::state::AuthRefused;
use leveret_protocol::reply_code::ReplyCode;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tracing::{error, warn};

use super::Broker;
use crate::admin::LoginRefused;
use crate::metrics::LoginSource;
use crate::outbox::{Notice, Outbox};
use crate::runtime;

/// What checking logins needs.
pub(super) struct Logins {
    /// Passwords that were verified lately, so that a thousand connections of one user cost one slow hash.
    verified: Mutex<VerifiedCache>,
    /// One for each hash that may be computed at a time.
    places: Arc<Semaphore>,
}

impl Logins {
    pub(super) fn new() -> Logins {
        let mut key = [0; 32];
        rand::fill(&mut key);
        Logins {
            verified: Mutex::new(VerifiedCache::new(key, VERIFIED_MAX)),
            places: Arc::new(Semaphore::new(runtime::password_checks())),
        }
    }

    /// Compares a password with the user's, or with nobody's in the same time, so that time does not tell names.
    async fn is_right(
        &self,
        user: Option<Arc<User>>,
        password: Vec<u8>,
        wait_max: Duration,
    ) -> Result<bool, LoginRefused> {
        if let Some(user) = &user
            && self.verified.lock().contains(user.name(), user.password(), &password)
        {
            return Ok(true);
        }
        let waited = tokio::time::timeout(wait_max, self.places.clone().acquire_owned()).await;
        let Ok(Ok(place)) = waited else { return Err(LoginRefused::Busy) };
        let check = move || {
            // The place is free when the hash is done, whether or not somebody still waits for the answer.
            let _place = place;
            let right = match &user {
                Some(user) => user.password().verify(&password),
                None => {
                    verify_decoy(&password);
                    false
                }
            };
            (right, user, password)
        };
        match tokio::task::spawn_blocking(check).await {
            Ok((true, Some(user), password)) => {
                self.verified.lock().insert(user.name(), user.password(), &password);
                Ok(true)
            }
            Ok(_) => Ok(false),
            Err(error) => {
                error!(%error, "checking a password failed");
                Err(LoginRefused::Busy)
            }
        }
    }
}

impl Broker {
    /// Checks an AMQP login and leaves the answer in the connection's mailbox. Whoever aborts what it returns gets no
    /// answer.
    pub fn authenticate(
        self: &Arc<Self>,
        mechanism: &str,
        response: &[u8],
        certificate_user: Option<&str>,
        peer: IpAddr,
        outbox: Arc<Outbox>,
    ) -> Option<AbortHandle> {
        let parsed = Mechanism::from_name(mechanism)
            .and_then(|mechanism| Ok((mechanism, mechanism.parse(response, certificate_user)?)));
        let (mechanism, credentials) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => {
                let refused = error.fault().map_or(AuthRefused::Credentials, AuthRefused::Fault);
                outbox.notice(Notice::Authenticated(Err(refused)));
                return None;
            }
        };
        let broker = self.clone();
        let check = async move {
            let name = credentials.user.clone();
            let checked = broker.check_login(credentials, peer).await;
            if checked.as_ref().err() != Some(&LoginRefused::Busy) {
                let source = LoginSource::new(peer, &name, "amqp091");
                broker.metrics.login_sources.lock().note(source, checked.is_ok());
            }
            let result = match checked {
                Ok(_) => Ok(name),
                // The handshake began before the wait did, so its time is over, too.
                Err(LoginRefused::Busy) => return,
                Err(LoginRefused::Credentials | LoginRefused::NotFromHere) => {
                    warn!(user = name, %peer, mechanism = mechanism.name(), "login refused");
                    Err(AuthRefused::Credentials)
                }
            };
            outbox.notice(Notice::Authenticated(result));
        };
        Some(tokio::spawn(check).abort_handle())
    }

    /// Hashes a new password, in turn with the passwords that are checked.
    pub async fn hash_password(&self, password: String) -> Result<PasswordHash, Fault> {
        let failed = || Fault::new(ReplyCode::InternalError, "the password could not be hashed");
        let place = self.logins.places.clone().acquire_owned().await.map_err(|_| failed())?;
        let mut salt = [0; SALT_BYTES];
        rand::fill(&mut salt);
        let hash = move || {
            let _place = place;
            PasswordHash::new(password.as_bytes(), salt)
        };
        let hashed = tokio::task::spawn_blocking(hash).await.map_err(|_| failed())?;
        hashed.map_err(|error| Fault::precondition_failed(error.to_string()))
    }

    /// Deletes a user with all their permissions, and closes their connections.
    pub fn delete_user(&self, name: &str) -> Result<Ticket, UsersError> {
        let ticket = self.change_users(|users| users.delete_user(name))?;
        let notice = Notice::Close(format!("user '{name}' was deleted"));
        self.connections.notice_where(|connection| connection.user == name, &notice);
        Ok(ticket)
    }

    /// Changes users and their permissions, and stores what `change` says of it.
    pub fn change_users<E>(
        &self,
        change: impl FnOnce(&mut Users) -> Result<Vec<Record>, E>,
    ) -> Result<Ticket, E> {
        let mut users = self.users.write();
        let records = change(&mut users)?;
        let ticket = self.write_records(records);
        drop(users);
        self.changed();
        Ok(ticket)
    }

    /// The user, when the credentials are right and the user may log in from there.
    pub async fn check_login(
        &self,
        credentials: Credentials,
        peer: IpAddr,
    ) -> Result<Arc<User>, LoginRefused> {
        let (user, allowed) = {
            let users = self.users.read();
            let name = &credentials.user;
            (users.user(name).cloned(), users.may_log_in_from(name, peer))
        };
        let right = match credentials.proof {
            Proof::Certificate => user.is_some(),
            Proof::Password(password) => {
                let wait_max = Duration::from_millis(self.config.amqp.handshake_timeout_ms);
                self.logins.is_right(user.clone(), password, wait_max).await?
            }
        };
        let result = match user {
            Some(user) if right && allowed => Ok(user),
            Some(_) if right => Err(LoginRefused::NotFromHere),
            _ => Err(LoginRefused::Credentials),
        };
        let metrics = &self.metrics;
        let counter = if result.is_ok() { &metrics.logins } else { &metrics.logins_failed };
        counter.fetch_add(1, Ordering::Relaxed);
        result
    }
}

/// Users whose verified passwords are remembered.
const VERIFIED_MAX: usize = 4096;
