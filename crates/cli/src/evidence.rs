//! The evidence of a device: an endorsement key (EK) of its TPM, with its certificate.

use std::fmt;
use std::ops::RangeInclusive;

use hardware_identity::identity::IdentityError;
use hardware_identity::tpm::{Tpm, TpmError};
use identity_key::IdentityPublicKey;
use miette::Diagnostic;
use residency::{CertificateError, EkCertificate, EkEvidence, EkTemplate, Evidence, certificates_in};
use thiserror::Error;

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
    help("Use another --ek-template, or let the tool choose")
)]
pub(crate) struct NoEndorsementKey(Option<EkTemplate>);

/// Why an EK certificate is left out of the evidence, or why there is none.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum EvidenceWarning {
    #[error("the certificate in the NV index {index}, of the template {template}, is left out: {reason}")]
    #[diagnostic(forward(reason))]
    Unreadable {
        index: NvIndex,
        template: EkTemplate,
        reason: CertificateError,
    },
    #[error(
        "the certificate in the NV index {index} is left out: the template {template} makes another key than the one \
         in the certificate"
    )]
    #[diagnostic(
        code("ek-certificate-for-other-key"),
        help("Ask the maker of the TPM which template the certificate is for; another certificate is tried")
    )]
    OtherKey { index: NvIndex, template: EkTemplate },
    #[error("the NV index {index} is left out: {reason}")]
    #[diagnostic(
        code("nv-index-unreadable"),
        help("If it has a certificate that the station needs, let its content be read without a password")
    )]
    NotRead { index: NvIndex, reason: TpmError },
    #[error("the evidence has no EK certificate, only the endorsement key of the template {0}")]
    #[diagnostic(
        code("ek-certificate-missing"),
        help("Prove the device with a list of endorsement keys: `hardware-identity challenge --ek-list`")
    )]
    NoCertificate(EkTemplate),
}

/// The number of an NV index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NvIndex(u32);

impl fmt::Display for NvIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08X}", self.0)
    }
}

/// Evidence and what the line should know about it.
#[derive(Debug, Default)]
pub(crate) struct CollectedEvidence {
    evidence: Option<Evidence>,
    warnings: Vec<EvidenceWarning>,
    wanted: Option<EkTemplate>,
}

impl CollectedEvidence {
    /// Reads EK certificates, the preferred one first, until the TPM makes the certified key; with
    /// `template` only that one. Without a certificate, the evidence is the key itself.
    pub(crate) fn read(tpm: &mut Tpm<'_>, template: Option<EkTemplate>) -> Result<Self, IdentityError> {
        let mut collected = CollectedEvidence {
            wanted: template,
            ..CollectedEvidence::default()
        };
        let wanted: &[EkTemplate] = match &template {
            Some(template) => std::slice::from_ref(template),
            None => &EkTemplate::BY_PREFERENCE,
        };
        let indices = tpm.nv_indices(CERTIFICATES)?;
        for &template in wanted
            .iter()
            .filter(|template| indices.contains(&template.nv_index()))
        {
            if let Some(key) = collected.certified_key(tpm, template)? {
                let chain = collected.chain(tpm, &indices)?;
                collected.evidence = Some(Evidence::Endorsement {
                    keys: vec![key],
                    chain,
                });
                return Ok(collected);
            }
        }
        let wanted = template.map_or(WITHOUT_CERTIFICATE.to_vec(), |template| vec![template]);
        for template in wanted {
            if let Some(key) = derive(tpm, template)? {
                collected.warnings.push(EvidenceWarning::NoCertificate(template));
                collected.evidence = Some(uncertified(template, &key));
                break;
            }
        }
        Ok(collected)
    }

    /// Returns the evidence, and reports what is wrong with it.
    pub(crate) fn into_evidence(self, program: &str) -> Result<Evidence, NoEndorsementKey> {
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
    ) -> Result<Option<EkEvidence>, IdentityError> {
        let index = NvIndex(template.nv_index());
        let Some(content) = self.content(tpm, index)? else {
            return Ok(None);
        };
        let certificate = match EkCertificate::read(&content) {
            Ok(certificate) => certificate,
            Err(reason) => {
                let warning = EvidenceWarning::Unreadable {
                    index,
                    template,
                    reason,
                };
                self.warnings.push(warning);
                return Ok(None);
            }
        };
        if derive(tpm, template)?.as_ref() != Some(certificate.public_key()) {
            self.warnings.push(EvidenceWarning::OtherKey { index, template });
            return Ok(None);
        }
        Ok(Some(EkEvidence {
            template,
            nv_index: Some(index.to_string()),
            certificate: Some(certificate.der().to_vec()),
            public_key: None,
        }))
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

fn uncertified(template: EkTemplate, key: &IdentityPublicKey) -> Evidence {
    let key = EkEvidence {
        template,
        nv_index: None,
        certificate: None,
        public_key: Some(key.der().to_vec()),
    };
    Evidence::Endorsement {
        keys: vec![key],
        chain: Vec::new(),
    }
}

/// The key that the TPM makes from the template, `None` if it cannot.
fn derive(tpm: &mut Tpm<'_>, template: EkTemplate) -> Result<Option<IdentityPublicKey>, IdentityError> {
    let Some(key) = tpm.derive_endorsement_key(&template.public_area())? else {
        return Ok(None);
    };
    let public = IdentityPublicKey::of_device(template.kind(), key.unique().clone());
    tpm.flush_endorsement_key(key)?;
    Ok(public.ok())
}
