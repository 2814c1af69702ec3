//! Rates of `hardware-identity challenge`, compared with aws-lc alone on the same cores, and its memory.
//!
//! `COUNT` devices (10,000 by default) have P-256 endorsement keys that a P-256 CA has certified. aws-lc alone
//! verifies as many signatures of the CA, generates as many ephemeral keys and agrees as often on a seed. The
//! memory has a limit, and a run above it fails; rates are only printed.

#![allow(clippy::unwrap_used, dead_code)]

#[path = "../../residency/tests/proof/certificates.rs"]
mod certificates;

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use aws_lc_rs::agreement::{self, ECDH_P256, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use certificates::{EK_USAGE, Key, Template, ca, usage};
use identity_key::IdentityPublicKey;
use rayon::prelude::*;
use serde_json::json;
use sha3::{Digest as _, Sha3_384};

const TOOL: &str = env!("CARGO_BIN_EXE_hardware-identity");
const TURNS: u32 = 3;
/// KiB.
const PEAK_MEMORY: u64 = 64 * 1024;
/// About the length of the signed part of a certificate.
const MESSAGE: [u8; 600] = [7; 600];

fn main() {
    let count = env::var("COUNT")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(10_000);
    let folder = tempfile::tempdir().unwrap();
    write_devices(folder.path(), count);
    let bare = Bare::new();
    let (mut tool, mut alone) = (Duration::ZERO, Duration::ZERO);
    let mut peak = 0;
    for turn in 0..TURNS {
        let batch = format!("batch-{turn}");
        tool += timed(|| peak = peak.max(challenge(folder.path(), &batch)));
        alone += timed(|| (0..count).into_par_iter().for_each(|_| bare.run()));
    }
    let all = count * TURNS as usize;
    show("challenge: the tool, files to files", all, tool);
    show("challenge: aws-lc alone, as many operations", all, alone);
    println!(
        "  the tool reaches {:.2} of aws-lc alone",
        alone.as_secs_f64() / tool.as_secs_f64()
    );
    println!("challenge: {count} devices: peak memory {peak} KiB (limit {PEAK_MEMORY})");
    assert!(peak <= PEAK_MEMORY);
}

/// Writes exports and evidence, each with its own identity key and endorsement key, and the root.
fn write_devices(folder: &Path, count: usize) {
    let root = Key::new();
    let certificate = Template::new("root", "root", root.public(), &[ca()]).sign(&root);
    let exports = folder.join("exports");
    fs::create_dir(&exports).unwrap();
    fs::write(folder.join("root.der"), certificate).unwrap();
    (0..count).into_par_iter().for_each(|number| {
        let identity = IdentityPublicKey::from_der(&Key::new().public()).unwrap();
        let key = identity.header_value();
        let id = format!("SN-{number:07}");
        let export = json!({
            "type": "hardware-identity", "authority-id": "acme", "issuer-id": "acme", "manufacturer": "Acme",
            "hardware-name": "box", "hardware-id": id, "hardware-id-key": key,
            "hardware-id-key-sha3-384": URL_SAFE_NO_PAD.encode(Sha3_384::digest(&key)),
            "timestamp": "2026-08-21T07:30:00Z",
        });
        let ek = Template::new("ek", "root", Key::new().public(), &[usage(&[EK_USAGE])]).sign(&root);
        let evidence = json!({
            "type": "hardware-identity-evidence", "version": 1, "hardware-id": id,
            "key-name": STANDARD.encode(residency::names(&identity).remove(0)),
            "endorsement": [{"template": "L-2", "nv-index": "0x01C0000A", "certificate": STANDARD.encode(ek)}],
            "chain": [],
        });
        fs::write(exports.join(format!("{id}.json")), export.to_string()).unwrap();
        fs::write(exports.join(format!("{id}.evidence.json")), evidence.to_string()).unwrap();
    });
}

/// Returns the peak memory in KiB.
fn challenge(folder: &Path, batch: &str) -> u64 {
    let status = Command::new(Path::new(TOOL).with_file_name("peak-memory"))
        .current_dir(folder)
        .args([
            "peak",
            TOOL,
            "challenge",
            "--batch",
            batch,
            "--ek-roots",
            "root.der",
        ])
        .args(["--output-dir", "challenges", "exports"])
        .status();
    assert!(status.unwrap().success());
    fs::read_to_string(folder.join("peak")).unwrap().parse().unwrap()
}

/// The operations with public keys that a challenge takes.
struct Bare {
    public: Vec<u8>,
    signature: Vec<u8>,
}

impl Bare {
    fn new() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        Bare {
            public: pair.public_key().as_ref().to_vec(),
            signature: pair
                .sign(&SystemRandom::new(), &MESSAGE)
                .unwrap()
                .as_ref()
                .to_vec(),
        }
    }

    fn run(&self) {
        let public = signature::UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.public);
        public.verify(&MESSAGE, &self.signature).unwrap();
        let private = PrivateKey::generate(&ECDH_P256).unwrap();
        private.compute_public_key().unwrap();
        let peer = UnparsedPublicKey::new(&ECDH_P256, &self.public);
        agreement::agree(&private, peer, (), |_| Ok(())).unwrap();
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn show(what: &str, count: usize, took: Duration) {
    println!("{what:<44} {:7.0} per second", count as f64 / took.as_secs_f64());
}
