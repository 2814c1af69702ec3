//! `hardware-identity export`: the unsigned hardware-identity assertion of this device, or its public
//! key.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use failure::Status;
use hardware_identity::config::{MissingSettings, Settings};
use hardware_identity::evidence::{CollectedEvidence, EvidenceMessage, NoEndorsementKey};
use hardware_identity::export::Export;
use hardware_identity::hardware_id::{HardwareIdError, HardwareIdSource};
use hardware_identity::identity::{self, IdentityError, OpenKey, UnknownBackend};
use hardware_identity::time::utc_now;
use identity_key::{DigestForm, IdentityKeyError};
use miette::Diagnostic;
use residency::EkTemplate;
use snap_assertions::types::HardwareIdentity;
use snap_assertions::{HeaderError, InvalidStatement, SignError, SignOptions, Statement};
use thiserror::Error;

use crate::device::{DeviceFailure, LocalDevice};
use crate::error::{PROGRAM, ToolError};
use crate::export_checks::take_backend;
use crate::output;
use crate::signing_key::SignerArguments;
use crate::signing_rules::{self, UnsafeIdentity};

/// Export the unsigned hardware-identity assertion of this device, as the JSON object that `snap sign` reads
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExportArguments {
    /// Write to FILE, as a whole or not at all, instead of stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// What to write: the headers of the assertion, or only the public key
    #[arg(long, value_enum, default_value_t = ExportFormat::Json)]
    format: ExportFormat,
    #[command(flatten)]
    headers: ExportHeaders,
    /// Write evidence to FILE, with which the issuer's station challenges the TPM that holds the key: an
    /// endorsement key (EK) of the TPM and its certificate
    #[arg(long, value_name = "FILE", conflicts_with = "format")]
    with_evidence: Option<PathBuf>,
    /// The endorsement key of the evidence: L-1, L-2, H-1, H-2, H-3 or H-6; without this flag the first ECC
    /// key that has a certificate in the TPM, else the first RSA key
    #[arg(long, value_name = "TEMPLATE", requires = "with_evidence")]
    ek_template: Option<EkTemplate>,
    /// Sign at once, on a bench: write the signed assertion. The key is that of `sign`, in one word:
    /// key=FILE, gpg-key=NAME, key-name=NAME or pkcs11=URI
    #[arg(long, value_name = "KEY", conflicts_with_all = ["format", "with_evidence"])]
    sign_with: Option<SignerArguments>,
}

/// The headers of an export that differ from the settings.
#[derive(Args, Debug)]
pub(crate) struct ExportHeaders {
    /// Account id of the issuer; overrides the setting `issuer-id`
    #[arg(long, value_name = "ACCOUNT-ID")]
    issuer_id: Option<String>,
    /// Manufacturer of the device; overrides the setting `manufacturer`
    #[arg(long, value_name = "TEXT")]
    manufacturer: Option<String>,
    /// Name of the hardware; overrides the setting `hardware-name`
    #[arg(long, value_name = "NAME")]
    hardware_name: Option<String>,
    /// Hardware id: dmi:product_serial, dmi:board_serial, device-tree, key-digest, or the value itself;
    /// overrides the setting `hardware-id`
    #[arg(long, value_name = "ID")]
    hardware_id: Option<HardwareIdSource>,
}

const EXAMPLES: &str = "\
Examples:
  hardware-identity export --output \"/mnt/exports/$SERIAL.json\" --hardware-id \"$SERIAL\"
  hardware-identity export --output SN-1.json --with-evidence SN-1.evidence.json
  hardware-identity export --format pem
  hardware-identity export --sign-with key=issuer.pem --output device.assert

Flags override settings.";

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ExportFormat {
    /// The headers of the assertion, as one JSON object
    Json,
    /// The public key alone, as a PEM block
    Pem,
}

/// Why no export can be made of the identity.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum ExportFailure {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Missing(#[from] MissingSettings),
    #[error(transparent)]
    #[diagnostic(transparent)]
    HardwareId(#[from] HardwareIdError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Key(#[from] IdentityKeyError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Statement(#[from] InvalidStatement),
    #[error(transparent)]
    #[diagnostic(transparent)]
    KeyBackend(#[from] UnknownBackend),
    #[error("cannot export the assertion: {0}")]
    #[diagnostic(forward(0))]
    Header(HeaderError),
    #[error("cannot export the assertion: {0}")]
    #[diagnostic(forward(0))]
    Unsafe(UnsafeIdentity),
    #[error(transparent)]
    #[diagnostic(transparent)]
    NoEvidence(NoEndorsementKey),
    #[error(transparent)]
    #[diagnostic(transparent)]
    NotSigned(#[from] SignError),
}

impl ExportFailure {
    pub(crate) fn status(&self) -> Status {
        match self {
            ExportFailure::NotSigned(SignError::Signer(_) | SignError::BadSignature(_))
            | ExportFailure::NoEvidence(_) => Status::Device,
            _ => Status::BadInput,
        }
    }
}

/// The export may have another digest form than the device.
#[derive(Debug, Error, Diagnostic)]
#[error(
    "there is no record of the identity: the digest has the form of the settings, {0}, which may not be that of the \
     device"
)]
#[diagnostic(
    code("export-without-record"),
    help("Name the directory of the record: SNAP_SAVE_DATA=/var/lib/snapd/save/snap/GADGET")
)]
struct NoRecord(DigestForm);

pub(crate) fn run(arguments: &ExportArguments, json: bool) -> Result<(), ToolError> {
    let device = LocalDevice::read(json)?;
    let (identity, evidence) = read_identity(&device, |key| match &arguments.with_evidence {
        Some(_) => CollectedEvidence::read(key.tpm()?.tpm, arguments.ek_template).map(Some),
        None => Ok(None),
    })?;
    let text = match arguments.format {
        ExportFormat::Pem => identity.public_key().pem().map_err(ExportFailure::Key)?,
        ExportFormat::Json => {
            let json = arguments.headers.export(device.settings, &identity)?.document();
            let statement = checked(&json)?;
            if let Some((file, evidence)) = arguments.with_evidence.as_deref().zip(evidence) {
                write_evidence(file, evidence, &statement, &identity)?;
            }
            match &arguments.sign_with {
                None => json,
                Some(signer) => sign(&statement, signer, &identity)?,
            }
        }
    };
    Ok(output::write(arguments.output.as_deref(), &text)?)
}

/// Reads the identity, and what else an export needs from the TPM. Warns if the identity has no record.
fn read_identity<T>(
    device: &LocalDevice,
    mut further: impl FnMut(&mut dyn OpenKey<'_>) -> Result<T, IdentityError>,
) -> Result<(identity::HardwareIdentity, T), ToolError> {
    let (identity, further) = device.open(|key, identity| Ok((identity.clone(), further(key)?)))?;
    if !identity.recorded {
        failure::warn(PROGRAM, &NoRecord(identity.record.digest_form));
    }
    Ok((identity, further))
}

impl ExportHeaders {
    /// Makes the export; flags override settings.
    fn export(
        &self,
        mut settings: Settings,
        identity: &identity::HardwareIdentity,
    ) -> Result<Export, ExportFailure> {
        let given = [
            (&self.issuer_id, &mut settings.issuer_id),
            (&self.manufacturer, &mut settings.manufacturer),
            (&self.hardware_name, &mut settings.hardware_name),
        ];
        for (flag, setting) in given {
            *setting = flag.clone().or(setting.take());
        }
        settings.hardware_id = self.hardware_id.clone().or(settings.hardware_id);
        Ok(settings.export_headers()?.export(identity, &utc_now())?)
    }
}

/// Writes the evidence, before the export: an export that is there has its evidence.
fn write_evidence(
    file: &Path,
    evidence: CollectedEvidence,
    statement: &Statement,
    identity: &identity::HardwareIdentity,
) -> Result<(), ToolError> {
    let message = evidence_message(evidence, statement, identity)?;
    Ok(output::write(Some(file), &message.document())?)
}

fn evidence_message(
    evidence: CollectedEvidence,
    statement: &Statement,
    identity: &identity::HardwareIdentity,
) -> Result<EvidenceMessage, ToolError> {
    let hardware_id = statement.headers.get_str("hardware-id").unwrap_or_default();
    let evidence = evidence
        .into_evidence(PROGRAM)
        .map_err(ExportFailure::NoEvidence)?;
    Ok(EvidenceMessage::new(hardware_id, identity, evidence).map_err(DeviceFailure::from)?)
}

/// The export of this device and its evidence, both as JSON.
pub(crate) fn with_evidence(
    device: &LocalDevice,
    headers: &ExportHeaders,
    template: Option<EkTemplate>,
) -> Result<(String, String), ToolError> {
    let (identity, evidence) =
        read_identity(device, |key| CollectedEvidence::read(key.tpm()?.tpm, template))?;
    let json = headers.export(device.settings.clone(), &identity)?.document();
    let message = evidence_message(evidence, &checked(&json)?, &identity)?;
    Ok((json, message.document()))
}

/// The statement, after all checks of snapd, the model service and the issuer's station.
fn checked(json: &str) -> Result<Statement, ExportFailure> {
    let mut statement = Statement::from_json(json)?;
    take_backend(&mut statement)?;
    let headers = &statement.headers;
    let identity = HardwareIdentity::check_any_form(headers).map_err(ExportFailure::Header)?;
    let deceptive = signing_rules::check_text(headers).into_iter().next();
    deceptive
        .map_or(Ok(()), Err)
        .and_then(|()| signing_rules::check_key(identity.key().public_key()))
        .map_err(ExportFailure::Unsafe)?;
    Ok(statement)
}

fn sign(
    statement: &Statement,
    signer: &SignerArguments,
    identity: &identity::HardwareIdentity,
) -> Result<String, ToolError> {
    let options = SignOptions {
        digest_form: identity.record.digest_form,
        ..SignOptions::now()
    };
    let assertion = statement
        .sign(signer.open()?.as_ref(), &options)
        .map_err(ExportFailure::NotSigned)?;
    Ok(assertion.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_sign_refuses_is_not_exported() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/refused_exports");
        for (name, code) in [
            ("bidi", "hardware-id-deceptive"),
            ("esc", "hardware-id-deceptive"),
            ("homo", "hardware-id-deceptive"),
            ("nul", "hardware-id-deceptive"),
            ("rsa-e3", "rsa-exponent-unsupported"),
            ("rsa-prime-n", "rsa-modulus-prime"),
            ("rsa-smallfactor", "rsa-modulus-small-factor"),
        ] {
            let json = fs::read_to_string(directory.join(name).with_extension("json")).unwrap();
            let error = checked(&json).unwrap_err();
            assert_eq!(failure::code(&error), code, "{name}");
        }
    }
}
