//! Snap assertions: decode, check, encode, sign and verify.
//!
//! An assertion is a signed document: headers, an optional body, and a signature. snapd and the
//! store use assertions for statements about accounts, keys, snaps, models and devices. This
//! library reads and writes them byte for byte as snapd does. It does no I/O except on readers and
//! writers, and stores no keys or assertions.
//!
//! | to | use |
//! |---|---|
//! | read a stream of assertions with bounded memory | [`Decoder`], [`decode`] |
//! | read headers and body, check the rules of a type | [`Assertion`], [`types`] |
//! | verify a signature | [`Assertion::verify`], [`types::AccountKey::verify`], [`PublicKey`] |
//! | sign | [`Statement`], [`SignOptions`], [`LocalSigner`] or another [`Signer`] |
//! | write a stream | [`Encoder`] |
//! | verify which device sends a request | [`DeviceSession`] |
//!
//! Signatures are OpenPGP packets (RFC 4880), RSA with SHA-512, also those that GnuPG makes. RSA
//! keys have 2048 to 8192 bits.
//!
//! The decoder checks the rules that all of snapd's types have in common. The views in [`types`]
//! check the rules of single types.
//!
//! # Differences to snapd
//!
//! The rules are those of snapd 2.77.1, with these exceptions. This library refuses:
//!
//! - **Signatures with other hashes than SHA-512, or of type 1 (text).** No signer of assertions
//!   makes them.
//! - **Packets of indefinite length, bytes after the fields of a packet, base64 with unused bits
//!   set.** The same signature could be written in many forms.
//! - **Signatures with an embedded signature.** It certifies subkeys, which assertions do not have.
//! - **Signatures that are not UTF-8.** They never verify.
//! - **Hardware keys of other kinds than [`KeyKind`],** such as Ed25519 and P-521. They cannot
//!   verify a nonce.
//! - **Header lines of PEM in `hardware-id-key`.** No tool writes them.
//! - **Models with the base `snapd`.** No device can boot them.
//! - **Regular expressions in constraints that nest deeply, or whose meaning depends on the release
//!   of Go with which snapd was built.** No known account-key has one. In expressions with certain
//!   alternatives that differ only in case, Go has a defect, which this library does not have.
//!
//! It accepts:
//!
//! - **The DER form of a key digest,** but only in
//!   [`check_any_form`](types::HardwareIdentity::check_any_form) and
//!   [`check_with_form`](types::HardwareIdentity::check_with_form). A brand's own model service can
//!   accept it.
//! - **Assertions of types without a view,** such as `store` and `confdb-schema`, after the common
//!   checks. Nothing in this project reads them.
//!
//! Times after [`jiff::Timestamp::MAX`], in the last days of 9999, count as that moment.
//!
//! Every error has a code and advice ([`miette::Diagnostic`]).
//!
//! ```
//! use snap_assertions::types::HardwareIdentity;
//! use snap_assertions::{Decoder, PublicKey};
//!
//! let issuer = PublicKey::decode(include_str!("../tests/vectors/issuer.public-key"))?;
//! let stream = include_bytes!("../tests/vectors/hardware-identity-p256.assert");
//! for assertion in Decoder::new(&stream[..]) {
//!     let assertion = assertion?;
//!     assertion.verify(&issuer)?;
//!     let identity = HardwareIdentity::try_from(&assertion)?;
//!     println!("{}", identity.hardware_id());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod assertion;
mod decode;
mod device_session;
mod digest;
mod encode;
mod fields;
mod go_regex;
mod hardware_key;
mod headers;
mod key;
mod local_signer;
mod openpgp;
mod parse;
mod registry;
mod sign;
mod statement;
pub mod types;

pub use assertion::{Assertion, MAX_BODY, MAX_HEADERS, MAX_SIGNATURE, Part, VerifyError};
pub use decode::{DecodeError, DecodeErrorKind, Decoder, decode};
pub use device_session::{DeviceSession, DeviceSessionError};
pub use encode::Encoder;
pub use fields::{HeaderError, HeaderProblem};
pub use headers::{Headers, InvalidHeaderName, Value};
pub use identity_key::{DigestForm, Hash, KeyKind};
pub use key::{KeyError, PublicKey, WrongSignature};
pub use local_signer::{LocalSigner, PrivateKeyError};
pub use openpgp::{PacketError, PendingSignature, SignaturePacket};
pub use parse::SyntaxError;
pub use registry::AssertionType;
pub use sign::{MIN_SIGNING_BITS, SignError, SignOptions, Signer, SignerError};
pub use statement::{InvalidStatement, Statement};
