//! Errors of the key in a token: cause and advice.

use std::io;
use std::path::PathBuf;

use cryptoki::error::Error;
use failure::Diagnostic;
use files::FileError;
use identity_key::{IdentityKeyError, KeyKind};
use pkcs11_token::{PinFileError, TokenError};
use thiserror::Error;

use super::{AgentFailure, ModuleUnset};

impl Pkcs11Error {
    /// Returns true if the token may have a new key nevertheless.
    pub(crate) fn leaves_key(&self) -> bool {
        const REMOVED: &str = "pkcs11-token-removed";
        match self {
            Pkcs11Error::Agent(failure) => failure.code == REMOVED,
            Pkcs11Error::Crashed { .. } | Pkcs11Error::TimedOut { .. } => true,
            _ => false,
        }
    }
}

/// Why the key in the token cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub enum Pkcs11Error {
    /// No module is named.
    #[error(transparent)]
    #[diagnostic(transparent)]
    ModuleUnset(#[from] ModuleUnset),
    /// The library does not exist.
    #[error("the PKCS#11 module {} does not exist", .0.display())]
    #[diagnostic(
        code("pkcs11-module-missing"),
        help("Correct `pkcs11.module`, or stage the library in the gadget snap")
    )]
    ModuleMissing(PathBuf),
    /// The library cannot be read.
    #[error("PKCS#11 module: {0}")]
    #[diagnostic(
        code("pkcs11-module-unreadable"),
        help("Check `pkcs11.module` and the permissions of the library")
    )]
    ModuleUnreadable(FileError),
    /// The library is for another kind of machine.
    #[error("the PKCS#11 module {} is for another architecture than this program", .0.display())]
    #[diagnostic(
        code("pkcs11-module-architecture"),
        help("Stage the library for the architecture of the gadget snap")
    )]
    OtherArchitecture(PathBuf),
    /// The module, the token or the login.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Token(#[from] TokenError),
    /// The PIN file.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Pin(#[from] PinFileError),
    /// The token wants a PIN and there is no file with it.
    #[error("the token {0:?} wants a PIN, but `pkcs11.pin-file` is not set")]
    #[diagnostic(
        code("pkcs11-pin-unset"),
        help("Set `pkcs11.pin-file` to a file with the PIN alone, which only root can read")
    )]
    PinUnset(String),
    /// The token was taken away while it was used (CKR_DEVICE_REMOVED, CKR_TOKEN_NOT_PRESENT).
    #[error("the token {0:?} was removed while it was used")]
    #[diagnostic(
        code("pkcs11-token-removed"),
        help("Check the connection of the secure element or the HSM")
    )]
    Removed(String),
    /// The token has no room for a key (CKR_DEVICE_MEMORY).
    #[error("the token {0:?} has no room for another key")]
    #[diagnostic(
        code("pkcs11-token-full"),
        help("Delete objects that are not needed with the vendor's tool")
    )]
    Full(String),
    /// The token takes no new keys (CKR_TOKEN_WRITE_PROTECTED).
    #[error("the token {0:?} is write-protected")]
    #[diagnostic(
        code("pkcs11-token-write-protected"),
        help("Allow writing with the vendor's tool")
    )]
    WriteProtected(String),
    /// The token cannot make keys of this kind.
    #[error("the token {label:?} does not make keys of the kind {algorithm}: {reason}")]
    #[diagnostic(
        code("pkcs11-algorithm-unsupported"),
        help("Set `algorithm` to another kind (`pkcs11-tool --list-mechanisms` lists what a token can)")
    )]
    Unsupported {
        /// The label of the token.
        label: String,
        /// The kind of the key.
        algorithm: KeyKind,
        /// The error of the module.
        reason: Error,
    },
    /// The token did not make the key for another reason.
    #[error("the token {label:?} did not make the key: {reason}")]
    #[diagnostic(
        code("pkcs11-key-not-made"),
        help("Check the state of the token with the vendor's tool")
    )]
    NotMade {
        /// The label of the token.
        label: String,
        /// The error of the module.
        reason: Error,
    },
    /// The token made a key that can leave it. It was deleted.
    #[error("the token {0:?} makes keys that can leave it, although they must not")]
    #[diagnostic(
        code("pkcs11-key-not-protected"),
        help("Use another token, or `key-backend` software, which promises no more")
    )]
    NotProtected(String),
    /// The kernel gives no random numbers for the id of the key.
    #[error("the system returned no random numbers")]
    #[diagnostic(
        code("no-random-numbers"),
        help("Check the random number generator of the kernel")
    )]
    NoRandom,
    /// Another key has the label, and no record says that it is the identity.
    #[error("the token {token:?} has a key with the label {label:?} that no record of this device names")]
    #[diagnostic(
        code("pkcs11-label-in-use"),
        help(
            "Restore the record of this device. To make a new identity, set `pkcs11.key-label` to another label, or \
             delete the key with the vendor's tool"
        )
    )]
    LabelInUse {
        /// The label of the token.
        token: String,
        /// The label of the key.
        label: String,
    },
    /// Several keys have the id of the identity.
    #[error("the token {0:?} has several keys with the label and the id of the identity key")]
    #[diagnostic(
        code("pkcs11-key-duplicate"),
        help("Delete those that are not recorded with the vendor's tool")
    )]
    Duplicate(String),
    /// The token does not show the public half of the key.
    #[error("the token {0:?} does not show the public half of the identity key")]
    #[diagnostic(
        code("pkcs11-public-half-missing"),
        help("Check the objects of the token with `pkcs11-tool --list-objects`")
    )]
    NoPublicKey(String),
    /// The public half is not that of a device.
    #[error("the key in the token {label:?} {reason}")]
    #[diagnostic(
        code("pkcs11-public-half-invalid"),
        help("Check the objects of the token with `pkcs11-tool --list-objects`")
    )]
    PublicKey {
        /// The label of the token.
        label: String,
        /// What is wrong.
        reason: IdentityKeyError,
    },
    /// The recorded key is not in the token.
    #[error("the identity key is gone: the token {token:?} has no key with the recorded id {id}")]
    #[diagnostic(
        code("pkcs11-identity-missing"),
        help(
            "Connect the token with the serial number {serial}. To start over with this one, delete {}, run \
             prepare-device, and have the issuer import the new hardware identity",
            record.display()
        )
    )]
    Missing {
        /// The label of the token.
        token: String,
        /// The id of the key, in hexadecimal digits.
        id: String,
        /// The serial number of the recorded token.
        serial: String,
        /// The record.
        record: PathBuf,
    },
    /// The token has another key with the recorded id.
    #[error("the key with the recorded id {id} in the token {token:?} is not the identity key")]
    #[diagnostic(
        code("pkcs11-identity-replaced"),
        help(
            "Connect the token with the serial number {serial}. To start over with this one, delete {}, run \
             prepare-device, and have the issuer import the new hardware identity",
            record.display()
        )
    )]
    Replaced {
        /// The label of the token.
        token: String,
        /// The id of the key, in hexadecimal digits.
        id: String,
        /// The serial number of the recorded token.
        serial: String,
        /// The record.
        record: PathBuf,
    },
    /// The token did not sign.
    #[error("the token {label:?} did not sign: {reason}")]
    #[diagnostic(
        code("pkcs11-identity-not-signed"),
        help("Check the connection and the state of the token with the vendor's tool")
    )]
    NotSigned {
        /// The label of the token.
        label: String,
        /// The error of the module.
        reason: Error,
    },
    /// The token gave something else than a signature.
    #[error("the signature of the token {0:?} is malformed")]
    #[diagnostic(
        code("pkcs11-signature-malformed"),
        help("Check with `hardware-identity show --check`; a token that does this again is faulty")
    )]
    Malformed(String),
    /// What the process for the module reports.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Agent(#[from] AgentFailure),
    /// The module ended its process.
    #[error("the PKCS#11 module {} crashed: its process ended with {status}", module.display())]
    #[diagnostic(
        code("pkcs11-module-crashed"),
        help(
            "Ask the vendor for a corrected library; `pkcs11-tool --module` shows if other programs can use it"
        )
    )]
    Crashed {
        /// The library.
        module: PathBuf,
        /// How the process ended.
        status: String,
    },
    /// The module did not answer in time.
    #[error("the PKCS#11 module {} did not answer for {seconds} s", module.display())]
    #[diagnostic(
        code("pkcs11-module-timeout"),
        help("Check the connection of the token; if it is only slow, raise `pkcs11.timeout`")
    )]
    TimedOut {
        /// The library.
        module: PathBuf,
        /// The limit.
        seconds: u64,
    },
    /// No process can be started.
    #[error("cannot start the process for the PKCS#11 module: {0}")]
    #[diagnostic(
        code("pkcs11-process-not-started"),
        help("Check the memory and the process limit of the device")
    )]
    NotStarted(io::Error),
}
