//! The checks on each type: for every rule a statement that breaks it alone, and the header that the error
//! names.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{assertion, bytes, options, signer, statement, text};
use snap_assertions::types::{AccountKey, HardwareIdentity, NonceHash};
use snap_assertions::{
    Assertion, DigestForm, HeaderError, HeaderProblem, KeyError, SignError, Statement, VerifyError,
};

/// Changes the vector `vector` and says which header is wrong then. `change` is a JSON object of headers to
/// be set; null removes one.
fn wrong_header(vector: &str, change: &str) -> Result<(), HeaderError> {
    let changed = changed(vector, change);
    match changed.content(assertion(vector).sign_key_id(), DigestForm::Text) {
        Ok(_) => Ok(()),
        Err(SignError::Header(error)) => Err(error),
        Err(other) => panic!("{change}: {other}"),
    }
}

fn changed(vector: &str, change: &str) -> Statement {
    let mut statement = statement(&assertion(vector));
    let change: serde_json::Map<String, serde_json::Value> = serde_json::from_str(change).unwrap();
    for (name, value) in change {
        match (name.as_str(), value) {
            (_, serde_json::Value::Null) => drop(statement.headers.remove(&name)),
            ("body", value) => statement.body = value.as_str().unwrap().to_owned(),
            (_, value) => {
                let value: snap_assertions::Value = serde_json::from_value(value).unwrap();
                statement.headers.set(&name, value).unwrap();
            }
        }
    }
    statement
}

fn expect(vector: &str, cases: &[(&str, &str)]) {
    assert_eq!(wrong_header(vector, "{}"), Ok(()), "{vector} itself");
    for (change, header) in cases {
        match wrong_header(vector, change) {
            Ok(()) => assert_eq!("", *header, "{change} was accepted"),
            Err(error) => assert_eq!(error.header, *header, "{change}: {error}"),
        }
    }
}

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
            // Neither required nor looked at.
            (r#"{"timestamp": null}"#, ""),
            (r#"{"timestamp": "yesterday"}"#, ""),
            (r#"{"format": "1"}"#, "format"),
        ],
    );
}

#[test]
fn serial_request() {
    expect(
        "serial-request",
        &[
            (r#"{"authority-id": "brand-acme"}"#, "authority-id"),
            (r#"{"brand-id": null}"#, "brand-id"),
            (r#"{"brand-id": "Any text"}"#, ""),
            (r#"{"model": null}"#, "model"),
            (r#"{"model": "Edge-box"}"#, "model"),
            (r#"{"model": "edge_box"}"#, "model"),
            (r#"{"request-id": ""}"#, "request-id"),
            (r#"{"serial": null}"#, ""),
            (r#"{"serial": ["1"]}"#, "serial"),
            (r#"{"device-key": null}"#, "device-key"),
            (r#"{"device-key": "AQ=="}"#, "device-key"),
        ],
    );
    // Signed by another key than the one it carries.
    let request = statement(&assertion("serial-request"));
    let error = request.sign(&signer("brand"), &options()).unwrap_err();
    let SignError::Header(error) = error else {
        panic!("{error}")
    };
    assert_eq!(error.header, "sign-key-sha3-384");
}

#[test]
fn serial() {
    expect(
        "serial",
        &[
            (r#"{"brand-id": "Brand"}"#, "brand-id"),
            (r#"{"model": "UPPER"}"#, "model"),
            (r#"{"serial": "a/b"}"#, "serial"),
            (r#"{"serial": null}"#, "serial"),
            (r#"{"device-key": null}"#, "device-key"),
            (r#"{"device-key-sha3-384": null}"#, "device-key-sha3-384"),
            (r#"{"device-key-sha3-384": "A"}"#, "device-key-sha3-384"),
            (r#"{"timestamp": null}"#, "timestamp"),
            (r#"{"timestamp": "2026-01-01"}"#, "timestamp"),
        ],
    );
}

/// Made of the headers of the vector `model`.
const ACCOUNT: &str =
    r#"{"type": "account", "account-id": "brand-acme", "display-name": "Acme", "validation": "certified"}"#;

#[test]
fn account() {
    let account = |change: &str| {
        let merged = format!(
            "{}, {}",
            ACCOUNT.trim_end_matches('}'),
            change.trim_start_matches('{')
        );
        wrong_header("model", &merged).map_err(|error| error.header)
    };
    assert_eq!(account(r#"{"username": "acme"}"#), Ok(()));
    for (change, header) in [
        (r#"{"account-id": ""}"#, "account-id"),
        (r#"{"display-name": ""}"#, "display-name"),
        (r#"{"validation": ""}"#, "validation"),
        (r#"{"timestamp": "now"}"#, "timestamp"),
        (r#"{"username": ["acme"]}"#, "username"),
    ] {
        // serde_json takes the last of two equal names.
        assert_eq!(account(change), Err(header.to_owned()), "{change}");
    }
    let statement = changed("model", ACCOUNT);
    let view = snap_assertions::types::Account::check(&statement.headers).unwrap();
    assert_eq!((view.validation(), view.username()), ("verified", None));
    assert_eq!((view.account_id(), view.display_name()), ("brand-acme", "Acme"));
    assert_eq!(view.timestamp().to_string(), "2026-01-01T00:00:00Z");
}

#[test]
fn account_key() {
    expect(
        "account-key-issuer",
        &[
            (r#"{"account-id": null}"#, "account-id"),
            (r#"{"name": null}"#, ""),
            (r#"{"name": "1"}"#, "name"),
            (r#"{"name": "-a"}"#, "name"),
            (r#"{"since": null}"#, "since"),
            (r#"{"since": "2024"}"#, "since"),
            (r#"{"until": null}"#, ""),
            (r#"{"until": ""}"#, "until"),
            (r#"{"until": "2023-12-31T23:59:59Z"}"#, "until"),
            (r#"{"body": ""}"#, "body"),
            (r#"{"body": "AQ=="}"#, "body"),
            (r#"{"public-key-sha3-384": "A"}"#, "public-key-sha3-384"),
            (r#"{"format": "2"}"#, "format"),
        ],
    );
    let with = |constraints: &str| format!(r#"{{"format": "1", "constraints": {constraints}}}"#);
    for (constraints, header) in [
        (r#""a""#, "constraints"),
        ("[]", "constraints"),
        (r#"["a"]"#, "constraints[0]"),
        (r#"[{"a": "b"}]"#, "constraints[0].headers"),
        (r#"[{"headers": "a"}]"#, "constraints[0].headers"),
        (r#"[{"headers": {"model": "a"}}]"#, "constraints[0].headers.type"),
        (
            r#"[{"headers": {"type": ["model"]}}]"#,
            "constraints[0].headers.type",
        ),
        (
            r#"[{"headers": {"type": "mod.*"}}]"#,
            "constraints[0].headers.type",
        ),
        (
            r#"[{"headers": {"type": "model", "model": "("}}]"#,
            "constraints[0].headers.model",
        ),
        (
            r#"[{"headers": {"type": "model", "model": "$SLOT(a)"}}]"#,
            "constraints[0].headers.model",
        ),
        (
            r#"[{"headers": {"type": "model", "model": [["a"]]}}]"#,
            "constraints[0].headers.model[0]",
        ),
        (r#"[{"headers": {"type": "hardware-identity"}}]"#, ""),
    ] {
        let found = wrong_header("account-key-issuer", &with(constraints)).map_err(|error| error.header);
        let expected = if header.is_empty() {
            Ok(())
        } else {
            Err(header.to_owned())
        };
        assert_eq!(found, expected, "{constraints}");
    }
    // Only a snapd that knows format 1 knows constraints.
    let constraints = r#"{"constraints": [{"headers": {"type": "model"}}]}"#;
    let error = wrong_header("account-key-issuer", constraints).unwrap_err();
    assert_eq!(error.problem, HeaderProblem::FormatTooLow(1));
}

#[test]
fn model() {
    expect(
        "model",
        &[
            (r#"{"brand-id": "other"}"#, "brand-id"),
            (r#"{"model": "Edge"}"#, "model"),
            (r#"{"classic": "yes"}"#, "classic"),
            (r#"{"gadget": "pc"}"#, "gadget"),
            (r#"{"kernel": "pc-kernel"}"#, "kernel"),
            (r#"{"required-snaps": ["a-snap"]}"#, "required-snaps"),
            (r#"{"distribution": "ubuntu"}"#, "distribution"),
            (r#"{"architecture": null}"#, "architecture"),
            (r#"{"base": null}"#, "base"),
            (r#"{"base": "Core"}"#, "base"),
            (r#"{"store": ["a"]}"#, "store"),
            (r#"{"display-name": ["a"]}"#, "display-name"),
            (r#"{"grade": "great"}"#, "grade"),
            (r#"{"storage-safety": "none"}"#, "storage-safety"),
            (
                r#"{"grade": "secured", "storage-safety": "prefer-encrypted"}"#,
                "storage-safety",
            ),
            (r#"{"grade": "secured", "storage-safety": "encrypted"}"#, ""),
            (r#"{"serial-authority": "*"}"#, "serial-authority"),
            (r#"{"serial-authority": ["UPPER"]}"#, "serial-authority[0]"),
            (r#"{"serial-authority": ["generic"]}"#, ""),
            (r#"{"system-user-authority": "*"}"#, ""),
            (r#"{"system-user-authority": "all"}"#, "system-user-authority"),
            (r#"{"preseed-authority": "*"}"#, "preseed-authority"),
            (r#"{"timestamp": null}"#, "timestamp"),
            (r#"{"snaps": "pc"}"#, "snaps"),
            (r#"{"snaps": null}"#, "grade"),
            (r#"{"snaps": null, "grade": null}"#, "gadget"),
            (
                r#"{"snaps": null, "grade": null, "gadget": "pc=24", "kernel": "pc-kernel"}"#,
                "",
            ),
            (
                r#"{"snaps": null, "grade": null, "gadget": "pc=24/stable", "kernel": "pc-kernel"}"#,
                "gadget",
            ),
            (
                r#"{"snaps": null, "grade": null, "gadget": "pc", "kernel": "pc-kernel=edge"}"#,
                "kernel",
            ),
            (
                r#"{"snaps": null, "grade": null, "gadget": "pc", "kernel": "P"}"#,
                "kernel",
            ),
            (
                r#"{"snaps": null, "grade": null, "gadget": "pc", "kernel": "pc-kernel", "required-snaps": ["a"]}"#,
                "required-snaps[0]",
            ),
            (r#"{"snaps": null, "grade": null, "classic": "true"}"#, "base"),
            (
                r#"{"snaps": null, "grade": null, "classic": "true", "base": null}"#,
                "",
            ),
            (
                r#"{"snaps": null, "grade": null, "classic": "true", "base": null, "kernel": "k"}"#,
                "kernel",
            ),
            (r#"{"classic": "true"}"#, "distribution"),
            (r#"{"classic": "true", "distribution": "ubuntu"}"#, ""),
            (r#"{"classic": "true", "distribution": "Ubuntu"}"#, "distribution"),
            (r#"{"validation-sets": "a"}"#, "validation-sets"),
            (r#"{"validation-sets": ["a"]}"#, "validation-sets[0]"),
            (
                r#"{"validation-sets": [{"name": "a_b", "mode": "enforce"}]}"#,
                "validation-sets[0].name",
            ),
            (
                r#"{"validation-sets": [{"name": "a"}]}"#,
                "validation-sets[0].mode",
            ),
            (
                r#"{"validation-sets": [{"name": "a", "mode": "x"}]}"#,
                "validation-sets[0].mode",
            ),
            (
                r#"{"validation-sets": [{"name": "a", "mode": "enforce", "sequence": "0"}]}"#,
                "validation-sets[0].sequence",
            ),
            (
                r#"{"validation-sets": [{"name": "a", "mode": "enforce"}, {"name": "a", "mode": "enforce", "account-id": "brand-acme"}]}"#,
                "validation-sets[1].name",
            ),
            (
                r#"{"validation-sets": [{"name": "a", "mode": "prefer-enforce", "sequence": "3"}]}"#,
                "",
            ),
        ],
    );
}

const ID: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// The header that is wrong when the model lists the snap `extra` besides its own.
fn wrong_snap(extra: &str, change: &str) -> Result<(), String> {
    let given = Statement::from_json(&text("model.json")).unwrap();
    let snap: snap_assertions::Value = serde_json::from_str(extra).unwrap();
    let mut snaps = given.headers.get("snaps").unwrap().as_list().unwrap().to_vec();
    snaps.push(snap);
    let mut statement = changed("model", change);
    statement
        .headers
        .set("snaps", snap_assertions::Value::List(snaps))
        .unwrap();
    match statement.content(assertion("model").sign_key_id(), DigestForm::Text) {
        Ok(_) => Ok(()),
        Err(SignError::Header(error)) => Err(error.header),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn snaps_of_a_model() {
    for (extra, header) in [
        (r#"NAME, "id": "ID""#, ""),
        (r#"NAME"#, "snaps[3].id"),
        (r#"NAME, "id": "short""#, "snaps[3].id"),
        (r#""name": "A", "id": "ID""#, "snaps[3].name"),
        (r#""name": "pc", "id": "ID""#, "snaps"),
        (r#"NAME, "id": "UqFziVZDHLSyO3TqSWgNBoAdHbLI4dAH""#, "snaps"),
        (r#"NAME, "id": "ID", "type": "gadget""#, "snaps"),
        (r#"NAME, "id": "ID", "type": "os""#, "snaps[3].type"),
        (r#"NAME, "id": "ID", "type": "snapd""#, ""),
        (
            r#"NAME, "id": "ID", "type": "snapd", "presence": "required""#,
            "snaps[3].presence",
        ),
        (
            r#"NAME, "id": "ID", "type": "snapd", "modes": ["run"]"#,
            "snaps[3].modes",
        ),
        (r#"NAME, "id": "ID", "presence": "maybe""#, "snaps[3].presence"),
        (r#"NAME, "id": "ID", "modes": ["Run"]"#, "snaps[3].modes[0]"),
        (r#"NAME, "id": "ID", "modes": "run""#, "snaps[3].modes"),
        (
            r#"NAME, "id": "ID", "default-channel": "stable""#,
            "snaps[3].default-channel",
        ),
        (
            r#"NAME, "id": "ID", "default-channel": "24/foo""#,
            "snaps[3].default-channel",
        ),
        (r#"NAME, "id": "ID", "default-channel": "24/edge/fix""#, ""),
        (
            r#"NAME, "id": "ID", "default-channel": "24/edge/fix/1""#,
            "snaps[3].default-channel",
        ),
        (r#"NAME, "id": "ID", "default-channel": "24""#, ""),
        (r#"NAME, "id": "ID", "classic": "true""#, "snaps[3].classic"),
        (r#"NAME, "id": "ID", "components": "c""#, "snaps[3].components"),
        (r#"NAME, "id": "ID", "components": {"comp": "optional"}"#, ""),
        (
            r#"NAME, "id": "ID", "components": {"comp": "x"}"#,
            "snaps[3].components.comp",
        ),
        (
            r#"NAME, "id": "ID", "components": {"c": "optional"}"#,
            "snaps[3].components.c",
        ),
        (
            r#"NAME, "id": "ID", "components": {"comp": {"modes": ["run"]}}"#,
            "snaps[3].components.comp.presence",
        ),
        (
            r#"NAME, "id": "ID", "components": {"comp": {"presence": "optional", "x": "y"}}"#,
            "snaps[3].components.comp.x",
        ),
        (
            r#"NAME, "id": "ID", "components": {"comp": {"presence": "optional", "modes": ["recover"]}}"#,
            "snaps[3].components.comp.modes",
        ),
    ] {
        let extra = format!(
            "{{{}}}",
            extra.replace("NAME", r#""name": "app""#).replace("ID", ID)
        );
        let expected = if header.is_empty() {
            Ok(())
        } else {
            Err(header.to_owned())
        };
        assert_eq!(wrong_snap(&extra, "{}"), expected, "{extra}");
    }
    let app = |extra: &str| format!(r#"{{"name": "app", "id": "{ID}", "classic": "true"{extra}}}"#);
    let classic = r#"{"classic": "true", "distribution": "ubuntu"}"#;
    assert_eq!(wrong_snap(&app(""), classic), Ok(()));
    assert_eq!(
        wrong_snap(&app(r#", "modes": ["recover"]"#), classic),
        Err("snaps[3].classic".into())
    );
    assert_eq!(
        wrong_snap(&app(r#", "type": "base""#), classic),
        Err("snaps[3].classic".into())
    );
    // A model of grade dangerous may list snaps that no store knows.
    assert_eq!(
        wrong_snap(r#"{"name": "app"}"#, r#"{"grade": "dangerous"}"#),
        Ok(())
    );
    // snapd knows the snap ids of the bases up to core24.
    assert_eq!(
        wrong_snap(
            r#"{"name": "app"}"#,
            r#"{"grade": "dangerous", "base": "core26"}"#
        ),
        Ok(())
    );
    let app = format!(r#"{{"name": "app", "id": "{ID}"}}"#);
    assert_eq!(wrong_snap(&app, r#"{"base": "core26"}"#), Err("snaps".into()));
    assert_eq!(wrong_snap(&app, r#"{"base": "core22"}"#), Ok(()));
}

#[test]
fn essential_snaps_must_be_listed() {
    for (kept, classic, fine) in [
        (&["gadget"][..], false, false),
        (&["kernel"], false, false),
        (&["gadget", "kernel"], false, true),
        (&[], true, true),
        (&["gadget"], true, true),
        (&["kernel"], true, false),
    ] {
        let mut statement = changed("model", "{}");
        let snaps = statement.headers.get("snaps").unwrap().as_list().unwrap().iter();
        let kind = |snap: &snap_assertions::Value| {
            snap.as_map()
                .unwrap()
                .get_str("type")
                .unwrap_or_default()
                .to_owned()
        };
        let snaps = snaps
            .filter(|snap| kept.contains(&kind(snap).as_str()))
            .cloned()
            .collect();
        statement
            .headers
            .set("snaps", snap_assertions::Value::List(snaps))
            .unwrap();
        if classic {
            statement.headers.set("classic", "true").unwrap();
            statement.headers.set("distribution", "ubuntu").unwrap();
        }
        let result = snap_assertions::types::Model::check(&statement.headers);
        assert_eq!(result.is_ok(), fine, "{kept:?} classic: {classic}: {result:?}");
    }
}

/// The documentation's example: its key, and the two digests of it.
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
    assert_eq!(any.key().der_digest(), EXAMPLE_DER);

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
            NonceHash::Sha256,
            NonceHash::Sha384,
            ecdsa(&aws::ECDSA_P256_SHA256_ASN1_SIGNING, "hw-p256.pk8"),
        ),
        (
            "hardware-identity-p384",
            NonceHash::Sha384,
            NonceHash::Sha256,
            ecdsa(&aws::ECDSA_P384_SHA384_ASN1_SIGNING, "hw-p384.pk8"),
        ),
        (
            "hardware-identity-rsa2048",
            NonceHash::Sha256,
            NonceHash::Sha384,
            rsa(&aws::RSA_PKCS1_SHA256),
        ),
        (
            "hardware-identity-rsa2048",
            NonceHash::Sha384,
            NonceHash::Sha256,
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
    assert_eq!("sha384".parse(), Ok(NonceHash::Sha384));
    assert!("SHA-384".parse::<NonceHash>().is_err());
}

#[test]
fn an_account_key_verifies_what_its_account_signed_in_its_time() {
    let key_assertion = assertion("account-key-issuer");
    let key = AccountKey::try_from(&key_assertion).unwrap();
    let identity = assertion("hardware-identity-p256");
    let at = |time: &str| time.parse().unwrap();
    key.verify(&identity, at("2026-01-01T00:00:00Z")).unwrap();
    key.verify(&identity, key.since()).unwrap();
    for time in ["2023-12-31T23:59:59Z", "2034-01-01T00:00:00Z"] {
        let error = key.verify(&identity, at(time)).unwrap_err();
        assert!(matches!(error, VerifyError::NotValidNow { .. }), "{error}");
    }
    let error = key
        .verify(&assertion("serial"), at("2026-01-01T00:00:00Z"))
        .unwrap_err();
    assert!(matches!(error, VerifyError::OtherAccount { .. }), "{error}");
    let mut changed = identity.to_string();
    changed = changed.replace("manufacturer: ", "manufacturer: not ");
    let changed = snap_assertions::decode(changed.as_bytes()).unwrap();
    assert_eq!(
        key.verify(&changed, at("2026-01-01T00:00:00Z")),
        Err(VerifyError::BadSignature)
    );

    // The timestamp of a serial counts; that of a hardware-identity does not, as in snapd.
    let brand = assertion("account-key-brand");
    let brand = AccountKey::try_from(&brand).unwrap();
    let now = at("2026-01-01T00:00:00Z");
    let sign = |vector, key| {
        let old = changed_timestamp(vector);
        old.sign(&signer(key), &options()).unwrap()
    };
    brand.verify(&assertion("serial"), now).unwrap();
    let error = brand.verify(&sign("serial", "brand"), now).unwrap_err();
    assert!(matches!(error, VerifyError::TimestampOutside { .. }), "{error}");
    key.verify(&sign("hardware-identity-p256", "issuer"), now)
        .unwrap();
}

fn changed_timestamp(vector: &str) -> Statement {
    changed(vector, r#"{"timestamp": "2020-01-01T00:00:00Z"}"#)
}

#[test]
fn constraints_limit_what_a_key_may_sign() {
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let allowed = |constraints: &str, signed: &Assertion| {
        let change = format!(r#"{{"format": "1", "constraints": {constraints}}}"#);
        let statement = changed("account-key-issuer", &change);
        let key = AccountKey::check(&statement.headers, &statement.body).unwrap();
        match key.verify(signed, now) {
            Ok(()) => true,
            Err(VerifyError::Constraints) => false,
            Err(other) => panic!("{other}"),
        }
    };
    let wrapped = assertion("hardware-identity-wrapped-key");
    for (headers, expected) in [
        (r#""hardware-name": "edge-.*""#, true),
        (r#""hardware-name": "edge""#, false),
        (r#""hardware-name": ["a", "edge-box-[0-9]"]"#, true),
        (r#""hardware-name": ["a", "b"]"#, false),
        (r#""model": "$MISSING""#, true),
        (r#""hardware-name": "$MISSING""#, false),
        (r#""model": ["$MISSING", "a"]"#, false),
        (r#""model": ".*""#, false),
        (r#""x-map": {"k": "v", "a": {"b": "c|d"}}"#, true),
        (r#""x-map": {"k": "w"}"#, false),
        (r#""x-map": "v""#, false),
        (r#""x-list": "[abc]""#, true),
        (r#""x-list": "[ab]""#, false),
    ] {
        let constraints = format!(r#"[{{"headers": {{"type": "hardware-identity", {headers}}}}}]"#);
        assert_eq!(allowed(&constraints, &wrapped), expected, "{headers}");
        let either = format!(r#"[{{"headers": {{"type": "model"}}}}, {}"#, &constraints[1..]);
        assert_eq!(allowed(&either, &wrapped), expected, "{headers}");
    }
}

#[test]
fn keys_that_cannot_identify_hardware() {
    use snap_assertions::types::HardwareKey;
    // SubjectPublicKeyInfo of other kinds, made by openssl for this test.
    for (file, kind) in [
        ("other-keys/p521.pub", "ECDSA P-521"),
        ("other-keys/ed25519.pub", "Ed25519"),
        ("other-keys/p256-compressed.pub", "ECDSA with a compressed point"),
        ("other-keys/p224.pub", "ECDSA on the curve 1.3.132.0.33"),
    ] {
        let error = HardwareKey::from_spki_der(&bytes(file)).unwrap_err();
        let KeyError::Kind { found, .. } = error else {
            panic!("{file}: {error}")
        };
        assert_eq!(found, kind);
    }
    let error = HardwareKey::from_spki_der(&bytes("other-keys/rsa1024.pub")).unwrap_err();
    assert_eq!(
        error,
        KeyError::Size {
            bits: 1024,
            min: 2048
        }
    );
    // A point that is not on the curve.
    let good = assertion("hardware-identity-p256");
    let mut der = HardwareIdentity::try_from(&good)
        .unwrap()
        .key()
        .spki_der()
        .to_vec();
    *der.last_mut().unwrap() ^= 1;
    assert_eq!(HardwareKey::from_spki_der(&der), Err(KeyError::Invalid));
    der.push(0);
    assert!(matches!(
        HardwareKey::from_spki_der(&der),
        Err(KeyError::NotDer(_))
    ));
}
