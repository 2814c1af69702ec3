//! Why a key does not sign serials.

use failure::{Diagnostic, Status};
use thiserror::Error;

use super::protocol::Failure;

/// The codes of failures after which nothing tries again: a token locks itself after a few wrong
/// PINs.
const FINAL: [&str; 2] = ["pkcs11-pin-wrong", "pkcs11-pin-locked"];

/// Why a key outside this process cannot be opened, or did not sign.
#[derive(Clone, Debug, Error, Diagnostic)]
pub enum SerialKeyError {
    /// The key cannot be opened, or refused to sign.
    #[error("cannot use the serial key {key}: {cause} [{cause_code}]")]
    #[diagnostic(code("serial-key-failed"), help("{advice}"))]
    Failed {
        /// The key.
        key: String,
        /// Why.
        cause: String,
        /// The code of the cause.
        cause_code: String,
        /// What to do about it.
        advice: String,
    },
    /// The key took too long.
    #[error("the serial key {key} did not answer within {seconds} s")]
    #[diagnostic(
        code("serial-key-timeout"),
        help(
            "Check the HSM or the key manager, or raise `signature-seconds` in the settings of the model service"
        )
    )]
    TimedOut {
        /// The key.
        key: String,
        /// The time limit.
        seconds: u64,
    },
    /// The process that signs ended, as when a PKCS#11 module crashes.
    #[error("the process that signs with the serial key {key} ended")]
    #[diagnostic(
        code("serial-key-process-ended"),
        help("Check the PKCS#11 module or the key manager; the log may have its last message")
    )]
    Ended {
        /// The key.
        key: String,
    },
    /// The process that signs cannot be started.
    #[error("cannot start the process that signs with the serial key {key}: {reason}")]
    #[diagnostic(
        code("serial-key-process-not-started"),
        help("Check the limits of this user, and try again")
    )]
    NotStarted {
        /// The key.
        key: String,
        /// What the system said.
        reason: String,
    },
    /// What was opened again is not the key of before.
    #[error("the serial key {key} is not the one that was opened before")]
    #[diagnostic(
        code("serial-key-changed"),
        help("Put the former key back, or send SIGHUP to the model service to use the new one")
    )]
    Changed {
        /// The key.
        key: String,
    },
    /// The signature does not belong to the public key.
    #[error("the serial key {key} makes wrong signatures")]
    #[diagnostic(
        code("serial-key-wrong-signature"),
        help("Check that the private and the public key in the HSM or the key manager belong together")
    )]
    WrongSignature {
        /// The key.
        key: String,
    },
    /// The check ended early.
    #[error("the check of the serial keys ended early")]
    #[diagnostic(
        code("serial-keys-not-checked"),
        help("Look for the reason in the log of the model service, and report it")
    )]
    NotChecked,
}

impl SerialKeyError {
    pub(super) fn failed(key: String, failure: Failure) -> Self {
        let Failure { code, cause, advice } = failure;
        Self::Failed {
            key,
            cause,
            cause_code: code,
            advice,
        }
    }

    /// Returns true if another attempt could do harm.
    pub(super) fn is_final(&self) -> bool {
        matches!(self, Self::Failed { cause_code, .. } if FINAL.contains(&cause_code.as_str()))
    }

    /// The exit status of a command that ends with this error. The unit for systemd does not start
    /// the service again after [`Status::BadInput`].
    pub(crate) fn status(&self) -> Status {
        match self.is_final() {
            true => Status::BadInput,
            false => Status::Device,
        }
    }
}
