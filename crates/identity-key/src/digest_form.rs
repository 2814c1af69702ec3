//! The two forms of an identity key's digest.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the digest in the header `hardware-id-key-sha3-384` is computed over. Both are in use; an
/// assertion and its device must use the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DigestForm {
    /// Over the text of the header `hardware-id-key` as it is, line breaks included: the only form
    /// that snapd accepts.
    #[default]
    Text,
    /// Over the DER bytes that the text encodes, as in the example of the Ubuntu Core documentation.
    Der,
}

impl fmt::Display for DigestForm {
    /// The value of the setting `digest-form`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            DigestForm::Text => "text",
            DigestForm::Der => "der",
        })
    }
}
