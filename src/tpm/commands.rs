//! The TPM commands that an identity needs.

use identity_key::{IdentityPublicKey, KeyKind};
use tss_esapi::constants::PropertyTag;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Kind;
use tss_esapi::constants::tss::{TPM2_RH_NULL, TPM2_ST_HASHCHECK};
use tss_esapi::handles::{KeyHandle, PersistentTpmHandle, TpmHandle};
use tss_esapi::interface_types::dynamic_handles::Persistent;
use tss_esapi::interface_types::resource_handles::{Hierarchy as TssHierarchy, Provision};
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{Digest, HashcheckTicket, Signature, SignatureScheme};
use tss_esapi::tss2_esys::{TPM2B_DIGEST, TPMT_TK_HASHCHECK};

use super::PersistentHandle;
use super::connection::Tpm;
use super::error::{Hierarchy, TpmError};
use super::key::{Key, KeyName};
use super::response::{TssResult, failed, kind};
use super::template::{identity_key, parameters, recognise, template};
use crate::ecdsa::signature_der;

/// TPMA_STARTUP_CLEAR bits (TPM 2.0 Library part 2, section 8.7).
const SH_ENABLE: u32 = 1 << 1;
const EH_ENABLE: u32 = 1 << 2;

/// The outcome of making a key persistent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persisted {
    /// The key is at the handle.
    Yes,
    /// The TPM's memory for persistent objects is full.
    NoSpace,
    /// There is already an object at the handle.
    HandleInUse,
}

impl Tpm<'_> {
    /// The key at a persistent handle, `None` if the handle is empty. One command, TPM2_ReadPublic.
    ///
    /// # Errors
    /// [`TpmError::HierarchyDisabled`] if that makes the handle look empty.
    pub fn persistent(&mut self, handle: PersistentHandle) -> Result<Option<Key>, TpmError> {
        const COMMAND: &str = "TPM2_ReadPublic";
        let tpm_handle = PersistentTpmHandle::new(handle.number()).map_err(failed(COMMAND))?;
        let found = self.run(COMMAND, |context| {
            context.tr_from_tpm_public(TpmHandle::Persistent(tpm_handle))
        })?;
        match found {
            Ok(object) => {
                let name = self.context.tr_get_name(object).map_err(failed(COMMAND))?;
                Ok(Some(Key {
                    handle: KeyHandle::from(object),
                    name: KeyName::new(name.value()),
                }))
            }
            Err(error) if kind(error) == Some(Kind::Handle) => {
                self.check_hierarchies()?;
                Ok(None)
            }
            Err(error) => Err(failed(COMMAND)(error)),
        }
    }

    /// The public half of a key, `None` if it is not a key of our template in the endorsement
    /// hierarchy. One command, TPM2_ReadPublic.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn identity_public(&mut self, key: &Key) -> Result<Option<IdentityPublicKey>, TpmError> {
        const COMMAND: &str = "TPM2_ReadPublic";
        match self.run(COMMAND, |context| context.read_public(key.handle))? {
            Ok((public, name, qualified)) => Ok(identity_key(&public, &name, &qualified)),
            // A kind of key that tss-esapi does not know is not ours.
            Err(tss_esapi::Error::WrapperError(_)) => Ok(None),
            Err(error) => Err(failed(COMMAND)(error)),
        }
    }

    /// Derives the identity key from the endorsement seed. The same TPM and kind always give the
    /// same key.
    ///
    /// # Errors
    /// [`TpmError::HierarchyDisabled`], [`TpmError::AuthorisationSet`], [`TpmError::Unsupported`].
    /// Needs an empty authorisation value of the endorsement hierarchy.
    pub fn derive(&mut self, kind: KeyKind) -> Result<(Key, IdentityPublicKey), TpmError> {
        const COMMAND: &str = "TPM2_CreatePrimary";
        let template = template(kind).map_err(failed(COMMAND))?;
        let created = self.run(COMMAND, |context| {
            context.execute_with_session(Some(AuthSession::Password), |context| {
                let template = template.clone();
                context.create_primary(TssHierarchy::Endorsement, template, None, None, None, None)
            })
        })?;
        let created = match created {
            Ok(created) => created,
            Err(error) => return Err(self.derive_error(kind, error)?),
        };
        self.has_derived = true;
        let handle = created.key_handle;
        let name = self.context.tr_get_name(handle.into()).map_err(failed(COMMAND))?;
        let public = recognise(&created.out_public).ok_or(TpmError::Failed {
            command: COMMAND,
            reason: "the key does not match its template".to_owned(),
        })?;
        let name = KeyName::new(name.value());
        Ok((Key { handle, name }, public))
    }

    fn derive_error(&mut self, algorithm: KeyKind, error: tss_esapi::Error) -> Result<TpmError, TpmError> {
        Ok(match kind(error) {
            Some(Kind::Hierarchy) => TpmError::HierarchyDisabled(Hierarchy::Endorsement),
            Some(Kind::BadAuth | Kind::AuthFail) => TpmError::AuthorisationSet(Hierarchy::Endorsement),
            Some(
                Kind::Value | Kind::Hash | Kind::Curve | Kind::KeySize | Kind::Asymmetric | Kind::Scheme,
            ) => TpmError::Unsupported {
                algorithm,
                supported: self.supported_besides(algorithm)?,
            },
            _ => failed("TPM2_CreatePrimary")(error),
        })
    }

    fn supported_besides(&mut self, refused: KeyKind) -> Result<String, TpmError> {
        let mut names = Vec::new();
        for algorithm in KeyKind::OF_DEVICES.into_iter().filter(|&a| a != refused) {
            let tested = self.run("TPM2_TestParms", |context| {
                context.test_parms(parameters(algorithm))
            })?;
            if tested.is_ok() {
                names.push(algorithm.to_string());
            }
        }
        Ok(match names.as_slice() {
            [] => "none of the others".to_owned(),
            names => names.join(", "),
        })
    }

    /// Makes a transient key persistent. Needs an empty authorisation value of the owner hierarchy.
    ///
    /// # Errors
    /// [`TpmError::AuthorisationSet`] and [`TpmError::HierarchyDisabled`] for the owner hierarchy.
    pub fn persist(&mut self, key: &Key, handle: PersistentHandle) -> Result<Persisted, TpmError> {
        const COMMAND: &str = "TPM2_EvictControl";
        let persistent = PersistentTpmHandle::new(handle.number()).map_err(failed(COMMAND))?;
        let done = self.run(COMMAND, |context| {
            context.execute_with_session(Some(AuthSession::Password), |context| {
                let persistent = Persistent::Persistent(persistent);
                context.evict_control(Provision::Owner, key.handle.into(), persistent)
            })
        })?;
        let Err(error) = done else {
            return Ok(Persisted::Yes);
        };
        match kind(error) {
            Some(Kind::NvSpace) => Ok(Persisted::NoSpace),
            Some(Kind::NvDefined) => Ok(Persisted::HandleInUse),
            Some(Kind::Hierarchy) => Err(TpmError::HierarchyDisabled(Hierarchy::Owner)),
            Some(Kind::BadAuth | Kind::AuthFail) => Err(TpmError::AuthorisationSet(Hierarchy::Owner)),
            _ => Err(failed(COMMAND)(error)),
        }
    }

    /// Signs a digest, which must have the length of the key's hash. One command, TPM2_Sign.
    ///
    /// The signature is ASN.1 DER for ECDSA (RFC 3279 section 2.2.3), PKCS#1 v1.5 for RSA.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn sign(&mut self, key: &Key, digest: &[u8]) -> Result<Vec<u8>, TpmError> {
        const COMMAND: &str = "TPM2_Sign";
        let digest = Digest::try_from(digest).map_err(failed(COMMAND))?;
        let signature = self.run(COMMAND, |context| {
            let digest = digest.clone();
            let ticket = outside_digest()?;
            context.execute_with_session(Some(AuthSession::Password), |context| {
                context.sign(key.handle, digest, SignatureScheme::Null, ticket)
            })
        })?;
        match signature.map_err(failed(COMMAND))? {
            Signature::RsaSsa(signature) => Ok(signature.signature().value().to_vec()),
            Signature::EcDsa(signature) => {
                ecdsa_der(signature.signature_r().value(), signature.signature_s().value())
            }
            other => Err(TpmError::Failed {
                command: COMMAND,
                reason: format!("unexpected kind of signature: {:?}", other.algorithm()),
            }),
        }
    }

    fn check_hierarchies(&mut self) -> Result<(), TpmError> {
        const COMMAND: &str = "TPM2_GetCapability";
        let enabled = self
            .run(COMMAND, |context| {
                context.get_tpm_property(PropertyTag::StartupClear)
            })?
            .map_err(failed(COMMAND))?
            .unwrap_or(EH_ENABLE | SH_ENABLE);
        match enabled {
            bits if bits & EH_ENABLE == 0 => Err(TpmError::HierarchyDisabled(Hierarchy::Endorsement)),
            bits if bits & SH_ENABLE == 0 => Err(TpmError::HierarchyDisabled(Hierarchy::Owner)),
            _ => Ok(()),
        }
    }
}

/// The ticket for a digest that was made outside the TPM (TPM 2.0 Library part 3, TPM2_Sign).
fn outside_digest() -> TssResult<HashcheckTicket> {
    HashcheckTicket::try_from(TPMT_TK_HASHCHECK {
        tag: TPM2_ST_HASHCHECK,
        hierarchy: TPM2_RH_NULL,
        digest: TPM2B_DIGEST::default(),
    })
}

fn ecdsa_der(r: &[u8], s: &[u8]) -> Result<Vec<u8>, TpmError> {
    signature_der(r, s).map_err(|error| TpmError::Failed {
        command: "TPM2_Sign",
        reason: format!("the signature is not a pair of numbers ({error})"),
    })
}
