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

#[cfg(feature = "station")]
mod batch_key;
#[cfg(feature = "station")]
mod certificate;
#[cfg(feature = "station")]
mod chain;
#[cfg(feature = "station")]
mod credential;
#[cfg(feature = "station")]
mod digest;
#[cfg(feature = "station")]
mod ek_list;
mod marshal;
#[cfg(feature = "station")]
mod message;
#[cfg(feature = "station")]
mod name;
mod nv;
#[cfg(feature = "station")]
mod station;
mod template;

#[cfg(feature = "station")]
pub use batch_key::{BatchKey, answer_proof};
#[cfg(feature = "station")]
pub use certificate::{CertificateError, EkCertificate};
#[cfg(feature = "station")]
pub use chain::{EkTime, TrustError, TrustedRoots, VerificationError};
#[cfg(feature = "station")]
pub use credential::{Credential, CredentialError, make_credential};
#[cfg(feature = "station")]
pub use ek_list::{EkList, EkListError, NotListed};
#[cfg(feature = "station")]
pub use message::{
    Answer, Challenge, EkEvidence, Evidence, EvidenceMessage, LARGEST_EVIDENCE, LARGEST_MESSAGE, MessageError,
};
#[cfg(feature = "station")]
pub use name::names;
pub use nv::{certificates_in, cut_certificate};
#[cfg(feature = "station")]
pub use station::{AnswerError, ClaimedIdentity, EvidenceError, Station, VerifiedEvidence};
pub use template::{EkTemplate, UnknownTemplate};
