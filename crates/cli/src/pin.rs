//! The pin of a station's TLS key: SHA-256 of its SubjectPublicKeyInfo, in the form of
//! `curl --pinnedpubkey`.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::server::ParsedCertificate;

const PREFIX: &str = "sha256//";

/// The pin of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pin([u8; 32]);

impl Pin {
    /// The pin of the key in a certificate.
    ///
    /// # Errors
    /// If the certificate cannot be read.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Result<Self, rustls::Error> {
        let key = ParsedCertificate::try_from(certificate)?.subject_public_key_info();
        let mut pin = Pin([0; 32]);
        pin.0.copy_from_slice(digest(&SHA256, &key).as_ref());
        Ok(pin)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", STANDARD.encode(self.0))
    }
}

impl FromStr for Pin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digest = text
            .strip_prefix(PREFIX)
            .and_then(|text| STANDARD.decode(text).ok());
        digest
            .and_then(|digest| digest.try_into().ok())
            .map(Pin)
            .ok_or_else(|| format!("expected {PREFIX} and a SHA-256 in base64"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pin_has_the_form_of_curl() {
        let text = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        assert_eq!(text.parse::<Pin>().unwrap().to_string(), text);
        for wrong in [
            "",
            "sha256//",
            "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
            "sha256//AAAA",
        ] {
            assert!(wrong.parse::<Pin>().is_err(), "{wrong}");
        }
    }
}
