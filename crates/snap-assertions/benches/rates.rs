//! The rates of signing and verifying assertions, compared to aws-lc alone in the same run.
//!
//! `cargo bench -p snap-assertions` prints rates per second, on all cores. A number as argument
//! sets how many assertions are signed. The two sides sign in turns, at the same clock speed.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA512, RsaKeyPair};
use snap_assertions::types::HardwareIdentity;
use snap_assertions::{Decoder, Encoder, LocalSigner, SignOptions, Signer, Statement};

const TURNS: usize = 4;

fn main() {
    let count = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(2000);
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let key = std::fs::read(vectors.join("issuer.pk8")).unwrap();
    let json = std::fs::read_to_string(vectors.join("hardware-identity-p256.json")).unwrap();
    let (signer, bare) = (
        LocalSigner::from_der(&key).unwrap(),
        RsaKeyPair::from_pkcs8(&key).unwrap(),
    );
    let rng = SystemRandom::new();
    let message = Statement::from_json(&json).unwrap();
    let message = message
        .content(signer.public_key().id(), SignOptions::now().digest_form)
        .unwrap();

    let sign_ours = || {
        let statement = Statement::from_json(&json).unwrap();
        statement.sign(&signer, &SignOptions::now()).unwrap();
    };
    let sign_bare = || {
        let mut signature = vec![0; bare.public_modulus_len()];
        bare.sign(&RSA_PKCS1_SHA512, &rng, message.as_bytes(), &mut signature)
            .unwrap();
    };
    let (mut ours, mut alone) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..TURNS {
        ours += on_all_cores(count / TURNS, sign_ours);
        alone += on_all_cores(count / TURNS, sign_bare);
    }
    print("sign: JSON to assertion, verified", count, ours);
    print("sign: aws-lc alone", count, alone);
    println!(
        "{:>10.3} of aws-lc alone",
        alone.as_secs_f64() / ours.as_secs_f64()
    );

    let assertion = Statement::from_json(&json)
        .unwrap()
        .sign(&signer, &SignOptions::now())
        .unwrap();
    let mut encoder = Encoder::new(Vec::new());
    (0..count).for_each(|_| encoder.write(&assertion).unwrap());
    let stream = encoder.into_inner();
    let start = Instant::now();
    assert_eq!(
        Decoder::new(&stream[..]).filter(|result| result.is_ok()).count(),
        count
    );
    print("decode, one core", count, start.elapsed());
    let start = Instant::now();
    (0..count).for_each(|_| drop(HardwareIdentity::try_from(&assertion).unwrap()));
    print("check, one core", count, start.elapsed());
    let start = Instant::now();
    (0..count).for_each(|_| assertion.verify(signer.public_key()).unwrap());
    print("verify, one core", count, start.elapsed());
}

/// The time of running `work` `count` times on all cores.
fn on_all_cores(count: usize, work: impl Fn() + Sync) -> Duration {
    let done = AtomicUsize::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().unwrap().get() {
            scope.spawn(|| {
                while done.fetch_add(1, Ordering::Relaxed) < count {
                    work();
                }
            });
        }
    });
    start.elapsed()
}

fn print(what: &str, count: usize, took: Duration) {
    println!("{:>10.0} per second  {what}", count as f64 / took.as_secs_f64());
}
