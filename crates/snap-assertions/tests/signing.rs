//! Signers, and the checks of what they return.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{assertion, bytes, options, signer, statement, text};
use snap_assertions::{
    LocalSigner, PendingSignature, PrivateKeyError, PublicKey, SignError, SignOptions, SignaturePacket,
    Signer, SignerError, Statement, Value, WrongSignature,
};

fn identity() -> Statement {
    statement(&assertion("hardware-identity-p256"))
}

/// A key that does a bare RSA operation, like an HSM with CKM_RSA_PKCS or a key manager with
/// `sign -m RSA-PKCS`.
struct RawSigner {
    public: PublicKey,
    key: std::path::PathBuf,
}

impl Signer for RawSigner {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, content: &[u8], time: u32) -> Result<SignaturePacket, SignerError> {
        let pending = PendingSignature::new(content, time);
        // PKCS#1 v1.5 padding (RFC 8017, section 9.2), then the private operation.
        let info = pending.digest_info();
        let filler = vec![0xff; self.public.bits() / 8 - info.len() - 3];
        let input = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&input, [&[0, 1], &filler[..], &[0], &info].concat()).unwrap();
        let output = std::process::Command::new("openssl")
            .args([
                "pkeyutl",
                "-decrypt",
                "-pkeyopt",
                "rsa_padding_mode:none",
                "-keyform",
                "DER",
            ])
            .arg("-inkey")
            .arg(&self.key)
            .arg("-in")
            .arg(input.path())
            .output()
            .unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        Ok(pending.finish(&output.stdout))
    }
}

#[test]
fn a_bare_rsa_key_gives_the_same_bytes() {
    let raw = RawSigner {
        public: PublicKey::decode(&text("issuer.public-key")).unwrap(),
        key: common::path("issuer.pk8"),
    };
    let signed = identity().sign(&raw, &options()).unwrap();
    assert_eq!(signed.to_string(), text("hardware-identity-p256.assert"));
}

#[test]
fn keys_in_pem_and_der() {
    let convert = |args: &[&str]| {
        let output = std::process::Command::new("openssl")
            .args(args)
            .args(["-inform", "DER", "-in"])
            .arg(common::path("issuer.pk8"))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    };
    let pem = |args: &[&str]| String::from_utf8(convert(args)).unwrap();
    let expected = signer("issuer");
    let pkcs8 = pem(&["pkey"]);
    assert!(pkcs8.starts_with("-----BEGIN PRIVATE KEY-----"));
    let pkcs1 = pem(&["rsa", "-traditional"]);
    assert!(pkcs1.starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    for pem in [pkcs8, pkcs1] {
        let key = LocalSigner::from_pem(&pem).unwrap();
        assert_eq!(key.public_key(), expected.public_key());
    }
    let der = convert(&["rsa", "-traditional", "-outform", "DER"]);
    assert_eq!(
        LocalSigner::from_der(&der).unwrap().public_key(),
        expected.public_key()
    );

    let public = pem(&["pkey", "-pubout"]);
    let error = LocalSigner::from_pem(&public).unwrap_err();
    assert_eq!(error, PrivateKeyError::Label("PUBLIC KEY".into()));
    let encrypted = pem(&["pkey", "-aes256", "-passout", "pass:x"]);
    let error = LocalSigner::from_pem(&encrypted).unwrap_err();
    assert_eq!(error, PrivateKeyError::Label("ENCRYPTED PRIVATE KEY".into()));
    assert_eq!(LocalSigner::from_pem("").unwrap_err(), PrivateKeyError::NotPem);
}

#[test]
fn unusable_private_keys() {
    for (key, error) in [
        ("hw-rsa2048.pk8", PrivateKeyError::TooSmall(2048)),
        ("hw-p256.pk8", PrivateKeyError::NotRsa),
        ("issuer.public-key", PrivateKeyError::NotRsa),
    ] {
        assert_eq!(LocalSigner::from_der(&bytes(key)).unwrap_err(), error, "{key}");
    }
    assert!(
        format!("{:?}", signer("issuer")).len() < 200,
        "a key must not show itself"
    );
}

/// A signer with a fixed answer.
struct Fake {
    public: PublicKey,
    answer: Result<SignaturePacket, String>,
}

impl Signer for Fake {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, _: &[u8], _: u32) -> Result<SignaturePacket, SignerError> {
        Ok(self.answer.clone()?)
    }
}

#[test]
fn what_a_signer_returns_is_verified() {
    let public = signer("issuer").public_key().clone();
    let fake = |answer| Fake {
        public: public.clone(),
        answer,
    };
    let good = assertion("hardware-identity-p256").signature().unwrap();
    identity().sign(&fake(Ok(good)), &options()).unwrap();

    let other = assertion("hardware-identity-p384").signature().unwrap();
    let error = identity().sign(&fake(Ok(other)), &options()).unwrap_err();
    assert!(
        matches!(error, SignError::BadSignature(WrongSignature)),
        "{error}"
    );
    let content = assertion("hardware-identity-p256").content().to_owned();
    for raw in [&[][..], &[1; 512], &[0xff; 512], &[1; 600]] {
        let answer = PendingSignature::new(content.as_bytes(), 1).finish(raw);
        let error = identity().sign(&fake(Ok(answer)), &options()).unwrap_err();
        assert!(matches!(error, SignError::BadSignature(_)), "{error}");
    }
    let error = identity()
        .sign(&fake(Err("no card in the reader".into())), &options())
        .unwrap_err();
    let SignError::Signer(error) = error else {
        panic!("{error}")
    };
    assert_eq!(error.to_string(), "no card in the reader");
}

#[test]
fn small_keys_do_not_sign() {
    // The public half of the hardware's RSA-2048 key.
    let identity_ = assertion("hardware-identity-rsa2048");
    let view = snap_assertions::types::HardwareIdentity::try_from(&identity_).unwrap();
    let public = PublicKey::from_spki_der(view.key().public_key().der()).unwrap();
    let fake = Fake {
        public,
        answer: Err("must not be called".into()),
    };
    let error = identity().sign(&fake, &options()).unwrap_err();
    assert!(matches!(error, SignError::KeyTooSmall(2048)), "{error}");
}

#[test]
fn several_threads_at_once() {
    let signer = signer("issuer");
    let expected = text("hardware-identity-p256.assert");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let signed = identity().sign(&signer, &options()).unwrap();
                    assert_eq!(signed.to_string(), expected);
                }
            });
        }
    });
}

#[test]
fn headers_with_a_fixed_place() {
    let mut given = identity();
    for (name, value) in [("body-length", "7"), ("sign-key-sha3-384", "x"), ("format", "0")] {
        given.headers.set(name, value).unwrap();
    }
    given.headers.set("revision", "0").unwrap();
    let signed = given.sign(&signer("issuer"), &options()).unwrap();
    assert_eq!(signed.to_string(), text("hardware-identity-p256.assert"));
    given.headers.set("revision", "12").unwrap();
    let signed = given.sign(&signer("issuer"), &options()).unwrap();
    assert!(
        signed
            .content()
            .contains("\nauthority-id: acme\nrevision: 12\nissuer-id: acme\n")
    );
    assert_eq!((signed.revision(), signed.format()), (12, 0));
}

#[test]
fn signing_enforces_the_limits_of_the_format() {
    let mut given = identity();
    given
        .headers
        .set("x", "x".repeat(snap_assertions::MAX_HEADERS))
        .unwrap();
    assert!(matches!(
        given.sign(&signer("issuer"), &options()),
        Err(SignError::TooLong { .. })
    ));
    let mut given = identity();
    given.body = "x".repeat(snap_assertions::MAX_BODY + 1);
    assert!(matches!(
        given.sign(&signer("issuer"), &options()),
        Err(SignError::TooLong { .. })
    ));
    given.body.pop();
    let signed = given.sign(&signer("issuer"), &options()).unwrap();
    assert_eq!(
        snap_assertions::decode(signed.to_string().as_bytes()).unwrap(),
        signed
    );

    // Exactly at the limit: the result can be read.
    let content = identity()
        .content(signer("issuer").public_key().id(), options().digest_form)
        .unwrap();
    let room = snap_assertions::MAX_HEADERS - content.len() - "\nx: ".len() - 2;
    let mut given = identity();
    given.headers.set("x", "x".repeat(room)).unwrap();
    let signed = given.sign(&signer("issuer"), &options()).unwrap();
    assert_eq!(
        snap_assertions::decode(signed.to_string().as_bytes()).unwrap(),
        signed
    );
    given.headers.set("x", "x".repeat(room + 1)).unwrap();
    assert!(matches!(
        given.sign(&signer("issuer"), &options()),
        Err(SignError::TooLong { .. })
    ));
}

#[test]
fn optional_primary_key_headers_with_their_default_are_left_out() {
    let mut given = Statement::default();
    for (name, value) in [
        ("type", "snap-revision"),
        ("authority-id", "canonical"),
        ("snap-sha3-384", "abc"),
        ("provenance", "global-upload"),
        ("x", "y"),
    ] {
        given.headers.set(name, Value::from(value)).unwrap();
    }
    let signed = given.sign(&signer("issuer"), &SignOptions::now()).unwrap();
    assert!(!signed.content().contains("provenance"));
    assert_eq!(signed.primary_key(), ["abc", "global-upload"]);
    given.headers.set("provenance", "delegated").unwrap();
    let signed = given.sign(&signer("issuer"), &SignOptions::now()).unwrap();
    assert!(
        signed
            .content()
            .contains("\nsnap-sha3-384: abc\nprovenance: delegated\nx: y\n")
    );
}
