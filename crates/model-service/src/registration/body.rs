//! The body of a serial-request: what `registration.body` held on the device.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};
use snap_assertions::Hash;

use crate::refusal::{Code, Refusal};

/// The digest's field: as the model service and the documentation call it, then as snapd 2.74 to 2.77 do.
const DIGEST: [&str; 2] = ["hardware-id-key-sha3-384", "hardware-id-key-sha384"];
const SIGNATURE: &str = "request-id-signature";
const HASH: &str = "signature-hash-algorithm";

/// How a device proves which hardware it is.
#[derive(Debug)]
pub(super) struct Proof {
    /// The digest under which the hardware identity was imported.
    pub(super) digest: String,
    /// The signature over the nonce.
    pub(super) signature: Vec<u8>,
    pub(super) hash: Hash,
}

impl Proof {
    pub(super) fn read(body: &str) -> Result<Self, Refusal> {
        if body.is_empty() {
            return Err(wrong("is missing"));
        }
        let fields: Map<String, Value> =
            serde_json::from_str(body).map_err(|error| wrong(&format!("is not a JSON object: {error}")))?;
        let digests: Vec<&str> = DIGEST
            .iter()
            .filter_map(|name| text(&fields, name).transpose())
            .collect::<Result<_, _>>()?;
        let digest = match digests.as_slice() {
            [] => return Err(wrong(&format!("has no {:?}", DIGEST[0]))),
            [one] => one,
            [one, other, ..] if one == other => one,
            _ => {
                return Err(wrong(&format!(
                    "has two different digests in {:?} and {:?}",
                    DIGEST[0], DIGEST[1]
                )));
            }
        };
        let signature = text(&fields, SIGNATURE)?.ok_or_else(|| wrong(&format!("has no {SIGNATURE:?}")))?;
        let signature = BASE64_STANDARD.decode(signature).map_err(|_| {
            wrong(&format!(
                "has a {SIGNATURE:?} that is not padded base64 on one line"
            ))
        })?;
        Ok(Self {
            digest: (*digest).to_owned(),
            signature,
            hash: hash(text(&fields, HASH)?)?,
        })
    }
}

fn text<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, Refusal> {
    match fields.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong(&format!("has a {name:?} that is not a string"))),
    }
}

/// The values are not documented; they are taken as this project writes them and as libraries call them
/// (`SHA-256`), and none stands for SHA-256, the hash of the documentation's example.
fn hash(name: Option<&str>) -> Result<Hash, Refusal> {
    let Some(name) = name else {
        return Ok(Hash::Sha256);
    };
    let plain = name.to_ascii_lowercase().replace('-', "");
    plain.parse().map_err(|_| {
        Refusal::new(
            Code::HashAlgorithm,
            format!("the {HASH} {name:?} is not known. Use sha256 or sha384"),
        )
    })
}

fn wrong(problem: &str) -> Refusal {
    Refusal::new(
        Code::Body,
        format!(
            "the body of the serial-request {problem}. The gadget's hook prepare-serial-request must set registration.body to an \
             object with {:?} and {SIGNATURE:?}",
            DIGEST[0]
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_name_of_the_digest_will_do_and_both_must_agree() {
        let digest = |body: &str| {
            Proof::read(body)
                .map(|proof| proof.digest)
                .map_err(|error| error.code)
        };
        let signed = |fields: &str| format!(r#"{{{fields},"request-id-signature":"eA==","more":1}}"#);
        assert_eq!(
            digest(&signed(r#""hardware-id-key-sha3-384":"a""#)),
            Ok("a".into())
        );
        assert_eq!(digest(&signed(r#""hardware-id-key-sha384":"a""#)), Ok("a".into()));
        let both = r#""hardware-id-key-sha384":"a","hardware-id-key-sha3-384":"#;
        assert_eq!(digest(&signed(&format!(r#"{both}"a""#))), Ok("a".into()));
        assert_eq!(digest(&signed(&format!(r#"{both}"b""#))), Err(Code::Body));
    }

    #[test]
    fn hashes_by_name() {
        for (name, expected) in [
            (None, Ok(Hash::Sha256)),
            (Some("sha256"), Ok(Hash::Sha256)),
            (Some("SHA-384"), Ok(Hash::Sha384)),
            (Some("sha1"), Err(Code::HashAlgorithm)),
            (Some(""), Err(Code::HashAlgorithm)),
        ] {
            assert_eq!(hash(name).map_err(|error| error.code), expected, "{name:?}");
        }
    }

    #[test]
    fn what_is_no_such_object_is_refused() {
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
            assert_eq!(Proof::read(body).unwrap_err().code, Code::Body, "{body}");
        }
    }
}
