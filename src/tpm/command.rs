//! The few TPM commands an identity needs, each with its errors named.

use std::fmt;

use der::asn1::UintRef;
use der::{Encode, Sequence};
use serde::{Deserialize, Serialize};
use tss_esapi::Context;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Kind;
use tss_esapi::constants::tss::{TPM2_RH_NULL, TPM2_ST_HASHCHECK};
use tss_esapi::constants::{CapabilityType, PropertyTag};
use tss_esapi::handles::{KeyHandle, ObjectHandle, PersistentTpmHandle, TpmHandle};
use tss_esapi::interface_types::dynamic_handles::Persistent;
use tss_esapi::interface_types::resource_handles::{Hierarchy as TssHierarchy, Provision};
use tss_esapi::interface_types::session_handles::AuthSession;
use tss_esapi::structures::{
    CapabilityData, Digest, HashcheckTicket, Name, Public, Signature, SignatureScheme,
};
use tss_esapi::tss2_esys::{TPM2B_DIGEST, TPMT_TK_HASHCHECK};

use super::error::{Error, Hierarchy, in_words, is_transient};
use super::tcti::is_connection_loss;
use super::template::{is_endorsement_primary, parameters, recognise, template};
use super::{PersistentHandle, Tcti};
use crate::patience::Patience;
use identity_key::IdentityPublicKey;
use identity_key::KeyKind;

/// TPMA_STARTUP_CLEAR bits (TPM 2.0 Library part 2, section 8.7).
const SH_ENABLE: u32 = 1 << 1;
const EH_ENABLE: u32 = 1 << 2;
/// The first transient handle (TPM 2.0 Library part 2, section 7.5.2).
const FIRST_TRANSIENT: u32 = 0x8000_0000;

type TssResult<T> = tss_esapi::Result<T>;

/// Runs `job` on the TPM, and again on a new connection where the connection broke: `job` must bear
/// repetition.
///
/// # Errors
/// Those of opening the TPM, and those of the job.
pub fn with_tpm<T, E: From<Error>>(
    tcti: &Tcti,
    patience: &mut Patience,
    mut job: impl FnMut(&mut Tpm<'_>) -> Result<T, E>,
) -> Result<T, E> {
    loop {
        let context = open(tcti, patience)?;
        let mut tpm = Tpm {
            context,
            patience,
            lost: false,
            derived: false,
        };
        let outcome = job(&mut tpm);
        if outcome.is_ok() || !tpm.lost || !tpm.patience.pause() {
            return outcome;
        }
    }
}

fn open(tcti: &Tcti, patience: &mut Patience) -> Result<Context, Error> {
    loop {
        let error = match tcti.config().and_then(Context::new) {
            Ok(context) => return Ok(context),
            Err(error) => tcti.diagnose(error),
        };
        if !(error.may_appear() && patience.pause()) {
            return Err(error);
        }
    }
}

/// The Name of a TPM object: the algorithm of its hash in two bytes, then the hash of its public area (TPM
/// 2.0 Library part 1, section 16). Two keys with the same Name are the same key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyName(#[serde(with = "hex::serde")] Vec<u8>);

impl KeyName {
    /// The bytes of the Name.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for KeyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

/// A key that is loaded in the TPM, or persistent in it.
#[derive(Clone, Debug)]
pub struct Key {
    handle: KeyHandle,
    name: KeyName,
}

impl Key {
    /// Its Name.
    pub fn name(&self) -> &KeyName {
        &self.name
    }
}

/// What became of the wish to make a key persistent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persisted {
    /// It stands at the handle.
    Yes,
    /// The TPM's memory for persistent objects is full.
    NoRoom,
    /// Something stands at the handle already.
    Occupied,
}

/// An open connection to the TPM. Transient keys are flushed when it is dropped.
#[derive(Debug)]
pub struct Tpm<'a> {
    context: Context,
    patience: &'a mut Patience,
    /// Whether the connection broke.
    lost: bool,
    /// Whether a key of this run is loaded.
    derived: bool,
}

impl Tpm<'_> {
    /// The key at a persistent handle, `None` where the handle is empty. One command, TPM2_ReadPublic.
    ///
    /// # Errors
    /// [`Error::HierarchyDisabled`] where the handle only seems to be empty.
    pub fn persistent(&mut self, handle: PersistentHandle) -> Result<Option<Key>, Error> {
        const COMMAND: &str = "TPM2_ReadPublic";
        let tpm_handle = PersistentTpmHandle::new(handle.number()).map_err(refused(COMMAND))?;
        let found = self.run(COMMAND, |context| {
            context.tr_from_tpm_public(TpmHandle::Persistent(tpm_handle))
        })?;
        match found {
            Ok(object) => {
                let name = self.context.tr_get_name(object).map_err(refused(COMMAND))?;
                Ok(Some(Key {
                    handle: KeyHandle::from(object),
                    name: KeyName(name.value().to_vec()),
                }))
            }
            Err(error) if kind(error) == Some(Kind::Handle) => {
                self.check_hierarchies()?;
                Ok(None)
            }
            Err(error) => Err(refused(COMMAND)(error)),
        }
    }

    /// The public half of a key, `None` where it is no key of our template in the endorsement hierarchy. One
    /// command.
    ///
    /// # Errors
    /// Where the TPM does not answer as it should.
    pub fn identity_public(&mut self, key: &Key) -> Result<Option<IdentityPublicKey>, Error> {
        const COMMAND: &str = "TPM2_ReadPublic";
        match self.run(COMMAND, |context| context.read_public(key.handle))? {
            Ok((public, name, qualified)) => Ok(identity_key(&public, &name, &qualified)),
            // A kind of key that tss-esapi does not know is not ours.
            Err(tss_esapi::Error::WrapperError(_)) => Ok(None),
            Err(error) => Err(refused(COMMAND)(error)),
        }
    }

    /// Derives the identity key from the endorsement seed: always the same key for the same TPM and
    /// algorithm.
    ///
    /// # Errors
    /// [`Error::HierarchyDisabled`], [`Error::AuthorisationSet`], [`Error::Unsupported`].
    pub fn derive(&mut self, algorithm: KeyKind) -> Result<(Key, IdentityPublicKey), Error> {
        const COMMAND: &str = "TPM2_CreatePrimary";
        let template = template(algorithm).map_err(refused(COMMAND))?;
        let created = self.run(COMMAND, |context| {
            context.execute_with_session(Some(AuthSession::Password), |context| {
                let template = template.clone();
                context.create_primary(TssHierarchy::Endorsement, template, None, None, None, None)
            })
        })?;
        let created = match created {
            Ok(created) => created,
            Err(error) => return Err(self.name_derive_error(algorithm, error)?),
        };
        self.derived = true;
        let handle = created.key_handle;
        let name = self
            .context
            .tr_get_name(handle.into())
            .map_err(refused(COMMAND))?;
        let public = recognise(&created.out_public).ok_or(Error::Refused {
            command: COMMAND,
            reason: "the TPM made a key that does not match its template".to_owned(),
        })?;
        let name = KeyName(name.value().to_vec());
        Ok((Key { handle, name }, public))
    }

    fn name_derive_error(&mut self, algorithm: KeyKind, error: tss_esapi::Error) -> Result<Error, Error> {
        Ok(match kind(error) {
            Some(Kind::Hierarchy) => Error::HierarchyDisabled(Hierarchy::Endorsement),
            Some(Kind::BadAuth | Kind::AuthFail) => Error::AuthorisationSet(Hierarchy::Endorsement),
            Some(
                Kind::Value | Kind::Hash | Kind::Curve | Kind::KeySize | Kind::Asymmetric | Kind::Scheme,
            ) => Error::Unsupported {
                algorithm,
                supported: self.supported_besides(algorithm)?,
            },
            _ => refused("TPM2_CreatePrimary")(error),
        })
    }

    fn supported_besides(&mut self, refused: KeyKind) -> Result<String, Error> {
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

    /// Makes a transient key persistent.
    ///
    /// # Errors
    /// [`Error::AuthorisationSet`] and [`Error::HierarchyDisabled`] for the owner hierarchy.
    pub fn persist(&mut self, key: &Key, handle: PersistentHandle) -> Result<Persisted, Error> {
        const COMMAND: &str = "TPM2_EvictControl";
        let persistent = PersistentTpmHandle::new(handle.number()).map_err(refused(COMMAND))?;
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
            Some(Kind::NvSpace) => Ok(Persisted::NoRoom),
            Some(Kind::NvDefined) => Ok(Persisted::Occupied),
            Some(Kind::Hierarchy) => Err(Error::HierarchyDisabled(Hierarchy::Owner)),
            Some(Kind::BadAuth | Kind::AuthFail) => Err(Error::AuthorisationSet(Hierarchy::Owner)),
            _ => Err(refused(COMMAND)(error)),
        }
    }

    /// Signs a digest of the length that the key's algorithm takes. One command, TPM2_Sign.
    ///
    /// The signature is ASN.1 DER for ECDSA (RFC 3279 section 2.2.3), the plain number for RSA (PKCS#1 v1.5).
    ///
    /// # Errors
    /// Where the TPM does not sign.
    pub fn sign(&mut self, key: &Key, digest: &[u8]) -> Result<Vec<u8>, Error> {
        const COMMAND: &str = "TPM2_Sign";
        let digest = Digest::try_from(digest).map_err(refused(COMMAND))?;
        let signature = self.run(COMMAND, |context| {
            let digest = digest.clone();
            let ticket = outside_digest()?;
            context.execute_with_session(Some(AuthSession::Password), |context| {
                context.sign(key.handle, digest, SignatureScheme::Null, ticket)
            })
        })?;
        match signature.map_err(refused(COMMAND))? {
            Signature::RsaSsa(signature) => Ok(signature.signature().value().to_vec()),
            Signature::EcDsa(signature) => {
                ecdsa_der(signature.signature_r().value(), signature.signature_s().value())
            }
            other => Err(Error::Refused {
                command: COMMAND,
                reason: format!("unexpected kind of signature: {:?}", other.algorithm()),
            }),
        }
    }

    /// Flushes keys that a killed run left in a TPM without a resource manager; behind `/dev/tpmrm0` there
    /// are none.
    ///
    /// A TPM has room for as few as three transient objects, so that leftovers would stop every later
    /// derivation.
    fn flush_leftovers(&mut self) -> TssResult<bool> {
        let (handles, _) =
            self.context
                .get_capability(CapabilityType::Handles, FIRST_TRANSIENT, u32::from(u8::MAX))?;
        let CapabilityData::Handles(handles) = handles else {
            return Ok(false);
        };
        let mut flushed = false;
        for &handle in handles.iter() {
            let TpmHandle::Transient(_) = handle else {
                continue;
            };
            // A hash sequence, for example, has no public area.
            let Ok(mut object) = self.context.tr_from_tpm_public(handle) else {
                continue;
            };
            if self.is_ours(object) {
                self.context.flush_context(object)?;
                flushed = true;
            } else {
                // Else the end of the context would flush it. tss-esapi forgets it, and says that it should
                // not have.
                let _ = self.context.tr_close(&mut object);
            }
        }
        Ok(flushed)
    }

    /// Whether this is an identity key; what cannot be read is none.
    fn is_ours(&mut self, object: ObjectHandle) -> bool {
        self.context
            .read_public(object.into())
            .is_ok_and(|(public, name, qualified)| identity_key(&public, &name, &qualified).is_some())
    }

    fn check_hierarchies(&mut self) -> Result<(), Error> {
        const COMMAND: &str = "TPM2_GetCapability";
        let enabled = self
            .run(COMMAND, |context| {
                context.get_tpm_property(PropertyTag::StartupClear)
            })?
            .map_err(refused(COMMAND))?
            .unwrap_or(EH_ENABLE | SH_ENABLE);
        match enabled {
            bits if bits & EH_ENABLE == 0 => Err(Error::HierarchyDisabled(Hierarchy::Endorsement)),
            bits if bits & SH_ENABLE == 0 => Err(Error::HierarchyDisabled(Hierarchy::Owner)),
            _ => Ok(()),
        }
    }

    /// Sends a command until the answer is one that stays: success or a refusal, which the caller names.
    fn run<T>(
        &mut self,
        command: &'static str,
        mut send: impl FnMut(&mut Context) -> TssResult<T>,
    ) -> Result<TssResult<T>, Error> {
        // A key of this run looks just like a leftover.
        let mut leftovers_possible = !self.derived;
        loop {
            let error = match send(&mut self.context) {
                Ok(answer) => return Ok(Ok(answer)),
                Err(error) => error,
            };
            if is_connection_loss(error) {
                self.lost = true;
                return Err(Error::ConnectionLost { command });
            }
            if !is_transient(kind(error)) {
                return Ok(Err(error));
            }
            if leftovers_possible && kind(error) == Some(Kind::ObjectMemory) {
                leftovers_possible = false;
                if self.flush_leftovers().unwrap_or(false) {
                    continue;
                }
            }
            if !self.patience.pause() {
                return Err(Error::StillBusy {
                    command,
                    reason: in_words(error),
                    waited: self.patience.limit(),
                });
            }
        }
    }
}

/// The public key in what TPM2_ReadPublic tells of an object, if that has our template and is a primary key of the
/// endorsement hierarchy.
fn identity_key(public: &Public, name: &Name, qualified: &Name) -> Option<IdentityPublicKey> {
    recognise(public).filter(|key| is_endorsement_primary(key.kind(), name.value(), qualified.value()))
}

fn kind(error: tss_esapi::Error) -> Option<Kind> {
    match error {
        tss_esapi::Error::Tss2Error(code) => code.kind(),
        tss_esapi::Error::WrapperError(_) => None,
    }
}

fn refused(command: &'static str) -> impl Fn(tss_esapi::Error) -> Error {
    move |error| Error::Refused {
        command,
        reason: in_words(error),
    }
}

/// The ticket that says a digest was made outside the TPM (TPM 2.0 Library part 3, TPM2_Sign).
fn outside_digest() -> TssResult<HashcheckTicket> {
    HashcheckTicket::try_from(TPMT_TK_HASHCHECK {
        tag: TPM2_ST_HASHCHECK,
        hierarchy: TPM2_RH_NULL,
        digest: TPM2B_DIGEST::default(),
    })
}

fn ecdsa_der(r: &[u8], s: &[u8]) -> Result<Vec<u8>, Error> {
    /// Ecdsa-Sig-Value, RFC 3279 section 2.2.3.
    #[derive(Sequence)]
    struct EcdsaSignature<'a> {
        r: UintRef<'a>,
        s: UintRef<'a>,
    }
    let encode = || {
        EcdsaSignature {
            r: UintRef::new(r)?,
            s: UintRef::new(s)?,
        }
        .to_der()
    };
    encode().map_err(|error| Error::Refused {
        command: "TPM2_Sign",
        reason: format!("the signature is no pair of numbers ({error})"),
    })
}
