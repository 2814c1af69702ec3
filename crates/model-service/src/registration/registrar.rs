//! The checks of a registration, in their order.
//!
//! The checks that do not need the database come first. Then the nonce is consumed, whatever the
//! outcome of the rest: it is valid for one attempt, and snapd asks for another one with each.

use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use snap_assertions::types::{HardwareIdentity, Model, SerialRequest};
use snap_assertions::{Assertion, decode};

use super::body::IdentityProof;
use super::error::RegistrationError;
use super::remodel;
use super::serial::{Issuance, ProvenDevice, Registration, SerialError};
use super::stream::Stream;
use crate::account_keys::AccountKeys;
use crate::message::{message, shortened};
use crate::metrics::{Metrics, Phase};
use crate::models::{Authentication, KnownModel, Models};
use crate::secret::Secret;
use crate::store::{LogEntry, NonceKind, NonceState, Store, identity_device};
use crate::waiting::Wait;

/// Registers devices.
pub(crate) struct Registrar {
    pub(crate) store: Store,
    pub(crate) account_keys: Arc<AccountKeys>,
    pub(crate) models: Models,
    /// Entries that the log keeps.
    pub(crate) log_limit: i64,
}

/// A request for a serial.
pub(crate) struct RegistrationRequest<'a> {
    pub(crate) body: &'a [u8],
    /// The header `api-key`.
    pub(crate) api_key: Option<&'a [u8]>,
    /// The address of the client, for the log.
    pub(crate) address: String,
    /// Where the times of the phases are recorded.
    pub(crate) metrics: &'a Metrics,
    pub(crate) wait: &'a Wait,
}

impl Registrar {
    /// Registers a device, and logs the outcome before the device gets it; blocks the calling
    /// thread.
    pub(crate) fn register(
        &self,
        request: &RegistrationRequest<'_>,
    ) -> Result<Registration, RegistrationError> {
        let mut entry = LogEntry {
            time: Timestamp::now().as_second(),
            address: request.address.clone(),
            ..LogEntry::default()
        };
        let result = self.attempt(request, &mut entry);
        if let Err(error) = &result {
            self.log_refusal(error, entry);
        }
        result
    }

    fn log_refusal(&self, error: &RegistrationError, mut entry: LogEntry) {
        entry.outcome = failure::code(error);
        entry.reason = message(error);
        tracing::info!(
            address = entry.address,
            code = entry.outcome,
            "refused: {}",
            entry.reason
        );
        // The device gets the reason even if it cannot be logged.
        if let Err(error) = self.store.log_registration(entry, self.log_limit) {
            tracing::error!("a refusal was not logged: {error}");
        }
    }

    fn attempt(
        &self,
        incoming: &RegistrationRequest<'_>,
        entry: &mut LogEntry,
    ) -> Result<Registration, RegistrationError> {
        let (metrics, wait, start) = (incoming.metrics, incoming.wait, Instant::now());
        let stream = Stream::read(incoming.body)?;
        let request = check_request(&stream.request)?;
        entry.brand = shortened(request.brand_id());
        entry.model = shortened(request.model());
        entry.serial = shortened(request.serial().unwrap_or_default());
        entry.device = request.device_key().id().to_owned();
        let model = self.check_model(&stream.model, &request)?;
        if let Authentication::ApiKey(secret) = &model.authentication {
            check_api_key(secret, incoming.api_key)?;
        }
        let old = remodel::old_number(
            (&stream.request, &request),
            stream.old_serial.as_ref(),
            model,
            &self.models,
            &self.account_keys,
        )?;
        metrics.observe(Phase::Parse, start);
        let nonce = request.request_id();
        metrics.time(Phase::Nonce, || self.consume_nonce(nonce, wait))?;
        let device = match &model.authentication {
            Authentication::ApiKey(_) => ProvenDevice {
                name: format!("device-key {}", request.device_key().id()),
                hardware_id: None,
            },
            Authentication::HardwareIdentity {
                issuers,
                hardware_names,
            } => {
                let proof = IdentityProof::read(stream.request.body())?;
                entry.device = shortened(&proof.digest);
                metrics.time(Phase::Proof, || {
                    self.verify_proof((&proof, nonce), issuers, hardware_names, wait)
                })?
            }
        };
        if let Some(old) = old {
            let holder = wait.retry(|| self.store.find_holder(&old))?;
            remodel::check_holder(&old, holder.as_deref(), &device.name)?;
        }
        let issuance = Issuance {
            store: &self.store,
            account_keys: &self.account_keys,
            request: &request,
            model,
            device: &device,
            log_limit: self.log_limit,
            metrics,
            wait,
        };
        Ok(issuance.issue(entry)?)
    }

    /// Finds the model of the request, and checks the model assertion that came with it.
    fn check_model(
        &self,
        assertion: &Assertion,
        request: &SerialRequest<'_>,
    ) -> Result<&KnownModel, RegistrationError> {
        let (brand, name) = (request.brand_id(), request.model());
        let known = self
            .models
            .find(brand, name)
            .ok_or_else(|| RegistrationError::ModelUnknown {
                brand: shortened(brand),
                model: shortened(name),
            })?;
        let model = Model::try_from(assertion).map_err(RegistrationError::Model)?;
        if (model.brand_id(), model.model()) != (brand, name) {
            return Err(RegistrationError::OtherModel {
                found: shortened(&format!("{}/{}", model.brand_id(), model.model())),
                requested: format!("{brand}/{name}"),
            });
        }
        self.account_keys
            .verify_repeated(assertion, Timestamp::now(), &known.last_verified)
            .map_err(RegistrationError::ModelSignature)?;
        if !model.serial_authority().contains(&known.authority.as_str()) {
            return Err(RegistrationError::SerialAuthority {
                model: format!("{brand}/{name}"),
                account: known.authority.clone(),
            });
        }
        Ok(known)
    }

    fn consume_nonce(&self, nonce: &str, wait: &Wait) -> Result<(), RegistrationError> {
        let kind = NonceKind::Registration;
        match wait.retry(|| self.store.consume_nonce(kind, nonce, wait.attempt))? {
            NonceState::Consumed => Ok(()),
            NonceState::Used => Err(RegistrationError::NonceUsed),
            NonceState::Expired => Err(RegistrationError::NonceExpired),
            NonceState::Unknown => Err(RegistrationError::NonceUnknown),
        }
    }

    /// Checks the signature over the nonce, and returns the device that made it.
    fn verify_proof(
        &self,
        (proof, nonce): (&IdentityProof, &str),
        issuers: &[String],
        hardware_names: &[String],
        wait: &Wait,
    ) -> Result<ProvenDevice, RegistrationError> {
        let found = wait.retry(|| self.store.find_identities(&proof.digest))?;
        // In the order of the settings, so that the result does not depend on the database.
        let mut trusted = issuers
            .iter()
            .filter_map(|issuer| found.iter().find(|identity| identity.issuer == *issuer));
        let stored = trusted.next().ok_or_else(|| {
            let digest = shortened(&proof.digest);
            match found.first() {
                None => RegistrationError::IdentityUnknown { digest },
                Some(other) => RegistrationError::OtherIssuer {
                    digest,
                    issuer: other.issuer.clone(),
                },
            }
        })?;
        // It was checked before it was stored.
        let assertion = decode(stored.assertion.as_bytes())
            .map_err(|error| RegistrationError::IdentityDamaged(error.to_string()))?;
        let identity = HardwareIdentity::check_any_form(assertion.headers())
            .map_err(|error| RegistrationError::IdentityDamaged(error.to_string()))?;
        identity
            .verify_nonce(nonce, &proof.signature, proof.hash)
            .map_err(|_| RegistrationError::NonceSignature {
                hardware_id: shortened(identity.hardware_id()),
            })?;
        if stored.blocked {
            return Err(SerialError::IdentityBlocked.into());
        }
        if !hardware_names.iter().any(|name| name == identity.hardware_name()) {
            return Err(RegistrationError::HardwareName {
                found: shortened(identity.hardware_name()),
                allowed: hardware_names.join(", "),
            });
        }
        Ok(ProvenDevice {
            name: identity_device(&stored.key_digest),
            hardware_id: Some(identity.hardware_id().to_owned()),
        })
    }
}

fn check_request(assertion: &Assertion) -> Result<SerialRequest<'_>, RegistrationError> {
    let request = SerialRequest::try_from(assertion).map_err(RegistrationError::Request)?;
    assertion
        .verify(request.device_key())
        .map_err(RegistrationError::RequestSignature)?;
    Ok(request)
}

fn check_api_key(secret: &Secret, given: Option<&[u8]>) -> Result<(), RegistrationError> {
    match given {
        Some(given) if secret.matches(given) => Ok(()),
        Some(_) => Err(RegistrationError::ApiKeyWrong),
        None => Err(RegistrationError::ApiKeyMissing),
    }
}
