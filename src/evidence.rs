//! The evidence of a device: an endorsement key (EK) of its TPM, with its certificate. The issuer's
//! station challenges that key, and only the TPM that holds it and the identity key can answer.
//!
//! Nothing is verified here. Certificates are copied as they are, and no X.509 code is needed.

use std::fmt;
use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use failure::Diagnostic;
use identity_key::{IdentityPublicKey, Unique};
use residency::{EkTemplate, certificates_in, cut_certificate};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::identity::{HardwareIdentity, IdentityError, OpenKey};
use crate::json;
#[cfg(feature = "tpm")]
use crate::tpm::Tpm;
use crate::tpm::{KeyName, TpmError};

/// The NV indices of EK certificates, and of the certificates of their issuers (TCG EK Credential
/// Profile for TPM Family 2.0, version 2.5, section 2.2.1).
const CERTIFICATES: RangeInclusive<u32> = 0x01c0_0000..=0x01c0_01ff;
const FIRST_OF_CHAIN: u32 = 0x01c0_0100;
/// The NV indices of a chain that are read.
const LONGEST_CHAIN: usize = 16;
/// The templates to try if the TPM has no certificate. All TPMs have one of these keys.
const WITHOUT_CERTIFICATE: [EkTemplate; 2] = [EkTemplate::L2, EkTemplate::L1];

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
    /// Reads EK certificates, the preferred one first, until the TPM makes the certified key; with
    /// `template` only that one. Without a certificate, the evidence is the key itself.
    ///
    /// # Errors
    /// Those of the TPM, except for an NV index that it does not let be read;
    /// [`IdentityError::NotInTpm`] for a key of another backend.
    pub fn read(key: &mut dyn OpenKey<'_>, template: Option<EkTemplate>) -> Result<Self, IdentityError> {
        #[cfg(feature = "tpm")]
        return Self::read_tpm(key.tpm()?.tpm, template);
        #[cfg(not(feature = "tpm"))]
        Err(IdentityError::NotInTpm)
    }

    #[cfg(feature = "tpm")]
    fn read_tpm(tpm: &mut Tpm<'_>, template: Option<EkTemplate>) -> Result<Self, IdentityError> {
        let mut collected = CollectedEvidence {
            wanted: template,
            ..CollectedEvidence::default()
        };
        let wanted = template.as_slice();
        let indices = tpm.nv_indices(CERTIFICATES)?;
        let certified = match wanted {
            [] => &EkTemplate::BY_PREFERENCE[..],
            wanted => wanted,
        };
        for &template in certified
            .iter()
            .filter(|template| indices.contains(&template.nv_index()))
        {
            if let Some(key) = collected.certified_key(tpm, template)? {
                let chain = collected.chain(tpm, &indices)?;
                collected.evidence = Some(Evidence { template, key, chain });
                return Ok(collected);
            }
        }
        let uncertified = match wanted {
            [] => &WITHOUT_CERTIFICATE[..],
            wanted => wanted,
        };
        for &template in uncertified {
            let public =
                derive(tpm, template)?.map(|unique| IdentityPublicKey::of_device(template.kind(), unique));
            if let Some(Ok(public)) = public {
                collected.warnings.push(EvidenceWarning::NoCertificate(template));
                collected.evidence = Some(Evidence {
                    template,
                    key: EkSource::PublicKey(public.der().to_vec()),
                    chain: Vec::new(),
                });
                break;
            }
        }
        Ok(collected)
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

    /// The key whose certificate is in the TPM, `None` with a warning if the TPM does not make it.
    fn certified_key(
        &mut self,
        tpm: &mut Tpm<'_>,
        template: EkTemplate,
    ) -> Result<Option<EkSource>, IdentityError> {
        let index = NvIndex(template.nv_index());
        let Some(content) = self.content(tpm, index)? else {
            return Ok(None);
        };
        let Some(der) = cut_certificate(&content) else {
            self.warnings
                .push(EvidenceWarning::NoCertificateThere { index, template });
            return Ok(None);
        };
        if !derive(tpm, template)?.is_some_and(|unique| is_in(&unique, der)) {
            self.warnings.push(EvidenceWarning::OtherKey { index, template });
            return Ok(None);
        }
        let der = der.to_vec();
        Ok(Some(EkSource::Certificate { index, der }))
    }

    fn chain(&mut self, tpm: &mut Tpm<'_>, indices: &[u32]) -> Result<Vec<Vec<u8>>, IdentityError> {
        let of_chain = indices.iter().filter(|&&index| index >= FIRST_OF_CHAIN);
        let mut contents = Vec::new();
        for &index in of_chain.take(LONGEST_CHAIN) {
            contents.extend(self.content(tpm, NvIndex(index))?);
        }
        Ok(certificates_in(contents.iter().map(Vec::as_slice)))
    }

    /// The content of an NV index, `None` with a warning if the TPM does not let it be read. Other
    /// certificates may be enough.
    fn content(&mut self, tpm: &mut Tpm<'_>, index: NvIndex) -> Result<Option<Vec<u8>>, IdentityError> {
        match tpm.read_nv(index.0) {
            Err(reason @ TpmError::Failed { .. }) => {
                self.warnings.push(EvidenceWarning::NotRead { index, reason });
                Ok(None)
            }
            read => Ok(read?),
        }
    }
}

/// Returns true if the key's numbers are in the certificate, which is enough for a warning. How the
/// certificate names the algorithm of an RSA key differs between makers.
fn is_in(unique: &Unique, certificate: &[u8]) -> bool {
    let numbers = match unique {
        Unique::Point { x, y } => [x.as_slice(), y].concat(),
        Unique::Modulus(modulus) => modulus.clone(),
    };
    !numbers.is_empty() && certificate.windows(numbers.len()).any(|window| window == numbers)
}

/// What distinguishes the key that the TPM makes from the template, `None` if it makes none.
fn derive(tpm: &mut Tpm<'_>, template: EkTemplate) -> Result<Option<Unique>, IdentityError> {
    let Some(key) = tpm.derive_endorsement_key(&template.public_area())? else {
        return Ok(None);
    };
    let unique = key.unique().clone();
    tpm.flush_endorsement_key(key)?;
    Ok(Some(unique))
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
