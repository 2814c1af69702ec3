//! Registration errors: why a device gets no serial.

use std::fmt;

use failure::Diagnostic;
use snap_assertions::{HeaderError, VerifyError};
use thiserror::Error;

use super::body::BodyError;
use super::remodel::RemodelError;
use super::serial::SerialError;
use super::stream::StreamError;
use crate::account_keys::SignatureError;
use crate::store::StoreError;

/// Why a device gets no serial.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum RegistrationError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Stream(#[from] StreamError),
    #[error("the serial-request is not valid: {0}")]
    #[diagnostic(code("serial-request"), help("Check the program that made the request"))]
    Request(HeaderError),
    #[error("the serial-request is not signed by its device key: {0}")]
    #[diagnostic(
        code("serial-request-signature"),
        help("Check the program that made the request")
    )]
    RequestSignature(VerifyError),
    #[error("the model {brand}/{model} is not known to this model service")]
    #[diagnostic(
        code("model-unknown"),
        help("Add the model to the settings of the model service, or correct device-service.url")
    )]
    ModelUnknown { brand: String, model: String },
    #[error("the model assertion is not valid: {0}")]
    #[diagnostic(
        code("model"),
        help("Sign the model assertion again, and build the image with it")
    )]
    Model(HeaderError),
    #[error("the model assertion is for {found}, but the serial-request for {requested}")]
    #[diagnostic(
        code("model"),
        help("Sign the model assertion again, and build the image with it")
    )]
    OtherModel { found: String, requested: String },
    #[error("the signature of the model assertion is not accepted: {0}")]
    #[diagnostic(
        code("model-signature"),
        help(
            "Sign the model with a key whose account-key is in `account-keys`, or add the account-key there"
        )
    )]
    ModelSignature(SignatureError),
    #[error("serial-authority of the model {model} does not list {account}, which signs serials here")]
    #[diagnostic(
        code("serial-authority"),
        help("Add the account to serial-authority in the model assertion, and build the image with it")
    )]
    SerialAuthority { model: String, account: String },
    #[error("the header api-key is missing")]
    #[diagnostic(
        code("api-key"),
        help("Set device-service.headers in the gadget to an object with the api-key of the model")
    )]
    ApiKeyMissing,
    #[error("the header api-key is not the one of this model")]
    #[diagnostic(
        code("api-key"),
        help("Set device-service.headers in the gadget to an object with the api-key of the model")
    )]
    ApiKeyWrong,
    #[error(transparent)]
    #[diagnostic(transparent)]
    Remodel(#[from] RemodelError),
    #[error("the request-id was not issued by this model service, or too long ago")]
    #[diagnostic(
        code("nonce-unknown"),
        help("Ask for a new one, as snapd does at its next attempt")
    )]
    NonceUnknown,
    #[error("the request-id has expired")]
    #[diagnostic(
        code("nonce-expired"),
        help("Ask for a new one, as snapd does at its next attempt")
    )]
    NonceExpired,
    #[error("the request-id was used before")]
    #[diagnostic(
        code("nonce-used"),
        help("Ask for a new one, as snapd does at its next attempt")
    )]
    NonceUsed,
    #[error(transparent)]
    #[diagnostic(transparent)]
    Body(#[from] BodyError),
    #[error("the hardware identity with the key digest {digest:?} was not imported")]
    #[diagnostic(
        code("identity-unknown"),
        help(
            "Import the device's hardware identity, by an issuer of the model and with the digest that it sends"
        )
    )]
    IdentityUnknown { digest: String },
    #[error(
        "the hardware identity with the key digest {digest:?} is by {issuer}, not an issuer of the model"
    )]
    #[diagnostic(
        code("identity-unknown"),
        help(
            "Import the device's hardware identity, by an issuer of the model and with the digest that it sends"
        )
    )]
    OtherIssuer { digest: String, issuer: String },
    #[error(
        "the request-id-signature was not made by the hardware identity {hardware_id} over the request-id"
    )]
    #[diagnostic(
        code("nonce-signature"),
        help("Check that this is the exported device, and that it names the hash it signs with")
    )]
    NonceSignature { hardware_id: String },
    #[error("the hardware identity has the hardware-name {found}, and the model is for {allowed}")]
    #[diagnostic(
        code("hardware-name-not-allowed"),
        help(
            "Install the image for this hardware, or add the hardware-name to `hardware-names` of the model in the settings of the model service"
        )
    )]
    HardwareName { found: String, allowed: String },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Serial(#[from] SerialError),
    #[error("the hardware identity of the device is damaged in the database of the model service")]
    #[diagnostic(
        code("identity-damaged"),
        help("Restore the database of the model service; its log has the reason")
    )]
    IdentityDamaged(String),
    #[error("the model service cannot use its database")]
    #[diagnostic(
        code("unavailable"),
        help("Try again later; the log of the model service has the reason")
    )]
    Store(StoreError),
}

impl From<StoreError> for RegistrationError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Ledger(error) => SerialError::Ledger(error).into(),
            other => Self::Store(other),
        }
    }
}

impl RegistrationError {
    /// The reason that the operator needs and the device does not get.
    pub(crate) fn detail(&self) -> Option<&dyn fmt::Display> {
        match self {
            Self::IdentityDamaged(reason) => Some(reason),
            Self::Store(reason) => Some(reason),
            Self::Serial(error) => error.detail(),
            _ => None,
        }
    }
}
