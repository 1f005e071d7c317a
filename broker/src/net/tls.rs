//! TLS of the listeners: certificates from PEM files, and the name in a client's certificate.
//!
//! Versions and ciphers are rustls' safe defaults (TLS 1.2 and 1.3) with ring underneath. No application protocol is
//! negotiated: AMQP clients offer none. Whoever has a client authority configured wants to know its clients, so every
//! client must then present a certificate; EXTERNAL logs it in by its common name.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig, ServerConnection};

use crate::config::Tls;

/// Why there is no TLS. Names the key, the file and what the file must be.
#[derive(Debug, Error)]
pub enum TlsError {
    #[error("{key}: cannot read {}: {error}", file.display())]
    Read { key: &'static str, file: PathBuf, error: std::io::Error },
    #[error("{key}: {} {rule}", file.display())]
    File { key: &'static str, file: PathBuf, rule: String },
    #[error("tls.key: {} does not belong to the certificate in {}", key.display(), certificate.display())]
    Pair { certificate: PathBuf, key: PathBuf },
}

/// What accepts TLS connections; none when no certificate is configured.
pub fn acceptor(tls: &Tls) -> Result<Option<TlsAcceptor>, TlsError> {
    let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) else { return Ok(None) };
    let chain = certificates("tls.certificate", certificate)?;
    let private_key = private_key("tls.key", key)?;

    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong("tls.certificate", certificate, &format!("cannot be used: {error}")))?;
    let builder = match &tls.client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let mut authorities = RootCertStore::empty();
            for authority in certificates("tls.client_ca", file)? {
                authorities.add(authority).map_err(|error| {
                    wrong(
                        "tls.client_ca",
                        file,
                        &format!("has a certificate that cannot be an authority: {error}"),
                    )
                })?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider)
                .build()
                .map_err(|error| wrong("tls.client_ca", file, &format!("cannot be used: {error}")))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let config = builder.with_single_cert(chain, private_key).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            TlsError::Pair { certificate: certificate.clone(), key: key.clone() }
        }
        rustls::Error::InvalidCertificate(error) => {
            wrong("tls.certificate", certificate, &format!("has a certificate that cannot be used: {error}"))
        }
        error => wrong("tls.key", key, &format!("has a key that cannot be used: {error}")),
    })?;
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

/// The common name in the certificate that the client presented, and that was verified during the handshake.
pub fn peer_common_name(connection: &ServerConnection) -> Option<String> {
    let certificate = connection.peer_certificates()?.first()?;
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let name = certificate.subject().iter_common_name().next()?;
    Some(name.as_str().ok()?.to_owned())
}

/// When the first of the certificates that the files hold expires, in seconds since the epoch.
pub fn certificates_expire_at(tls: &Tls) -> Result<Option<i64>, TlsError> {
    let mut first = None;
    for (key, file) in [("tls.certificate", &tls.certificate), ("tls.client_ca", &tls.client_ca)] {
        let Some(file) = file else { continue };
        for certificate in certificates(key, file)? {
            let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).map_err(|error| {
                wrong(key, file, &format!("has a certificate that cannot be read: {error}"))
            })?;
            let end_s = parsed.validity().not_after.timestamp();
            first = Some(first.map_or(end_s, |first: i64| first.min(end_s)));
        }
    }
    Ok(first)
}

fn certificates(key: &'static str, file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(key, file)?;
    let chain: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|error| wrong(key, file, &format!("must be PEM: {error}")))?;
    if chain.is_empty() {
        return Err(wrong(key, file, "must hold a certificate (BEGIN CERTIFICATE), and holds none"));
    }
    Ok(chain)
}

fn private_key(key: &'static str, file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(key, file)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| match error {
        pem::Error::NoItemsFound if text.windows(9).any(|window| window == b"ENCRYPTED") => {
            wrong(key, file, "must hold a key that is not encrypted")
        }
        pem::Error::NoItemsFound => {
            wrong(key, file, "must hold a private key (BEGIN PRIVATE KEY), and holds none")
        }
        error => wrong(key, file, &format!("must be PEM: {error}")),
    })
}

fn read(key: &'static str, file: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(file).map_err(|error| TlsError::Read { key, file: file.to_path_buf(), error })
}

fn wrong(key: &'static str, file: &Path, rule: &str) -> TlsError {
    TlsError::File { key, file: file.to_path_buf(), rule: rule.to_owned() }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    use tempfile::TempDir;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::ClientConfig;

    use super::*;

    /// A folder with an authority, a server certificate for `localhost` and a client certificate for `alice`.
    struct Files {
        folder: TempDir,
    }

    impl Files {
        fn new() -> Self {
            let files = Files { folder: tempfile::tempdir().unwrap() };
            let ca_key = KeyPair::generate().unwrap();
            let mut ca = CertificateParams::default();
            ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            files.write("ca.crt", &ca.self_signed(&ca_key).unwrap().pem());
            let issuer = Issuer::new(ca, ca_key);
            for (file, host, name) in [("server", "localhost", "broker"), ("client", "client.local", "alice")]
            {
                let key = KeyPair::generate().unwrap();
                let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
                params.distinguished_name.push(DnType::CommonName, name);
                files.write(&format!("{file}.crt"), &params.signed_by(&key, &issuer).unwrap().pem());
                files.write(&format!("{file}.key"), &key.serialize_pem());
            }
            files
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.path(name), text).unwrap();
        }

        fn server(&self, client_ca: Option<&str>) -> Tls {
            Tls {
                certificate: Some(self.path("server.crt")),
                key: Some(self.path("server.key")),
                client_ca: client_ca.map(|name| self.path(name)),
            }
        }

        fn client(&self, with_certificate: bool) -> TlsConnector {
            let mut roots = RootCertStore::empty();
            roots.add(certificates("", &self.path("ca.crt")).unwrap().remove(0)).unwrap();
            let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots);
            let config = if with_certificate {
                let chain = certificates("", &self.path("client.crt")).unwrap();
                builder
                    .with_client_auth_cert(chain, private_key("", &self.path("client.key")).unwrap())
                    .unwrap()
            } else {
                builder.with_no_client_auth()
            };
            TlsConnector::from(Arc::new(config))
        }
    }

    /// Shakes hands and sends four bytes; returns the name the server sees, or its error.
    async fn shake_hands(acceptor: TlsAcceptor, connector: TlsConnector) -> Result<Option<String>, String> {
        let (client_end, server_end) = duplex(64 * 1024);
        let client = async {
            let mut stream = connector.connect("localhost".try_into().unwrap(), client_end).await?;
            stream.write_all(b"AMQP").await?;
            stream.flush().await?;
            // Kept open: the server has session tickets to send after the handshake.
            std::io::Result::Ok(stream)
        };
        let server = async {
            let mut stream = acceptor.accept(server_end).await?;
            let mut header = [0; 4];
            stream.read_exact(&mut header).await?;
            assert_eq!(&header, b"AMQP");
            Ok(peer_common_name(stream.get_ref().1))
        };
        let (_open, name): (_, std::io::Result<_>) = tokio::join!(client, server);
        name.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_client_without_certificate_is_accepted_and_nameless_where_none_is_asked_for() {
        let files = Files::new();
        let acceptor = acceptor(&files.server(None)).unwrap().unwrap();
        assert_eq!(shake_hands(acceptor, files.client(false)).await, Ok(None));
    }

    #[tokio::test]
    async fn a_client_is_known_by_the_common_name_of_its_certificate() {
        let files = Files::new();
        let acceptor = acceptor(&files.server(Some("ca.crt"))).unwrap().unwrap();
        assert_eq!(shake_hands(acceptor, files.client(true)).await, Ok(Some("alice".to_owned())));
    }

    #[tokio::test]
    async fn a_client_authority_requires_a_certificate_that_it_signed() {
        let files = Files::new();
        let acceptor = acceptor(&files.server(Some("ca.crt"))).unwrap().unwrap();
        let error = shake_hands(acceptor.clone(), files.client(false)).await.unwrap_err();
        assert!(error.contains("no certificates"), "{error}");

        let stranger = Files::new();
        std::fs::copy(files.path("ca.crt"), stranger.path("ca.crt")).unwrap();
        let error = shake_hands(acceptor, stranger.client(true)).await.unwrap_err();
        assert!(error.contains("certificate"), "{error}");
    }

    #[test]
    fn there_is_no_tls_without_a_certificate() {
        assert!(acceptor(&Tls::default()).unwrap().is_none());
    }

    #[test]
    fn an_error_names_the_key_the_file_and_the_rule() {
        let files = Files::new();
        let other = Files::new();
        let server_key = std::fs::read_to_string(files.path("server.key")).unwrap();
        files.write("empty", "");
        files.write("broken", "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n");
        files.write("cut", server_key.split("-----END").next().unwrap());
        files.write("nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
        files.write("encrypted", &server_key.replace(" PRIVATE KEY", " ENCRYPTED PRIVATE KEY"));
        files.write("other.key", &std::fs::read_to_string(other.path("server.key")).unwrap());

        let check = |certificate: &str, key: &str, client_ca: Option<&str>, expected: &str| {
            let tls = Tls {
                certificate: Some(files.path(certificate)),
                key: Some(files.path(key)),
                client_ca: client_ca.map(|name| files.path(name)),
            };
            let error = acceptor(&tls).err().map(|error| error.to_string()).unwrap_or_default();
            let error = error.replace(files.folder.path().to_str().unwrap(), "");
            assert!(error.starts_with(expected), "{error}\nshould be {expected}");
        };
        check("absent", "server.key", None, "tls.certificate: cannot read /absent: No such file");
        check(
            "empty",
            "server.key",
            None,
            "tls.certificate: /empty must hold a certificate (BEGIN CERTIFICATE)",
        );
        check("server.key", "server.key", None, "tls.certificate: /server.key must hold a certificate");
        check("broken", "server.key", None, "tls.certificate: /broken must be PEM: ");
        check(
            "nonsense",
            "server.key",
            None,
            "tls.certificate: /nonsense has a certificate that cannot be used: ",
        );
        check("server.crt", "absent", None, "tls.key: cannot read /absent: No such file");
        check(
            "server.crt",
            "server.crt",
            None,
            "tls.key: /server.crt must hold a private key (BEGIN PRIVATE KEY)",
        );
        check("server.crt", "cut", None, "tls.key: /cut must be PEM: ");
        check("server.crt", "encrypted", None, "tls.key: /encrypted must hold a key that is not encrypted");
        check(
            "server.crt",
            "other.key",
            None,
            "tls.key: /other.key does not belong to the certificate in /server.crt",
        );
        check("server.crt", "server.key", Some("absent"), "tls.client_ca: cannot read /absent: ");
        check("server.crt", "server.key", Some("empty"), "tls.client_ca: /empty must hold a certificate");
        check(
            "server.crt",
            "server.key",
            Some("nonsense"),
            "tls.client_ca: /nonsense has a certificate that cannot be",
        );
    }
}
