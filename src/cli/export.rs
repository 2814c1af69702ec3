//! `hardware-identity export`: the unsigned hardware-identity assertion of this device, or its public key.

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use hardware_identity::config::Settings;
use hardware_identity::hardware_id::HardwareIdSource;
use hardware_identity::identity::Identity;
use hardware_identity::public_key::DigestForm;
use hardware_identity::time::utc_now;
use serde::Serialize;
use snap_assertions::types::HardwareIdentity;
use snap_assertions::{SignOptions, Statement};

use crate::device::Device;
use crate::explain::Explain as _;
use crate::output;
use crate::signer::SignerArguments;

/// Writes the unsigned hardware-identity assertion of this device, as the JSON object that `snap sign` takes
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Write to FILE, whole or not at all, in place of stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What to write: the assertion's headers, or only the public key
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
    /// Account id of the issuer, in place of the setting `issuer-id`
    #[arg(long, value_name = "ACCOUNT-ID")]
    issuer_id: Option<String>,
    /// Manufacturer of the device, in place of the setting `manufacturer`
    #[arg(long, value_name = "TEXT")]
    manufacturer: Option<String>,
    /// Name of the hardware, in place of the setting `hardware-name`
    #[arg(long, value_name = "NAME")]
    hardware_name: Option<String>,
    /// Hardware id, in place of the setting `hardware-id`: dmi:product_serial, dmi:board_serial, device-tree,
    /// key-digest, or the value itself
    #[arg(long, value_name = "ID")]
    hardware_id: Option<HardwareIdSource>,
    /// Sign at once, on a bench: write the assertion in place of its headers. The key as for `sign`, in one
    /// word: key=FILE, gpg-key=NAME, key-name=NAME or pkcs11=URI
    #[arg(long, value_name = "KEY", conflicts_with = "format")]
    sign_with: Option<SignerArguments>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// The headers of the assertion, as one JSON object
    Json,
    /// The public key alone, as a PEM block
    Pem,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let device = Device::read()?;
    let identity = device.open(|_, identity| Ok(identity.clone()))?;
    if !identity.recorded {
        eprintln!(
            "hardware-identity: warning: there is no record of the identity here, so that the form of its digest is that of the \
             settings ({}), which may not be the device's own. Name the folder with the record: \
             SNAP_SAVE_DATA=/var/lib/snapd/save/snap/GADGET.",
            identity.record.digest_form
        );
    }
    let text = match arguments.format {
        Format::Pem => identity.public_key().pem()?,
        Format::Json => {
            let headers = arguments.headers(&device.settings, &identity)?;
            let json = serde_json::to_string_pretty(&headers)?;
            let statement = checked(&json)?;
            match &arguments.sign_with {
                None => format!("{json}\n"),
                Some(signer) => sign(&statement, signer, &identity)?,
            }
        }
    };
    output::write(arguments.output.as_deref(), &text)
}

impl Arguments {
    fn headers(&self, settings: &Settings, identity: &Identity) -> anyhow::Result<Headers> {
        let [issuer_id, manufacturer, hardware_name] = self.given(settings)?;
        let digest = identity.digest();
        let source = self
            .hardware_id
            .as_ref()
            .or(settings.hardware_id.as_ref())
            .context(
                "the assertion cannot be exported: hardware-id is not set. Use --hardware-id or the setting \
             `hardware-id`: dmi:product_serial, dmi:board_serial, device-tree, key-digest, or a value of \
             your own",
            )?;
        Ok(Headers {
            r#type: "hardware-identity",
            authority_id: issuer_id.clone(),
            issuer_id,
            manufacturer,
            hardware_name,
            hardware_id: source.read(&digest)?,
            hardware_id_key: identity.public_key().header_text(),
            hardware_id_key_digest: digest,
            timestamp: utc_now(),
        })
    }

    /// Issuer id, manufacturer and hardware name, from the flags or the settings.
    fn given(&self, settings: &Settings) -> anyhow::Result<[String; 3]> {
        let given = [
            ("issuer-id", &self.issuer_id, &settings.issuer_id),
            ("manufacturer", &self.manufacturer, &settings.manufacturer),
            ("hardware-name", &self.hardware_name, &settings.hardware_name),
        ];
        let values = given.map(|(_, flag, setting)| flag.as_ref().or(setting.as_ref()).cloned());
        if let [Some(issuer_id), Some(manufacturer), Some(hardware_name)] = values {
            return Ok([issuer_id, manufacturer, hardware_name]);
        }
        let missing: Vec<&str> = given
            .iter()
            .filter(|(_, flag, setting)| flag.is_none() && setting.is_none())
            .map(|(name, _, _)| *name)
            .collect();
        bail!(
            "the assertion cannot be exported: not set: {}. Use the flags of these names, or the settings in \
             hardware-identity.toml",
            missing.join(", ")
        )
    }
}

/// After all checks that snapd and the model service make.
fn checked(json: &str) -> anyhow::Result<Statement> {
    let statement = Statement::from_json(json)?;
    HardwareIdentity::check_any_form(&statement.headers).explain(
        "the assertion cannot be exported",
        "Correct the flag or the setting of the header's name",
    )?;
    Ok(statement)
}

fn sign(statement: &Statement, signer: &SignerArguments, identity: &Identity) -> anyhow::Result<String> {
    let digest_form = match identity.record.digest_form {
        DigestForm::Text => snap_assertions::DigestForm::Text,
        DigestForm::Der => snap_assertions::DigestForm::Der,
    };
    let options = SignOptions {
        digest_form,
        ..SignOptions::now()
    };
    let assertion = statement.sign(signer.open()?.as_ref(), &options).explain(
        "the assertion was not signed",
        "Check the key that --sign-with names",
    )?;
    Ok(assertion.to_string())
}

/// The headers that `snap sign` takes: a JSON object whose values are all texts.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Headers {
    r#type: &'static str,
    authority_id: String,
    issuer_id: String,
    manufacturer: String,
    hardware_name: String,
    hardware_id: String,
    hardware_id_key: String,
    #[serde(rename = "hardware-id-key-sha3-384")]
    hardware_id_key_digest: String,
    timestamp: String,
}
