//! `hardware-identity activate`: answers the challenge of an issuer's station.

use std::path::{Path, PathBuf};

use clap::Args;
use failure::Status;
use hardware_identity::identity::{HardwareIdentity, IdentityError, TpmKey};
use miette::Diagnostic;
use residency::{Answer, Challenge, EkTemplate, LARGEST_MESSAGE, MessageError, answer_proof};
use thiserror::Error;

use crate::device::LocalDevice;
use crate::error::ToolError;
use crate::output;

/// Answer the challenge of the issuer's station: prove that the identity key lives in this TPM
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ActivateArguments {
    /// Write the answer to FILE, as a whole or not at all, instead of stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Challenges; the one for the key of this device is answered
    #[arg(value_name = "CHALLENGE", required = true)]
    challenges: Vec<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  hardware-identity activate /mnt/challenges/SN-0001.challenge.json --output /mnt/answers/SN-0001.answer.json
  hardware-identity activate /mnt/challenges/*.json -o \"/mnt/answers/$SERIAL.answer.json\"";

/// Why no challenge is answered.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum ActivateFailure {
    #[error("cannot read {}: {reason}", path.display())]
    #[diagnostic(forward(reason))]
    Message { path: PathBuf, reason: MessageError },
    #[error("no challenge is for the key of this device, whose Name is {0}")]
    #[diagnostic(
        code("challenge-for-other-key"),
        help(
            "Pass the challenge that was made for this device; after a change of the TPM, export the device again"
        )
    )]
    OtherKey(String),
    #[error("this TPM makes no endorsement key of the template {0}")]
    #[diagnostic(
        code("challenge-template-unsupported"),
        help("Export the device again with evidence, and have a new challenge made")
    )]
    Template(EkTemplate),
}

impl ActivateFailure {
    pub(crate) fn status(&self) -> Status {
        match self {
            ActivateFailure::Message { .. } => Status::BadInput,
            ActivateFailure::OtherKey(_) | ActivateFailure::Template(_) => Status::Device,
        }
    }
}

pub(crate) fn run(arguments: &ActivateArguments, json: bool) -> Result<(), ToolError> {
    let challenges = arguments
        .challenges
        .iter()
        .map(|path| read(path))
        .collect::<Result<Vec<_>, _>>()?;
    let device = LocalDevice::read(json)?;
    let answer = device.open(|key, identity| answer(key.tpm()?, identity, &challenges))??;
    Ok(output::write(arguments.output.as_deref(), &answer.to_json())?)
}

fn read(path: &Path) -> Result<Challenge, ToolError> {
    let json = files::read(path, LARGEST_MESSAGE)?;
    let read = Challenge::read(&json);
    Ok(read.map_err(|reason| ActivateFailure::Message {
        path: path.to_owned(),
        reason,
    })?)
}

fn answer(
    mut identity_key: TpmKey<'_, '_>,
    identity: &HardwareIdentity,
    challenges: &[Challenge],
) -> Result<Result<Answer, ActivateFailure>, IdentityError> {
    let Some(name) = identity.record.key.tpm_name() else {
        return Err(IdentityError::NotInTpm);
    };
    let ours = challenges
        .iter()
        .find(|challenge| challenge.key_name == name.as_bytes());
    let Some(challenge) = ours else {
        return Ok(Err(ActivateFailure::OtherKey(name.to_string())));
    };
    let template = challenge.template;
    let Some(key) = identity_key.tpm.derive_endorsement_key(&template.public_area())? else {
        return Ok(Err(ActivateFailure::Template(template)));
    };
    let (blob, encrypted) = (&challenge.credential_blob, &challenge.encrypted_secret);
    let secret = identity_key.activate_credential(&key, blob, encrypted)?;
    identity_key.tpm.flush_endorsement_key(key)?;
    Ok(Ok(Answer {
        hardware_id: challenge.hardware_id.clone(),
        key_name: challenge.key_name.clone(),
        proof: answer_proof(&secret, name.as_bytes(), &challenge.hardware_id),
        batch: challenge.batch.clone(),
    }))
}
