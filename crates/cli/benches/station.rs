//! Rates of the issuer's station, compared with aws-lc and openssl alone, with the same key on the same
//! cores.
//!
//! `hardware-identity sign` signs `COUNT` exports (10,000 by default), in turns with aws-lc signing as many
//! digests; then `hardware-identity verify` verifies them, in turns with aws-lc. Rates are only printed. The
//! memory for `MEMORY_COUNT` exports (100,000 by default) on stdin has a limit, and a run above it fails.

#![allow(clippy::unwrap_used)]

use std::env;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_SHA512};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rayon::prelude::*;
use serde_json::json;
use sha3::{Digest as _, Sha3_384};

const TOOL: &str = env!("CARGO_BIN_EXE_hardware-identity");
const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../snap-assertions/tests/vectors");
const TURNS: usize = 5;
/// KiB.
const PEAK_MEMORY: u64 = 64 * 1024;
/// About the length of the content of an assertion.
const MESSAGE: [u8; 700] = [7; 700];

fn main() {
    let number = |name: &str, default| {
        env::var(name)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(default)
    };
    let count = number("COUNT", 10_000);
    let folder = tempfile::tempdir().unwrap();
    let key = Key::new(folder.path());
    let turn = count / TURNS;
    let (mut tool, mut alone) = (Duration::ZERO, Duration::ZERO);
    for turns in 0..TURNS {
        let exports = write_exports(folder.path(), turns * turn..(turns + 1) * turn);
        tool += timed(|| key.sign(&exports, &folder.path().join(format!("{turns}.assert"))));
        alone += timed(|| (0..turn).into_par_iter().for_each(|_| drop(key.sign_alone())));
    }
    show("sign: the tool, exports to assertions", count, tool);
    show("sign: aws-lc alone, as many digests", count, alone);
    println!(
        "  the tool reaches {:.2} of aws-lc alone",
        alone.as_secs_f64() / tool.as_secs_f64()
    );
    println!(
        "  openssl speed rsa4096, all cores: {} signatures per second",
        openssl_speed()
    );

    let signed: Vec<PathBuf> = (0..TURNS)
        .map(|turn| folder.path().join(format!("{turn}.assert")))
        .collect();
    let signature = key.sign_alone();
    let (mut tool, mut alone) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..TURNS {
        tool += timed(|| verify(&signed));
        let verify_alone = |_| key.verify_alone(&signature);
        alone += timed(|| (0..count).into_par_iter().for_each(verify_alone));
    }
    let count = count * TURNS;
    show("verify: the tool, a stream of assertions", count, tool);
    show("verify: aws-lc alone, as many signatures", count, alone);
    println!(
        "  the tool reaches {:.2} of aws-lc alone",
        alone.as_secs_f64() / tool.as_secs_f64()
    );

    memory(&key, folder.path(), number("MEMORY_COUNT", 100_000));
}

/// The issuer's key, as a file and in aws-lc.
struct Key {
    file: PathBuf,
    pair: KeyPair,
    public: ParsedPublicKey,
    random: SystemRandom,
}

impl Key {
    fn new(folder: &Path) -> Self {
        let der = fs::read(Path::new(VECTORS).join("issuer.pk8")).unwrap();
        let file = folder.join("issuer.pem");
        let mut openssl = Command::new("openssl");
        openssl
            .args([
                "pkey",
                "-inform",
                "DER",
                "-in",
                &format!("{VECTORS}/issuer.pk8"),
                "-out",
            ])
            .arg(&file);
        assert!(openssl.status().unwrap().success());
        let pair = KeyPair::from_pkcs8(&der).unwrap();
        let public = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA512, pair.public_key().as_ref()).unwrap();
        Key {
            file,
            pair,
            public,
            random: SystemRandom::new(),
        }
    }

    fn sign(&self, exports: &Path, output: &Path) {
        let status = Command::new(TOOL)
            .args(["sign", "--key"])
            .arg(&self.file)
            .arg("--output")
            .args([output, exports])
            .status();
        assert!(status.unwrap().success());
    }

    fn sign_alone(&self) -> Vec<u8> {
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(&RSA_PKCS1_SHA512, &self.random, &MESSAGE, &mut signature)
            .unwrap();
        signature
    }

    fn verify_alone(&self, signature: &[u8]) {
        self.public.verify_sig(&MESSAGE, signature).unwrap();
    }
}

/// Writes JSON lines of exports, each with its own ECDSA key.
fn write_exports(folder: &Path, numbers: std::ops::Range<usize>) -> PathBuf {
    let file = folder.join("exports.json");
    let mut lines = BufWriter::new(File::create(&file).unwrap());
    for number in numbers {
        let mut scalar = [0; 32];
        scalar[24..].copy_from_slice(&(number + 1).to_be_bytes());
        let private = PrivateKey::from_private_key(&ECDH_P256, &scalar).unwrap();
        let head = STANDARD.decode("MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE").unwrap();
        // The tag of an uncompressed point is the last byte of the head.
        let point = private.compute_public_key().unwrap();
        let key = STANDARD.encode([&head, &point.as_ref()[1..]].concat());
        let digest = URL_SAFE_NO_PAD.encode(Sha3_384::digest(&key));
        let export = json!({
            "type": "hardware-identity", "authority-id": "acme", "issuer-id": "acme", "manufacturer": "Acme",
            "hardware-name": "box", "hardware-id": format!("SN-{number:07}"), "hardware-id-key": key,
            "hardware-id-key-sha3-384": digest, "timestamp": "2026-08-21T07:30:00Z",
        });
        writeln!(lines, "{export}").unwrap();
    }
    lines.flush().unwrap();
    file
}

fn verify(files: &[PathBuf]) {
    let key = Path::new(VECTORS).join("account-key-issuer.assert");
    let mut command = Command::new(TOOL);
    command
        .args(["verify", "--issuer-key"])
        .arg(key)
        .args(files)
        .stdout(Stdio::null());
    assert!(command.status().unwrap().success());
}

/// Signatures per second: `openssl speed` ends a line with `sign verify sign/s verify/s`.
fn openssl_speed() -> String {
    let cores = thread::available_parallelism().unwrap().to_string();
    let mut command = Command::new("openssl");
    let output = command
        .args(["speed", "-seconds", "5", "-multi", &cores, "rsa4096"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().rfind(|line| line.starts_with("rsa 4096")).unwrap();
    line.split_whitespace().rev().nth(1).unwrap().to_owned()
}

fn memory(key: &Key, folder: &Path, count: usize) {
    let exports = write_exports(folder, 0..count);
    let peak = folder.join("peak");
    let status = Command::new(Path::new(TOOL).with_file_name("peak-memory"))
        .arg(&peak)
        .arg(TOOL)
        .args(["sign", "--key"])
        .arg(&key.file)
        .arg("--output")
        .arg(folder.join("memory.assert"))
        .stdin(File::open(exports).unwrap())
        .status();
    assert!(status.unwrap().success());
    let peak: u64 = fs::read_to_string(&peak).unwrap().parse().unwrap();
    println!("sign: {count} exports from stdin: peak memory {peak} KiB (limit {PEAK_MEMORY})");
    assert!(peak <= PEAK_MEMORY);
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn show(what: &str, count: usize, took: Duration) {
    println!("{what:<44} {:7.0} per second", count as f64 / took.as_secs_f64());
}
