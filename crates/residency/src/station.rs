//! The station's checks, in their order: first all that need no secret, then the answer.
//!
//! The station computes the Name of the identity key from the exported public key and the template. A
//! Name or attributes that a device sends prove nothing.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use identity_key::IdentityPublicKey;
use miette::Diagnostic;
use thiserror::Error;

use crate::batch_key::{BatchKey, answer_proof};
use crate::certificate::{CertificateError, EkCertificate};
use crate::chain::{EkTime, TrustedRoots, VerificationError};
use crate::credential::{CredentialError, make_credential};
use crate::digest::sha256;
use crate::ek_list::{EkList, NotListed};
use crate::message::{Answer, Challenge, EkEvidence, Evidence, EvidenceMessage};
use crate::name::names;
use crate::template::EkTemplate;

/// The largest number of endorsement keys in evidence, and of further certificates. The search for a path
/// to a root takes longer with each further certificate.
const MOST_KEYS: usize = 6;
const MOST_CERTIFICATES: usize = 8;

/// Why evidence is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
pub enum EvidenceError {
    /// The evidence of another device.
    #[error("the evidence is for the hardware id {found:?}")]
    #[diagnostic(
        code("evidence-for-other-device"),
        help(
            "Put the evidence of a device beside its own export, one export per file, or export the device again with \
             evidence"
        )
    )]
    HardwareId {
        /// The hardware id in the evidence.
        found: String,
    },
    /// The Name is not that of the exported key with the template.
    #[error(
        "the key in the TPM has another Name than the exported key with the template of hardware identities"
    )]
    #[diagnostic(
        code("evidence-for-other-key"),
        help(
            "Export the device again with evidence; a key with other attributes than the template's is never accepted"
        )
    )]
    Name,
    /// More keys or certificates than a TPM has.
    #[error("the evidence has {keys} endorsement keys and {certificates} further certificates")]
    #[diagnostic(
        code("evidence-too-large"),
        help("Export the device again with evidence: at most 6 keys and 8 certificates are read")
    )]
    TooMuch {
        /// The number of keys.
        keys: usize,
        /// The number of further certificates.
        certificates: usize,
    },
    /// No endorsement key.
    #[error("the evidence has no endorsement key")]
    #[diagnostic(
        code("evidence-without-ek"),
        help("Export the device again with evidence, and look at its warnings")
    )]
    NoKey,
    /// Neither certificate nor list.
    #[error("the endorsement key has no certificate, and the batch has no list of endorsement keys")]
    #[diagnostic(
        code("ek-unproven"),
        help(
            "Start a batch with --ek-list, if you know the keys of your TPMs; or use TPMs with certificates"
        )
    )]
    NoCertificate,
    /// A certificate, but no roots and no list.
    #[error("the batch has neither roots of the makers of TPMs nor a list of endorsement keys")]
    #[diagnostic(code("ek-trust-missing"), help("Start a batch with --ek-roots or --ek-list"))]
    NoTrust,
    /// The key in the certificate does not fit the template.
    #[error(
        "the template {template} makes a key of kind {expected}, but the endorsement key is of kind {found}"
    )]
    #[diagnostic(code("ek-kind-differs"), help("Export the device again with evidence"))]
    Kind {
        /// The template.
        template: EkTemplate,
        /// The kind of its keys.
        expected: identity_key::KeyKind,
        /// The kind of the key.
        found: identity_key::KeyKind,
    },
    /// The certificate cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Certificate(#[from] CertificateError),
    /// The certificate is not trusted.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Verification(#[from] VerificationError),
    /// The list does not have the key for this device.
    #[error(transparent)]
    #[diagnostic(transparent)]
    List(#[from] NotListed),
}

/// Why an answer is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
pub enum AnswerError {
    /// The answer of another device.
    #[error("the answer is for the hardware id {found:?}")]
    #[diagnostic(
        code("answer-for-other-device"),
        help("Put each answer under the name of its device, or answer the challenge of this device")
    )]
    HardwareId {
        /// The hardware id in the answer.
        found: String,
    },
    /// The answer for another key.
    #[error("the answer is for another key")]
    #[diagnostic(
        code("answer-for-other-key"),
        help("Answer the challenge that was made for the exported key of this device")
    )]
    Name,
    /// The answer to a challenge of another batch.
    #[error("the answer belongs to another batch")]
    #[diagnostic(
        code("answer-of-other-batch"),
        help("Answer the challenge of this batch; earlier answers are never accepted again")
    )]
    Batch,
    /// The proof is not the one that the TPM gives.
    #[error("the answer does not prove that the key is in the TPM")]
    #[diagnostic(
        code("answer-wrong"),
        help(
            "Answer the challenge of this batch on the device; if that fails too, take the device off the line"
        )
    )]
    Proof,
}

/// What an export says: the hardware id and the identity key.
#[derive(Clone, Copy, Debug)]
pub struct ClaimedIdentity<'a> {
    /// The hardware id.
    pub hardware_id: &'a str,
    /// The public half of the identity key.
    pub key: &'a IdentityPublicKey,
}

/// Evidence that passed the checks: an endorsement key of a TPM that the station trusts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedEvidence {
    /// The Name of the identity key, computed by the station.
    pub key_name: Vec<u8>,
    /// The template of the endorsement key.
    pub template: EkTemplate,
    /// The endorsement key.
    pub endorsement_key: IdentityPublicKey,
    /// SHA-256 of the EK certificate, in hexadecimal digits.
    pub certificate: Option<String>,
    /// SHA-256 of the root that the certificate leads to.
    pub root: Option<String>,
}

impl VerifiedEvidence {
    /// SHA-256 of the endorsement key's SubjectPublicKeyInfo, which names the TPM.
    pub fn endorsement_key_sha256(&self) -> [u8; 32] {
        sha256(self.endorsement_key.der())
    }
}

/// What a station trusts, and its key for one batch.
#[derive(Debug)]
pub struct Station {
    key: BatchKey,
    roots: Option<TrustedRoots>,
    list: Option<EkList>,
    time: EkTime,
}

impl Station {
    /// A station that accepts EK certificates that lead to `roots` at `time`, and endorsement keys
    /// in `list`. With both, a key has to pass both, but a key without certificate passes with the
    /// list alone.
    pub fn new(key: BatchKey, roots: Option<TrustedRoots>, list: Option<EkList>, time: EkTime) -> Self {
        Station {
            key,
            roots,
            list,
            time,
        }
    }

    /// Checks the evidence of a device: hardware id, Name, then its endorsement keys, the preferred
    /// first, until one passes.
    ///
    /// # Errors
    /// [`EvidenceError`], that of the preferred key if none passes.
    pub fn verify(
        &self,
        identity: ClaimedIdentity<'_>,
        message: &EvidenceMessage,
    ) -> Result<VerifiedEvidence, EvidenceError> {
        if message.hardware_id != identity.hardware_id {
            let found = message.hardware_id.clone();
            return Err(EvidenceError::HardwareId { found });
        }
        let key_name = names(identity.key)
            .into_iter()
            .find(|name| *name == message.key_name)
            .ok_or(EvidenceError::Name)?;
        let Evidence::Endorsement { keys, chain } = &message.evidence;
        if keys.len() > MOST_KEYS || chain.len() > MOST_CERTIFICATES {
            return Err(EvidenceError::TooMuch {
                keys: keys.len(),
                certificates: chain.len(),
            });
        }
        let preferred = EkTemplate::BY_PREFERENCE
            .iter()
            .flat_map(|template| keys.iter().filter(move |key| key.template == *template));
        let mut first_error = None;
        for key in preferred {
            match self.verify_key(identity.hardware_id, key, chain) {
                Ok(evidence) => return Ok(VerifiedEvidence { key_name, ..evidence }),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.unwrap_or(EvidenceError::NoKey))
    }

    fn verify_key(
        &self,
        hardware_id: &str,
        evidence: &EkEvidence,
        chain: &[Vec<u8>],
    ) -> Result<VerifiedEvidence, EvidenceError> {
        let template = evidence.template;
        let certificate = evidence
            .certificate
            .as_deref()
            .map(EkCertificate::read)
            .transpose()?;
        let key = match (&certificate, &evidence.public_key) {
            (Some(certificate), _) => certificate.public_key().clone(),
            (None, Some(der)) => IdentityPublicKey::from_der(der)
                .and_then(IdentityPublicKey::into_device_key)
                .map_err(|_| CertificateError::Kind)?,
            (None, None) => return Err(EvidenceError::NoKey),
        };
        if key.kind() != template.kind() {
            return Err(EvidenceError::Kind {
                template,
                expected: template.kind(),
                found: key.kind(),
            });
        }
        let root = match (&self.roots, &certificate) {
            (Some(roots), Some(certificate)) => Some(roots.verify(certificate, chain, self.time)?),
            (Some(_), None) if self.list.is_none() => return Err(EvidenceError::NoCertificate),
            (None, _) if self.list.is_none() => return Err(EvidenceError::NoTrust),
            _ => None,
        };
        if let Some(list) = &self.list {
            list.check(&key, certificate.as_ref(), root.is_some(), hardware_id)?;
        }
        Ok(VerifiedEvidence {
            key_name: Vec::new(),
            template,
            endorsement_key: key,
            certificate: certificate.map(|certificate| certificate.sha256()),
            root,
        })
    }

    /// Makes the challenge for a device whose evidence was verified.
    ///
    /// # Errors
    /// [`CredentialError`].
    pub fn challenge(
        &self,
        identity: ClaimedIdentity<'_>,
        evidence: &VerifiedEvidence,
    ) -> Result<Challenge, CredentialError> {
        let secret = self.secret(identity, evidence);
        let (template, key) = (evidence.template, &evidence.endorsement_key);
        let credential = make_credential(template, key, &evidence.key_name, &secret)?;
        Ok(Challenge {
            hardware_id: identity.hardware_id.to_owned(),
            key_name: evidence.key_name.clone(),
            template,
            credential_blob: credential.blob,
            encrypted_secret: credential.encrypted_secret,
            batch: Some(self.key.id()),
        })
    }

    /// Checks the answer of a device whose evidence was verified.
    ///
    /// # Errors
    /// [`AnswerError`].
    pub fn check(
        &self,
        identity: ClaimedIdentity<'_>,
        evidence: &VerifiedEvidence,
        answer: &Answer,
    ) -> Result<(), AnswerError> {
        if answer.hardware_id != identity.hardware_id {
            let found = answer.hardware_id.clone();
            return Err(AnswerError::HardwareId { found });
        }
        if answer.key_name != evidence.key_name {
            return Err(AnswerError::Name);
        }
        if answer.batch.as_ref().is_some_and(|batch| *batch != self.key.id()) {
            return Err(AnswerError::Batch);
        }
        let secret = self.secret(identity, evidence);
        let expected = answer_proof(&secret, &evidence.key_name, identity.hardware_id);
        verify_slices_are_equal(&expected, &answer.proof).map_err(|_| AnswerError::Proof)
    }

    fn secret(
        &self,
        identity: ClaimedIdentity<'_>,
        evidence: &VerifiedEvidence,
    ) -> zeroize::Zeroizing<Vec<u8>> {
        self.key.secret(
            evidence.template,
            &evidence.endorsement_key_sha256(),
            &evidence.key_name,
            identity.hardware_id,
        )
    }
}
