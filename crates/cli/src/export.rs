//! `hardware-identity export`: the unsigned hardware-identity assertion of this device, or its public key.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use hardware_identity::config::Settings;
use hardware_identity::export::{Export, ExportHeaders};
use hardware_identity::hardware_id::HardwareIdSource;
use hardware_identity::identity::HardwareIdentity as Identity;
use hardware_identity::time::utc_now;
use identity_key::DigestForm;
use snap_assertions::types::HardwareIdentity;
use snap_assertions::{SignOptions, Statement};

use crate::device::Device;
use crate::explain::Explain as _;
use crate::output;
use crate::signing_key::SignerArguments;

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
            let json = arguments.export(device.settings, &identity)?.document();
            let statement = checked(&json)?;
            match &arguments.sign_with {
                None => json,
                Some(signer) => sign(&statement, signer, &identity)?,
            }
        }
    };
    output::write(arguments.output.as_deref(), &text)
}

impl Arguments {
    /// The export, with the flags over the settings.
    fn export(&self, mut settings: Settings, identity: &Identity) -> anyhow::Result<Export> {
        let given = [
            (&self.issuer_id, &mut settings.issuer_id),
            (&self.manufacturer, &mut settings.manufacturer),
            (&self.hardware_name, &mut settings.hardware_name),
        ];
        for (flag, setting) in given {
            *setting = flag.clone().or(setting.take());
        }
        settings.hardware_id = self.hardware_id.clone().or(settings.hardware_id);
        let headers = ExportHeaders::from_settings(&settings).explain(
            "the assertion cannot be exported",
            "Use the flags of these names, or the settings in hardware-identity.toml",
        )?;
        Ok(headers.export(identity, &utc_now())?)
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
