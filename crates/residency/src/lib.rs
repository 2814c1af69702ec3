//! Proof that a hardware identity key lives in a genuine TPM.
//!
//! The issuer's station makes a credential (TPM2_MakeCredential, in software) for the Name of the
//! identity key and the endorsement key (EK) of the device's TPM. Only the TPM that holds both keys
//! gets the secret in it (TPM2_ActivateCredential). The Name covers the attributes of the key, so the
//! key was made in that TPM and cannot leave it.
//!
//! | item | meaning |
//! |---|---|
//! | [`EvidenceMessage`], [`Challenge`], [`Answer`] | the three messages, in this order |
//! | [`EkTemplate`] | the templates of endorsement keys, as data |
//! | [`EkCertificate`], [`TrustedRoots`] | EK certificates and their verification |
//! | [`EkList`] | the list of known endorsement keys |
//! | [`names`] | the Name of an identity key, from the template and its public half |
//! | [`make_credential`] | TPM2_MakeCredential |
//! | [`Station`] | the checks in their order; makes challenges, checks answers |
//! | [`BatchKey`] | the secret from which the secrets of all challenges of a batch are derived |
#![forbid(unsafe_code)]

mod batch_key;
mod certificate;
mod chain;
mod credential;
mod ek_list;
mod marshal;
mod message;
mod name;
mod nv;
mod station;
mod template;

pub use batch_key::{BatchKey, answer_proof};
pub use certificate::{CertificateError, EkCertificate};
pub use chain::{EkTime, TrustError, TrustedRoots, VerificationError};
pub use credential::{Credential, CredentialError, make_credential};
pub use ek_list::{EkList, EkListError, NotListed};
pub use message::{
    Answer, Challenge, EkEvidence, Evidence, EvidenceMessage, LARGEST_EVIDENCE, LARGEST_MESSAGE, MessageError,
};
pub use name::names;
pub use nv::{certificates_in, cut_certificate};
pub use station::{AnswerError, ClaimedIdentity, EvidenceError, Station, VerifiedEvidence};
pub use template::{EkTemplate, UnknownTemplate};
