//! The body of a serial-request: the value of `registration.body` on the device.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use failure::Diagnostic;
use serde_json::{Map, Value};
use snap_assertions::Hash;
use thiserror::Error;

use crate::message::shortened;

/// The field of the digest in the documentation of the model service.
const DIGEST: &str = "hardware-id-key-sha3-384";
/// The field of the digest in snapd 2.74 to 2.77.
const DIGEST_OF_SNAPD: &str = "hardware-id-key-sha384";
const SIGNATURE: &str = "request-id-signature";
const HASH: &str = "signature-hash-algorithm";

/// Why the body of a serial-request cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum BodyError {
    #[error("the serial-request has no body")]
    #[diagnostic(
        code("body"),
        help(
            "Set registration.body in the hook prepare-serial-request to an object with {DIGEST} and {SIGNATURE}"
        )
    )]
    Missing,
    #[error("the body of the serial-request is not a JSON object: {0}")]
    #[diagnostic(
        code("body"),
        help(
            "Set registration.body in the hook prepare-serial-request to an object with {DIGEST} and {SIGNATURE}"
        )
    )]
    NotJson(serde_json::Error),
    #[error("the body of the serial-request has no {name}")]
    #[diagnostic(
        code("body"),
        help(
            "Set registration.body in the hook prepare-serial-request to an object with {DIGEST} and {SIGNATURE}"
        )
    )]
    NoField { name: &'static str },
    #[error("{name} in the body of the serial-request is not a string")]
    #[diagnostic(
        code("body"),
        help(
            "Set registration.body in the hook prepare-serial-request to an object with {DIGEST} and {SIGNATURE}"
        )
    )]
    NotString { name: &'static str },
    #[error("{DIGEST} and {DIGEST_OF_SNAPD} in the body of the serial-request differ")]
    #[diagnostic(
        code("body"),
        help(
            "Set registration.body in the hook prepare-serial-request to an object with {DIGEST} and {SIGNATURE}"
        )
    )]
    TwoDigests,
    #[error("{SIGNATURE} in the body of the serial-request is not padded base64 on one line")]
    #[diagnostic(
        code("body"),
        help(
            "Set registration.body in the hook prepare-serial-request to an object with {DIGEST} and {SIGNATURE}"
        )
    )]
    NotBase64,
    #[error("{HASH} {name:?} in the body of the serial-request is not supported")]
    #[diagnostic(code("hash-algorithm"), help("Use sha256 or sha384"))]
    HashAlgorithm { name: String },
}

/// The proof in a body: a signature over the nonce with the key of a hardware identity.
#[derive(Debug)]
pub(super) struct IdentityProof {
    /// The digest under which the hardware identity was imported.
    pub(super) digest: String,
    /// The signature over the nonce.
    pub(super) signature: Vec<u8>,
    pub(super) hash: Hash,
}

impl IdentityProof {
    pub(super) fn read(body: &str) -> Result<Self, BodyError> {
        if body.is_empty() {
            return Err(BodyError::Missing);
        }
        let fields: Map<String, Value> = serde_json::from_str(body).map_err(BodyError::NotJson)?;
        let digest = match (string(&fields, DIGEST)?, string(&fields, DIGEST_OF_SNAPD)?) {
            (None, None) => return Err(BodyError::NoField { name: DIGEST }),
            (Some(one), Some(other)) if one != other => return Err(BodyError::TwoDigests),
            (Some(digest), _) | (None, Some(digest)) => digest,
        };
        let signature = string(&fields, SIGNATURE)?.ok_or(BodyError::NoField { name: SIGNATURE })?;
        Ok(Self {
            digest: digest.to_owned(),
            signature: BASE64_STANDARD
                .decode(signature)
                .map_err(|_| BodyError::NotBase64)?,
            hash: hash(string(&fields, HASH)?)?,
        })
    }
}

fn string<'a>(fields: &'a Map<String, Value>, name: &'static str) -> Result<Option<&'a str>, BodyError> {
    match fields.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(BodyError::NotString { name }),
    }
}

/// The values are not documented. Accepted are those that this project writes and the names that
/// libraries use (`SHA-256`). The default is SHA-256, the hash of the example in the documentation.
fn hash(name: Option<&str>) -> Result<Hash, BodyError> {
    match name {
        None | Some("sha256" | "sha-256" | "SHA256" | "SHA-256") => Ok(Hash::Sha256),
        Some("sha384" | "sha-384" | "SHA384" | "SHA-384") => Ok(Hash::Sha384),
        Some(other) => Err(BodyError::HashAlgorithm {
            name: shortened(other),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_name_of_the_digest_is_accepted_and_both_must_agree() {
        let digest = |body: &str| {
            IdentityProof::read(body)
                .map(|proof| proof.digest)
                .map_err(|error| failure::code(&error))
        };
        let signed = |fields: &str| format!(r#"{{{fields},"request-id-signature":"eA==","more":1}}"#);
        assert_eq!(
            digest(&signed(r#""hardware-id-key-sha3-384":"a""#)),
            Ok("a".into())
        );
        assert_eq!(digest(&signed(r#""hardware-id-key-sha384":"a""#)), Ok("a".into()));
        let both = r#""hardware-id-key-sha384":"a","hardware-id-key-sha3-384":"#;
        assert_eq!(digest(&signed(&format!(r#"{both}"a""#))), Ok("a".into()));
        assert_eq!(digest(&signed(&format!(r#"{both}"b""#))), Err("body".into()));
    }

    #[test]
    fn hashes_by_name() {
        for (name, expected) in [
            (None, Ok(Hash::Sha256)),
            (Some("sha256"), Ok(Hash::Sha256)),
            (Some("sha-256"), Ok(Hash::Sha256)),
            (Some("SHA256"), Ok(Hash::Sha256)),
            (Some("SHA-256"), Ok(Hash::Sha256)),
            (Some("sha384"), Ok(Hash::Sha384)),
            (Some("sha-384"), Ok(Hash::Sha384)),
            (Some("SHA384"), Ok(Hash::Sha384)),
            (Some("SHA-384"), Ok(Hash::Sha384)),
        ] {
            assert_eq!(
                hash(name).map_err(|error| failure::code(&error)),
                expected,
                "{name:?}"
            );
        }
        for name in [
            "",
            "sha1",
            "--sha256",
            "s-h-a-2-5-6",
            "sha256-",
            "Sha256",
            " sha256",
            "sha3-384",
        ] {
            let error = hash(Some(name)).unwrap_err();
            assert_eq!(failure::code(&error), "hash-algorithm", "{name:?}");
        }
    }

    #[test]
    fn other_bodies_are_refused() {
        for body in [
            "",
            "text",
            "[]",
            "null",
            "{}",
            r#"{"request-id-signature":"eA=="}"#,
            r#"{"hardware-id-key-sha3-384":"a"}"#,
            r#"{"hardware-id-key-sha3-384":1,"request-id-signature":"eA=="}"#,
            r#"{"hardware-id-key-sha3-384":"a","request-id-signature":"e A="}"#,
            r#"{"hardware-id-key-sha3-384":"a","request-id-signature":["eA=="]}"#,
        ] {
            assert_eq!(
                failure::code(&IdentityProof::read(body).unwrap_err()),
                "body",
                "{body}"
            );
        }
    }
}
