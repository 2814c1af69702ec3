//! aws-lc alone: the RSA operations without anything around them.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{KeyPair as _, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_SHA512};

use crate::clock::{Measured, measured};
use crate::common::parallel::{THREADS, parallel};
use crate::common::vector;

/// A message with the length of the content of an assertion.
const MESSAGE: [u8; 700] = [7; 700];

/// An RSA-4096 key in aws-lc.
pub struct Alone {
    pair: KeyPair,
    public: ParsedPublicKey,
    signature: Vec<u8>,
}

impl Alone {
    pub fn new(key: &str) -> Self {
        let pair = KeyPair::from_pkcs8(&vector(&format!("{key}.pk8"))).unwrap();
        let public = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA512, pair.public_key().as_ref()).unwrap();
        let signature = sign(&pair);
        Self {
            pair,
            public,
            signature,
        }
    }

    /// Makes `count` signatures on all cores.
    pub fn sign(&self, count: usize) -> Measured {
        measured(&[], || {
            parallel(*THREADS, &vec![(); count], |()| drop(sign(&self.pair)));
        })
    }

    /// Verifies `count` times on all cores.
    pub fn verify(&self, count: usize) -> Measured {
        let verify = |&(): &()| self.public.verify_sig(&MESSAGE, &self.signature).unwrap();
        measured(&[], || {
            parallel(*THREADS, &vec![(); count], verify);
        })
    }
}

fn sign(pair: &KeyPair) -> Vec<u8> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA512, &SystemRandom::new(), &MESSAGE, &mut signature)
        .unwrap();
    signature
}
