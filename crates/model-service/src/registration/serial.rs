//! The serial: which one a device gets, and signing it.

use jiff::Timestamp;
use snap_assertions::types::SerialRequest;
use snap_assertions::{Headers, SignOptions, Signer as _, Statement};

use super::{Registered, Registrar, shown, unavailable};
use crate::models::KnownModel;
use crate::refusal::{Code, Refusal};
use crate::store::{self, Entry, Issue, Number};

/// Longer ones are no serials that anybody could handle.
const LONGEST: usize = 128;
/// How often to plan again when another request was faster.
const ATTEMPTS: usize = 4;

/// The serial that the device proposes, if it can be one.
pub(super) fn proposed<'a>(request: &SerialRequest<'a>) -> Result<&'a str, Refusal> {
    let next = "Set registration.proposed-serial in the gadget's hook prepare-device";
    let serial = request.serial().ok_or_else(|| {
        let message = format!("the request proposes no serial. {next}");
        Refusal::new(Code::SerialMissing, message)
    })?;
    let problem = if serial.len() > LONGEST {
        "is longer than 128 bytes"
    } else if serial.contains('/') {
        "holds a slash"
    } else if serial.contains(char::is_control) || serial.trim() != serial {
        "holds control characters, or spaces at its ends"
    } else {
        return Ok(serial);
    };
    Err(Refusal::new(
        Code::SerialInvalid,
        format!("the proposed serial {:?} {problem}. {next}", shown(serial)),
    ))
}

impl Registrar {
    /// Gives `device` its serial: the one that it has in this model, else the one that it proposes.
    pub(super) fn issue(
        &self,
        request: &SerialRequest<'_>,
        model: &KnownModel,
        device: &str,
        proposed: &str,
        entry: &mut Entry,
    ) -> Result<Registered, Refusal> {
        self.check_signer(model)?;
        for _ in 0..ATTEMPTS {
            let number = self.choose(model, device, proposed)?;
            entry.serial.clone_from(&number.serial);
            let (device_key, sign_key) = (request.device_key(), model.signer.public_key().id());
            let last =
                self.read(|connection| store::find_issued(connection, &number, device_key.id(), sign_key))?;
            let revision = match last {
                // The same bytes again: snapd takes no other assertion with the same revision.
                Some((_, Some(text))) => return self.repeat(text, entry),
                Some((revision, None)) => revision + 1,
                None => 0,
            };
            let text = sign(request, model, &number, revision)?;
            let issue = Issue {
                number,
                device: device.to_owned(),
                revision,
                device_key: device_key.id().to_owned(),
                sign_key: sign_key.to_owned(),
                text: text.clone(),
            };
            entry.outcome = "issued";
            let (entry, logged) = (entry.clone(), self.logged);
            let inserted = self.store.write_blocking(move |connection| {
                let inserted = store::insert(connection, &issue)?;
                if inserted.is_ok() {
                    store::log(connection, &entry, logged)?;
                }
                Ok(inserted)
            })?;
            if inserted.is_ok() {
                return Ok(Registered { text, new: true });
            }
        }
        Err(unavailable(
            &"another request for the same serial was faster, four times",
        ))
    }

    /// The key was valid when the service started; no device takes a serial by one that is no longer.
    fn check_signer(&self, model: &KnownModel) -> Result<(), Refusal> {
        let key = self.account_keys.get(model.signer.public_key().id());
        match key.is_some_and(|key| key.is_valid_at(Timestamp::now())) {
            true => Ok(()),
            false => Err(unavailable(
                &"the account-key of the key that signs serials is no longer valid",
            )),
        }
    }

    fn choose(&self, model: &KnownModel, device: &str, proposed: &str) -> Result<Number, Refusal> {
        let number = |serial: &str| Number {
            brand: model.brand.clone(),
            model: model.name.clone(),
            serial: serial.to_owned(),
        };
        let (has, holder) = self.read(|connection| {
            let has = store::number_of(connection, &model.brand, &model.name, device)?;
            Ok((has, store::holder(connection, &number(proposed))?))
        })?;
        if holder.is_some_and(|holder| holder != device) {
            let message = format!(
                "the proposed serial {:?} belongs to another device of this model. Propose one that no other device has",
                shown(proposed)
            );
            return Err(Refusal::new(Code::SerialTaken, message));
        }
        Ok(number(has.as_deref().unwrap_or(proposed)))
    }

    fn repeat(&self, text: String, entry: &mut Entry) -> Result<Registered, Refusal> {
        entry.outcome = "repeated";
        let (entry, logged) = (entry.clone(), self.logged);
        self.store
            .write_blocking(move |connection| store::log(connection, &entry, logged))?;
        Ok(Registered { text, new: false })
    }
}

fn sign(
    request: &SerialRequest<'_>,
    model: &KnownModel,
    number: &Number,
    revision: u64,
) -> Result<String, Refusal> {
    let now = Timestamp::now();
    let seconds = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let key = request.device_key();
    let mut headers = Headers::new();
    for (name, value) in [
        ("type", "serial".to_owned()),
        ("authority-id", model.authority.clone()),
        ("revision", revision.to_string()),
        ("brand-id", number.brand.clone()),
        ("model", number.model.clone()),
        ("serial", number.serial.clone()),
        ("device-key", key.encode()),
        ("device-key-sha3-384", key.id().to_owned()),
        ("timestamp", seconds.to_string()),
    ] {
        headers.set(name, value).map_err(|error| unavailable(&error))?;
    }
    let statement = Statement {
        headers,
        body: String::new(),
    };
    let signed = statement.sign(model.signer.as_ref(), &SignOptions::now());
    Ok(signed.map_err(|error| unavailable(&error))?.to_string())
}
