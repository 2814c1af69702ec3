//! Reading the evidence from the TPM.

use std::ops::RangeInclusive;

use identity_key::{IdentityPublicKey, Unique};
use residency::{EkTemplate, certificates_in, cut_certificate};

use super::{CollectedEvidence, EkSource, Evidence, EvidenceWarning, NvIndex};
use crate::identity::IdentityError;
use crate::tpm::{Tpm, TpmError};

/// The NV indices of EK certificates, and of the certificates of their issuers (TCG EK Credential
/// Profile for TPM Family 2.0, version 2.5, section 2.2.1).
const CERTIFICATES: RangeInclusive<u32> = 0x01c0_0000..=0x01c0_01ff;
const FIRST_OF_CHAIN: u32 = 0x01c0_0100;
/// The NV indices of a chain that are read.
const LONGEST_CHAIN: usize = 16;
/// The templates to try if the TPM has no certificate. All TPMs have one of these keys.
const WITHOUT_CERTIFICATE: [EkTemplate; 2] = [EkTemplate::L2, EkTemplate::L1];

impl CollectedEvidence {
    /// Reads EK certificates, the preferred one first, until the TPM makes the certified key; with
    /// `template` only that one. Without a certificate, the evidence is the key itself.
    ///
    /// # Errors
    /// Those of the TPM, except for an NV index that it does not let be read.
    pub fn read(tpm: &mut Tpm<'_>, template: Option<EkTemplate>) -> Result<Self, IdentityError> {
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
