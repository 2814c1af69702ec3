//! `hardware-identity show`: what the identity of this device is, and whether it works.

use anyhow::{Context as _, ensure};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};
use clap::Args;
use hardware_identity::identity::HardwareIdentity as Identity;
use hardware_identity::tpm::TEMPLATE_VERSION;
use identity_key::DigestForm;
use identity_key::KeyKind;
use serde_json::{Value, json};

use crate::device::Device;
use crate::output;

/// Shows the hardware identity of this device
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Sign a random nonce with the key, and verify the signature with the public half
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let device = Device::read()?;
    let nonce = random_nonce()?;
    let (identity, signature) = device.open(|tpm, identity| {
        let signature = match arguments.check {
            true => Some(identity.sign(tpm, &nonce)?),
            false => None,
        };
        Ok((identity.clone(), signature))
    })?;
    if let Some(signature) = &signature {
        verify(&identity, &nonce, signature)?;
    }
    for warning in identity.ignored_settings(&device.settings.identity()) {
        failure::warn("hardware-identity", &warning);
    }
    let facts = facts(&device, &identity, signature.is_some());
    let text = match arguments.json {
        true => format!("{}\n", serde_json::to_string_pretty(&facts)?),
        false => table(&facts),
    };
    output::write(None, &text)
}

fn facts(device: &Device, identity: &Identity, checked: bool) -> Value {
    let key = identity.public_key();
    let record = device.records.as_ref().filter(|_| identity.recorded);
    json!({
        "algorithm": key.kind(),
        "digest": identity.digest(),
        "digest-form": identity.record.digest_form.to_string(),
        "digest-text": key.digest(DigestForm::Text),
        "digest-der": key.digest(DigestForm::Der),
        "handle": device.settings.handle.to_string(),
        "persistent": identity.persistent,
        "template-version": TEMPLATE_VERSION,
        "name": identity.record.name.to_string(),
        "public-key": key.header_value(),
        "record": record.map(|records| records.file().display().to_string()),
        "created": record.map(|_| identity.record.created.as_str()),
        "checked": checked,
    })
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
    let persistent = match facts["persistent"] == true {
        true => "",
        false => "  (empty: the key is derived anew each time)",
    };
    let record = match facts["record"].is_null() {
        true => "none".to_owned(),
        false => format!("{}, since {}", text("record"), text("created")),
    };
    let mut lines = vec![
        ("KeyKind", text("algorithm")),
        ("Digest (text form)", text("digest-text") + in_use("text")),
        ("Digest (DER form)", text("digest-der") + in_use("der")),
        ("Persistent handle", text("handle") + persistent),
        ("Template version", facts["template-version"].to_string()),
        ("TPM Name", text("name")),
        ("Record", record),
    ];
    if facts["checked"] == true {
        lines.push(("Check", "a random nonce was signed and verified".to_owned()));
    }
    lines
        .iter()
        .map(|(name, value)| format!("{name:<19} {value}\n"))
        .collect()
}

fn random_nonce() -> anyhow::Result<[u8; 32]> {
    let mut nonce = [0; 32];
    aws_lc_rs::rand::fill(&mut nonce)
        .ok()
        .context("the system gave no random numbers. Check the kernel's random number generator")?;
    Ok(nonce)
}

fn verify(identity: &Identity, nonce: &[u8], signature: &[u8]) -> anyhow::Result<()> {
    let key = identity.public_key();
    let algorithm: &'static dyn VerificationAlgorithm = match key.kind() {
        KeyKind::EcdsaP256 => &ECDSA_P256_SHA256_ASN1,
        KeyKind::EcdsaP384 => &ECDSA_P384_SHA384_ASN1,
        KeyKind::Rsa { .. } => &RSA_PKCS1_2048_8192_SHA256,
    };
    let verified = UnparsedPublicKey::new(algorithm, key.der()).verify(nonce, signature);
    ensure!(
        verified.is_ok(),
        "the TPM's signature does not verify with the public half of the key. Power the device off and on \
         and check again; take it off the line if it fails again, its TPM is faulty"
    );
    Ok(())
}
