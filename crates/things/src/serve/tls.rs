//! TLS 1.2 and 1.3, from PEM files.

use std::{fmt, path::Path, sync::Arc};

use rustls::{
    ConfigBuilder, RootCertStore, ServerConfig, WantsVerifier,
    crypto::aws_lc_rs,
    server::{WantsServerCert, WebPkiClientVerifier},
    version,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio_rustls::TlsAcceptor;

/// Why the certificate or the key cannot be used.
#[derive(Debug)]
pub struct TlsError(String);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TlsError {}

/// From a certificate chain and its private key.
pub fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
    with_certificate(|config| Ok(config.with_no_client_auth()), certificate, key)
}

/// The same, for clients who show a certificate that one of those in `authorities` has signed.
pub fn mutual_acceptor(certificate: &Path, key: &Path, authorities: &Path) -> Result<TlsAcceptor, TlsError> {
    let mut roots = RootCertStore::empty();
    for authority in certificates(authorities)? {
        roots.add(authority).map_err(|error| about(authorities, &error))?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| about(authorities, &error))?;
    with_certificate(|config| Ok(config.with_client_cert_verifier(verifier)), certificate, key)
}

fn about(file: &Path, error: &dyn fmt::Display) -> TlsError {
    TlsError(format!("{}: {error}", file.display()))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| about(file, &error))?;
    if found.is_empty() {
        return Err(about(file, &"there is no certificate in it"));
    }
    Ok(found)
}

fn with_certificate(
    clients: impl FnOnce(
        ConfigBuilder<ServerConfig, WantsVerifier>,
    ) -> Result<ConfigBuilder<ServerConfig, WantsServerCert>, rustls::Error>,
    certificate: &Path,
    key: &Path,
) -> Result<TlsAcceptor, TlsError> {
    let chain = certificates(certificate)?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(|error| about(key, &error))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .and_then(clients)
        .and_then(|config| config.with_single_cert(chain, secret))
        .map_err(|error| about(certificate, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
