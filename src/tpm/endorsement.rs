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
    CapabilityData, Digest, DigestList, EncryptedSecret, IdObject, Nonce, Public, SymmetricDefinition,
};
use tss_esapi::traits::UnMarshall;
use zeroize::Zeroizing;

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

/// The branches of PolicyB: TPM2_PolicySecret(endorsement), TPM2_PolicyAuthorizeNV (TCG EK Credential
/// Profile for TPM Family 2.0, version 2.5, annex B.6).
const POLICY_A_SHA256: [u8; 32] = [
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24, 0xfd,
    0x52, 0xd7, 0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa,
];
const POLICY_C_SHA256: [u8; 32] = [
    0x37, 0x67, 0xe2, 0xed, 0xd4, 0x3f, 0xf4, 0x5a, 0x3a, 0x7e, 0x1e, 0xae, 0xfc, 0xef, 0x78, 0x64, 0x3d,
    0xca, 0x96, 0x46, 0x32, 0xe7, 0xaa, 0xd8, 0x2c, 0x67, 0x3a, 0x30, 0xd8, 0x63, 0x3f, 0xde,
];
const POLICY_A_SHA384: [u8; 48] = [
    0x8b, 0xbf, 0x22, 0x66, 0x53, 0x7c, 0x17, 0x1c, 0xb5, 0x6e, 0x40, 0x3c, 0x4d, 0xc1, 0xd4, 0xb6, 0x4f,
    0x43, 0x26, 0x11, 0xdc, 0x38, 0x6e, 0x6f, 0x53, 0x20, 0x50, 0xc3, 0x27, 0x8c, 0x93, 0x0e, 0x14, 0x3e,
    0x8b, 0xb1, 0x13, 0x38, 0x24, 0xcc, 0xb4, 0x31, 0x05, 0x38, 0x71, 0xc6, 0xdb, 0x53,
];
const POLICY_C_SHA384: [u8; 48] = [
    0xd6, 0x03, 0x2c, 0xe6, 0x1f, 0x2f, 0xb3, 0xc2, 0x40, 0xeb, 0x3c, 0xf6, 0xa3, 0x32, 0x37, 0xef, 0x2b,
    0x6a, 0x16, 0xf4, 0x29, 0x3c, 0x22, 0xb4, 0x55, 0xe2, 0x61, 0xcf, 0xfd, 0x21, 0x7a, 0xd5, 0xb4, 0x94,
    0x7c, 0x2d, 0x73, 0xe6, 0x30, 0x05, 0xee, 0xd2, 0xdc, 0x2b, 0x35, 0x93, 0xd1, 0x65,
];

/// An endorsement key, loaded in the TPM. [`Tpm::flush_endorsement_key`] unloads it; so does the end
/// of the connection.
#[derive(Debug)]
pub struct EndorsementKey {
    handle: KeyHandle,
    unique: Unique,
    name_hash: HashingAlgorithm,
    /// True if an empty password authorises the use of the key, as in the high range.
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
            name_hash: template.name_hashing_algorithm(),
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
    /// TPM2B_ENCRYPTED_SECRET.
    ///
    /// One command, TPM2_ActivateCredential. With a key of the low range, TPM2_StartAuthSession,
    /// TPM2_PolicySecret and TPM2_FlushContext too. So with one of the high range, and TPM2_PolicyOR,
    /// if a dictionary attack lockout forbids the password.
    ///
    /// # Errors
    /// [`TpmError::CredentialRefused`] if the credential was made for another key or another TPM, or
    /// was changed. [`TpmError::AuthorisationSet`] if a policy session is needed.
    pub fn activate_credential(
        &mut self,
        key: &Key,
        endorsement_key: &EndorsementKey,
        blob: &[u8],
        encrypted_secret: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, TpmError> {
        let blob = IdObject::try_from(blob).map_err(credential_error)?;
        let encrypted_secret = EncryptedSecret::try_from(encrypted_secret).map_err(credential_error)?;
        let activate = |tpm: &mut Self, session| {
            let sessions = (Some(AuthSession::Password), Some(session), None);
            tpm.run("TPM2_ActivateCredential", |context| {
                context.execute_with_sessions(sessions, |context| {
                    let (blob, secret) = (blob.clone(), encrypted_secret.clone());
                    context.activate_credential(key.handle, endorsement_key.handle, blob, secret)
                })
            })
        };
        if endorsement_key.user_with_auth {
            let activated = activate(self, AuthSession::Password)?;
            if !activated
                .as_ref()
                .is_err_and(|&error| kind(error) == Some(Kind::Lockout))
            {
                return secret(activated);
            }
        }
        let session = self.policy_session(endorsement_key)?;
        let activated = activate(self, session)?;
        self.flush_session(session)?;
        secret(activated)
    }

    /// A session that fulfils the policy of the key: PolicyA in the low range, PolicyB by its first
    /// branch in the high range.
    fn policy_session(&mut self, key: &EndorsementKey) -> Result<AuthSession, TpmError> {
        const START: &str = "TPM2_StartAuthSession";
        let started = self.run(START, |context| {
            let (kind, hash) = (SessionType::Policy, key.name_hash);
            // tpm2-tss 4.2.0 breaks parameter encryption on such sessions, so there is none.
            context.start_auth_session(None, None, None, kind, SymmetricDefinition::Null, hash)
        })?;
        let session = started.map_err(failed(START))?;
        let session = session.ok_or_else(|| TpmError::Failed {
            command: START,
            reason: "it made no session".to_owned(),
        })?;
        let mut authorise = || {
            const SECRET: &str = "TPM2_PolicySecret";
            const OR: &str = "TPM2_PolicyOR";
            self.run(SECRET, |context| policy_secret(context, session))?
                .map_err(|error| endorsement_error(SECRET, error))?;
            match key.user_with_auth {
                true => self
                    .run(OR, |context| policy_or(context, session, key.name_hash))?
                    .map_err(failed(OR)),
                false => Ok(()),
            }
        };
        match authorise() {
            Ok(()) => Ok(session),
            Err(error) => {
                self.flush_session(session)?;
                Err(error)
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

fn secret(activated: TssResult<Digest>) -> Result<Zeroizing<Vec<u8>>, TpmError> {
    activated
        .map(|secret| Zeroizing::new(secret.value().to_vec()))
        .map_err(credential_error)
}

fn policy_secret(context: &mut tss_esapi::Context, session: AuthSession) -> TssResult<()> {
    let policy = PolicySession::try_from(session)?;
    context.execute_with_session(Some(AuthSession::Password), |context| {
        let (none, digest) = (Nonce::default(), Digest::default());
        context.policy_secret(policy, AuthHandle::Endorsement, none.clone(), digest, none, None)
    })?;
    Ok(())
}

fn policy_or(
    context: &mut tss_esapi::Context,
    session: AuthSession,
    hash: HashingAlgorithm,
) -> TssResult<()> {
    let branches: [&[u8]; 2] = match hash {
        HashingAlgorithm::Sha384 => [&POLICY_A_SHA384, &POLICY_C_SHA384],
        _ => [&POLICY_A_SHA256, &POLICY_C_SHA256],
    };
    let mut list = DigestList::new();
    for branch in branches {
        list.add(Digest::try_from(branch)?)?;
    }
    context.policy_or(PolicySession::try_from(session)?, list)
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
        // A TPM that reports a failure here for a wrong RSA secret goes on working.
        Some(
            Kind::Integrity | Kind::Failure | Kind::Value | Kind::Size | Kind::Insufficient | Kind::EccPoint,
        )
        // A size that no credential has.
        | None => TpmError::CredentialRefused(describe(error)),
        _ => failed("TPM2_ActivateCredential")(error),
    }
}

#[cfg(test)]
mod tests {
    use residency::EkTemplate;

    use super::*;

    fn contains(area: &[u8], part: &[u8]) -> bool {
        area.windows(part.len()).any(|window| window == part)
    }

    /// The policies in the templates are those that a session here fulfils.
    #[test]
    fn the_templates_have_these_policies() {
        assert!(contains(&EkTemplate::L1.public_area(), &POLICY_A_SHA256));
        assert!(contains(&EkTemplate::L2.public_area(), &POLICY_A_SHA256));
        // TPM2_PolicyOR (TPM 2.0 Library part 3, section 23.6): zeros, TPM_CC_PolicyOR, the branches.
        let or = |size, a: &[u8], c: &[u8]| [&vec![0; size], &[0, 0, 1, 0x71][..], a, c].concat();
        let sha256 = identity_key::Hash::Sha256.digest(&or(32, &POLICY_A_SHA256, &POLICY_C_SHA256));
        for template in [EkTemplate::H1, EkTemplate::H2] {
            assert!(contains(&template.public_area(), &sha256), "{template}");
        }
        let sha384 = identity_key::Hash::Sha384.digest(&or(48, &POLICY_A_SHA384, &POLICY_C_SHA384));
        for template in [EkTemplate::H3, EkTemplate::H6] {
            assert!(contains(&template.public_area(), &sha384), "{template}");
        }
    }
}
