//! `hardware-identity show`: the hardware identity of this device, and whether its key works.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};
use clap::Args;
use failure::Status;
use hardware_identity::identity::{HardwareIdentity, KeyReference, RecordDirectory};
use hardware_identity::tpm::TEMPLATE_VERSION;
use identity_key::DigestForm;
use identity_key::KeyKind;
use miette::Diagnostic;
use serde_json::{Value, json};
use thiserror::Error;

use crate::device::LocalDevice;
use crate::error::{PROGRAM, ToolError};
use crate::output;

/// Show the hardware identity of this device
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ShowArguments {
    /// Sign a random nonce with the key, and verify the signature with the public half
    #[arg(long)]
    check: bool,
}

const EXAMPLES: &str = "\
Examples:
  hardware-identity show --check
  hardware-identity show --json | jq -r .digest

With --json the output is one JSON object.";

/// Why the key of the device cannot be checked, or does not work.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum CheckFailure {
    #[error("the system returned no random numbers")]
    #[diagnostic(
        code("no-random-numbers"),
        help("Check the random number generator of the kernel")
    )]
    Random,
    #[error("the signature does not verify with the public half of the key")]
    #[diagnostic(
        code("tpm-signature-wrong"),
        help(
            "Power the device off and on and check again; if it fails again, the TPM or the token is faulty: take \
             the device off the line"
        )
    )]
    Signature,
}

impl CheckFailure {
    pub(crate) fn status(&self) -> Status {
        match self {
            CheckFailure::Random => Status::Internal,
            CheckFailure::Signature => Status::Device,
        }
    }
}

pub(crate) fn run(arguments: &ShowArguments, json: bool) -> Result<(), ToolError> {
    let device = LocalDevice::read(json)?;
    let nonce = random_nonce()?;
    let (identity, signature) = device.open(|key, identity| {
        let signature = match arguments.check {
            true => Some(identity.sign(key, &nonce)?),
            false => None,
        };
        Ok((identity.clone(), signature))
    })?;
    if let Some(signature) = &signature {
        verify(&identity, &nonce, signature)?;
    }
    for warning in identity.ignored_settings(&device.settings.identity()) {
        failure::warn(PROGRAM, &warning);
    }
    let facts = facts(&device, &identity, signature.is_some());
    let text = match json {
        true => format!("{facts:#}\n"),
        false => table(&facts),
    };
    Ok(output::write(None, &text)?)
}

fn facts(device: &LocalDevice, identity: &HardwareIdentity, checked: bool) -> Value {
    let key = identity.public_key();
    let record = device.records.as_ref().filter(|_| identity.recorded);
    let mut facts = json!({
        "key-backend": identity.record.key.backend().name(),
        "algorithm": key.kind(),
        "digest": identity.digest(),
        "digest-form": identity.record.digest_form.to_string(),
        "digest-text": key.digest(DigestForm::Text),
        "digest-der": key.digest(DigestForm::Der),
        "public-key": key.header_value(),
        "record": record.map(|records| records.file().display().to_string()),
        "created": record.map(|_| identity.record.created.as_str()),
        "checked": checked,
    });
    let of_backend = match &identity.record.key {
        KeyReference::Tpm(name) => json!({
            "handle": device.settings.handle.to_string(),
            "persistent": identity.persistent,
            "template-version": TEMPLATE_VERSION,
            "name": name.to_string(),
        }),
        KeyReference::Pkcs11(token) => json!({
            "token": token.token_label,
            "token-serial": token.token_serial,
            "key-label": token.key.label,
            "key-id": token.key.id,
        }),
        KeyReference::Software => json!({
            "key-file": device.records.as_ref().and_then(RecordDirectory::key_file),
        }),
    };
    if let (Value::Object(facts), Value::Object(of_backend)) = (&mut facts, of_backend) {
        facts.extend(of_backend);
    }
    facts
}

fn table(facts: &Value) -> String {
    let text = |name: &str| facts[name].as_str().unwrap_or_default().to_owned();
    let in_use = |form: &str| {
        if facts["digest-form"] == form {
            "  (in use)"
        } else {
            ""
        }
    };
    let record = match facts["record"].is_null() {
        true => "none".to_owned(),
        false => format!("{}, since {}", text("record"), text("created")),
    };
    let mut lines = vec![
        ("Key backend", text("key-backend")),
        ("Algorithm", text("algorithm")),
        ("Digest (text form)", text("digest-text") + in_use("text")),
        ("Digest (DER form)", text("digest-der") + in_use("der")),
    ];
    lines.extend(lines_of_backend(facts));
    lines.push(("Record", record));
    if facts["checked"] == true {
        lines.push(("Check", "a random nonce was signed and verified".to_owned()));
    }
    lines
        .iter()
        .map(|(name, value)| format!("{name:<19} {value}\n"))
        .collect()
}

/// The lines that only one backend has.
fn lines_of_backend(facts: &Value) -> Vec<(&'static str, String)> {
    const NAMES: [(&str, &str); 8] = [
        ("Persistent handle", "handle"),
        ("Template version", "template-version"),
        ("TPM Name", "name"),
        ("Token", "token"),
        ("Token serial", "token-serial"),
        ("Key label", "key-label"),
        ("Key id", "key-id"),
        ("Key file", "key-file"),
    ];
    let present = NAMES.into_iter().filter(|(_, member)| !facts[*member].is_null());
    let line = |(name, member)| {
        let value: &Value = &facts[member];
        let mut text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if member == "handle" && facts["persistent"] == false {
            text += "  (empty: the key is derived again each time)";
        }
        (name, text)
    };
    present.map(line).collect()
}

fn random_nonce() -> Result<[u8; 32], CheckFailure> {
    let mut nonce = [0; 32];
    aws_lc_rs::rand::fill(&mut nonce).map_err(|_| CheckFailure::Random)?;
    Ok(nonce)
}

fn verify(identity: &HardwareIdentity, nonce: &[u8], signature: &[u8]) -> Result<(), CheckFailure> {
    let key = identity.public_key();
    let algorithm: &'static dyn VerificationAlgorithm = match key.kind() {
        KeyKind::EcdsaP256 => &ECDSA_P256_SHA256_ASN1,
        KeyKind::EcdsaP384 => &ECDSA_P384_SHA384_ASN1,
        KeyKind::Rsa { .. } => &RSA_PKCS1_2048_8192_SHA256,
    };
    UnparsedPublicKey::new(algorithm, key.der())
        .verify(nonce, signature)
        .map_err(|_| CheckFailure::Signature)
}
