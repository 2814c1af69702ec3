//! A registration, from a device's request to its serial assertion.
//!
//! What can be checked without the database comes first. Then the nonce is used up, whatever comes of the rest:
//! it answers for one attempt, and snapd asks for another one with each.

mod body;
mod remodel;
mod serial;
mod stream;

use std::sync::Arc;

use jiff::Timestamp;
use snap_assertions::types::{HardwareIdentity, Model, SerialRequest};
use snap_assertions::{Assertion, decode};

use crate::models::{KnownModel, Models, Proving};
use crate::refusal::{Code, Refusal};
use crate::store::{self, Entry, NonceState, Store, StoreError};
use crate::trust::AccountKeys;
use body::Proof;
use stream::Stream;

/// What registrations need.
pub(crate) struct Registrar {
    pub(crate) store: Store,
    pub(crate) account_keys: Arc<AccountKeys>,
    pub(crate) models: Models,
    /// Entries that the log keeps.
    pub(crate) logged: i64,
}

/// A request as it came in.
pub(crate) struct Incoming<'a> {
    pub(crate) body: &'a [u8],
    /// The header `api-key`.
    pub(crate) api_key: Option<&'a [u8]>,
    /// Where it came from, for the log.
    pub(crate) address: String,
}

/// A serial for a device.
pub(crate) struct Registered {
    /// The assertion.
    pub(crate) text: String,
    /// Whether it was made now; otherwise the device has asked before.
    pub(crate) new: bool,
}

impl Registrar {
    /// Registers a device, in a thread that may wait. Whatever comes of it stands in the log before it is known
    /// to the device.
    pub(crate) fn register(&self, incoming: &Incoming<'_>) -> Result<Registered, Refusal> {
        let mut entry = Entry {
            time: Timestamp::now().as_second(),
            address: incoming.address.clone(),
            ..Entry::default()
        };
        let result = self.attempt(incoming, &mut entry);
        if let Err(refusal) = &result {
            entry.outcome = refusal.code.name();
            entry.reason.clone_from(&refusal.message);
            tracing::info!(
                address = entry.address,
                code = entry.outcome,
                "refused: {}",
                entry.reason
            );
            let logged = self.logged;
            // The device is to hear why it was refused even where that cannot be written down.
            let written = self
                .store
                .write_blocking(move |connection| store::log(connection, &entry, logged));
            if let Err(error) = written {
                tracing::error!("a refusal was not logged: {error}");
            }
        }
        result
    }

    fn attempt(&self, incoming: &Incoming<'_>, entry: &mut Entry) -> Result<Registered, Refusal> {
        let stream = Stream::read(incoming.body)?;
        let request = check_request(&stream.request)?;
        entry.brand = shown(request.brand_id());
        entry.model = shown(request.model());
        entry.serial = shown(request.serial().unwrap_or_default());
        entry.device = request.device_key().id().to_owned();
        let model = self.check_model(&stream.model, &request)?;
        if let Proving::ApiKey(secret) = &model.proving {
            check_api_key(secret, incoming.api_key)?;
        }
        let old = remodel::old_number(
            (&stream.request, &request),
            stream.old_serial.as_ref(),
            model,
            &self.models,
            &self.account_keys,
        )?;
        self.use_nonce(request.request_id())?;
        let device = match &model.proving {
            Proving::ApiKey(_) => format!("device-key {}", request.device_key().id()),
            Proving::HardwareIdentity(issuers) => {
                let proof = Proof::read(stream.request.body())?;
                entry.device = shown(&proof.digest);
                self.prove(&proof, issuers, request.request_id())?
            }
        };
        if let Some(old) = old {
            let holder = self.read(|connection| store::holder(connection, &old))?;
            remodel::check_holder(&old, holder.as_deref(), &device)?;
        }
        let proposed = serial::proposed(&request)?;
        self.issue(&request, model, &device, proposed, entry)
    }

    /// Finds the model that the request is for, and checks that the brand's word for it came along.
    fn check_model(&self, model: &Assertion, request: &SerialRequest<'_>) -> Result<&KnownModel, Refusal> {
        let (brand, name) = (request.brand_id(), request.model());
        let known = self.models.find(brand, name).ok_or_else(|| {
            Refusal::new(
                Code::ModelUnknown,
                format!(
                    "the model {brand}/{name} is not known to this model service. Add it to its settings, or correct \
                     device-service.url"
                ),
            )
        })?;
        let wrong = |problem: String| {
            let next = "Sign the model assertion again and build the image with it";
            Refusal::new(Code::Model, format!("the model assertion {problem}. {next}"))
        };
        let view = Model::try_from(model).map_err(|error| wrong(format!("cannot be used: {error}")))?;
        if (view.brand_id(), view.model()) != (brand, name) {
            let found = format!("{}/{}", view.brand_id(), view.model());
            return Err(wrong(format!(
                "is for {found}, but the serial-request for {brand}/{name}"
            )));
        }
        self.account_keys
            .verify_repeated(model, Timestamp::now(), &known.last)
            .map_err(|problem| {
                let next =
                    "Add the brand's account-key to the settings, or sign the model with a key that is there";
                let message =
                    format!("the signature of the model assertion does not count: {problem}. {next}");
                Refusal::new(Code::ModelSignature, message)
            })?;
        if !view.serial_authority().contains(&known.authority.as_str()) {
            let account = &known.authority;
            return Err(Refusal::new(
                Code::SerialAuthority,
                format!(
                    "the model {brand}/{name} does not let {account}, whose key this service has, sign its serials. Name it in \
                     the model's serial-authority"
                ),
            ));
        }
        Ok(known)
    }

    fn use_nonce(&self, nonce: &str) -> Result<(), Refusal> {
        let (text, now) = (nonce.to_owned(), Timestamp::now().as_second());
        let state = self
            .store
            .write_blocking(move |connection| store::consume(connection, &text, now))
            .map_err(|error| unavailable(&error))?;
        let (code, problem) = match state {
            NonceState::Consumed => return Ok(()),
            NonceState::Used => (Code::NonceUsed, "was used before"),
            NonceState::Expired => (Code::NonceExpired, "has expired"),
            NonceState::Unknown => (Code::NonceUnknown, "was not issued here, or too long ago"),
        };
        let message =
            format!("the request-id {problem}. Ask for a new one, as snapd does at its next attempt");
        Err(Refusal::new(code, message))
    }

    /// Checks the signature over the nonce and says which device made it.
    fn prove(&self, proof: &Proof, issuers: &[String], nonce: &str) -> Result<String, Refusal> {
        let found = self.read(|connection| store::find_by_digest(connection, &proof.digest))?;
        let trusted = found.iter().find(|identity| issuers.contains(&identity.issuer));
        let identity = trusted.ok_or_else(|| {
            let problem = match found.first() {
                None => "was not imported".to_owned(),
                Some(other) => format!("is by the issuer {}, which does not count for this model", other.issuer),
            };
            let digest = shown(&proof.digest);
            let next = "Import the device's hardware-identity assertion; its digest must have the form that the device uses";
            Refusal::new(
                Code::IdentityUnknown,
                format!("the hardware identity with the key digest {digest:?} {problem}. {next}"),
            )
        })?;
        // What stands in the database was checked before it was put there.
        let assertion = decode(identity.text.as_bytes()).map_err(|error| unavailable(&error))?;
        let view =
            HardwareIdentity::check_any_form(assertion.headers()).map_err(|error| unavailable(&error))?;
        view.verify_nonce(nonce, &proof.signature, proof.hash)
            .map_err(|_| {
                Refusal::new(
                    Code::NonceSignature,
                    format!(
                        "the request-id-signature is not by the hardware identity {} over the request-id with the named hash. \
                         Check that the device is the one that was exported",
                        view.hardware_id()
                    ),
                )
            })?;
        Ok(format!("hardware-id-key {}", identity.key_digest))
    }

    fn read<T>(&self, job: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T>) -> Result<T, Refusal> {
        self.store.read(job).map_err(|error| unavailable(&error))
    }
}

fn check_request(assertion: &Assertion) -> Result<SerialRequest<'_>, Refusal> {
    let request = SerialRequest::try_from(assertion).map_err(|error| {
        let message = format!("the serial-request cannot be used: {error}. Check what made it");
        Refusal::new(Code::Request, message)
    })?;
    assertion.verify(request.device_key()).map_err(|error| {
        let message =
            format!("the serial-request is not signed by its device key: {error}. Check what made it");
        Refusal::new(Code::RequestSignature, message)
    })?;
    Ok(request)
}

fn check_api_key(secret: &crate::secret::Secret, given: Option<&[u8]>) -> Result<(), Refusal> {
    let problem = match given {
        Some(given) if secret.is(given) => return Ok(()),
        Some(_) => "is not the one of this model",
        None => "is missing",
    };
    let next = "Set device-service.headers in the gadget to an object with the model's api-key";
    Err(Refusal::new(
        Code::ApiKey,
        format!("the header api-key {problem}. {next}"),
    ))
}

/// The database, or what stands in it, could not be used. It may pass, so snapd is to come again.
fn unavailable(error: &dyn std::fmt::Display) -> Refusal {
    tracing::error!("{error}");
    let message = "the model service cannot use its database now. Try again; its log says more";
    Refusal::new(Code::Unavailable, message)
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        unavailable(&error)
    }
}

/// What a device sent, at a length that fits messages and the log.
fn shown(text: &str) -> String {
    const LONGEST: usize = 200;
    text.chars().take(LONGEST).collect()
}
