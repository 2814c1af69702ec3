//! The public half of a hardware identity key, and what device and issuer must agree on about it.
//!
//! The device library and the assertion format share this crate. It has no cryptography beyond
//! digests, and no I/O.
//!
//! | item | meaning |
//! |---|---|
//! | [`KeyKind`] | the kinds of identity keys, and the [`Hash`](enum@Hash) that each signs |
//! | [`IdentityPublicKey`] | SubjectPublicKeyInfo, read and made |
//! | [`DigestForm`] | the two forms of the header `hardware-id-key-sha3-384` |
//! | [`is_account_id`], [`is_hardware_name`] | snapd's rules for the headers that both sides write |
//! | [`is_hardware_id`], [`is_serial`], [`is_manufacturer`] | rules for the headers that people read |
#![forbid(unsafe_code)]

mod digest_form;
mod kind;
mod public_key;
mod rules;

pub use digest_form::DigestForm;
pub use kind::{Hash, KeyKind, UnknownHash, UnknownKind};
pub use public_key::{IdentityKeyError, IdentityPublicKey, Unique};
pub use rules::{
    ACCOUNT_ID_PATTERN, HARDWARE_NAME_PATTERN, is_account_id, is_hardware_id, is_hardware_name,
    is_joined_by_single_dashes, is_manufacturer, is_serial, is_unreadable,
};
