//! Keys in an HSM or a smart card, through the PKCS#11 module of its vendor.
//!
//! A module is a library in this process: a module that hangs cannot be stopped.

mod sessions;
mod uri;

use std::path::PathBuf;

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use miette::Diagnostic;
use snap_assertions::{KeyError, PendingSignature, PublicKey, SignaturePacket, Signer, SignerError};

use crate::pin::PinSource;
use crate::{SigningKeyError, check_size};
use sessions::Sessions;
use uri::Pkcs11Uri;

pub use uri::UriError;

/// Why a token or its PKCS#11 module cannot be used, or did not sign.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum TokenError {
    /// The library cannot be loaded.
    #[error("cannot load the PKCS#11 module {}: {reason}", module.display())]
    #[diagnostic(code("pkcs11-module-not-loaded"), help("Check module-path in the URI"))]
    NotLoaded {
        /// The library.
        module: PathBuf,
        /// What is wrong with it.
        reason: Error,
    },
    /// The library refuses to start.
    #[error("cannot initialise the PKCS#11 module {}: {reason}", module.display())]
    #[diagnostic(
        code("pkcs11-module-not-initialised"),
        help("Check the configuration of the module and its environment variables")
    )]
    NotInitialised {
        /// The library.
        module: PathBuf,
        /// The error of the module.
        reason: Error,
    },
    /// The library does not list its tokens.
    #[error("cannot list the tokens of the PKCS#11 module {}: {reason}", module.display())]
    #[diagnostic(code("pkcs11-tokens-unreadable"), help("Check that the device is connected"))]
    NoTokenList {
        /// The library.
        module: PathBuf,
        /// The error of the module.
        reason: Error,
    },
    /// No token matches the URI.
    #[error("no token of the PKCS#11 module {} matches the URI; it has {tokens}", module.display())]
    #[diagnostic(
        code("pkcs11-token-unknown"),
        help("Check token= and serial= in the URI, and that the device is connected")
    )]
    NoToken {
        /// The library.
        module: PathBuf,
        /// Labels and serial numbers of its tokens.
        tokens: String,
    },
    /// Several tokens match the URI.
    #[error("several tokens of the PKCS#11 module {} match the URI: {tokens}", module.display())]
    #[diagnostic(
        code("pkcs11-token-ambiguous"),
        help("Add token=LABEL or serial=NUMBER of one of them to the URI")
    )]
    ManyTokens {
        /// The library.
        module: PathBuf,
        /// Labels and serial numbers of these tokens.
        tokens: String,
    },
    /// The token has no session left.
    #[error("cannot open a session with the token: {0}")]
    #[diagnostic(code("pkcs11-no-session"), help("Check that no other program uses the token"))]
    NoSession(Error),
    /// The token refuses the PIN.
    #[error("the PIN of the token {0:?} is wrong")]
    #[diagnostic(
        code("pkcs11-pin-wrong"),
        help("Check the PIN before you try again: a token locks itself after a few wrong PINs")
    )]
    WrongPin(String),
    /// The token refuses every PIN.
    #[error("the token {0:?} is locked after too many wrong PINs")]
    #[diagnostic(
        code("pkcs11-pin-locked"),
        help("Set a new PIN with the vendor's tool and the PIN of the security officer")
    )]
    Locked(String),
    /// The token refuses the login for another reason.
    #[error("the token {label:?} refuses the login: {reason}")]
    #[diagnostic(
        code("pkcs11-login-refused"),
        help("Check the state of the token with the vendor's tool")
    )]
    NoLogin {
        /// The label of the token.
        label: String,
        /// The error of the module.
        reason: Error,
    },
    /// The objects of the token cannot be read.
    #[error("cannot read the keys of the token {label:?}: {reason}")]
    #[diagnostic(
        code("pkcs11-keys-unreadable"),
        help("Check the state of the token with the vendor's tool")
    )]
    Unreadable {
        /// The label of the token.
        label: String,
        /// The error of the module.
        reason: Error,
    },
    /// No key matches the URI.
    #[error("no private RSA key in the token {label:?} matches the URI; it has {keys}")]
    #[diagnostic(code("pkcs11-key-unknown"), help("Check object= and id= in the URI"))]
    NoKey {
        /// The label of the token.
        label: String,
        /// Labels of its private RSA keys.
        keys: String,
    },
    /// Several keys match the URI.
    #[error("{count} private RSA keys in the token {label:?} match the URI")]
    #[diagnostic(
        code("pkcs11-key-ambiguous"),
        help("Add object=LABEL or id=%NN of one of them to the URI")
    )]
    ManyKeys {
        /// The label of the token.
        label: String,
        /// How many keys match.
        count: usize,
    },
    /// The key needs the PIN for each signature.
    #[error("the key in the token {0:?} needs its PIN for each signature (CKA_ALWAYS_AUTHENTICATE)")]
    #[diagnostic(
        code("pkcs11-key-always-authenticates"),
        help("Sign with a key made without this attribute")
    )]
    AlwaysAuthenticate(String),
    /// The token does not show the public half.
    #[error("the token {0:?} does not show the public half of the key")]
    #[diagnostic(
        code("pkcs11-public-key-missing"),
        help("Store the public key in the token too, with the same id")
    )]
    NoPublicKey(String),
    /// The public half cannot be used.
    #[error("the key in the token {label:?} {reason}")]
    #[diagnostic(code("pkcs11-key-invalid"), help("Sign with another key"))]
    PublicKey {
        /// The label of the token.
        label: String,
        /// What is wrong with it.
        reason: KeyError,
    },
    /// The token did not sign.
    #[error("the token did not sign: {0}")]
    #[diagnostic(
        code("pkcs11-not-signed"),
        help("Check that the device is still connected and that the key allows CKM_RSA_PKCS")
    )]
    NotSigned(Error),
}

pub(crate) struct Token {
    sessions: Sessions,
    /// Object handles are valid in all sessions of a process (PKCS#11 3.0, section 5.1).
    private: ObjectHandle,
    public: PublicKey,
}

impl Token {
    pub(crate) fn open(uri: &str, pin: &PinSource<'_>) -> Result<Self, SigningKeyError> {
        let uri = Pkcs11Uri::parse(uri)?;
        let (module, threads) = load(&uri)?;
        let (slot, info) = find_token(&module, &uri)?;
        let sessions = Sessions::new(module, slot, threads);
        let (private, public) = sessions.with(|session| {
            if info.login_required() {
                log_in(session, &uri, pin, &info)?;
            }
            let private = find_key(session, &uri, info.label())?;
            let public = public_key(session, private, info.label())?;
            Ok::<_, SigningKeyError>((private, public))
        })??;
        check_size(&public, || format!("the key in the token {:?}", info.label()))?;
        Ok(Token {
            sessions,
            private,
            public,
        })
    }
}

impl Signer for Token {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, content: &[u8], time: u32) -> Result<SignaturePacket, SignerError> {
        let pending = PendingSignature::new(content, time);
        let info = pending.digest_info();
        let raw = self
            .sessions
            .with(|session| session.sign(&Mechanism::RsaPkcs, self.private, &info))
            .and_then(|signed| signed.map_err(TokenError::NotSigned))
            .map_err(SigningKeyError::from)?;
        Ok(pending.finish(&raw))
    }
}

/// Loads and initialises the module. Also returns true if several threads may use it at once.
fn load(uri: &Pkcs11Uri) -> Result<(Pkcs11, bool), TokenError> {
    let module = Pkcs11::new(&uri.module).map_err(|reason| TokenError::NotLoaded {
        module: uri.module.clone(),
        reason,
    })?;
    let initialized = match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Err(Error::Pkcs11(RvError::CantLock, _)) => module
            .initialize(CInitializeArgs::new(CInitializeFlags::empty()))
            .map(|()| false),
        initialized => initialized.map(|()| true),
    };
    match initialized {
        Ok(threads) => Ok((module, threads)),
        Err(reason) => Err(TokenError::NotInitialised {
            module: uri.module.clone(),
            reason,
        }),
    }
}

fn find_token(module: &Pkcs11, uri: &Pkcs11Uri) -> Result<(Slot, TokenInfo), TokenError> {
    let mut all = Vec::new();
    let mut matching = Vec::new();
    let mut list = || {
        let library = module.get_library_info()?;
        for slot in module.get_slots_with_token()? {
            let token = module.get_token_info(slot)?;
            if !token.token_initialized() {
                continue;
            }
            all.push(label_and_serial(&token));
            let slot_info = module.get_slot_info(slot)?;
            if uri.is_library(&library) && uri.is_slot(slot, &slot_info) && uri.is_token(&token) {
                matching.push((slot, token));
            }
        }
        Ok(())
    };
    let path = || uri.module.clone();
    list().map_err(|reason| TokenError::NoTokenList {
        module: path(),
        reason,
    })?;
    let Some(found) = matching.pop() else {
        return Err(TokenError::NoToken {
            module: path(),
            tokens: listed(&all, "no initialised token"),
        });
    };
    if matching.is_empty() {
        return Ok(found);
    }
    let tokens = matching.iter().chain([&found]);
    let tokens: Vec<String> = tokens.map(|(_, token)| label_and_serial(token)).collect();
    Err(TokenError::ManyTokens {
        module: path(),
        tokens: tokens.join(", "),
    })
}

/// Two tokens may have the same label.
fn label_and_serial(token: &TokenInfo) -> String {
    format!("{:?} (serial {})", token.label(), token.serial_number())
}

fn listed(names: &[String], none: &str) -> String {
    match names.is_empty() {
        true => none.to_owned(),
        false => names.join(", "),
    }
}

fn log_in(
    session: &Session,
    uri: &Pkcs11Uri,
    pin: &PinSource<'_>,
    token: &TokenInfo,
) -> Result<(), SigningKeyError> {
    let label = token.label();
    let keypad = token.protected_authentication_path();
    let pin = pin.pin(uri.pin_source.as_deref(), label, keypad)?;
    let label = label.to_owned();
    let error = match session.login(UserType::User, pin.as_ref()) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => return Ok(()),
        Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _)) => {
            TokenError::WrongPin(label)
        }
        Err(Error::Pkcs11(RvError::PinLocked, _)) => TokenError::Locked(label),
        Err(reason) => TokenError::NoLogin { label, reason },
    };
    Err(error.into())
}

/// The only private RSA key that matches the URI.
fn find_key(session: &Session, uri: &Pkcs11Uri, token: &str) -> Result<ObjectHandle, TokenError> {
    let all = vec![
        Attribute::Class(ObjectClass::PRIVATE_KEY),
        Attribute::KeyType(KeyType::RSA),
    ];
    let mut wanted = all.clone();
    wanted.extend(uri.object().map(|label| Attribute::Label(label.into())));
    wanted.extend(uri.id().map(|id| Attribute::Id(id.into())));
    let search = |template: &[Attribute]| {
        session
            .find_objects(template)
            .map_err(|reason| TokenError::Unreadable {
                label: token.to_owned(),
                reason,
            })
    };
    let label = token.to_owned();
    match search(&wanted)?.as_slice() {
        [key] => Ok(*key),
        [] => {
            let names: Vec<String> = search(&all)?.iter().map(|key| key_label(session, *key)).collect();
            let keys = listed(&names, "no private RSA key");
            Err(TokenError::NoKey { label, keys })
        }
        several => Err(TokenError::ManyKeys {
            label,
            count: several.len(),
        }),
    }
}

fn key_label(session: &Session, key: ObjectHandle) -> String {
    let attributes = session
        .get_attributes(key, &[AttributeType::Label])
        .unwrap_or_default();
    let label = attributes.iter().find_map(|attribute| match attribute {
        Attribute::Label(label) => Some(String::from_utf8_lossy(label).into_owned()),
        _ => None,
    });
    format!("{:?}", label.unwrap_or_default())
}

/// The public half. Some tokens give the exponent only with the object of the public key, which has
/// the same id.
fn public_key(session: &Session, private: ObjectHandle, token: &str) -> Result<PublicKey, TokenError> {
    let label = || token.to_owned();
    let unreadable = |reason| TokenError::Unreadable {
        label: label(),
        reason,
    };
    let own = KeyAttributes::read(session, private).map_err(unreadable)?;
    if own.always_authenticate {
        return Err(TokenError::AlwaysAuthenticate(label()));
    }
    let mut objects = vec![own];
    if let Some(id) = objects.first().and_then(|own| own.id.clone()) {
        let twin = [Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Id(id)];
        for key in session.find_objects(&twin).map_err(unreadable)? {
            objects.push(KeyAttributes::read(session, key).map_err(unreadable)?);
        }
    }
    let (n, e) = objects
        .into_iter()
        .find_map(|object| object.modulus.zip(object.exponent))
        .ok_or_else(|| TokenError::NoPublicKey(label()))?;
    PublicKey::from_components(&n, &e).map_err(|reason| TokenError::PublicKey {
        label: label(),
        reason,
    })
}

/// The attributes of a key object that matter here.
#[derive(Default)]
struct KeyAttributes {
    id: Option<Vec<u8>>,
    modulus: Option<Vec<u8>>,
    exponent: Option<Vec<u8>>,
    always_authenticate: bool,
}

impl KeyAttributes {
    fn read(session: &Session, key: ObjectHandle) -> Result<Self, Error> {
        let wanted = [
            AttributeType::Id,
            AttributeType::Modulus,
            AttributeType::PublicExponent,
            AttributeType::AlwaysAuthenticate,
        ];
        let mut key_attributes = KeyAttributes::default();
        let present = |bytes: Vec<u8>| Some(bytes).filter(|bytes| !bytes.is_empty());
        for attribute in session.get_attributes(key, &wanted)? {
            match attribute {
                Attribute::Id(id) => key_attributes.id = present(id),
                Attribute::Modulus(n) => key_attributes.modulus = present(n),
                Attribute::PublicExponent(e) => key_attributes.exponent = present(e),
                Attribute::AlwaysAuthenticate(always) => key_attributes.always_authenticate = always,
                _ => {}
            }
        }
        Ok(key_attributes)
    }
}
