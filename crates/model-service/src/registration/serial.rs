//! The serial: which one a device gets, and its assertion.

use std::fmt;

use failure::Diagnostic;
use identity_key::is_serial;
use jiff::Timestamp;
use snap_assertions::types::SerialRequest;
use snap_assertions::{
    Headers, InvalidHeaderName, PublicKey, SignError, SignOptions, Signer as _, Statement,
};
use thiserror::Error;

use crate::account_keys::AccountKeys;
use crate::message::shortened;
use crate::metrics::{Metrics, Phase};
use crate::models::{KnownModel, SerialRule};
use crate::store::{
    Assignment, AssignmentQuery, IssueOutcome, IssuedSerial, LedgerError, LogEntry, SerialNumber, Store,
    StoreError,
};
use crate::waiting::{Transient, Wait};

/// The longest serial, in bytes.
const MAX_LENGTH: usize = 128;
/// The code of a key that took too long.
const KEY_TIMEOUT: &str = "serial-key-timeout";
/// How often a serial is chosen again after a conflict with a concurrent request.
const ATTEMPTS: usize = 4;

/// Why no serial is issued.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum SerialError {
    /// The device has no serial yet, and the model takes the one that it proposes.
    #[error("the request proposes no serial")]
    #[diagnostic(
        code("serial-missing"),
        help("Set registration.proposed-serial in the gadget's hook prepare-device")
    )]
    Missing,
    /// The proposal is longer than this service accepts.
    #[error("the proposed serial {serial:?} is longer than {MAX_LENGTH} bytes")]
    #[diagnostic(
        code("serial-invalid"),
        help("Correct registration.proposed-serial in the gadget's hook prepare-device")
    )]
    TooLong { serial: String },
    /// The proposal cannot be a serial.
    #[error(
        "the proposed serial {serial:?} is not printable ASCII, has a space at an end or a slash, or is `.` or `..`"
    )]
    #[diagnostic(
        code("serial-invalid"),
        help("Correct registration.proposed-serial in the gadget's hook prepare-device")
    )]
    Invalid { serial: String },
    /// The proposal does not match `serial-pattern`.
    #[error("the proposed serial {serial:?} does not match the pattern {pattern} of the model")]
    #[diagnostic(
        code("serial-pattern-mismatch"),
        help(
            "Propose a serial that matches, or correct `serial-pattern` in the settings of the model service"
        )
    )]
    Pattern { serial: String, pattern: String },
    /// The serial is the hardware-id, and the device proposes another one.
    #[error("the proposed serial {serial:?} is not the hardware-id {hardware_id:?} of the identity")]
    #[diagnostic(
        code("serial-not-hardware-id"),
        help(
            "Propose the hardware-id or nothing, or set `serial` of the model to \"proposed\" in the settings of the model service"
        )
    )]
    NotHardwareId { serial: String, hardware_id: String },
    /// The serial is the hardware-id, which has characters that no serial has.
    #[error("the hardware-id {hardware_id:?} of the identity cannot be a serial")]
    #[diagnostic(
        code("hardware-id-not-serial"),
        help(
            "Export the device with a hardware-id that can be one, or set `serial` of the model to \"proposed\" in the settings of the model service"
        )
    )]
    HardwareIdNotSerial { hardware_id: String },
    /// Another device of the model has the serial.
    #[error("the proposed serial {serial:?} belongs to another device of this model")]
    #[diagnostic(
        code("serial-taken"),
        help(
            "Propose a serial that no other device of the model has, or release it with `model-service serial release`"
        )
    )]
    Taken { serial: String },
    /// An administrator blocked the identity, maybe while the serial was signed.
    #[error("the hardware identity of the device is blocked")]
    #[diagnostic(
        code("identity-blocked"),
        help("Ask the operator of the model service, who can lift it with `model-service identity unblock`")
    )]
    IdentityBlocked,
    /// Concurrent requests won each time.
    #[error("concurrent requests changed the serial of this device {ATTEMPTS} times")]
    #[diagnostic(code("serial-contended"), help("Try again"))]
    Contended,
    /// It was valid when the service started.
    #[error("the account-key of the key that signs serials is not valid now")]
    #[diagnostic(
        code("account-key-expired"),
        help("Set `serial-key` in the settings of the model service to a key whose account-key is valid")
    )]
    AccountKeyExpired,
    /// The assertion cannot be signed for another reason than the key.
    #[error("the model service cannot sign serials")]
    #[diagnostic(
        code("signing-unavailable"),
        help("Check `serial-key` in the settings of the model service; its log has the reason")
    )]
    Signing(SignError),
    /// The key is logged when it is lost. It is not asked again if it was only slow: it may have
    /// signed, and others wait for it.
    #[error("the key that signs serials cannot be used")]
    #[diagnostic(
        code("serial-key-unavailable"),
        help("Try again later; the log of the model service has the reason")
    )]
    KeyUnavailable { may_return: bool },
    /// A header has a name that no assertion has.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Header(InvalidHeaderName),
    /// Nothing was stored, or it is not known whether it was.
    #[error("the model service cannot use its database")]
    #[diagnostic(
        code("unavailable"),
        help("Try again later; the log of the model service has the reason")
    )]
    Store(StoreError),
    /// The ledger of SQLite failed, and nothing was stored.
    #[error("the model service cannot use its ledger")]
    #[diagnostic(
        code("ledger-unavailable"),
        help("Try again later; the log of the model service has the reason")
    )]
    Ledger(LedgerError),
}

impl From<StoreError> for SerialError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Ledger(error) => Self::Ledger(error),
            other => Self::Store(other),
        }
    }
}

impl From<SignError> for SerialError {
    fn from(error: SignError) -> Self {
        match error {
            SignError::Signer(error) => Self::KeyUnavailable {
                may_return: failure::code(error.as_ref()) != KEY_TIMEOUT,
            },
            other => Self::Signing(other),
        }
    }
}

impl From<InvalidHeaderName> for SerialError {
    fn from(error: InvalidHeaderName) -> Self {
        Self::Header(error)
    }
}

impl Transient for SerialError {
    fn is_transient(&self) -> bool {
        match self {
            Self::KeyUnavailable { may_return } => *may_return,
            Self::Store(error) => error.is_transient(),
            _ => false,
        }
    }
}

impl SerialError {
    /// The reason that the operator needs and the device does not get.
    pub(super) fn detail(&self) -> Option<&dyn fmt::Display> {
        match self {
            Self::Signing(reason) => Some(reason),
            Self::Store(reason) => Some(reason),
            Self::Ledger(reason) => Some(reason),
            _ => None,
        }
    }
}

/// The serial assertion that a device gets.
pub(crate) struct Registration {
    pub(crate) assertion: String,
    /// True if it was signed for this request; false if the device gets an earlier one again.
    pub(crate) new: bool,
}

/// The serial that the device proposes, if it does.
fn proposed<'a>(request: &SerialRequest<'a>) -> Result<Option<&'a str>, SerialError> {
    let Some(proposed) = request.serial() else {
        return Ok(None);
    };
    let serial = shortened(proposed);
    match proposed {
        _ if proposed.len() > MAX_LENGTH => Err(SerialError::TooLong { serial }),
        _ if !is_serial(proposed) => Err(SerialError::Invalid { serial }),
        _ => Ok(Some(proposed)),
    }
}

/// A device that has proved which one it is.
pub(super) struct ProvenDevice {
    /// Its name in the database.
    pub(super) name: String,
    /// The hardware id of its identity, if it has one.
    pub(super) hardware_id: Option<String>,
}

/// Issues a serial to a device.
pub(super) struct Issuance<'a> {
    pub(super) store: &'a Store,
    pub(super) account_keys: &'a AccountKeys,
    pub(super) request: &'a SerialRequest<'a>,
    pub(super) model: &'a KnownModel,
    pub(super) device: &'a ProvenDevice,
    /// Entries that the log keeps.
    pub(super) log_limit: i64,
    pub(super) metrics: &'a Metrics,
    pub(super) wait: &'a Wait,
}

impl Issuance<'_> {
    /// Gives the device the serial that it has in this model, else the one that the rule of the
    /// model gives it.
    pub(super) fn issue(&self, entry: &mut LogEntry) -> Result<Registration, SerialError> {
        self.check_account_key()?;
        let (device_key, sign_key) = (self.request.device_key(), self.model.signer.public_key().id());
        for _ in 0..ATTEMPTS {
            let found = self.wait.retry(|| self.store.find_assignment(self.query()))?;
            let (number, assigned) = self.choose(&found)?;
            entry.serial.clone_from(&number.serial);
            let revision = match found.last {
                None => 0,
                // A serial that was released is issued again, also to the same device.
                Some(last) => match last.assertion.filter(|_| assigned) {
                    // The same bytes: snapd accepts no other assertion with the same revision.
                    Some(assertion) => return self.repeat(assertion, entry),
                    None => last.revision + 1,
                },
            };
            let assertion = self.sign(&number, revision)?;
            let issued = || IssuedSerial {
                number: number.clone(),
                device: self.device.name.clone(),
                revision,
                device_key: device_key.id().to_owned(),
                sign_key: sign_key.to_owned(),
                assertion: assertion.clone(),
            };
            // Tried again with the same assertion: the device gets none that is not stored.
            entry.outcome = "issued".to_owned();
            let recorded = self.wait.retry(|| {
                self.metrics.time(Phase::Store, || {
                    self.store.record_issue(issued(), entry.clone(), self.log_limit)
                })
            })?;
            match recorded {
                IssueOutcome::Recorded => {
                    log_issued(entry, revision);
                    return Ok(Registration { assertion, new: true });
                }
                IssueOutcome::Blocked => return Err(SerialError::IdentityBlocked),
                IssueOutcome::Conflict => {}
            }
        }
        Err(SerialError::Contended)
    }

    /// The account-key was valid when the service started. No device accepts a serial signed with a
    /// key that no longer is.
    fn check_account_key(&self) -> Result<(), SerialError> {
        let key = self.account_keys.get(self.model.signer.public_key().id());
        match key.is_some_and(|key| key.is_valid_at(Timestamp::now())) {
            true => Ok(()),
            false => Err(SerialError::AccountKeyExpired),
        }
    }

    /// What the store is asked for: about the device, and the serial that it gets if it has none.
    fn query(&self) -> AssignmentQuery {
        let wanted = match (&self.model.serial_rule, &self.device.hardware_id) {
            (SerialRule::HardwareId, Some(hardware_id)) => Some(hardware_id.as_str()),
            _ => self.request.serial(),
        };
        AssignmentQuery {
            brand: self.model.brand.clone(),
            model: self.model.name.clone(),
            device: self.device.name.clone(),
            wanted: wanted.map(str::to_owned),
            device_key: self.request.device_key().id().to_owned(),
            sign_key: self.model.signer.public_key().id().to_owned(),
        }
    }

    /// The serial for the device, and whether the device has it.
    fn choose(&self, found: &Assignment) -> Result<(SerialNumber, bool), SerialError> {
        let KnownModel { brand, name, .. } = self.model;
        let number = |serial| SerialNumber {
            brand: brand.clone(),
            model: name.clone(),
            serial,
        };
        // It keeps that, whatever it proposes and whatever the rule is now.
        if let Some(serial) = &found.serial {
            return Ok((number(serial.clone()), true));
        }
        let proposed = proposed(self.request)?;
        let serial = match (&self.model.serial_rule, &self.device.hardware_id) {
            (SerialRule::HardwareId, Some(hardware_id)) => hardware_id,
            _ => proposed.ok_or(SerialError::Missing)?,
        };
        self.check_rule(serial, proposed)?;
        match &found.holder {
            Some(holder) if *holder != self.device.name => Err(SerialError::Taken {
                serial: shortened(serial),
            }),
            _ => Ok((number(serial.to_owned()), false)),
        }
    }

    /// Checks that a device without a serial may get this one.
    fn check_rule(&self, serial: &str, proposed: Option<&str>) -> Result<(), SerialError> {
        match &self.model.serial_rule {
            SerialRule::HardwareId => match proposed {
                Some(proposed) if proposed != serial => Err(SerialError::NotHardwareId {
                    serial: shortened(proposed),
                    hardware_id: shortened(serial),
                }),
                _ if serial.len() > MAX_LENGTH || !is_serial(serial) => {
                    Err(SerialError::HardwareIdNotSerial {
                        hardware_id: shortened(serial),
                    })
                }
                _ => Ok(()),
            },
            SerialRule::Proposed { pattern } => match pattern {
                Some(pattern) if !pattern.matches(serial) => Err(SerialError::Pattern {
                    serial: shortened(serial),
                    pattern: pattern.to_string(),
                }),
                _ => Ok(()),
            },
        }
    }

    fn repeat(&self, assertion: String, entry: &mut LogEntry) -> Result<Registration, SerialError> {
        entry.outcome = "repeated".to_owned();
        self.wait.retry(|| {
            self.metrics.time(Phase::Store, || {
                self.store.log_registration(entry.clone(), self.log_limit)
            })
        })?;
        Ok(Registration {
            assertion,
            new: false,
        })
    }

    fn sign(&self, number: &SerialNumber, revision: u64) -> Result<String, SerialError> {
        let (key, signer) = (self.request.device_key(), self.model.signer.as_ref());
        self.wait.retry(|| {
            let statement = serial_statement(self.model, &number.serial, revision, key)?;
            let signed = self
                .metrics
                .time(Phase::Sign, || statement.sign(signer, &SignOptions::now()));
            signed
                .map(|serial| serial.to_string())
                .map_err(|error| match error {
                    SignError::Signer(_) if signer.is_lost_for_good() => {
                        SerialError::KeyUnavailable { may_return: false }
                    }
                    error => error.into(),
                })
        })
    }
}

/// A serial assertion of a model, to be signed.
pub(crate) fn serial_statement(
    model: &KnownModel,
    serial: &str,
    revision: u64,
    device_key: &PublicKey,
) -> Result<Statement, InvalidHeaderName> {
    let now = Timestamp::now();
    let seconds = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let mut headers = Headers::new();
    for (name, value) in [
        ("type", "serial".to_owned()),
        ("authority-id", model.authority.clone()),
        ("revision", revision.to_string()),
        ("brand-id", model.brand.clone()),
        ("model", model.name.clone()),
        ("serial", serial.to_owned()),
        ("device-key", device_key.encode()),
        ("device-key-sha3-384", device_key.id().to_owned()),
        ("timestamp", seconds.to_string()),
    ] {
        headers.set(name, value)?;
    }
    Ok(Statement {
        headers,
        body: String::new(),
    })
}

fn log_issued(entry: &LogEntry, revision: u64) {
    tracing::info!(
        address = entry.address,
        brand = entry.brand,
        model = entry.model,
        serial = entry.serial,
        revision,
        device = entry.device,
        "issued a serial"
    );
}
