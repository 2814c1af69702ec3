//! Keys of an external key manager: a program with snapd's protocol for `$SNAPD_EXT_KEYMGR`.
//!
//! | call | stdin | stdout |
//! |---|---|---|
//! | `features` | | `{"signing": ["RSA-PKCS", "OPENPGP"], "public-keys": ["DER"]}` |
//! | `get-public-key -f DER -k NAME` | | SubjectPublicKeyInfo in DER |
//! | `sign -m RSA-PKCS -k NAME` | the DigestInfo of the SHA-512 digest | the signature's bytes |
//! | `sign -m OPENPGP -k NAME` | the content | an OpenPGP signature packet |

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::time::Duration;

use miette::Diagnostic;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use snap_assertions::{
    KeyError, PacketError, PendingSignature, PublicKey, SignaturePacket, Signer, SignerError,
};
use thiserror::Error;

use crate::program::{SignerProgram, message};
use crate::{SigningKeyError, check_size};

/// Why the answer of a key manager cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub enum KeyManagerError {
    /// The answer to `features` is not the protocol's.
    #[error("the answer of `{program} features` is not that of a key manager ({reason}): {answer}")]
    #[diagnostic(
        code("key-manager-bad-features"),
        help("Check that {program} is a key manager for snapd (SNAPD_EXT_KEYMGR)")
    )]
    Features {
        /// The key manager.
        program: String,
        /// What is wrong with the answer.
        reason: serde_json::Error,
        /// The end of the answer.
        answer: String,
    },
    /// It has no mechanism for assertions.
    #[error("the key manager {program} has neither RSA-PKCS nor OPENPGP, only {mechanisms:?}")]
    #[diagnostic(
        code("key-manager-no-mechanism"),
        help("Use another key manager, or store the key elsewhere")
    )]
    NoMechanism {
        /// The key manager.
        program: String,
        /// The mechanisms it has.
        mechanisms: Vec<String>,
    },
    /// It has no public keys in DER.
    #[error("the key manager {program} has no public keys in DER, only in {formats:?}")]
    #[diagnostic(
        code("key-manager-no-der"),
        help("Use another key manager, or store the key elsewhere")
    )]
    NoDer {
        /// The key manager.
        program: String,
        /// The formats it has.
        formats: Vec<String>,
    },
    /// The public key cannot be used.
    #[error("the public key from {program} for {key:?} {reason}")]
    #[diagnostic(
        code("key-manager-bad-public-key"),
        help("Check the key manager and the name of the key: `{program} key-names`")
    )]
    PublicKey {
        /// The key manager.
        program: String,
        /// The name of the key.
        key: String,
        /// What is wrong with the public key.
        reason: KeyError,
    },
    /// The raw signature has the wrong size.
    #[error("the key manager {program} returned {found} bytes, a signature by this key has {expected}")]
    #[diagnostic(
        code("key-manager-bad-signature"),
        help("Check the key manager: `{program} sign -m RSA-PKCS` returns the raw RSA signature")
    )]
    Size {
        /// The key manager.
        program: String,
        /// The number of bytes it returned.
        found: usize,
        /// The size of a signature.
        expected: usize,
    },
    /// The packet cannot be used.
    #[error("the signature from the key manager {program} {reason}")]
    #[diagnostic(
        code("key-manager-bad-packet"),
        help("Check the key manager: `{program} sign -m OPENPGP` returns a binary OpenPGP signature packet")
    )]
    Packet {
        /// The key manager.
        program: String,
        /// What is wrong with the packet.
        reason: PacketError,
    },
}

pub(crate) struct KeyManager {
    program: SignerProgram,
    key_name: String,
    mechanism: Mechanism,
    public: PublicKey,
}

#[derive(Clone, Copy)]
enum Mechanism {
    RsaPkcs,
    OpenPgp,
}

/// The answer to `features`. As Go, in which snapd reads it, this ignores the case of names and
/// unknown names, takes `null` for no value, and the last of several values.
#[derive(Default)]
struct Features {
    signing: Vec<String>,
    public_keys: Vec<String>,
}

impl<'de> Deserialize<'de> for Features {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FeaturesVisitor)
    }
}

struct FeaturesVisitor;

impl<'de> Visitor<'de> for FeaturesVisitor {
    type Value = Features;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the features of a key manager")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Features, A::Error> {
        let mut features = Features::default();
        while let Some(name) = members.next_key::<String>()? {
            let list = match name.to_ascii_lowercase().as_str() {
                "signing" => &mut features.signing,
                "public-keys" => &mut features.public_keys,
                _ => {
                    members.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *list = members.next_value::<Option<Vec<String>>>()?.unwrap_or_default();
        }
        Ok(features)
    }
}

impl Features {
    /// snapd too prefers RSA-PKCS if a key manager has both.
    fn mechanism(&self) -> Option<Mechanism> {
        let has = |name: &str| self.signing.iter().any(|mechanism| mechanism == name);
        match (has("RSA-PKCS"), has("OPENPGP")) {
            (true, _) => Some(Mechanism::RsaPkcs),
            (false, true) => Some(Mechanism::OpenPgp),
            (false, false) => None,
        }
    }
}

impl KeyManager {
    pub(crate) fn open(
        command: OsString,
        key_name: String,
        time_limit: Duration,
    ) -> Result<Self, SigningKeyError> {
        let shown = command.to_string_lossy().into_owned();
        let advice = format!("Check the key manager, and that it knows the key: `{shown} key-names`");
        let program = SignerProgram {
            name: command,
            environment: Vec::new(),
            time_limit,
            advice,
        };
        let mechanism = mechanism(&program, &shown)?;
        let arguments = ["get-public-key", "-f", "DER", "-k", &key_name].map(OsStr::new);
        let der = program.run(&arguments, b"")?;
        let public = PublicKey::from_spki_der(&der).map_err(|reason| KeyManagerError::PublicKey {
            program: shown.clone(),
            key: key_name.clone(),
            reason,
        })?;
        check_size(&public, || format!("the key {key_name:?} of {shown}"))?;
        Ok(KeyManager {
            program,
            key_name,
            mechanism,
            public,
        })
    }

    fn run(&self, mechanism: &str, input: &[u8]) -> Result<Vec<u8>, SigningKeyError> {
        let arguments = ["sign", "-m", mechanism, "-k", &self.key_name].map(OsStr::new);
        Ok(self.program.run(&arguments, input)?)
    }

    fn sign_rsa_pkcs(&self, content: &[u8], time: u32) -> Result<SignaturePacket, SigningKeyError> {
        let pending = PendingSignature::new(content, time);
        let raw = self.run("RSA-PKCS", &pending.digest_info())?;
        let size = self.public.bits().div_ceil(8);
        if raw.len() != size {
            let error = KeyManagerError::Size {
                program: self.program.name.to_string_lossy().into_owned(),
                found: raw.len(),
                expected: size,
            };
            return Err(error.into());
        }
        Ok(pending.finish(&raw))
    }

    fn sign_openpgp(&self, content: &[u8]) -> Result<SignaturePacket, SigningKeyError> {
        let packet = self.run("OPENPGP", content)?;
        SignaturePacket::from_bytes(&packet).map_err(|reason| {
            let program = self.program.name.to_string_lossy().into_owned();
            KeyManagerError::Packet { program, reason }.into()
        })
    }
}

/// Asks for the features of the key manager and chooses the mechanism to sign with.
fn mechanism(program: &SignerProgram, shown: &str) -> Result<Mechanism, SigningKeyError> {
    let answer = program.run(&[OsStr::new("features")], b"")?;
    let shown = || shown.to_owned();
    let features: Features = serde_json::from_slice(&answer).map_err(|reason| KeyManagerError::Features {
        program: shown(),
        reason,
        answer: message(&answer),
    })?;
    let Some(mechanism) = features.mechanism() else {
        let (program, mechanisms) = (shown(), features.signing);
        return Err(KeyManagerError::NoMechanism { program, mechanisms }.into());
    };
    if !features.public_keys.iter().any(|form| form == "DER") {
        let (program, formats) = (shown(), features.public_keys);
        return Err(KeyManagerError::NoDer { program, formats }.into());
    }
    Ok(mechanism)
}

impl Signer for KeyManager {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, content: &[u8], time: u32) -> Result<SignaturePacket, SignerError> {
        let signature = match self.mechanism {
            Mechanism::RsaPkcs => self.sign_rsa_pkcs(content, time),
            Mechanism::OpenPgp => self.sign_openpgp(content),
        };
        Ok(signature?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What snapd 2.77.1 reads.
    #[test]
    fn names_in_any_case() {
        for answer in [
            r#"{"signing": ["RSA-PKCS"], "public-keys": ["DER"]}"#,
            r#"{"Signing": ["RSA-PKCS"], "PUBLIC-KEYS": ["DER"], "version": {"a": [1]}}"#,
            r#"{"signing": ["OPENPGP"], "SIGNING": ["RSA-PKCS"], "Public-Keys": ["DER"]}"#,
        ] {
            let features: Features = serde_json::from_str(answer).unwrap();
            assert_eq!(features.signing, ["RSA-PKCS"], "{answer}");
            assert_eq!(features.public_keys, ["DER"], "{answer}");
        }
        let empty: Features = serde_json::from_str(r#"{"signing": null}"#).unwrap();
        assert!(empty.signing.is_empty() && empty.public_keys.is_empty());
        for answer in [
            r#"["signing"]"#,
            r#"{"signing": "RSA-PKCS"}"#,
            r#"{"signing": [1]}"#,
        ] {
            assert!(serde_json::from_str::<Features>(answer).is_err(), "{answer}");
        }
    }
}
