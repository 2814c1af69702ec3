//! `hardware-identity activate`: answers the challenge of an issuer's station.

use std::path::{Path, PathBuf};

use clap::Args;
use failure::Status;
use hardware_identity::identity::{HardwareIdentity, IdentityError, TpmKey};
use miette::Diagnostic;
use residency::{Answer, Challenge, EkTemplate, LARGEST_MESSAGE, MessageError, answer_proof};
use thiserror::Error;

use crate::device::LocalDevice;
use crate::error::{PROGRAM, ToolError};
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
    #[error("both {} and {} are for the key of this device", first.display(), second.display())]
    #[diagnostic(
        code("challenge-duplicate"),
        help("Pass only the challenge of the batch that is to be signed, and remove the other")
    )]
    Duplicate { first: PathBuf, second: PathBuf },
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
            ActivateFailure::Message { .. } | ActivateFailure::Duplicate { .. } => Status::BadInput,
            ActivateFailure::OtherKey(_) | ActivateFailure::Template(_) => Status::Device,
        }
    }
}

pub(crate) fn run(arguments: &ActivateArguments, json: bool) -> Result<(), ToolError> {
    let challenges = read_all(&arguments.challenges)?;
    let device = LocalDevice::read(json)?;
    let answer = device.open(|key, identity| answer(key.tpm()?, identity, &challenges))??;
    Ok(output::write(arguments.output.as_deref(), &answer.to_json())?)
}

/// Answers the challenge of a station in line.
pub(crate) fn answer_challenge(device: &LocalDevice, challenge: Challenge) -> Result<Answer, ToolError> {
    let challenges = [(Path::new("the challenge of the station"), challenge)];
    Ok(device.open(|key, identity| answer(key.tpm()?, identity, &challenges))??)
}

/// The challenges that can be read. A damaged one is skipped with a warning, as it may be that of
/// another device.
///
/// # Errors
/// If none can be read, that of the first.
fn read_all(paths: &[PathBuf]) -> Result<Vec<(&Path, Challenge)>, ToolError> {
    let mut challenges = Vec::new();
    let mut damaged = Vec::new();
    for path in paths {
        match read(path) {
            Ok(challenge) => challenges.push((path.as_path(), challenge)),
            Err(error) => damaged.push(error),
        }
    }
    let mut damaged = damaged.into_iter();
    if challenges.is_empty()
        && let Some(first) = damaged.next()
    {
        return Err(first);
    }
    damaged.for_each(|error| failure::warn(PROGRAM, &error));
    Ok(challenges)
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
    challenges: &[(&Path, Challenge)],
) -> Result<Result<Answer, ActivateFailure>, IdentityError> {
    let Some(name) = identity.record.key.tpm_name() else {
        return Err(IdentityError::NotInTpm);
    };
    let mut ours = challenges
        .iter()
        .filter(|(_, challenge)| challenge.key_name == name.as_bytes());
    let Some((path, challenge)) = ours.next() else {
        return Ok(Err(ActivateFailure::OtherKey(name.to_string())));
    };
    if let Some((second, _)) = ours.next() {
        let [first, second] = [path, second].map(|path| path.to_path_buf());
        return Ok(Err(ActivateFailure::Duplicate { first, second }));
    }
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
