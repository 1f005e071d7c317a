//! SASL: the three ways in which a client says who it is.
//!
//! ```text
//! PLAIN     NUL user NUL password
//! AMQPLAIN  a field table without its length: LOGIN, PASSWORD
//! EXTERNAL  nothing; the TLS certificate says it
//! ```
//!
//! Parsing only: whether the credentials are right is for the caller to find out.

use std::fmt;

use leveret_protocol::reply_code::ReplyCode;
use leveret_protocol::table::{RawTable, RawValue};

use crate::fault::Fault;

/// A mechanism that Leveret knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    Plain,
    Amqplain,
    External,
}

/// Whom the client claims to be, and by what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    pub user: String,
    pub proof: Proof,
}

/// What the claim rests on.
#[derive(Clone, PartialEq, Eq)]
pub enum Proof {
    /// To be checked against the stored hash.
    Password(Vec<u8>),
    /// The TLS handshake checked it already.
    Certificate,
}

/// Why a response cannot be used. None of them says anything about users or passwords.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SaslError {
    /// The client chose what was not offered.
    #[error("unknown authentication mechanism '{0}'")]
    UnknownMechanism(String),
    /// The response does not have the mechanism's form.
    #[error("{} response is malformed: {rule}", mechanism.name())]
    Malformed { mechanism: Mechanism, rule: &'static str },
    /// EXTERNAL without a certificate that names a user.
    #[error("no client certificate that names a user")]
    NoCertificate,
}

impl Mechanism {
    /// The name in `connection.start` and `connection.start-ok`.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::Amqplain => "AMQPLAIN",
            Mechanism::External => "EXTERNAL",
        }
    }

    /// The mechanism of that name. Names are case-sensitive.
    pub fn from_name(name: &str) -> Result<Mechanism, SaslError> {
        [Mechanism::Plain, Mechanism::Amqplain, Mechanism::External]
            .into_iter()
            .find(|mechanism| mechanism.name() == name)
            .ok_or_else(|| SaslError::UnknownMechanism(name.to_owned()))
    }

    /// Reads a client's response. `certificate_user` is the name in its TLS certificate, if it showed one.
    pub fn parse(self, response: &[u8], certificate_user: Option<&str>) -> Result<Credentials, SaslError> {
        match self {
            Mechanism::Plain => parse_plain(response),
            Mechanism::Amqplain => parse_amqplain(response),
            // RabbitMQ ignores the response too: clients send nothing, or a blank.
            Mechanism::External => certificate_user
                .filter(|user| !user.is_empty())
                .map(|user| Credentials { user: user.to_owned(), proof: Proof::Certificate })
                .ok_or(SaslError::NoCertificate),
        }
    }

    fn malformed(self, rule: &'static str) -> SaslError {
        SaslError::Malformed { mechanism: self, rule }
    }
}

impl SaslError {
    /// What the connection is closed with; `None` when it is an ordinary refusal, answered like a wrong password.
    pub fn fault(&self) -> Option<Fault> {
        let code = match self {
            SaslError::UnknownMechanism(_) => ReplyCode::CommandInvalid,
            SaslError::Malformed { .. } => ReplyCode::SyntaxError,
            SaslError::NoCertificate => return None,
        };
        Some(Fault::connection(code, self.to_string()))
    }
}

// Passwords do not get into logs by way of a struct that holds one.
impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Proof::Password(_) => "Password(..)",
            Proof::Certificate => "Certificate",
        })
    }
}

/// RFC 4616 with an empty authorization identity. RabbitMQ accepts no other, and acting as somebody else is not ours.
fn parse_plain(response: &[u8]) -> Result<Credentials, SaslError> {
    let malformed = |rule| Mechanism::Plain.malformed(rule);
    let mut parts = response.split(|&byte| byte == 0);
    let (Some(b""), Some(user), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(malformed("it must be NUL, user, NUL, password"));
    };
    let user = user_name(user).ok_or_else(|| malformed("the user is not UTF-8"))?;
    Ok(Credentials { user, proof: Proof::Password(password.to_vec()) })
}

fn parse_amqplain(response: &[u8]) -> Result<Credentials, SaslError> {
    let malformed = |rule| Mechanism::Amqplain.malformed(rule);
    let table = RawTable::validate(response).map_err(|_| malformed("it must be a field table"))?;
    let string = |field| match table.get(field) {
        Some(RawValue::LongString(bytes)) => Ok(bytes),
        Some(_) => Err(malformed("LOGIN and PASSWORD must be strings")),
        None => Err(malformed("LOGIN or PASSWORD is missing")),
    };
    let (user, password) = (string("LOGIN")?, string("PASSWORD")?);
    let user = user_name(user).ok_or_else(|| malformed("the user is not UTF-8"))?;
    Ok(Credentials { user, proof: Proof::Password(password.to_vec()) })
}

fn user_name(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(user: &str, password: &[u8]) -> Result<Credentials, SaslError> {
        Ok(Credentials { user: user.to_owned(), proof: Proof::Password(password.to_vec()) })
    }

    /// Fields of a table whose values are long strings.
    fn table(fields: &[(&str, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, value) in fields {
            bytes.push(name.len() as u8);
            bytes.extend_from_slice(name.as_bytes());
            bytes.push(b'S');
            bytes.extend_from_slice(&(value.len() as u32).to_be_bytes());
            bytes.extend_from_slice(value);
        }
        bytes
    }

    #[track_caller]
    fn malformed(mechanism: Mechanism, response: &[u8], rule: &str) {
        let error = mechanism.parse(response, None).expect_err(rule);
        assert!(error.to_string().contains(rule), "{error}");
        assert_eq!(error.fault().map(|fault| fault.code), Some(ReplyCode::SyntaxError));
    }

    #[test]
    fn plain_is_nul_user_nul_password() {
        let parse = |response| Mechanism::Plain.parse(response, None);
        assert_eq!(parse(b"\0guest\0secret"), password("guest", b"secret"));
        assert_eq!(parse("\0jürgen\0pässwort".as_bytes()), password("jürgen", "pässwort".as_bytes()));
        assert_eq!(parse(b"\0guest\0"), password("guest", b""));
        assert_eq!(parse(b"\0guest\0\xff\xfe"), password("guest", b"\xff\xfe"), "a password is any bytes");
    }

    #[test]
    fn plain_of_another_form_is_malformed() {
        for response in
            [&b""[..], b"\0", b"guest", b"\0guest", b"guest\0secret", b"a\0guest\0secret", b"\0a\0b\0c"]
        {
            malformed(Mechanism::Plain, response, "it must be NUL, user, NUL, password");
        }
        malformed(Mechanism::Plain, b"\0\xff\0secret", "not UTF-8");
    }

    #[test]
    fn amqplain_is_a_bare_table_with_login_and_password() {
        let parse = |response: Vec<u8>| Mechanism::Amqplain.parse(&response, None);
        assert_eq!(
            parse(table(&[("LOGIN", b"guest"), ("PASSWORD", b"secret")])),
            password("guest", b"secret")
        );
        let reversed = table(&[("PASSWORD", b"\xff"), ("x", b""), ("LOGIN", b"guest")]);
        assert_eq!(parse(reversed), password("guest", b"\xff"));
    }

    #[test]
    fn amqplain_of_another_form_is_malformed() {
        let check = |response: &[u8], rule| malformed(Mechanism::Amqplain, response, rule);
        check(b"", "is missing");
        check(&table(&[("LOGIN", b"guest")]), "is missing");
        check(&table(&[("login", b"guest"), ("PASSWORD", b"x")]), "is missing");
        check(&table(&[("LOGIN", b"\xff"), ("PASSWORD", b"x")]), "not UTF-8");
        check(b"\x05LOGINt\x01\x08PASSWORDt\x01", "must be strings");
        check(b"\0guest\0guest", "must be a field table");
        let whole = table(&[("LOGIN", b"guest"), ("PASSWORD", b"secret")]);
        check(&whole[..whole.len() - 1], "must be a field table");
        // Some would send the table with its length in front.
        let mut with_length = (whole.len() as u32).to_be_bytes().to_vec();
        with_length.extend_from_slice(&whole);
        check(&with_length, "must be a field table");
    }

    #[test]
    fn external_takes_the_certificates_name() {
        let external = |user| Mechanism::External.parse(b"", user);
        assert_eq!(
            external(Some("client.example")),
            Ok(Credentials { user: "client.example".to_owned(), proof: Proof::Certificate })
        );
        assert_eq!(external(None), Err(SaslError::NoCertificate));
        assert_eq!(external(Some("")), Err(SaslError::NoCertificate));
        assert_eq!(SaslError::NoCertificate.fault(), None);
    }

    #[test]
    fn an_unknown_mechanism_is_named_in_the_fault() {
        assert_eq!(Mechanism::from_name("AMQPLAIN"), Ok(Mechanism::Amqplain));
        let fault = Mechanism::from_name("CRAM-MD5").expect_err("unknown").fault().expect("a fault");
        assert_eq!(
            fault,
            Fault::connection(ReplyCode::CommandInvalid, "unknown authentication mechanism 'CRAM-MD5'")
        );
        assert!(Mechanism::from_name("plain").is_err());
    }

    #[test]
    fn credentials_do_not_print_the_password() {
        let credentials = password("guest", b"hunter2").expect("built here");
        assert_eq!(format!("{credentials:?}"), "Credentials { user: \"guest\", proof: Password(..) }");
    }
}
