//! The TLS key of a station and its certificate, which no CA has to sign: devices know the pin of the key.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use der::pem::{LineEnding, encode_string};
use files::FileError;
use miette::Diagnostic;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

use crate::pin::Pin;

/// The files that a station makes in the directory of its batch.
const KEY: &str = "tls-key.pem";
const CERTIFICATE: &str = "tls-certificate.pem";
/// The name in the certificate.
const NAME: &str = "hardware-identity-station";
/// Size limits in bytes.
const LARGEST_CERTIFICATES: u64 = 1 << 20;
const LARGEST_KEY: u64 = 64 << 10;

/// Why TLS cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum TlsError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    #[error("{} has no certificate in PEM", .0.display())]
    #[diagnostic(
        code("station-certificate-missing"),
        help("Name a file with the certificate in PEM, its issuers after it")
    )]
    NoCertificate(PathBuf),
    #[error("cannot read the certificates in {}: {reason}", path.display())]
    #[diagnostic(
        code("station-certificate-invalid"),
        help("Name a file with the certificate in PEM, its issuers after it")
    )]
    Certificate { path: PathBuf, reason: pem::Error },
    #[error("cannot read a private key in PEM from {}: {reason}", path.display())]
    #[diagnostic(
        code("station-key-invalid"),
        help("Name a file with the key of the certificate, in PEM and without a passphrase")
    )]
    Key { path: PathBuf, reason: pem::Error },
    #[error("cannot use the TLS certificate {} with its key: {reason}", path.display())]
    #[diagnostic(
        code("station-certificate-unusable"),
        help("Check that the key is that of the certificate; without both flags the station makes its own")
    )]
    Unusable { path: PathBuf, reason: rustls::Error },
    #[error("cannot make a TLS key: {0}")]
    #[diagnostic(
        code("station-key-not-made"),
        help("Try again, or make a key and a certificate with openssl and name them")
    )]
    NotMade(String),
}

/// The files with the certificate and the key; those of the batch are made if they do not exist.
pub(super) fn files(batch: &Path, given: Option<(PathBuf, PathBuf)>) -> Result<(PathBuf, PathBuf), TlsError> {
    if let Some(given) = given {
        return Ok(given);
    }
    let (certificate, key) = (batch.join(CERTIFICATE), batch.join(KEY));
    // The certificate is written last: if it is there, so is its key.
    if !certificate.exists() {
        make(&certificate, &key)?;
    }
    Ok((certificate, key))
}

fn make(certificate_file: &Path, key_file: &Path) -> Result<(), TlsError> {
    let made = || -> Result<_, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::new(vec![NAME.to_owned(), "localhost".to_owned()])?;
        parameters.distinguished_name.push(DnType::CommonName, NAME);
        let certificate = parameters.self_signed(&key)?;
        Ok((key.serialize_der(), certificate.der().to_vec()))
    };
    let (key, certificate) = made().map_err(|error| TlsError::NotMade(error.to_string()))?;
    for (file, label, der, mode) in [
        (key_file, "PRIVATE KEY", key, 0o600),
        (certificate_file, "CERTIFICATE", certificate, 0o644),
    ] {
        let pem = encode_string(label, LineEnding::LF, &der);
        let pem = pem.map_err(|error| TlsError::NotMade(error.to_string()))?;
        files::write(file, pem.as_bytes(), mode)?;
    }
    Ok(())
}

/// Reads both files. Returns also the pin of the key.
pub(super) fn acceptor(certificate: &Path, key: &Path) -> Result<(TlsAcceptor, Pin), TlsError> {
    let certificates = read_certificates(certificate)?;
    let unusable = |reason| TlsError::Unusable {
        path: certificate.to_owned(),
        reason,
    };
    let first = certificates.first();
    let first = first.ok_or_else(|| TlsError::NoCertificate(certificate.to_owned()))?;
    let pin = Pin::of(first).map_err(unusable)?;
    let content = files::read_private(key, LARGEST_KEY, false)?;
    let key = PrivateKeyDer::from_pem_slice(&content).map_err(|reason| TlsError::Key {
        path: key.to_owned(),
        reason,
    })?;
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, key))
        .map_err(unusable)?;
    Ok((TlsAcceptor::from(Arc::new(config)), pin))
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let content = files::read(path, LARGEST_CERTIFICATES)?;
    CertificateDer::pem_slice_iter(&content)
        .collect::<Result<_, _>>()
        .map_err(|reason| TlsError::Certificate {
            path: path.to_owned(),
            reason,
        })
}
