//! The messages between a program and its process for a module: a JSON object on each line.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::KeyAddress;

/// The first line: which token.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Opening {
    pub(super) module: PathBuf,
    pub(super) token: Option<String>,
    pub(super) pin_file: Option<PathBuf>,
    /// The process id of the program that starts the process.
    pub(super) parent: u32,
    /// The longest time for one task, in seconds.
    pub(super) seconds: u64,
}

/// What to do with the key.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Task {
    /// Check that no key has the label.
    CheckLabel(String),
    /// Find the key.
    Find(KeyAddress),
    /// Find the key, or make one of the kind with this name.
    Make { key: KeyAddress, kind: String },
    /// Sign a digest, in base64, with the key that was found.
    Sign { digest: String },
}

/// The answer to a task.
#[derive(Debug, Deserialize, Serialize)]
pub(super) enum Answer {
    Found(FoundKey),
    NotFound {
        token: String,
    },
    /// The signature in base64: DER for ECDSA, PKCS#1 v1.5 for RSA.
    Signed(String),
    Failed {
        code: String,
        cause: String,
        advice: String,
    },
}

/// A key in a token.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct FoundKey {
    pub(crate) token_label: String,
    pub(crate) token_serial: String,
    /// SubjectPublicKeyInfo in DER, in base64.
    pub(crate) public_key: String,
}
