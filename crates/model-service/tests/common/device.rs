//! A device: its hardware identity, its device key, and the requests that snapd would send.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use snap_assertions::types::{HardwareIdentity, HardwareKey, Serial};
use snap_assertions::{DigestForm, Signer as _, decode};

use super::http::{Answer, Request};
use super::{ASSERTIONS, Service, model, sign, sign_as, signer, vector};

/// The private key of a hardware identity, and the hash it signs with.
pub enum HardwareKeyPair {
    Ecdsa(EcdsaKeyPair, &'static str),
    Rsa(RsaKeyPair),
}

pub struct Device {
    pub key: HardwareKeyPair,
    pub spki: Vec<u8>,
    pub hardware_id: String,
    /// `device`, or another key with 4096 bits.
    pub device_key: &'static str,
    pub model: String,
    pub form: DigestForm,
}

impl Device {
    /// With one of the vectors' keys: `p256`, `p384` or `rsa2048`.
    pub fn new(kind: &str) -> Self {
        let der = vector(&format!("hw-{kind}.pk8"));
        let ecdsa = |algorithm| EcdsaKeyPair::from_pkcs8(algorithm, &der).unwrap();
        let key = match kind {
            "p256" => HardwareKeyPair::Ecdsa(ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING), "sha256"),
            "p384" => HardwareKeyPair::Ecdsa(ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING), "sha384"),
            _ => HardwareKeyPair::Rsa(RsaKeyPair::from_pkcs8(&der).unwrap()),
        };
        Self::with_key(key, kind)
    }

    /// With a new P-256 key.
    pub fn fresh(hardware_id: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        Self::with_key(HardwareKeyPair::Ecdsa(key, "sha256"), hardware_id)
    }

    fn with_key(key: HardwareKeyPair, hardware_id: &str) -> Self {
        use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
        let spki: PublicKeyX509Der<'_> = match &key {
            HardwareKeyPair::Ecdsa(key, _) => key.public_key().as_der().unwrap(),
            HardwareKeyPair::Rsa(key) => key.public_key().as_der().unwrap(),
        };
        Self {
            spki: spki.as_ref().to_vec(),
            key,
            hardware_id: hardware_id.to_owned(),
            device_key: "device",
            model: "edge-box".to_owned(),
            form: DigestForm::Text,
        }
    }

    pub fn sign_nonce(&self, nonce: &str) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            HardwareKeyPair::Ecdsa(key, _) => key.sign(&random, nonce.as_bytes()).unwrap().as_ref().to_vec(),
            HardwareKeyPair::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, nonce.as_bytes(), &mut signature)
                    .unwrap();
                signature
            }
        }
    }

    /// The headers of the hardware-identity assertion.
    pub fn export(&self) -> Value {
        let key = BASE64_STANDARD.encode(&self.spki);
        json!({
            "type": "hardware-identity", "authority-id": "acme", "issuer-id": "acme", "manufacturer": "Acme",
            "hardware-name": "edge-box", "hardware-id": self.hardware_id, "hardware-id-key": key,
            "hardware-id-key-sha3-384": self.digest(), "timestamp": "2026-11-01T00:00:00Z",
        })
    }

    /// The header `hardware-id-key-sha3-384` in this device's form.
    pub fn digest(&self) -> String {
        if self.form == DigestForm::Der {
            return HardwareKey::from_der(&self.spki)
                .unwrap()
                .public_key()
                .digest(DigestForm::Der);
        }
        use base64::prelude::BASE64_URL_SAFE_NO_PAD;
        let text = BASE64_STANDARD.encode(&self.spki);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA3_384, text.as_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(digest)
    }

    pub fn identity(&self) -> String {
        let text = sign_as(self.export(), "issuer", self.form);
        let assertion = decode(text.as_bytes()).unwrap();
        HardwareIdentity::check_any_form(assertion.headers()).unwrap();
        text
    }

    /// With other headers in place of its own; null takes one away.
    pub fn identity_with(&self, changes: Value) -> String {
        let mut headers = self.export();
        merge(&mut headers, changes);
        sign_as(headers, "issuer", self.form)
    }

    /// What the hook sets as registration.body.
    pub fn body(&self, nonce: &str) -> Value {
        let hash = match self.key {
            HardwareKeyPair::Ecdsa(_, hash) => hash,
            HardwareKeyPair::Rsa(_) => "sha256",
        };
        json!({
            "hardware-id-key-sha3-384": self.digest(), "hardware-id-key-sha384": self.digest(),
            "request-id-signature": BASE64_STANDARD.encode(self.sign_nonce(nonce)),
            "signature-hash-algorithm": hash,
        })
    }

    /// The headers and the body of the serial-request.
    pub fn statement(&self, nonce: &str, serial: &str) -> Value {
        json!({
            "type": "serial-request", "brand-id": "brand-acme", "model": self.model, "request-id": nonce,
            "serial": serial, "device-key": signer(self.device_key).public_key().encode(),
            "timestamp": "2026-11-08T18:16:12Z", "body": self.body(nonce).to_string(),
        })
    }

    /// The stream that snapd sends.
    pub fn stream(&self, nonce: &str, serial: &str) -> String {
        self.stream_with(nonce, serial, json!({}))
    }

    /// With other headers in the serial-request; null takes one away.
    pub fn stream_with(&self, nonce: &str, serial: &str, changes: Value) -> String {
        let mut statement = self.statement(nonce, serial);
        merge(&mut statement, changes);
        let request = sign(statement, self.device_key);
        format!("{request}\n{}", model(&self.model))
    }

    /// Asks for a nonce and with it for a serial.
    pub fn register(&self, service: &Service, serial: &str) -> Answer {
        service.serial(&self.stream(&service.nonce(), serial))
    }

    /// The same with an API key.
    pub fn register_with_key(&self, service: &Service, serial: &str, api_key: Option<&str>) -> Answer {
        let stream = self.stream_with(&service.nonce(), serial, json!({ "body": null }));
        let request = Request::post("/serial", stream).header("content-type", ASSERTIONS);
        service.send(&match api_key {
            Some(key) => request.header("api-key", key),
            None => request,
        })
    }

    /// Fails unless the answer is a serial for this device, by the brand. Gives the serial and its revision.
    #[track_caller]
    pub fn accepts(&self, answer: &Answer) -> (String, u64) {
        assert!([200, 201].contains(&answer.status), "{answer:?}");
        assert_eq!(answer.header("content-type"), Some(ASSERTIONS));
        let assertion = decode(answer.body.as_bytes()).unwrap();
        assertion.verify(signer("brand").public_key()).unwrap();
        let serial = Serial::try_from(&assertion).unwrap();
        assert_eq!(
            (serial.brand_id(), serial.model()),
            ("brand-acme", self.model.as_str())
        );
        assert_eq!(serial.device_key(), signer(self.device_key).public_key());
        (serial.serial().to_owned(), assertion.revision())
    }
}

fn merge(headers: &mut Value, changes: Value) {
    let headers = headers.as_object_mut().unwrap();
    let Value::Object(changes) = changes else { return };
    for (name, value) in changes {
        match value {
            Value::Null => drop(headers.remove(&name)),
            value => drop(headers.insert(name, value)),
        }
    }
}
