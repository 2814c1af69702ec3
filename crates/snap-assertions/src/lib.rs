//! Snap assertions: decode, check, encode, sign and verify.
//!
//! An assertion is a signed text: headers, sometimes a body, and a signature. snapd and the store use them
//! for every statement about accounts, keys, snaps, models and devices. This library reads and writes them
//! byte for byte as snapd does. It knows no I/O beyond readers and writers, and keeps no keys or assertions
//! of its own.
//!
//! | to | use |
//! |---|---|
//! | read a stream of assertions with bounded memory | [`Decoder`], [`decode`] |
//! | look at headers and body, check what the type demands | [`Assertion`], [`types`] |
//! | verify a signature | [`Assertion::verify`], [`types::AccountKey::verify`], [`PublicKey`] |
//! | sign | [`Statement`], [`SignOptions`], [`LocalSigner`] or another [`Signer`] |
//! | write a stream | [`Encoder`] |
//!
//! Signatures are OpenPGP packets (RFC 4880) over RSA with SHA-512; those of GnuPG are taken too. Of the
//! OpenPGP forms that snapd's decoder happens to let through, this library refuses what no signer of
//! assertions makes: hashes other than SHA-512, packets of indefinite length, bytes after a packet's fields,
//! and base64 whose unused bits are set. RSA keys have from 2048 to 8192 bits.
//!
//! All types that snapd knows are decoded by the rules that all have in common; those with a view in
//! [`types`] are also checked by their own.
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
mod digest;
mod encode;
mod error;
mod fields;
mod headers;
mod key;
mod local_signer;
mod openpgp;
mod parse;
mod registry;
mod sign;
mod statement;
pub mod types;

pub use assertion::{Assertion, MAX_BODY, MAX_HEADERS, MAX_SIGNATURE};
pub use decode::{Decoder, decode};
pub use encode::Encoder;
pub use error::{
    DecodeError, DecodeErrorKind, DigestForm, HeaderError, HeaderProblem, Part, SignError, SyntaxError,
};
pub use headers::{Headers, Value};
pub use key::{KeyError, PublicKey, VerifyError};
pub use local_signer::{LocalSigner, PrivateKeyError};
pub use openpgp::{PacketError, PendingSignature, SignaturePacket};
pub use registry::AssertionType;
pub use sign::{MIN_SIGNING_BITS, SignOptions, Signer, SignerError};
pub use statement::Statement;
