//! `hardware-identity`: the public key of a piece of hardware, signed by its issuer.

use identity_key::{DigestForm, Hash};

use super::common::fields_of;
use super::rules::{ACCOUNT_ID, HARDWARE_NAME};
use crate::assertion::Assertion;
use crate::digest::sha3_384;
use crate::fields::{Fields, HeaderError, HeaderProblem};
use crate::hardware_key::{HardwareKey, WrongNonceSignature};
use crate::headers::Headers;

pub(super) const TYPE: &str = "hardware-identity";
const KEY: &str = "hardware-id-key";
const DIGEST: &str = "hardware-id-key-sha3-384";

/// A checked `hardware-identity`.
///
/// ```
/// use snap_assertions::KeyKind;
/// use snap_assertions::types::HardwareIdentity;
///
/// let text = include_bytes!("../../tests/vectors/hardware-identity-p384.assert");
/// let assertion = snap_assertions::decode(text)?;
/// let identity = HardwareIdentity::try_from(&assertion)?;
/// assert_eq!(identity.issuer_id(), "acme");
/// assert_eq!(identity.key().public_key().kind(), KeyKind::EcdsaP384);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct HardwareIdentity<'a> {
    issuer_id: &'a str,
    manufacturer: &'a str,
    hardware_name: &'a str,
    hardware_id: &'a str,
    key: HardwareKey,
    key_digest: &'a str,
    digest_form: DigestForm,
}

impl<'a> HardwareIdentity<'a> {
    /// Checks the headers as snapd does, with the key digest in the text form.
    ///
    /// # Errors
    /// If a header breaks a rule; the error names the first one. [`HeaderProblem::OtherDigestForm`]
    /// if the digest has the DER form.
    pub fn check(headers: &'a Headers) -> Result<Self, HeaderError> {
        Self::check_with_form(headers, DigestForm::Text)
    }

    /// Like [`check`](Self::check), with the key digest in the given form.
    ///
    /// # Errors
    /// If a header breaks a rule; the error names the first one. [`HeaderProblem::OtherDigestForm`]
    /// if the digest has the other form.
    pub fn check_with_form(headers: &'a Headers, form: DigestForm) -> Result<Self, HeaderError> {
        let identity = Self::check_any_form(headers)?;
        if identity.digest_form == form {
            return Ok(identity);
        }
        let (found, expected) = (identity.digest_form, form);
        let problem = HeaderProblem::OtherDigestForm { found, expected };
        Err(HeaderError::new(DIGEST, problem))
    }

    /// Like [`check`](Self::check), with the key digest in either form;
    /// [`digest_form`](Self::digest_form) returns it.
    ///
    /// # Errors
    /// If a header breaks a rule. The error names the first one.
    pub fn check_any_form(headers: &'a Headers) -> Result<Self, HeaderError> {
        let fields = fields_of(headers, TYPE)?;
        let issuer_id = fields.matching("issuer-id", ACCOUNT_ID)?;
        if fields.str("authority-id")? != issuer_id {
            let other = "authority-id";
            return Err(fields.error("issuer-id", HeaderProblem::Differs { other }));
        }
        let manufacturer = fields.str("manufacturer")?;
        let hardware_name = fields.matching("hardware-name", HARDWARE_NAME)?;
        let hardware_id = fields.str("hardware-id")?;
        let text = fields.str(KEY)?;
        let key = HardwareKey::from_header(text).map_err(|error| fields.error(KEY, error))?;
        Ok(Self {
            issuer_id,
            manufacturer,
            hardware_name,
            hardware_id,
            digest_form: digest_form(fields, text, &key)?,
            key_digest: fields.str(DIGEST)?,
            key,
        })
    }

    /// The account id of the issuer, the same as `authority-id`.
    pub fn issuer_id(&self) -> &'a str {
        self.issuer_id
    }

    /// The name of the manufacturer.
    pub fn manufacturer(&self) -> &'a str {
        self.manufacturer
    }

    /// The name of the hardware model.
    pub fn hardware_name(&self) -> &'a str {
        self.hardware_name
    }

    /// The hardware id, which need not be the serial number.
    pub fn hardware_id(&self) -> &'a str {
        self.hardware_id
    }

    /// The public key.
    pub fn key(&self) -> &HardwareKey {
        &self.key
    }

    /// The header `hardware-id-key-sha3-384`: base64url without padding.
    pub fn key_digest(&self) -> &'a str {
        self.key_digest
    }

    /// The form of [`key_digest`](Self::key_digest).
    pub fn digest_form(&self) -> DigestForm {
        self.digest_form
    }

    /// Checks a device's signature over the UTF-8 bytes of the request-id from the model service.
    ///
    /// # Errors
    /// [`WrongNonceSignature`] if the key of this identity did not make it.
    pub fn verify_nonce(
        &self,
        request_id: &str,
        signature: &[u8],
        hash: Hash,
    ) -> Result<(), WrongNonceSignature> {
        self.key.verify_nonce(request_id.as_bytes(), signature, hash)
    }
}

impl<'a> TryFrom<&'a Assertion> for HardwareIdentity<'a> {
    type Error = HeaderError;

    fn try_from(assertion: &'a Assertion) -> Result<Self, HeaderError> {
        Self::check(assertion.headers())
    }
}

/// The form of the digest in the header.
fn digest_form(fields: Fields<'_>, text: &str, key: &HardwareKey) -> Result<DigestForm, HeaderError> {
    let found = fields.str(DIGEST)?;
    let expected = sha3_384(&[text.as_bytes()]);
    if found == expected {
        Ok(DigestForm::Text)
    } else if found == key.public_key().digest(DigestForm::Der) {
        Ok(DigestForm::Der)
    } else {
        Err(fields.error(DIGEST, HeaderProblem::NotTheKeys { key: KEY, expected }))
    }
}
