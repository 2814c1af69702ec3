//! A key behind an external key manager: a program with the protocol that snapd has for `$SNAPD_EXT_KEYMGR`.
//!
//! | call | stdin | stdout |
//! |---|---|---|
//! | `features` | | `{"signing": ["RSA-PKCS", "OPENPGP"], "public-keys": ["DER"]}` |
//! | `get-public-key -f DER -k NAME` | | SubjectPublicKeyInfo in DER |
//! | `sign -m RSA-PKCS -k NAME` | the DigestInfo of the SHA-512 digest | the signature's bytes |
//! | `sign -m OPENPGP -k NAME` | the content | an OpenPGP signature packet |

use std::ffi::{OsStr, OsString};
use std::time::Duration;

use anyhow::{anyhow, bail};
use serde::Deserialize;
use snap_assertions::{PendingSignature, PublicKey, SignaturePacket, Signer, SignerError};

use super::check_size;
use super::program::{Program, message};

pub(super) struct KeyManager {
    program: Program,
    key_name: String,
    mechanism: Mechanism,
    public: PublicKey,
}

#[derive(Clone, Copy)]
enum Mechanism {
    RsaPkcs,
    OpenPgp,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Features {
    #[serde(default)]
    signing: Vec<String>,
    #[serde(default)]
    public_keys: Vec<String>,
}

impl Features {
    /// snapd too prefers RSA-PKCS where there are both.
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
    pub(super) fn open(command: OsString, key_name: String, time_limit: Duration) -> anyhow::Result<Self> {
        let shown = command.to_string_lossy().into_owned();
        let advice = format!("Check the key manager, and that it knows the key: `{shown} key-names`");
        let program = Program {
            name: command,
            environment: Vec::new(),
            time_limit,
            advice,
        };
        let mechanism = mechanism(&program, &shown)?;
        let arguments = ["get-public-key", "-f", "DER", "-k", &key_name].map(OsStr::new);
        let der = program.run(&arguments, b"")?;
        let public = PublicKey::from_spki_der(&der).map_err(|error| {
            anyhow!("the public key that {shown} gave for \"{key_name}\" {error}. Check the key manager and the key's name")
        })?;
        check_size(&public, &format!("the key \"{key_name}\" of {shown}"))?;
        Ok(KeyManager {
            program,
            key_name,
            mechanism,
            public,
        })
    }

    fn run(&self, mechanism: &str, input: &[u8]) -> anyhow::Result<Vec<u8>> {
        let arguments = ["sign", "-m", mechanism, "-k", &self.key_name].map(OsStr::new);
        self.program.run(&arguments, input)
    }

    fn sign_rsa_pkcs(&self, content: &[u8], time: u32) -> anyhow::Result<SignaturePacket> {
        let pending = PendingSignature::new(content, time);
        let raw = self.run("RSA-PKCS", &pending.digest_info())?;
        let size = self.public.bits().div_ceil(8);
        if raw.len() != size {
            bail!(
                "the key manager {} gave {} bytes where a signature by this key has {size}. Check the key manager",
                self.program.name.to_string_lossy(),
                raw.len()
            );
        }
        Ok(pending.finish(&raw))
    }

    fn sign_openpgp(&self, content: &[u8]) -> anyhow::Result<SignaturePacket> {
        let packet = self.run("OPENPGP", content)?;
        SignaturePacket::from_bytes(&packet).map_err(|error| {
            let shown = self.program.name.to_string_lossy();
            anyhow!("what the key manager {shown} gave as a signature {error}. Check the key manager")
        })
    }
}

/// The mechanism to sign by, out of those that the key manager has.
fn mechanism(program: &Program, shown: &str) -> anyhow::Result<Mechanism> {
    let answer = program.run(&[OsStr::new("features")], b"")?;
    let features: Features = serde_json::from_slice(&answer).map_err(|error| {
        anyhow!(
            "`{shown} features` did not answer as a key manager does ({error}): {}. Check that it is one",
            message(&answer)
        )
    })?;
    let Some(mechanism) = features.mechanism() else {
        bail!(
            "the key manager {shown} signs neither by RSA-PKCS nor by OPENPGP, only by {:?}. Use another key \
             manager, or another signer",
            features.signing
        );
    };
    if !features.public_keys.iter().any(|form| form == "DER") {
        bail!(
            "the key manager {shown} gives no public keys in the form DER, only {:?}. Use another key manager, \
             or another signer",
            features.public_keys
        );
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
        Ok(signature.map_err(|error| error.to_string())?)
    }
}
