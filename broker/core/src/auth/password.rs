//! Stored passwords: how they are made and how a password is checked against one.
//!
//! New passwords are hashed with argon2id, which is slow and takes memory on purpose: run it outside of locks and not
//! on a thread that serves others. Users imported from RabbitMQ keep their salted SHA-2 hash until their password
//! changes: `base64(salt ++ sha(salt ++ password))` with four bytes of salt.
//!
//! Comparisons take the same time wherever the first difference is.

use argon2::password_hash::{PasswordHash as PhcHash, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

/// A user's password as it is stored and exported.
///
/// The empty hash belongs to a user who has no password: no password matches it, certificates still work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct PasswordHash {
    algorithm: Algorithm,
    /// A PHC string or base64, of the form that `algorithm` asks for; checked when it was made.
    text: String,
}

/// How a password was hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// argon2id, as a PHC string that carries its parameters.
    Argon2id,
    /// `rabbit_password_hashing_sha256`.
    RabbitSha256,
    /// `rabbit_password_hashing_sha512`.
    RabbitSha512,
}

/// Why a hash cannot be made or taken over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Nobody here can verify it.
    #[error("hashing_algorithm '{0}' is not supported")]
    UnknownAlgorithm(String),
    /// The text does not have the algorithm's form.
    #[error("password_hash must be {expected} for {}", algorithm.name())]
    Malformed { algorithm: Algorithm, expected: &'static str },
    /// An empty password would let everybody in.
    #[error("password must not be empty")]
    Empty,
    /// The hash function refused its input.
    #[error("password cannot be hashed")]
    Hashing,
}

impl PasswordHash {
    /// Hashes a new password. `salt` comes from the caller's random source and is never used twice.
    pub fn new(password: &[u8], salt: [u8; SALT_BYTES]) -> Result<PasswordHash, PasswordError> {
        if password.is_empty() {
            return Err(PasswordError::Empty);
        }
        let salt = SaltString::encode_b64(&salt).map_err(|_| PasswordError::Hashing)?;
        let hash = argon2id()?.hash_password(password, &salt).map_err(|_| PasswordError::Hashing)?;
        Ok(PasswordHash { algorithm: Algorithm::Argon2id, text: hash.to_string() })
    }

    /// Takes over a hash from exported definitions. An empty one stands for no password.
    pub fn import(algorithm: &str, text: &str) -> Result<PasswordHash, PasswordError> {
        let algorithm = Algorithm::from_name(algorithm)
            .ok_or_else(|| PasswordError::UnknownAlgorithm(algorithm.chars().take(80).collect()))?;
        if !text.is_empty() {
            algorithm.check_form(text)?;
        }
        Ok(PasswordHash { algorithm, text: text.to_owned() })
    }

    /// The hash of a user without a password.
    pub fn none() -> PasswordHash {
        PasswordHash { algorithm: Algorithm::Argon2id, text: String::new() }
    }

    /// True when `password` is the one that was hashed. Takes tens of milliseconds for argon2id.
    pub fn verify(&self, password: &[u8]) -> bool {
        // RabbitMQ refuses blank passwords whatever is stored.
        if password.is_empty() || self.is_none() {
            return false;
        }
        match self.algorithm {
            Algorithm::Argon2id => PhcHash::new(&self.text)
                .is_ok_and(|hash| Argon2::default().verify_password(password, &hash).is_ok()),
            Algorithm::RabbitSha256 => verify_salted::<Sha256>(&self.text, password),
            Algorithm::RabbitSha512 => verify_salted::<Sha512>(&self.text, password),
        }
    }

    /// True when the user has no password.
    pub fn is_none(&self) -> bool {
        self.text.is_empty()
    }

    /// How it was hashed.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The text that definitions export as `password_hash`.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Spends the time that checking a real user's password takes, so that a refusal does not tell whether the user
/// exists. Always false.
pub fn verify_decoy(password: &[u8]) -> bool {
    let mut output = [0; 32];
    if let Ok(argon2) = argon2id() {
        // The result is of no interest.
        let _ = argon2.hash_password_into(password, &[0; SALT_BYTES], &mut output);
    }
    std::hint::black_box(output);
    false
}

impl Algorithm {
    /// The name that definitions use.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Argon2id => "argon2id",
            Algorithm::RabbitSha256 => "rabbit_password_hashing_sha256",
            Algorithm::RabbitSha512 => "rabbit_password_hashing_sha512",
        }
    }

    /// The algorithm of that name.
    pub fn from_name(name: &str) -> Option<Algorithm> {
        [Algorithm::Argon2id, Algorithm::RabbitSha256, Algorithm::RabbitSha512]
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
    }

    /// The algorithm of a hash that came without its name: RabbitMQ's default, unless it has the length of SHA-512.
    ///
    /// RabbitMQ goes by its configuration there, so that tools that leave the name out work with either.
    pub fn of_unnamed(text: &str) -> Algorithm {
        match decode_salted(text, 64) {
            Some(_) => Algorithm::RabbitSha512,
            None => Algorithm::RabbitSha256,
        }
    }

    fn check_form(self, text: &str) -> Result<(), PasswordError> {
        let (well_formed, expected) = match self {
            Algorithm::Argon2id => (is_acceptable_phc(text), "an argon2id PHC string of moderate cost"),
            Algorithm::RabbitSha256 => {
                (decode_salted(text, 32).is_some(), "base64 of a 4-byte salt and a 32-byte hash")
            }
            Algorithm::RabbitSha512 => {
                (decode_salted(text, 64).is_some(), "base64 of a 4-byte salt and a 64-byte hash")
            }
        };
        if well_formed { Ok(()) } else { Err(PasswordError::Malformed { algorithm: self, expected }) }
    }
}

/// Bytes of salt in a new hash.
pub const SALT_BYTES: usize = 16;

/// Memory, passes and lanes of new hashes: OWASP's first choice for a server, about 20 ms on one core.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// What an imported hash may cost at most; otherwise a definitions file could make every login take a gigabyte.
const MEMORY_KIB_MAX: u32 = 256 * 1024;
const PASSES_MAX: u32 = 16;
const LANES_MAX: u32 = 16;

fn argon2id() -> Result<Argon2<'static>, PasswordError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| PasswordError::Hashing)?;
    Ok(Argon2::new(argon2::Algorithm::Argon2id, Version::V0x13, params))
}

fn is_acceptable_phc(text: &str) -> bool {
    let Ok(hash) = PhcHash::new(text) else { return false };
    let Ok(params) = Params::try_from(&hash) else { return false };
    hash.algorithm == argon2::ARGON2ID_IDENT
        && hash.salt.is_some()
        && hash.hash.is_some()
        && params.m_cost() <= MEMORY_KIB_MAX
        && params.t_cost() <= PASSES_MAX
        && params.p_cost() <= LANES_MAX
}

/// Salt and hash of RabbitMQ's form, when the hash has `hash_len` bytes.
fn decode_salted(text: &str, hash_len: usize) -> Option<([u8; 4], Vec<u8>)> {
    let bytes = BASE64.decode(text).ok()?;
    let (salt, hash) = bytes.split_first_chunk::<4>()?;
    (hash.len() == hash_len).then(|| (*salt, hash.to_vec()))
}

fn verify_salted<D: Digest>(text: &str, password: &[u8]) -> bool {
    let Some((salt, stored)) = decode_salted(text, <D as Digest>::output_size()) else { return false };
    let computed = D::new().chain_update(salt).chain_update(password).finalize();
    computed.as_slice().ct_eq(&stored).into()
}

/// The stored form: two texts, checked again when they come back from disk.
#[derive(Serialize, Deserialize)]
struct Stored {
    algorithm: String,
    hash: String,
}

impl From<PasswordHash> for Stored {
    fn from(password: PasswordHash) -> Stored {
        Stored { algorithm: password.algorithm.name().to_owned(), hash: password.text }
    }
}

impl TryFrom<Stored> for PasswordHash {
    type Error = PasswordError;

    fn try_from(stored: Stored) -> Result<PasswordHash, PasswordError> {
        PasswordHash::import(&stored.algorithm, &stored.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA256: &str = "rabbit_password_hashing_sha256";
    const SHA512: &str = "rabbit_password_hashing_sha512";

    #[track_caller]
    fn verifies(algorithm: &str, text: &str, password: &str) {
        let hash = PasswordHash::import(algorithm, text).expect("a hash of the right form");
        assert!(hash.verify(password.as_bytes()));
        assert!(!hash.verify(format!("{password}x").as_bytes()));
        assert!(!hash.verify(b""));
        assert_eq!((hash.algorithm().name(), hash.as_str()), (algorithm, text));
    }

    #[test]
    fn hashes_that_rabbitmq_made_are_verified() {
        // The first is the example of RabbitMQ's password guide; RabbitMQ's own modules computed the others.
        verifies(SHA256, "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR", "test12");
        verifies(SHA256, "AAAAAS+u9wPMk06jbd9TR/8THqyPjfyNV8eNaWmxQyTyhU6b", "guest");
        verifies(SHA256, "//79/L39kYt9O0QRNGBXVOIydq/+q+33l0NIYeQysPJBF3BF", "päss wörd");
        verifies(
            SHA512,
            "kI3GChuNuIYf8lRbCCxZjgjKwsY19ns6+uFO0zcXRBGA/XGJPYD8OWMy7EB8TaOmAzjP2azv84GbINYwX2cDWb4DHnc=",
            "test12",
        );
        verifies(
            SHA512,
            "AAAAAYR/p8jDKKx2htPmRSIlB48/xMnFc3GPAEEjdjq0IDnErKQWkEc1F0BPeuA3w16aRfm5YKLli3A0hRmPbDPq19I=",
            "guest",
        );
        verifies(
            SHA512,
            "//79/CNW3kgexID1MdxbdSrWl2OYjbJ2TmRmH/aru7h8w8O1zms2Apb7Priul4hIbicd/xc7JHegr8swf3M7Wp4CmDA=",
            "päss wörd",
        );
    }

    #[test]
    fn a_hash_without_a_name_is_known_by_its_length() {
        let check = |text, expected: &str| assert_eq!(Algorithm::of_unnamed(text).name(), expected, "{text}");
        check("kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR", SHA256);
        check(
            "kI3GChuNuIYf8lRbCCxZjgjKwsY19ns6+uFO0zcXRBGA/XGJPYD8OWMy7EB8TaOmAzjP2azv84GbINYwX2cDWb4DHnc=",
            SHA512,
        );
        // Refused as what it most likely was meant to be.
        check("not base64", SHA256);
    }

    #[test]
    fn a_new_password_is_an_argon2id_phc_string() {
        let hash = PasswordHash::new(b"secret", [7; SALT_BYTES]).expect("hashes");
        assert!(
            hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$BwcHBwcHBwcHBwcHBwcHBw$"),
            "{hash:?}"
        );
        assert!(hash.verify(b"secret"));
        assert!(!hash.verify(b"Secret"));
        assert!(!hash.verify(b""));
        assert_eq!(PasswordHash::import("argon2id", hash.as_str()), Ok(hash));
    }

    #[test]
    fn a_phc_string_of_another_implementation_is_verified() {
        // From the test vectors of the reference implementation (phc-winner-argon2, test.c), version 0x13.
        let text = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        verifies("argon2id", text, "password");
    }

    #[test]
    fn an_empty_password_is_neither_hashed_nor_accepted() {
        assert_eq!(PasswordHash::new(b"", [0; SALT_BYTES]), Err(PasswordError::Empty));
        for hash in [PasswordHash::none(), PasswordHash::import(SHA256, "").expect("no password")] {
            assert!(hash.is_none());
            assert!(!hash.verify(b""));
            assert!(!hash.verify(b"x"));
        }
        assert!(!verify_decoy(b"anything"));
    }

    #[test]
    fn a_hash_of_the_wrong_form_is_refused_on_import() {
        let refused = |algorithm, text| PasswordHash::import(algorithm, text).expect_err(text).to_string();
        assert_eq!(
            refused("rabbit_password_hashing_md5", "IECV6PZI/Invh0DL187KFpkO5Jc="),
            "hashing_algorithm 'rabbit_password_hashing_md5' is not supported"
        );
        assert_eq!(
            refused(SHA256, "IECV6PZI/Invh0DL187KFpkO5Jc="),
            "password_hash must be base64 of a 4-byte salt and a 32-byte hash for rabbit_password_hashing_sha256"
        );
        refused(SHA256, "not base64");
        refused(SHA512, "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR");
        refused("argon2id", "secret");
        refused(
            "argon2id",
            "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        );
        refused("argon2id", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ");
        // Four gibibytes for one login.
        refused(
            "argon2id",
            "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        );
    }

    #[test]
    fn a_stored_hash_is_checked_when_it_is_read_back() {
        let hash =
            PasswordHash::import(SHA256, "AAAAAS+u9wPMk06jbd9TR/8THqyPjfyNV8eNaWmxQyTyhU6b").expect("valid");
        let json = serde_json::to_string(&hash).expect("serialises");
        assert_eq!(serde_json::from_str::<PasswordHash>(&json).expect("reads back"), hash);
        let damaged = json.replace("AAAA", "AAA");
        assert!(serde_json::from_str::<PasswordHash>(&damaged).is_err());
    }
}
