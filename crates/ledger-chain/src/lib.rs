//! The ledgers of the issuer's station and of the model service: append-only files of JSON lines.
//!
//! Each line has the SHA-256 of the line before it, so that a line that is changed, removed or moved
//! shows. Both ledgers have this chain; [`SignedLine`] is a line of the station's.
#![forbid(unsafe_code)]

mod chain;
mod fingerprint;
mod reader;
mod signed_line;

pub use chain::{Head, Link, sha256};
pub use fingerprint::Fingerprint;
pub use reader::{ChainError, ChainReader, MAX_LINE};
pub use signed_line::{Activation, Proof, SignedLine, Unproven};
