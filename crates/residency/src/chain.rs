//! The path from an EK certificate to a trusted root, found and verified by rustls-webpki.

use std::ptr;
use std::time::Duration;

use der::DateTime;
use miette::Diagnostic;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use thiserror::Error;
use webpki::{ALL_VERIFICATION_ALGS, EndEntityCert, KeyUsage, anchor_from_trusted_cert};

use crate::certificate::{EK_CERTIFICATE, EkCertificate, Fields};
use crate::digest::sha256;
use crate::nv::cut_certificate;

/// A file is not a certificate that can be trusted.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
#[error("not a certificate of a maker of TPMs: {0}")]
#[diagnostic(
    code("ek-root-malformed"),
    help("Use certificates in PEM or DER; remove other files from the directory")
)]
pub struct TrustError(String);

/// The time at which the certificates have to be valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EkTime {
    /// The time of each verification.
    Now,
    /// Since 1970.
    At(Duration),
    /// When the EK certificate was issued, so that certificates may have expired since.
    Issued,
}

/// Why an EK certificate is not trusted.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
pub enum VerificationError {
    /// It is a certificate for something else.
    #[error("the certificate does not have the extended key usage of EK certificates (2.23.133.8.1)")]
    #[diagnostic(
        code("ek-certificate-usage-missing"),
        help("Use the EK certificate that the maker of the TPM issued")
    )]
    Usage,
    /// No path to a trusted root.
    #[error("the EK certificate was not issued by a trusted CA")]
    #[diagnostic(
        code("ek-certificate-untrusted"),
        help(
            "If you buy TPMs from this maker, add its root and intermediate certificates to --ek-roots of a new \
             batch; otherwise take the device off the line"
        )
    )]
    Untrusted,
    /// One of the certificates has expired.
    #[error("the EK certificate or one of its issuers was valid until {0}")]
    #[diagnostic(
        code("ek-certificate-expired"),
        help(
            "If the maker of the TPM confirms the certificate, start a batch with --ek-time issued, or with the time \
             at which it was valid"
        )
    )]
    Expired(String),
    /// One of the certificates is not valid yet.
    #[error("the EK certificate or one of its issuers is valid from {0}")]
    #[diagnostic(
        code("ek-certificate-not-yet-valid"),
        help("Correct the clock of the station, or --ek-time")
    )]
    NotYetValid(String),
    /// Another rule of RFC 5280 is not met.
    #[error("the EK certificate cannot be verified: {0}")]
    #[diagnostic(
        code("ek-certificate-invalid"),
        help("Check it with `openssl verify -show_chain`, and ask the maker of the TPM")
    )]
    Invalid(String),
}

/// The certificates of the makers of TPMs that a station trusts.
#[derive(Debug, Default)]
pub struct TrustedRoots {
    /// SHA-256 of each anchor's certificate, in hexadecimal digits.
    roots: Vec<String>,
    anchors: Vec<TrustAnchor<'static>>,
    intermediates: Vec<CertificateDer<'static>>,
}

impl TrustedRoots {
    /// The certificates in a file: PEM, with any number of certificates, or one in DER.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn read_file(content: &[u8]) -> Result<Vec<Vec<u8>>, TrustError> {
        let der = match content.starts_with(b"\x30") {
            true => cut_certificate(content).map(|der| vec![der.to_vec()]),
            false => CertificateDer::pem_slice_iter(content)
                .map(|der| der.map(|der| der.to_vec()))
                .collect::<Result<_, _>>()
                .ok(),
        };
        let der = der.filter(|der: &Vec<_>| !der.is_empty());
        der.ok_or_else(|| TrustError("neither PEM nor DER".to_owned()))
    }

    /// Trusts these certificates, each in DER. One whose issuer is among them is an intermediate
    /// certificate, which is verified; all others are roots.
    ///
    /// # Errors
    /// [`TrustError`].
    pub fn new(certificates: &[Vec<u8>]) -> Result<Self, TrustError> {
        let malformed = |error: &dyn std::fmt::Display| TrustError(error.to_string());
        let names = certificates
            .iter()
            .map(|der| Fields::read(der).map_err(|error| malformed(&error)))
            .collect::<Result<Vec<_>, _>>()?;
        let mut trusted = TrustedRoots::default();
        for (der, fields) in certificates.iter().zip(&names) {
            let der = CertificateDer::from(der.clone());
            let is_issuer = |other: &Fields<'_>| other.subject == fields.issuer;
            if fields.subject != fields.issuer && names.iter().any(is_issuer) {
                trusted.intermediates.push(der);
                continue;
            }
            let anchor = anchor_from_trusted_cert(&der).map_err(|error| malformed(&error))?;
            trusted.anchors.push(anchor.to_owned());
            trusted.roots.push(hex::encode(sha256(&der)));
        }
        Ok(trusted)
    }

    /// Verifies the certificate with the help of `chain`, which are untrusted certificates in DER.
    /// Returns the root: SHA-256 of its DER, in hexadecimal digits.
    ///
    /// Extended key usage is required in the EK certificate. In those of its issuers it may be
    /// absent, as RFC 5280 section 4.2.1.12 allows.
    ///
    /// # Errors
    /// [`VerificationError`].
    pub fn verify(
        &self,
        certificate: &EkCertificate,
        chain: &[Vec<u8>],
        time: EkTime,
    ) -> Result<String, VerificationError> {
        if !certificate.has_ek_usage() {
            return Err(VerificationError::Usage);
        }
        let time = match time {
            EkTime::Now => Duration::from_secs(UnixTime::now().as_secs()),
            EkTime::At(time) => time,
            EkTime::Issued => certificate.not_before(),
        };
        let der = CertificateDer::from(certificate.der());
        let end_entity = EndEntityCert::try_from(&der).map_err(refusal)?;
        let known = self.intermediates.iter().map(AsRef::as_ref);
        let from_device = chain.iter().map(Vec::as_slice);
        // Borrowed: a directory with roots can have a hundred intermediate certificates.
        let intermediates: Vec<_> = known.chain(from_device).map(CertificateDer::from).collect();
        let path = end_entity
            .verify_for_usage(
                ALL_VERIFICATION_ALGS,
                &self.anchors,
                &intermediates,
                UnixTime::since_unix_epoch(time),
                KeyUsage::required_if_present(EK_CERTIFICATE.as_bytes()),
                None,
                None,
            )
            .map_err(refusal)?;
        let mut trusted = self.roots.iter().zip(&self.anchors);
        let root = trusted.find(|(_, anchor)| ptr::eq(*anchor, path.anchor()));
        root.map(|(root, _)| root.clone())
            .ok_or(VerificationError::Untrusted)
    }
}

fn refusal(error: webpki::Error) -> VerificationError {
    use webpki::Error;
    match error {
        // Another CA has the same name.
        Error::UnknownIssuer | Error::InvalidSignatureForPublicKey => VerificationError::Untrusted,
        Error::CertExpired { not_after, .. } => VerificationError::Expired(date(not_after)),
        Error::CertNotValidYet { not_before, .. } => VerificationError::NotYetValid(date(not_before)),
        other => VerificationError::Invalid(other.to_string()),
    }
}

fn date(time: UnixTime) -> String {
    match DateTime::from_unix_duration(Duration::from_secs(time.as_secs())) {
        Ok(time) => time.to_string(),
        Err(_) => format!("{} s after 1970", time.as_secs()),
    }
}
