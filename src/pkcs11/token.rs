//! The key in the token: finding, making, signing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use identity_key::{IdentityPublicKey, KeyKind};
use pkcs11_token::{TokenError, load, log_in, read_pin, select_token};

use super::encoding::{P256, P384, signature, unique};
use super::message::{FoundKey, Opening};
use super::{KeyAddress, Pkcs11Error, module_file};

/// 65537.
const EXPONENT: [u8; 3] = [1, 0, 1];
/// DigestInfo of a SHA-256 digest without the digest (RFC 8017 section 9.2, note 1).
const SHA256_INFO: [u8; 19] = [
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00,
    0x04, 0x20,
];

/// An open session with the token.
pub(super) struct Token {
    session: Session,
    label: String,
    serial: String,
    /// True if the key is to be private: only who is logged in can use it.
    has_login: bool,
}

/// A private key in the token, and its public half.
pub(super) struct TokenKey {
    private: ObjectHandle,
    public: IdentityPublicKey,
}

/// The two halves of a key.
struct Halves {
    private: Vec<ObjectHandle>,
    public: Vec<ObjectHandle>,
}

impl Token {
    pub(super) fn open(opening: &Opening) -> Result<Self, Pkcs11Error> {
        module_file::check(&opening.module)?;
        let (module, _) = load(&opening.module)?;
        let is_wanted = |label: &str, serial: &str| {
            let wanted = opening.token.as_deref();
            wanted.is_none_or(|wanted| wanted == label || wanted == serial)
        };
        let (slot, info) = select_token(&module, &opening.module, |_, _, _, token| {
            is_wanted(token.label(), token.serial_number())
        })?;
        let session = module.open_rw_session(slot);
        let session = match session {
            Err(Error::Pkcs11(RvError::TokenWriteProtected, _)) => module.open_ro_session(slot),
            session => session,
        }
        .map_err(TokenError::NoSession)?;
        let has_login = info.login_required();
        if has_login {
            let pin = match &opening.pin_file {
                Some(file) => Some(read_pin(file, false)?),
                None if info.protected_authentication_path() => None,
                None => return Err(Pkcs11Error::PinUnset(info.label().to_owned())),
            };
            log_in(&session, &info, pin.as_ref())?;
        }
        Ok(Token {
            session,
            label: info.label().to_owned(),
            serial: info.serial_number().to_owned(),
            has_login,
        })
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }

    /// The description of a key for the hook.
    pub(super) fn describe(&self, key: &TokenKey) -> FoundKey {
        FoundKey {
            token_label: self.label.clone(),
            token_serial: self.serial.clone(),
            public_key: STANDARD.encode(key.public.der()),
        }
    }

    pub(super) fn find(&self, address: &KeyAddress) -> Result<Option<TokenKey>, Pkcs11Error> {
        let Halves { private, public } = self.halves(address)?;
        match private.as_slice() {
            [] => Ok(None),
            [private] => self.key(*private, public.first().copied()).map(Some),
            _ => Err(Pkcs11Error::Duplicate(self.label.clone())),
        }
    }

    /// Finds the key, or makes it. The id is one that a pending record names, so whatever is at the
    /// address was made by an earlier run of this device.
    pub(super) fn make(&self, address: &KeyAddress, kind: KeyKind) -> Result<TokenKey, Pkcs11Error> {
        let Halves { private, public } = self.halves(address)?;
        match (private.as_slice(), public.as_slice()) {
            ([private], [public]) => return self.key(*private, Some(*public)),
            // A run was killed while the token stored the two halves.
            _ => self
                .destroy(private.into_iter().chain(public))
                .map_err(|reason| self.failure(reason, None))?,
        }
        self.check_label(&address.label)?;
        let made = self.generate(address, kind).and_then(|(public, private)| {
            self.check_protection(private)?;
            self.key(private, Some(public))
        });
        made.inspect_err(|_| {
            // What a token made in spite of an error.
            if let Ok(Halves { private, public }) = self.halves(address) {
                let _ = self.destroy(private.into_iter().chain(public));
            }
        })
    }

    /// Checks that no private key has the label of a new one.
    pub(super) fn check_label(&self, label: &str) -> Result<(), Pkcs11Error> {
        let foreign = self.search(&[
            Attribute::Class(ObjectClass::PRIVATE_KEY),
            Attribute::Label(label.as_bytes().to_vec()),
        ])?;
        match foreign.is_empty() {
            true => Ok(()),
            false => Err(Pkcs11Error::LabelInUse {
                token: self.label.clone(),
                label: label.to_owned(),
            }),
        }
    }

    fn destroy(&self, objects: impl IntoIterator<Item = ObjectHandle>) -> Result<(), Error> {
        let mut objects = objects.into_iter();
        objects.try_for_each(|object| self.session.destroy_object(object))
    }

    /// Signs a digest of the hash of the key's kind.
    pub(super) fn sign(&self, key: &TokenKey, digest: &[u8]) -> Result<Vec<u8>, Pkcs11Error> {
        let sign = |mechanism: &Mechanism<'_>, data: &[u8]| {
            let signed = self.session.sign(mechanism, key.private, data);
            signed.map_err(|reason| match self.removed(&reason) {
                Some(removed) => removed,
                None => Pkcs11Error::NotSigned {
                    label: self.label.clone(),
                    reason,
                },
            })
        };
        match key.public.kind() {
            KeyKind::Rsa { .. } => sign(&Mechanism::RsaPkcs, &[&SHA256_INFO, digest].concat()),
            KeyKind::EcdsaP256 | KeyKind::EcdsaP384 => {
                let pair = sign(&Mechanism::Ecdsa, digest)?;
                signature(&pair).ok_or_else(|| Pkcs11Error::Malformed(self.label.clone()))
            }
        }
    }

    fn generate(
        &self,
        address: &KeyAddress,
        kind: KeyKind,
    ) -> Result<(ObjectHandle, ObjectHandle), Pkcs11Error> {
        let names = [
            Attribute::Token(true),
            Attribute::Label(address.label.clone().into_bytes()),
            Attribute::Id(id(address)),
        ];
        let (mechanism, parameters) = match kind {
            KeyKind::EcdsaP256 => (Mechanism::EccKeyPairGen, vec![Attribute::EcParams(P256.to_vec())]),
            KeyKind::EcdsaP384 => (Mechanism::EccKeyPairGen, vec![Attribute::EcParams(P384.to_vec())]),
            KeyKind::Rsa { bits } => (
                Mechanism::RsaPkcsKeyPairGen,
                vec![
                    Attribute::ModulusBits(u64::from(bits).into()),
                    Attribute::PublicExponent(EXPONENT.to_vec()),
                ],
            ),
        };
        let mut public = names.to_vec();
        public.extend([Attribute::Private(false), Attribute::Verify(true)]);
        public.extend(parameters);
        let mut private = names.to_vec();
        // Nothing about decryption: tpm2-pkcs11 makes only keys that the TPM lets decrypt too.
        private.extend([
            Attribute::Private(self.has_login),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Sign(true),
        ]);
        let generated = self.session.generate_key_pair(&mechanism, &public, &private);
        generated.map_err(|reason| self.failure(reason, Some(kind)))
    }

    /// The error of a token that did not make a key.
    fn failure(&self, reason: Error, kind: Option<KeyKind>) -> Pkcs11Error {
        if let Some(removed) = self.removed(&reason) {
            return removed;
        }
        let label = self.label.clone();
        let Error::Pkcs11(code, _) = &reason else {
            return Pkcs11Error::NotMade { label, reason };
        };
        match (code, kind) {
            (RvError::DeviceMemory, _) => Pkcs11Error::Full(label),
            (RvError::TokenWriteProtected | RvError::SessionReadOnly, _) => {
                Pkcs11Error::WriteProtected(label)
            }
            (
                RvError::MechanismInvalid
                | RvError::MechanismParamInvalid
                | RvError::CurveNotSupported
                | RvError::DomainParamsInvalid
                | RvError::KeySizeRange,
                Some(algorithm),
            ) => Pkcs11Error::Unsupported {
                label,
                algorithm,
                reason,
            },
            _ => Pkcs11Error::NotMade { label, reason },
        }
    }

    fn removed(&self, reason: &Error) -> Option<Pkcs11Error> {
        let is_removed = matches!(
            reason,
            Error::Pkcs11(
                RvError::DeviceRemoved | RvError::TokenNotPresent | RvError::TokenNotRecognized,
                _
            )
        );
        is_removed.then(|| Pkcs11Error::Removed(self.label.clone()))
    }

    fn search(&self, template: &[Attribute]) -> Result<Vec<ObjectHandle>, Pkcs11Error> {
        let found = self.session.find_objects(template);
        found.map_err(|reason| self.unreadable(reason))
    }

    fn unreadable(&self, reason: Error) -> Pkcs11Error {
        match self.removed(&reason) {
            Some(removed) => removed,
            None => TokenError::Unreadable {
                label: self.label.clone(),
                reason,
            }
            .into(),
        }
    }

    fn halves(&self, address: &KeyAddress) -> Result<Halves, Pkcs11Error> {
        let of_class = |class| {
            self.search(&[
                Attribute::Class(class),
                Attribute::Label(address.label.clone().into_bytes()),
                Attribute::Id(id(address)),
            ])
        };
        Ok(Halves {
            private: of_class(ObjectClass::PRIVATE_KEY)?,
            public: of_class(ObjectClass::PUBLIC_KEY)?,
        })
    }

    /// A token can ignore the template. One that does not tell is trusted.
    fn check_protection(&self, private: ObjectHandle) -> Result<(), Pkcs11Error> {
        let wanted = [
            AttributeType::Sensitive,
            AttributeType::Extractable,
            AttributeType::AlwaysSensitive,
            AttributeType::NeverExtractable,
        ];
        let attributes = self.session.get_attributes(private, &wanted);
        let is_wrong = |attribute: &Attribute| {
            matches!(
                attribute,
                Attribute::Sensitive(false)
                    | Attribute::Extractable(true)
                    | Attribute::AlwaysSensitive(false)
                    | Attribute::NeverExtractable(false)
            )
        };
        match attributes
            .map_err(|reason| self.unreadable(reason))?
            .iter()
            .any(is_wrong)
        {
            true => Err(Pkcs11Error::NotProtected(self.label.clone())),
            false => Ok(()),
        }
    }

    fn key(&self, private: ObjectHandle, public: Option<ObjectHandle>) -> Result<TokenKey, Pkcs11Error> {
        let mut attributes = Vec::new();
        let wanted = [
            AttributeType::EcParams,
            AttributeType::EcPoint,
            AttributeType::Modulus,
        ];
        for object in public.into_iter().chain([private]) {
            let found = self.session.get_attributes(object, &wanted);
            attributes.extend(found.map_err(|reason| self.unreadable(reason))?);
        }
        let (kind, unique) =
            unique(&attributes).ok_or_else(|| Pkcs11Error::NoPublicKey(self.label.clone()))?;
        let public = IdentityPublicKey::of_device(kind, unique).map_err(|reason| Pkcs11Error::PublicKey {
            label: self.label.clone(),
            reason,
        })?;
        Ok(TokenKey { private, public })
    }
}

fn id(address: &KeyAddress) -> Vec<u8> {
    hex::decode(&address.id).unwrap_or_default()
}
