//! EK certificates: the fields that the proof needs, read from the bytes as they are.
//!
//! Names are not decoded: Nuvoton writes a SET of a name out of DER order, and the subject of an EK
//! certificate may be empty.

use std::time::Duration;

use der::asn1::{AnyRef, GeneralizedTime, ObjectIdentifier, UtcTime};
use der::{Decode as _, Reader as _, SliceReader, Tag, TagNumber, Tagged as _};
use identity_key::{IdentityPublicKey, KeyKind, Unique};
use miette::Diagnostic;
use spki::SubjectPublicKeyInfoRef;
use thiserror::Error;

use crate::digest::sha256;
use crate::nv::cut_certificate;

/// id-ce-extKeyUsage, RFC 5280 section 4.2.1.12.
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
/// tcg-kp-EKCertificate (TCG EK Credential Profile, section 3.2).
pub(crate) const EK_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.23.133.8.1");
/// id-RSAES-OAEP, RFC 4055 section 4.1. Some manufacturers give it as the algorithm of an RSA key.
const RSAES_OAEP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.7");

/// Why bytes are not the certificate of an endorsement key.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
pub enum CertificateError {
    /// They do not start with an X.509 certificate.
    #[error("the EK certificate cannot be read: {0}")]
    #[diagnostic(
        code("ek-certificate-malformed"),
        help("Read it on the device with `tpm2_getekcertificate`, and ask the maker of the TPM")
    )]
    Malformed(String),
    /// The key is of a kind that no template has.
    #[error("the key in the EK certificate is not one of RSA-2048, RSA-3072, P-256 and P-384")]
    #[diagnostic(
        code("ek-kind-unsupported"),
        help("Use a TPM with a certificate for an EK of one of these kinds")
    )]
    Kind,
}

/// The certificate of an endorsement key. Nothing in it is verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EkCertificate {
    der: Vec<u8>,
    public_key: IdentityPublicKey,
    serial: Vec<u8>,
    not_before: Duration,
    has_ek_usage: bool,
}

impl EkCertificate {
    /// Reads the certificate at the start of `content`, which may be padded, as in an NV index.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn read(content: &[u8]) -> Result<Self, CertificateError> {
        let der = cut_certificate(content)
            .ok_or_else(|| CertificateError::Malformed("no certificate starts there".to_owned()))?;
        let fields = Fields::read(der).map_err(malformed)?;
        Ok(EkCertificate {
            der: der.to_vec(),
            public_key: public_key(fields.public_key)?,
            serial: fields.serial.to_vec(),
            not_before: time(fields.not_before).map_err(malformed)?,
            has_ek_usage: has_ek_usage(fields.extensions).map_err(malformed)?,
        })
    }

    /// The certificate in DER, without what followed it.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The endorsement key. It has a kind that identity keys have too.
    pub fn public_key(&self) -> &IdentityPublicKey {
        &self.public_key
    }

    /// The serial number, big endian, as it is encoded: a zero byte may come first.
    pub fn serial(&self) -> &[u8] {
        &self.serial
    }

    /// SHA-256 of the DER, in hexadecimal digits.
    pub fn sha256(&self) -> String {
        hex::encode(sha256(&self.der))
    }

    /// The start of the validity, since 1970.
    pub(crate) fn not_before(&self) -> Duration {
        self.not_before
    }

    /// Returns true if the extended key usage is that of EK certificates.
    pub(crate) fn has_ek_usage(&self) -> bool {
        self.has_ek_usage
    }
}

/// The fields of a certificate (RFC 5280 section 4.1), as encoded.
pub(crate) struct Fields<'a> {
    serial: &'a [u8],
    pub(crate) issuer: &'a [u8],
    not_before: AnyRef<'a>,
    pub(crate) subject: &'a [u8],
    public_key: &'a [u8],
    /// The SEQUENCE of extensions, if there is one.
    extensions: Option<AnyRef<'a>>,
}

impl<'a> Fields<'a> {
    pub(crate) fn read(der: &'a [u8]) -> der::Result<Self> {
        let certificate = AnyRef::from_der(der)?;
        let tbs: AnyRef<'a> = SliceReader::new(certificate.value())?.decode_first()?;
        let mut reader = SliceReader::new(tbs.value())?;
        let mut serial: AnyRef<'a> = reader.decode()?;
        if is_context(&serial, 0) {
            // It was the version.
            serial = reader.decode()?;
        }
        let _signature: AnyRef<'a> = reader.decode()?;
        let issuer = reader.tlv_bytes()?;
        let validity: AnyRef<'a> = reader.decode()?;
        let subject = reader.tlv_bytes()?;
        let public_key = reader.tlv_bytes()?;
        let mut extensions = None;
        while !reader.is_finished() {
            let field: AnyRef<'a> = reader.decode()?;
            if is_context(&field, 3) {
                extensions = Some(AnyRef::from_der(field.value())?);
            }
        }
        Ok(Fields {
            serial: serial.value(),
            issuer,
            not_before: SliceReader::new(validity.value())?.decode_first()?,
            subject,
            public_key,
            extensions,
        })
    }
}

/// Reads the first of several values.
trait DecodeFirst<'a> {
    fn decode_first(self) -> der::Result<AnyRef<'a>>;
}

impl<'a> DecodeFirst<'a> for SliceReader<'a> {
    fn decode_first(mut self) -> der::Result<AnyRef<'a>> {
        self.decode()
    }
}

fn is_context(value: &AnyRef<'_>, number: u32) -> bool {
    matches!(value.tag(), Tag::ContextSpecific { number: found, .. } if found == TagNumber(number))
}

fn time(value: AnyRef<'_>) -> der::Result<Duration> {
    match value.tag() {
        Tag::UtcTime => Ok(value.decode_as::<UtcTime>()?.to_unix_duration()),
        _ => Ok(value.decode_as::<GeneralizedTime>()?.to_unix_duration()),
    }
}

fn has_ek_usage(extensions: Option<AnyRef<'_>>) -> der::Result<bool> {
    let Some(extensions) = extensions else {
        return Ok(false);
    };
    let mut reader = SliceReader::new(extensions.value())?;
    while !reader.is_finished() {
        let extension: AnyRef<'_> = reader.decode()?;
        let mut fields = SliceReader::new(extension.value())?;
        let id: AnyRef<'_> = fields.decode()?;
        if id.value() != EXTENDED_KEY_USAGE.as_bytes() {
            continue;
        }
        let mut value: AnyRef<'_> = fields.decode()?;
        if value.tag() == Tag::Boolean {
            // It was the criticality.
            value = fields.decode()?;
        }
        let usages = AnyRef::from_der(value.value())?;
        let mut usages = SliceReader::new(usages.value())?;
        while !usages.is_finished() {
            let usage: AnyRef<'_> = usages.decode()?;
            if usage.value() == EK_CERTIFICATE.as_bytes() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// The key in a SubjectPublicKeyInfo, in the form that identity keys have.
fn public_key(info: &[u8]) -> Result<IdentityPublicKey, CertificateError> {
    let parsed = SubjectPublicKeyInfoRef::from_der(info).map_err(malformed)?;
    let key = match parsed.algorithm.oid {
        RSAES_OAEP => parsed.subject_public_key.as_bytes().and_then(rsa_key),
        _ => IdentityPublicKey::from_der(info)
            .and_then(IdentityPublicKey::into_device_key)
            .ok(),
    };
    key.ok_or(CertificateError::Kind)
}

fn rsa_key(key: &[u8]) -> Option<IdentityPublicKey> {
    let key = pkcs1::RsaPublicKeyRef::from_der(key).ok()?;
    let has_usual_exponent = key.public_exponent.as_bytes() == [1, 0, 1];
    let modulus = Unique::Modulus(key.modulus.as_bytes().to_vec());
    let mut sizes = [KeyKind::RSA_2048, KeyKind::RSA_3072].into_iter();
    sizes
        .find_map(|kind| IdentityPublicKey::of_device(kind, modulus.clone()).ok())
        .filter(|_| has_usual_exponent)
}

fn malformed(error: impl std::fmt::Display) -> CertificateError {
    CertificateError::Malformed(error.to_string())
}
