//! Keys in an HSM or a smart card, through the PKCS#11 module of its vendor.
//!
//! A module is a library in this process: a module that hangs cannot be stopped.

mod uri;

use cryptoki::error::Error;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use miette::Diagnostic;
use pkcs11_token::{Sessions, load, log_in, select_token};
use snap_assertions::{KeyError, PendingSignature, PublicKey, SignaturePacket, Signer, SignerError};

use crate::pin::PinSource;
use crate::{SigningKeyError, check_size};
use uri::Pkcs11Uri;

pub use uri::UriError;

/// Why a token or its PKCS#11 module cannot be used, or did not sign.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum TokenError {
    /// The module, the token or the login.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Token(#[from] pkcs11_token::TokenError),
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
        let (module, threads) = load(&uri.module).map_err(TokenError::Token)?;
        let found = select_token(&module, &uri.module, |library, slot, slot_info, token| {
            uri.is_library(library) && uri.is_slot(slot, slot_info) && uri.is_token(token)
        });
        let (slot, info) = found.map_err(TokenError::Token)?;
        let sessions = Sessions::new(module, slot, threads);
        let opened = sessions.with(|session| {
            if info.login_required() {
                let pin = pin.pin(
                    uri.pin_source.as_deref(),
                    info.label(),
                    info.protected_authentication_path(),
                )?;
                log_in(session, &info, pin.as_ref()).map_err(TokenError::Token)?;
            }
            let private = find_key(session, &uri, info.label())?;
            let public = public_key(session, private, info.label())?;
            Ok::<_, SigningKeyError>((private, public))
        });
        let (private, public) = opened.map_err(TokenError::Token)??;
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
            .map_err(TokenError::Token)
            .and_then(|signed| signed.map_err(TokenError::NotSigned))
            .map_err(SigningKeyError::from)?;
        Ok(pending.finish(&raw))
    }
}

fn listed(names: &[String], none: &str) -> String {
    match names.is_empty() {
        true => none.to_owned(),
        false => names.join(", "),
    }
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
            .map_err(|reason| unreadable(token, reason))
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

fn unreadable(token: &str, reason: Error) -> TokenError {
    TokenError::Token(pkcs11_token::TokenError::Unreadable {
        label: token.to_owned(),
        reason,
    })
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
    let unreadable = |reason| unreadable(token, reason);
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
