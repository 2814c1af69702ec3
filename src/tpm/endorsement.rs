//! The TPM commands with which a device proves that its identity key lives in this TPM: reading EK
//! certificates, deriving an endorsement key (EK), TPM2_ActivateCredential.

use std::ops::RangeInclusive;

use identity_key::Unique;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Kind;
use tss_esapi::constants::{CapabilityType, PropertyTag, SessionType};
use tss_esapi::handles::{AuthHandle, KeyHandle, NvIndexHandle, NvIndexTpmHandle, SessionHandle, TpmHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::resource_handles::{Hierarchy as TssHierarchy, NvAuth};
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{
    CapabilityData, Digest, EncryptedSecret, IdObject, Nonce, Public, SymmetricDefinition,
};
use tss_esapi::traits::UnMarshall;

use super::connection::Tpm;
use super::error::{Hierarchy, TpmError};
use super::key::Key;
use super::response::{TssResult, describe, failed, kind};
use super::template::unique;

/// The most handles that one TPM2_GetCapability asks for.
const MOST_HANDLES: u32 = 254;
/// The most bytes that one TPM2_NV_Read asks for, whatever more the TPM allows.
const LARGEST_READ: u32 = 1024;
/// The largest content of an NV index that is read. More is not a certificate.
const LARGEST_CONTENT: usize = 16 * 1024;

/// An endorsement key, loaded in the TPM. [`Tpm::flush_endorsement_key`] unloads it; so does the end
/// of the connection.
#[derive(Debug)]
pub struct EndorsementKey {
    handle: KeyHandle,
    unique: Unique,
    /// True if an empty password authorises the use of the key.
    user_with_auth: bool,
}

impl EndorsementKey {
    /// What distinguishes the key from others of its template.
    pub fn unique(&self) -> &Unique {
        &self.unique
    }
}

impl Tpm<'_> {
    /// The NV indices in a range, in ascending order, at most 254. One command, TPM2_GetCapability.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn nv_indices(&mut self, range: RangeInclusive<u32>) -> Result<Vec<u32>, TpmError> {
        const COMMAND: &str = "TPM2_GetCapability";
        let first = *range.start();
        let found = self.run(COMMAND, |context| {
            context.get_capability(CapabilityType::Handles, first, MOST_HANDLES)
        })?;
        let (CapabilityData::Handles(handles), _) = found.map_err(failed(COMMAND))? else {
            return Ok(Vec::new());
        };
        let indices = handles.iter().filter_map(|handle| match handle {
            TpmHandle::NvIndex(index) => Some(u32::from(*index)),
            _ => None,
        });
        Ok(indices.filter(|index| range.contains(index)).collect())
    }

    /// The content of an NV index, `None` if it is not defined, not written, or larger than 16 KiB.
    /// TPM2_NV_ReadPublic twice, and TPM2_NV_Read for each 1024 bytes or what the TPM allows. Needs an
    /// empty authorisation value, of the index or of the owner hierarchy.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn read_nv(&mut self, index: u32) -> Result<Option<Vec<u8>>, TpmError> {
        const COMMAND: &str = "TPM2_NV_ReadPublic";
        let index = NvIndexTpmHandle::new(index).map_err(failed(COMMAND))?;
        let opened = self.run(COMMAND, |context| {
            context.tr_from_tpm_public(TpmHandle::NvIndex(index))
        })?;
        let handle = match opened {
            Ok(handle) => NvIndexHandle::from(handle),
            Err(error) if kind(error) == Some(Kind::Handle) => return Ok(None),
            Err(error) => return Err(failed(COMMAND)(error)),
        };
        let public = self.run(COMMAND, |context| context.nv_read_public(handle))?;
        let (public, _) = public.map_err(failed(COMMAND))?;
        let length = public.data_size();
        if !public.attributes().written() || length > LARGEST_CONTENT {
            return Ok(None);
        }
        let authorisation = match public.attributes().auth_read() {
            true => NvAuth::NvIndex(handle),
            false => NvAuth::Owner,
        };
        self.read_content(handle, authorisation, length).map(Some)
    }

    fn read_content(
        &mut self,
        handle: NvIndexHandle,
        authorisation: NvAuth,
        length: usize,
    ) -> Result<Vec<u8>, TpmError> {
        const COMMAND: &str = "TPM2_NV_Read";
        let largest = self.largest_nv_read()?;
        let mut content = Vec::with_capacity(length);
        while content.len() < length {
            let size = largest.min(u16::try_from(length - content.len()).unwrap_or(largest));
            let offset = u16::try_from(content.len()).unwrap_or(u16::MAX);
            let read = self.run(COMMAND, |context| {
                context.execute_with_session(Some(AuthSession::Password), |context| {
                    context.nv_read(authorisation, handle, size, offset)
                })
            })?;
            let part = read.map_err(failed(COMMAND))?;
            if part.value().is_empty() {
                break;
            }
            content.extend(part.value());
        }
        Ok(content)
    }

    fn largest_nv_read(&mut self) -> Result<u16, TpmError> {
        const COMMAND: &str = "TPM2_GetCapability";
        let property = self.run(COMMAND, |context| {
            context.get_tpm_property(PropertyTag::NvBufferMax)
        })?;
        let largest = property.map_err(failed(COMMAND))?.unwrap_or(LARGEST_READ);
        Ok(u16::try_from(largest.clamp(1, LARGEST_READ)).unwrap_or(u16::MAX))
    }

    /// Derives the endorsement key of a template, which is a TPMT_PUBLIC. `None` if the TPM does not
    /// support its algorithms. One command, TPM2_CreatePrimary.
    ///
    /// # Errors
    /// [`TpmError::HierarchyDisabled`], [`TpmError::AuthorisationSet`]. Needs an empty authorisation
    /// value of the endorsement hierarchy.
    pub fn derive_endorsement_key(&mut self, template: &[u8]) -> Result<Option<EndorsementKey>, TpmError> {
        const COMMAND: &str = "TPM2_CreatePrimary";
        let template = Public::unmarshall(template).map_err(failed(COMMAND))?;
        let created = self.run(COMMAND, |context| {
            context.execute_with_session(Some(AuthSession::Password), |context| {
                let template = template.clone();
                context.create_primary(TssHierarchy::Endorsement, template, None, None, None, None)
            })
        })?;
        let created = match created {
            Ok(created) => created,
            Err(error) => {
                return match kind(error) {
                    Some(Kind::Value | Kind::Hash | Kind::Curve | Kind::KeySize | Kind::Asymmetric) => {
                        Ok(None)
                    }
                    _ => Err(endorsement_error(COMMAND, error)),
                };
            }
        };
        Ok(unique(&created.out_public).map(|unique| EndorsementKey {
            handle: created.key_handle,
            unique,
            user_with_auth: template.object_attributes().user_with_auth(),
        }))
    }

    /// Unloads an endorsement key. One command, TPM2_FlushContext.
    ///
    /// # Errors
    /// [`TpmError`].
    pub fn flush_endorsement_key(&mut self, key: EndorsementKey) -> Result<(), TpmError> {
        const COMMAND: &str = "TPM2_FlushContext";
        self.run(COMMAND, |context| context.flush_context(key.handle.into()))?
            .map_err(failed(COMMAND))
    }

    /// Decrypts the secret in a credential that was made for the endorsement key and the Name of
    /// `key`. `blob` and `encrypted_secret` are the contents of TPM2B_ID_OBJECT and
    /// TPM2B_ENCRYPTED_SECRET. One command, TPM2_ActivateCredential; with a key of the low range
    /// TPM2_StartAuthSession, TPM2_PolicySecret and TPM2_FlushContext too.
    ///
    /// # Errors
    /// [`TpmError::CredentialRefused`] if the credential was made for another key or another TPM, or
    /// was changed. [`TpmError::Lockout`] for a key of the high range.
    /// [`TpmError::AuthorisationSet`] for one of the low range.
    pub fn activate_credential(
        &mut self,
        key: &Key,
        endorsement_key: &EndorsementKey,
        blob: &[u8],
        encrypted_secret: &[u8],
    ) -> Result<Vec<u8>, TpmError> {
        const COMMAND: &str = "TPM2_ActivateCredential";
        let blob = IdObject::try_from(blob).map_err(credential_error)?;
        let encrypted_secret = EncryptedSecret::try_from(encrypted_secret).map_err(credential_error)?;
        let session = match endorsement_key.user_with_auth {
            true => AuthSession::Password,
            false => self.policy_secret_session()?,
        };
        let activated = self.run(COMMAND, |context| {
            let sessions = (Some(AuthSession::Password), Some(session), None);
            context.execute_with_sessions(sessions, |context| {
                let (blob, secret) = (blob.clone(), encrypted_secret.clone());
                context.activate_credential(key.handle, endorsement_key.handle, blob, secret)
            })
        })?;
        if session != AuthSession::Password {
            self.flush_session(session)?;
        }
        activated
            .map(|secret| secret.value().to_vec())
            .map_err(credential_error)
    }

    /// A policy session with TPM2_PolicySecret of the endorsement hierarchy.
    fn policy_secret_session(&mut self) -> Result<AuthSession, TpmError> {
        const START: &str = "TPM2_StartAuthSession";
        const POLICY: &str = "TPM2_PolicySecret";
        let started = self.run(START, |context| {
            let (kind, hash) = (SessionType::Policy, HashingAlgorithm::Sha256);
            // tpm2-tss 4.2.0 breaks parameter encryption on such sessions, so there is none.
            context.start_auth_session(None, None, None, kind, SymmetricDefinition::Null, hash)
        })?;
        let session = started.map_err(failed(START))?;
        let session = session.ok_or_else(|| TpmError::Failed {
            command: START,
            reason: "it made no session".to_owned(),
        })?;
        let authorised = self.run(POLICY, |context| policy_secret(context, session))?;
        match authorised {
            Ok(()) => Ok(session),
            Err(error) => {
                self.flush_session(session)?;
                Err(endorsement_error(POLICY, error))
            }
        }
    }

    fn flush_session(&mut self, session: AuthSession) -> Result<(), TpmError> {
        const COMMAND: &str = "TPM2_FlushContext";
        let handle = SessionHandle::from(session);
        self.run(COMMAND, |context| context.flush_context(handle.into()))?
            .map_err(failed(COMMAND))
    }
}

fn policy_secret(context: &mut tss_esapi::Context, session: AuthSession) -> TssResult<()> {
    let policy = PolicySession::try_from(session)?;
    context.execute_with_session(Some(AuthSession::Password), |context| {
        let (none, digest) = (Nonce::default(), Digest::default());
        context.policy_secret(policy, AuthHandle::Endorsement, none.clone(), digest, none, None)
    })?;
    Ok(())
}

fn endorsement_error(command: &'static str, error: tss_esapi::Error) -> TpmError {
    match kind(error) {
        Some(Kind::Hierarchy) => TpmError::HierarchyDisabled(Hierarchy::Endorsement),
        Some(Kind::BadAuth | Kind::AuthFail) => TpmError::AuthorisationSet(Hierarchy::Endorsement),
        _ => failed(command)(error),
    }
}

fn credential_error(error: tss_esapi::Error) -> TpmError {
    match kind(error) {
        Some(Kind::Lockout) => TpmError::Lockout,
        // A TPM that reports a failure here for a wrong RSA secret goes on working.
        Some(
            Kind::Integrity | Kind::Failure | Kind::Value | Kind::Size | Kind::Insufficient | Kind::EccPoint,
        )
        // A size that no credential has.
        | None => TpmError::CredentialRefused(describe(error)),
        _ => failed("TPM2_ActivateCredential")(error),
    }
}
