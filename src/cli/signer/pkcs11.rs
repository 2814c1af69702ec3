//! A key in an HSM or a smart card, through the PKCS#11 module of its vendor.
//!
//! A module is a library in this process: a module that hangs cannot be stopped.

mod sessions;
mod uri;

use anyhow::{anyhow, bail};
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::{Slot, TokenInfo};
use snap_assertions::{PendingSignature, PublicKey, SignaturePacket, Signer, SignerError};

use super::check_size;
use super::pin::Pin;
use sessions::Sessions;
use uri::Uri;

pub(super) struct Token {
    sessions: Sessions,
    /// Handles of objects hold in all sessions of a process (PKCS#11 3.0, section 5.1).
    private: ObjectHandle,
    public: PublicKey,
}

impl Token {
    pub(super) fn open(uri: &str, pin: &Pin) -> anyhow::Result<Self> {
        let uri = Uri::parse(uri)?;
        let (module, threads) = load(&uri)?;
        let (slot, info) = find_token(&module, &uri)?;
        let sessions = Sessions::new(module, slot, threads);
        let (private, public) = sessions.with(|session| {
            if info.login_required() {
                log_in(session, &uri, pin, &info)?;
            }
            let private = find_key(session, &uri, info.label())?;
            Ok::<_, anyhow::Error>((private, public_key(session, private, info.label())?))
        })??;
        check_size(&public, &format!("the key in the token \"{}\"", info.label()))?;
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
        let signed = self
            .sessions
            .with(|session| session.sign(&Mechanism::RsaPkcs, self.private, &info))
            .map_err(|error| error.to_string())?;
        let raw = signed.map_err(|error| {
            format!("the token did not sign: {error}. Check that it is still there and that the key may sign by CKM_RSA_PKCS")
        })?;
        Ok(pending.finish(&raw))
    }
}

/// The initialised module, and whether several threads may use it at once.
fn load(uri: &Uri) -> anyhow::Result<(Pkcs11, bool)> {
    let shown = uri.module.display();
    let module = Pkcs11::new(&uri.module).map_err(|error| {
        anyhow!("the PKCS#11 module {shown} cannot be loaded: {error}. Check module-path in the URI")
    })?;
    let initialized = match module.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Err(Error::Pkcs11(RvError::CantLock, _)) => module
            .initialize(CInitializeArgs::new(CInitializeFlags::empty()))
            .map(|()| false),
        initialized => initialized.map(|()| true),
    };
    let threads = initialized.map_err(|error| {
        anyhow!("the PKCS#11 module {shown} does not start: {error}. Check its configuration")
    })?;
    Ok((module, threads))
}

fn find_token(module: &Pkcs11, uri: &Uri) -> anyhow::Result<(Slot, TokenInfo)> {
    let shown = uri.module.display();
    let broken =
        |error| anyhow!("the PKCS#11 module {shown} does not list its tokens: {error}. Check the device");
    let library = module.get_library_info().map_err(broken)?;
    let mut labels = Vec::new();
    let mut found = Vec::new();
    for slot in module.get_slots_with_token().map_err(broken)? {
        let info = module.get_token_info(slot).map_err(broken)?;
        if !info.token_initialized() {
            continue;
        }
        labels.push(info.label().to_owned());
        let place = module.get_slot_info(slot).map_err(broken)?;
        if uri.is_library(&library) && uri.is_slot(slot, &place) && uri.is_token(&info) {
            found.push((slot, info));
        }
    }
    let tokens = match labels.is_empty() {
        true => "it has none with a label".to_owned(),
        false => format!("it has: {}", labels.join(", ")),
    };
    match (found.pop(), found.is_empty()) {
        (Some(token), true) => Ok(token),
        (Some(_), false) => bail!(
            "several tokens of the PKCS#11 module {shown} fit the URI ({tokens}). Add token=LABEL or serial=NUMBER \
             to the URI"
        ),
        (None, _) => {
            bail!(
                "no token of the PKCS#11 module {shown} fits the URI ({tokens}). Check token= in the URI, and that \
                 it is plugged in"
            )
        }
    }
}

fn log_in(session: &Session, uri: &Uri, pin: &Pin, info: &TokenInfo) -> anyhow::Result<()> {
    let label = info.label();
    let pin = pin.get(
        uri.pin_source.as_deref(),
        label,
        info.protected_authentication_path(),
    )?;
    match session.login(UserType::User, pin.as_ref()) {
        Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
        Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _)) => bail!(
            "the PIN of the token \"{label}\" is wrong. Check it before you try again: a token locks itself after a \
             few wrong PINs"
        ),
        Err(Error::Pkcs11(RvError::PinLocked, _)) => bail!(
            "the token \"{label}\" is locked after too many wrong PINs. Set a new PIN with the security officer's, \
             with the vendor's tool"
        ),
        Err(error) => {
            bail!("the token \"{label}\" refuses the login: {error}. Check its state with the vendor's tool")
        }
    }
}

/// The one private RSA key that the URI names.
fn find_key(session: &Session, uri: &Uri, token: &str) -> anyhow::Result<ObjectHandle> {
    let mut wanted = vec![
        Attribute::Class(ObjectClass::PRIVATE_KEY),
        Attribute::KeyType(KeyType::RSA),
    ];
    let all = wanted.clone();
    if let Some(label) = uri.object() {
        wanted.push(Attribute::Label(label.into()));
    }
    if let Some(id) = uri.id() {
        wanted.push(Attribute::Id(id.into()));
    }
    let search = |template: &[Attribute]| {
        session.find_objects(template).map_err(|error| {
            anyhow!("the token \"{token}\" does not list its keys: {error}. Check the device")
        })
    };
    match search(&wanted)?.as_slice() {
        [key] => Ok(*key),
        [] => {
            let labels: Vec<String> = search(&all)?.iter().map(|key| label(session, *key)).collect();
            let keys = match labels.is_empty() {
                true => "it has no private RSA key".to_owned(),
                false => format!("its private RSA keys are: {}", labels.join(", ")),
            };
            bail!(
                "no private RSA key in the token \"{token}\" fits the URI ({keys}). Check object= and id= in the URI"
            )
        }
        several => bail!(
            "{} private RSA keys in the token \"{token}\" fit the URI. Add object=LABEL or id=%NN of one of them",
            several.len()
        ),
    }
}

fn label(session: &Session, key: ObjectHandle) -> String {
    let mut text = "?".to_owned();
    for attribute in session
        .get_attributes(key, &[AttributeType::Label])
        .unwrap_or_default()
    {
        if let Attribute::Label(label) = attribute {
            text = String::from_utf8_lossy(&label).into_owned();
        }
    }
    text
}

/// The public half; some tokens give the exponent only with the public key's object, which has the same id.
fn public_key(session: &Session, private: ObjectHandle, token: &str) -> anyhow::Result<PublicKey> {
    let failed = |error| anyhow!("the token \"{token}\" does not show its key: {error}. Check the device");
    let own = Facts::read(session, private).map_err(failed)?;
    if own.always_authenticate {
        bail!(
            "the key in the token \"{token}\" demands its PIN for each signature (CKA_ALWAYS_AUTHENTICATE). Sign \
             with a key made without this attribute"
        );
    }
    let mut facts = vec![own];
    if let Some(id) = facts.first().and_then(|own| own.id.clone()) {
        let twin = [Attribute::Class(ObjectClass::PUBLIC_KEY), Attribute::Id(id)];
        for key in session.find_objects(&twin).map_err(failed)? {
            facts.push(Facts::read(session, key).map_err(failed)?);
        }
    }
    let components = facts
        .into_iter()
        .find_map(|facts| facts.modulus.zip(facts.exponent));
    let Some((n, e)) = components else {
        bail!(
            "the token \"{token}\" does not show the public half of the key. Store the public key in it too, with \
             the same id"
        );
    };
    PublicKey::from_components(&n, &e)
        .map_err(|error| anyhow!("the key in the token \"{token}\" {error}. Sign with another key"))
}

/// What a token says of a key.
#[derive(Default)]
struct Facts {
    id: Option<Vec<u8>>,
    modulus: Option<Vec<u8>>,
    exponent: Option<Vec<u8>>,
    always_authenticate: bool,
}

impl Facts {
    fn read(session: &Session, key: ObjectHandle) -> Result<Self, Error> {
        let wanted = [
            AttributeType::Id,
            AttributeType::Modulus,
            AttributeType::PublicExponent,
            AttributeType::AlwaysAuthenticate,
        ];
        let mut facts = Facts::default();
        let present = |bytes: Vec<u8>| Some(bytes).filter(|bytes| !bytes.is_empty());
        for attribute in session.get_attributes(key, &wanted)? {
            match attribute {
                Attribute::Id(id) => facts.id = present(id),
                Attribute::Modulus(n) => facts.modulus = present(n),
                Attribute::PublicExponent(e) => facts.exponent = present(e),
                Attribute::AlwaysAuthenticate(always) => facts.always_authenticate = always,
                _ => {}
            }
        }
        Ok(facts)
    }
}
