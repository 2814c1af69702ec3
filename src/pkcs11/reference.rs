//! What a record holds to find a key in a token again.

/// The place of a key in its token.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "pkcs11", derive(serde::Deserialize, serde::Serialize))]
pub struct KeyAddress {
    /// The label (CKA_LABEL).
    pub label: String,
    /// The id (CKA_ID), in hexadecimal digits.
    pub id: String,
}

/// A key in a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenKeyReference {
    /// The label of the token that made the key.
    pub token_label: String,
    /// The serial number of that token.
    pub token_serial: String,
    /// The place of the key in it.
    pub key: KeyAddress,
}
