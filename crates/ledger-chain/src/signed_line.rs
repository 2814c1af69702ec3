//! A line of the station's ledger, which records an assertion.

use serde::{Deserialize, Deserializer};

/// The members that readers need.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SignedLine {
    /// The number of the line.
    pub sequence: u64,
    /// The header `hardware-id` of the assertion.
    pub hardware_id: String,
    /// Its header `hardware-id-key-sha3-384`.
    #[serde(rename = "hardware-id-key-sha3-384")]
    pub key_digest: String,
    /// Its revision.
    pub revision: u64,
    /// Absent if no proof was asked for.
    #[serde(default, deserialize_with = "present")]
    pub proof: Option<Proof>,
}

/// How the key of an assertion was proven to live in a TPM.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Proof {
    /// By TPM2_ActivateCredential.
    Activation(Activation),
    /// Signed without a proof.
    Unproven(Unproven),
}

/// A proof by TPM2_ActivateCredential.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Activation {
    /// SHA-256 of the endorsement key's SubjectPublicKeyInfo, in hexadecimal digits.
    pub ek_sha256: String,
    /// The Name of the identity key, in hexadecimal digits.
    pub key_name: String,
}

/// The member `proof` without a proof: the string `none`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unproven {
    /// There is none.
    None,
}

impl SignedLine {
    /// Reads a line.
    ///
    /// # Errors
    /// If a member is missing or wrong; a malformed proof must not count as none.
    pub fn read(line: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(line)
    }

    /// The proof, if the line has one.
    pub fn activation(&self) -> Option<&Activation> {
        match &self.proof {
            Some(Proof::Activation(activation)) => Some(activation),
            _ => None,
        }
    }
}

/// Reads a member that has to have a value if it is there: null is none.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Proof>, D::Error> {
    Proof::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(proof: &str) -> serde_json::Result<SignedLine> {
        SignedLine::read(
            format!(
                "{{\"sequence\":1,\"hardware-id\":\"a\",\"hardware-id-key-sha3-384\":\"b\",\"revision\":0{proof}}}"
            )
            .as_bytes(),
        )
    }

    #[test]
    fn a_malformed_proof_is_an_error() {
        let proven = line(",\"proof\":{\"ek-sha256\":\"c\",\"key-name\":\"d\",\"batch\":\"e\"}").unwrap();
        assert_eq!(proven.activation().unwrap().key_name, "d");
        for none in ["", ",\"proof\":\"none\""] {
            assert!(line(none).unwrap().activation().is_none());
        }
        for malformed in ["null", "\"None\"", "{\"ek-sha256\":\"c\"}", "true", "[]"] {
            line(&format!(",\"proof\":{malformed}")).unwrap_err();
        }
    }
}
