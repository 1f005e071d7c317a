//! Paths of the API, with names of anything in them.

use std::fmt::Write as _;

use super::error::{Error, Result};

/// A path with its query. Names are percent-encoded, the slash too: the vhost `/` is `%2F`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    text: String,
    has_query: bool,
}

impl Path {
    /// A path below `/api`, given as it is.
    pub fn new(fixed: &str) -> Path {
        Path { text: format!("/api/{fixed}"), has_query: false }
    }

    /// A whole path, given as it is.
    pub fn as_it_is(text: &str) -> Path {
        Path { text: text.to_owned(), has_query: text.contains('?') }
    }

    /// Adds a name.
    pub fn name(mut self, name: &str) -> Path {
        self.text.push('/');
        // Normalising a path takes dots for steps, encoded or not; the broker has no such names, so nothing is found.
        encode(&mut self.text, name);
        self
    }

    /// Adds words of the API as they are.
    pub fn fixed(mut self, words: &str) -> Path {
        self.text.push('/');
        self.text.push_str(words);
        self
    }

    /// Adds a name where there is one.
    pub fn name_if(self, name: Option<&str>) -> Path {
        match name {
            Some(name) => self.name(name),
            None => self,
        }
    }

    /// Adds a parameter of the query.
    pub fn query(mut self, name: &str, value: &str) -> Path {
        self.text.push(if self.has_query { '&' } else { '?' });
        self.has_query = true;
        self.text.push_str(name);
        self.text.push('=');
        encode(&mut self.text, value);
        self
    }

    /// Adds a parameter where there is a value.
    pub fn query_if(self, name: &str, value: Option<impl ToString>) -> Path {
        match value {
            Some(value) => self.query(name, &value.to_string()),
            None => self,
        }
    }

    /// The path as it is sent.
    pub fn into_text(self) -> String {
        self.text
    }
}

/// The name of an exchange in paths: the default exchange has one there.
pub fn exchange(name: &str) -> &str {
    if name.is_empty() { "amq.default" } else { name }
}

/// The address of a broker without what may follow its port.
pub fn base(url: &str) -> Result<String> {
    let refused = |reason: &str| Error::Url { url: url.to_owned(), reason: reason.to_owned() };
    let parsed = reqwest::Url::parse(url).map_err(|error| refused(&error.to_string()))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(refused("it begins with neither http:// nor https://"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        // Not shown again: it holds a password.
        return Err(Error::Url {
            url: "the address".to_owned(),
            reason: "a user and password belong into the login, not into the address".to_owned(),
        });
    }
    if !parsed.has_host() {
        return Err(refused("it names no host"));
    }
    if parsed.query().is_some() || parsed.fragment().is_some() {
        return Err(refused("nothing may follow the path"));
    }
    let text = parsed.as_str().trim_end_matches('/');
    Ok(text.strip_suffix("/api").unwrap_or(text).to_owned())
}

fn encode(text: &mut String, name: &str) {
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                text.push(char::from(byte));
            }
            _ => {
                // Writing to a string does not fail.
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_anything_fit_into_a_path() {
        let path = Path::new("queues").name("/").name("订单 a+b?#%").fixed("contents");
        assert_eq!(path.into_text(), "/api/queues/%2F/%E8%AE%A2%E5%8D%95%20a%2Bb%3F%23%25/contents");
        let path = Path::new("queues").name_if(None).query("name", "a&b").query_if("page", Some(2));
        assert_eq!(path.query_if("x", None::<u8>).into_text(), "/api/queues?name=a%26b&page=2");
        assert_eq!(exchange(""), "amq.default");
    }

    #[test]
    fn an_address_is_a_scheme_a_host_and_perhaps_a_prefix() {
        let good = |url: &str, expected: &str| assert_eq!(base(url).as_deref(), Ok(expected));
        good("http://localhost:15672", "http://localhost:15672");
        good("https://[::1]:15671/", "https://[::1]:15671");
        good("http://host/rabbit/api/", "http://host/rabbit");
        good("http://host/api", "http://host");
        let bad = |url: &str, reason: &str| {
            let error = base(url).expect_err(url).to_string();
            assert!(error.contains(reason), "{error}");
            assert!(!error.contains("secret"), "{error}");
        };
        bad("localhost:15672", "neither http:// nor https://");
        bad("amqp://localhost", "neither http:// nor https://");
        bad("http://", "host");
        bad("http://me:secret@host", "login");
        bad("http://host?x=1", "nothing may follow");
    }
}
