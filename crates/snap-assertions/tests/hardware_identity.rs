//! Hardware identities: forms of the digest, kinds of keys, and nonce signatures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{assertion, bytes, changed, expect, options, signer};
use identity_key::IdentityKeyError;
use snap_assertions::types::{HardwareIdentity, HardwareKey, HardwareKeyError};
use snap_assertions::{DigestForm, Hash, HeaderProblem, KeyKind};

#[test]
fn hardware_identity() {
    expect(
        "hardware-identity-p256",
        &[
            (r#"{"issuer-id": null}"#, "issuer-id"),
            (r#"{"issuer-id": "other"}"#, "issuer-id"),
            (r#"{"issuer-id": "Acme", "authority-id": "Acme"}"#, "issuer-id"),
            (r#"{"issuer-id": "a", "authority-id": "a"}"#, "issuer-id"),
            (r#"{"authority-id": null}"#, "authority-id"),
            (r#"{"manufacturer": null}"#, "manufacturer"),
            (r#"{"manufacturer": ""}"#, "manufacturer"),
            (r#"{"manufacturer": ["Acme"]}"#, "manufacturer"),
            (r#"{"hardware-name": null}"#, "hardware-name"),
            (r#"{"hardware-name": "edge box"}"#, "hardware-name"),
            (r#"{"hardware-name": "edge--box"}"#, "hardware-name"),
            (r#"{"hardware-name": "edge-"}"#, "hardware-name"),
            (r#"{"hardware-name": "Edge-Box"}"#, ""),
            (r#"{"hardware-id": null}"#, "hardware-id"),
            (r#"{"hardware-id": ""}"#, "hardware-id"),
            (r#"{"hardware-id-key": null}"#, "hardware-id-key"),
            (r#"{"hardware-id-key": "%%%"}"#, "hardware-id-key"),
            (r#"{"hardware-id-key": "AAAA"}"#, "hardware-id-key"),
            (
                r#"{"hardware-id-key-sha3-384": null}"#,
                "hardware-id-key-sha3-384",
            ),
            (
                r#"{"hardware-id-key-sha3-384": "a/b"}"#,
                "hardware-id-key-sha3-384",
            ),
            (
                r#"{"hardware-id-key-sha3-384": "abc"}"#,
                "hardware-id-key-sha3-384",
            ),
            // snapd does not check the timestamp.
            (r#"{"timestamp": null}"#, ""),
            (r#"{"timestamp": "yesterday"}"#, ""),
            (r#"{"format": "1"}"#, "format"),
        ],
    );
}

/// The key in the example of the Ubuntu Core documentation, and its two digests.
const EXAMPLE_KEY: &str = "MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAqGSa+XTdfa0ix0e7HaIAfNbRk7SYEF4o+1Xlr6XQQUKPstTchh+/Snv6dfV0O4M2yOpmm9xPu2VH+nePEAWhE/gxSA1dCDlb2BHR4mMw0odT7/Y4fnGpThrTYWgMQmM/F99elPvTbQxpBDWWajvmBxAuJHZ6vuEbtn68DBhx41mSKLtPLPSk91ndQWzw1M9aooOl0yYrr4p4am+Yh9GuApMmHXRwX+BdDyg3I9dnp2kiCXveDGJ9G86AjG5NRo38uoPlD0MNldHyS/cD7bRC4LYpL0R4LuEtXeUWi/VQYiWu1PgIGlj6Zuz6svLRZA03Fei2tl+EnlBbpl8sRb0x7QIDAQAB";

const EXAMPLE_DER: &str = "3ln0lMND7N2KgUVnNebvABm3YL_SYIqZ4jCcchri97SAsDblrR9Gq7Duk1gG7Fqc";

const EXAMPLE_TEXT: &str = "2QWYlD8JB6zL8ykU5QeNojmol1k0saC3sN9O4iAYphoOLE9tuyhtbCztnIMC2C3b";

#[test]
fn the_digest_has_two_forms() {
    let with = |digest: &str| {
        changed(
            "hardware-identity-p256",
            &format!(r#"{{"hardware-id-key": "{EXAMPLE_KEY}", "hardware-id-key-sha3-384": "{digest}"}}"#),
        )
    };
    let (as_text, as_der) = (with(EXAMPLE_TEXT), with(EXAMPLE_DER));
    assert_eq!(
        HardwareIdentity::check(&as_text.headers).unwrap().digest_form(),
        DigestForm::Text
    );
    let any = HardwareIdentity::check_any_form(&as_der.headers).unwrap();
    assert_eq!(any.digest_form(), DigestForm::Der);
    assert_eq!(any.key().public_key().digest(DigestForm::Der), EXAMPLE_DER);

    for (statement, found, expected) in [
        (&as_der, DigestForm::Der, DigestForm::Text),
        (&as_text, DigestForm::Text, DigestForm::Der),
    ] {
        let error = HardwareIdentity::check_with_form(&statement.headers, expected).unwrap_err();
        assert_eq!(error.header, "hardware-id-key-sha3-384");
        assert_eq!(error.problem, HeaderProblem::OtherDigestForm { found, expected });
        let mut options = options();
        options.digest_form = expected;
        assert!(statement.sign(&signer("issuer"), &options).is_err());
        options.digest_form = found;
        assert!(statement.sign(&signer("issuer"), &options).is_ok());
    }
    let error = HardwareIdentity::check_any_form(&with(&"A".repeat(64)).headers).unwrap_err();
    let HeaderProblem::NotTheKeys { expected, .. } = error.problem else {
        panic!("{error}")
    };
    assert_eq!(expected, EXAMPLE_TEXT);
}

#[test]
fn nonce_signatures() {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{self as aws, EcdsaKeyPair};
    let rng = SystemRandom::new();
    let nonce = "REQ-0123456789";
    let ecdsa = |algorithm, key: &str| {
        let key = EcdsaKeyPair::from_pkcs8(algorithm, &bytes(key)).unwrap();
        key.sign(&rng, nonce.as_bytes()).unwrap().as_ref().to_vec()
    };
    let rsa = |padding: &'static dyn aws::RsaEncoding| {
        let key = aws::RsaKeyPair::from_pkcs8(&bytes("hw-rsa2048.pk8")).unwrap();
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(padding, &rng, nonce.as_bytes(), &mut signature).unwrap();
        signature
    };
    for (vector, hash, other, signature) in [
        (
            "hardware-identity-p256",
            Hash::Sha256,
            Hash::Sha384,
            ecdsa(&aws::ECDSA_P256_SHA256_ASN1_SIGNING, "hw-p256.pk8"),
        ),
        (
            "hardware-identity-p384",
            Hash::Sha384,
            Hash::Sha256,
            ecdsa(&aws::ECDSA_P384_SHA384_ASN1_SIGNING, "hw-p384.pk8"),
        ),
        (
            "hardware-identity-rsa2048",
            Hash::Sha256,
            Hash::Sha384,
            rsa(&aws::RSA_PKCS1_SHA256),
        ),
        (
            "hardware-identity-rsa2048",
            Hash::Sha384,
            Hash::Sha256,
            rsa(&aws::RSA_PKCS1_SHA384),
        ),
    ] {
        let assertion = assertion(vector);
        let identity = HardwareIdentity::try_from(&assertion).unwrap();
        identity.verify_nonce(nonce, &signature, hash).unwrap();
        assert!(
            identity.verify_nonce(nonce, &signature, other).is_err(),
            "{vector}"
        );
        assert!(
            identity.verify_nonce("REQ-0", &signature, hash).is_err(),
            "{vector}"
        );
        let trailing = [&signature[..], &[0]].concat();
        assert!(identity.verify_nonce(nonce, &trailing, hash).is_err(), "{vector}");
        assert!(identity.verify_nonce(nonce, &[], hash).is_err(), "{vector}");
    }
}

#[test]
fn keys_that_cannot_identify_hardware() {
    // SubjectPublicKeyInfo of other kinds, made by openssl for this test.
    for (file, kind) in [
        ("other-keys/p521.pub", "ECDSA P-521"),
        ("other-keys/ed25519.pub", "Ed25519"),
        ("other-keys/p256-compressed.pub", "ECDSA with a compressed point"),
        ("other-keys/p224.pub", "ECDSA on the curve 1.3.132.0.33"),
    ] {
        let error = IdentityKeyError::Kind(kind.to_owned());
        assert_eq!(HardwareKey::from_der(&bytes(file)), Err(error.into()), "{file}");
    }
    let error = HardwareKey::from_der(&bytes("other-keys/rsa1024.pub")).unwrap_err();
    assert_eq!(
        error,
        HardwareKeyError::Encoding(IdentityKeyError::Size { bits: 1024 })
    );
    // A point that is not on the curve.
    let good = assertion("hardware-identity-p256");
    let mut der = HardwareIdentity::try_from(&good)
        .unwrap()
        .key()
        .public_key()
        .der()
        .to_vec();
    *der.last_mut().unwrap() ^= 1;
    let invalid = HardwareKeyError::Invalid(KeyKind::EcdsaP256);
    assert_eq!(HardwareKey::from_der(&der), Err(invalid));
    der.push(0);
    assert!(matches!(
        HardwareKey::from_der(&der),
        Err(HardwareKeyError::Encoding(IdentityKeyError::NotDer(_)))
    ));
}
