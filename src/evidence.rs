//! The evidence of a device: an endorsement key (EK) of its TPM, with its certificate. The issuer's
//! station challenges that key, and only the TPM that holds it and the identity key can answer.
//!
//! Nothing is verified here. Certificates are copied as they are, and no X.509 code is needed.

#[cfg(feature = "tpm")]
mod read;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use failure::Diagnostic;
use residency::EkTemplate;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::identity::{HardwareIdentity, IdentityError};
use crate::json;
use crate::tpm::{KeyName, TpmError};

/// The TPM has no endorsement key that a station could use.
#[derive(Debug, Error, Diagnostic)]
#[error("the TPM makes no endorsement key of the template {}", .0.map_or("L-1 or L-2", EkTemplate::name))]
#[diagnostic(
    code("ek-template-unsupported"),
    help("Leave out --ek-template or name another; on a factory boot, remove `factory.evidence`")
)]
pub struct NoEndorsementKey(Option<EkTemplate>);

/// Why an EK certificate is left out of the evidence, or why there is none.
#[derive(Debug, Error, Diagnostic)]
pub enum EvidenceWarning {
    /// No certificate starts in the NV index.
    #[error("the NV index {index}, of the template {template}, does not start with a certificate")]
    #[diagnostic(
        code("ek-certificate-malformed"),
        help("Read it on the device with `tpm2_getekcertificate`, and ask the maker of the TPM")
    )]
    NoCertificateThere {
        /// The index.
        index: NvIndex,
        /// The template whose certificate belongs there.
        template: EkTemplate,
    },
    /// The certificate is for another key than the template makes.
    #[error(
        "the certificate in the NV index {index} is left out: the template {template} makes another key than \
         the one in the certificate"
    )]
    #[diagnostic(
        code("ek-certificate-for-other-key"),
        help("Ask the maker of the TPM which template the certificate is for; another certificate is tried")
    )]
    OtherKey {
        /// The index.
        index: NvIndex,
        /// The template.
        template: EkTemplate,
    },
    /// The TPM does not let the NV index be read.
    #[error("the NV index {index} is left out: {reason}")]
    #[diagnostic(
        code("nv-index-unreadable"),
        help("If it has a certificate that the station needs, let its content be read without a password")
    )]
    NotRead {
        /// The index.
        index: NvIndex,
        /// What the TPM answered.
        reason: TpmError,
    },
    /// The TPM has no certificate that can be used.
    #[error("the evidence has no EK certificate, only the endorsement key of the template {0}")]
    #[diagnostic(
        code("ek-certificate-missing"),
        help("Prove the device with a list of endorsement keys: `hardware-identity challenge --ek-list`")
    )]
    NoCertificate(EkTemplate),
}

/// The number of an NV index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NvIndex(u32);

impl fmt::Display for NvIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08X}", self.0)
    }
}

/// How the station learns the endorsement key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EkSource {
    /// From its certificate.
    Certificate {
        /// The NV index that has it.
        index: NvIndex,
        /// X.509 in DER, as the maker of the TPM encoded it.
        der: Vec<u8>,
    },
    /// From the key: SubjectPublicKeyInfo in DER.
    PublicKey(Vec<u8>),
}

/// An endorsement key, and further certificates in the TPM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The template that makes the key.
    pub template: EkTemplate,
    /// The key.
    pub key: EkSource,
    /// Further certificates in DER.
    pub chain: Vec<Vec<u8>>,
}

/// Evidence and what the line should know about it.
#[derive(Debug, Default)]
pub struct CollectedEvidence {
    evidence: Option<Evidence>,
    warnings: Vec<EvidenceWarning>,
    wanted: Option<EkTemplate>,
}

impl CollectedEvidence {
    /// Without the backend, no TPM can be opened.
    ///
    /// # Errors
    /// None.
    #[cfg(not(feature = "tpm"))]
    pub fn read(tpm: &mut crate::tpm::Tpm<'_>, _: Option<EkTemplate>) -> Result<Self, IdentityError> {
        match tpm.0 {}
    }

    /// Returns the evidence, and reports what is wrong with it.
    ///
    /// # Errors
    /// [`NoEndorsementKey`].
    pub fn into_evidence(self, program: &str) -> Result<Evidence, NoEndorsementKey> {
        for warning in &self.warnings {
            failure::warn(program, warning);
        }
        self.evidence.ok_or(NoEndorsementKey(self.wanted))
    }
}

/// The message `hardware-identity-evidence`, which the crate `residency` reads.
#[derive(Clone, Debug)]
pub struct EvidenceMessage {
    hardware_id: String,
    key_name: KeyName,
    evidence: Evidence,
}

impl EvidenceMessage {
    /// The message of a device.
    ///
    /// # Errors
    /// [`IdentityError::NotInTpm`].
    pub fn new(
        hardware_id: &str,
        identity: &HardwareIdentity,
        evidence: Evidence,
    ) -> Result<Self, IdentityError> {
        let key_name = identity.record.key.tpm_name().ok_or(IdentityError::NotInTpm)?;
        Ok(EvidenceMessage {
            hardware_id: hardware_id.to_owned(),
            key_name: key_name.clone(),
            evidence,
        })
    }

    /// The member `key-name`, by which a later run knows the message: the Name in base64.
    pub(crate) fn key_name(&self) -> String {
        STANDARD.encode(self.key_name.as_bytes())
    }

    /// The JSON on several lines, as a file holds it.
    pub fn document(&self) -> String {
        json::document(&self.members())
    }

    /// The JSON on one line, without a line feed.
    pub fn line(&self) -> String {
        json::line(&self.members())
    }

    fn members(&self) -> [(&'static str, Value); 6] {
        let text = |bytes: &[u8]| Value::from(STANDARD.encode(bytes));
        let mut key = Map::new();
        let mut set = |name: &str, value| key.insert(name.to_owned(), value);
        set("template", self.evidence.template.name().into());
        match &self.evidence.key {
            EkSource::Certificate { index, der } => {
                set("nv-index", index.to_string().into());
                set("certificate", text(der));
            }
            EkSource::PublicKey(der) => {
                set("public-key", text(der));
            }
        }
        let chain = self.evidence.chain.iter().map(|der| text(der)).collect();
        [
            ("type", "hardware-identity-evidence".into()),
            ("version", 1.into()),
            ("hardware-id", self.hardware_id.as_str().into()),
            ("key-name", self.key_name().into()),
            ("endorsement", Value::Array(vec![Value::Object(key)])),
            ("chain", Value::Array(chain)),
        ]
    }
}
