//! `hardware-identity challenge`: challenges for the TPMs of a batch of exports with evidence.

use std::fmt;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::mem;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use jiff::Timestamp;
use ledger_chain::Fingerprint;
use miette::Diagnostic;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};
use thiserror::Error;

use super::batch::ProofBatch;
use super::check::{ProofProblem, add_endorsement_key, evidence_for};
use crate::error::ToolError;
use crate::export_batch::{check_exports, show};
use crate::export_checks::{BatchChecks, CheckedExport, Defaults};
use crate::export_reader::{Input, InputError, Location};
use crate::fingerprint::UniqueFingerprints;
use crate::output::{MODE, OutputError, unwritable};
use crate::pipeline::{self, Workers};
use crate::signals;

/// Size in bytes of the buffer before the temporary file.
const BUFFER: usize = 64 * 1024;
/// The number of files that a thread writes at a time.
const FILES_GROUP: usize = 32;

/// Challenge the TPMs of a batch of exports: only a TPM that holds the exported key can answer
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ChallengeArguments {
    /// The directory of the batch: its secret key, which `sign` needs too, and a copy of what its devices
    /// are checked against. It is made if it does not exist
    #[arg(long, value_name = "DIR")]
    batch: PathBuf,
    #[command(flatten)]
    trust: TrustArguments,
    /// Write DIR/NAME.challenge.json for each export NAME.json
    #[arg(long, value_name = "DIR")]
    output_dir: PathBuf,
    /// Challenge the good devices even if others are refused; the exit status is still 1
    #[arg(long)]
    keep_going: bool,
    /// Exports: files, or directories with .json files; NAME.evidence.json is beside NAME.json
    #[arg(value_name = "INPUT", required = true)]
    inputs: Vec<PathBuf>,
}

/// What the endorsement keys (EKs) of a batch are checked against.
#[derive(Args, Debug)]
pub(crate) struct TrustArguments {
    /// Trust the makers of TPMs whose certificates are in PATH: a directory or a file, in PEM or DER. A
    /// certificate whose issuer is there too is verified; all others are roots
    #[arg(long, value_name = "PATH")]
    pub(super) ek_roots: Vec<PathBuf>,
    /// Accept only the EKs in FILE: CSV with the SHA-256 of an EK or the serial number of its certificate,
    /// and optionally the hardware id of its device
    #[arg(long, value_name = "FILE")]
    pub(super) ek_list: Option<PathBuf>,
    /// The time at which EK certificates have to be valid: now, issued (when the EK certificate was issued,
    /// so that it may have expired), or a time in RFC 3339; now by default
    #[arg(long, value_name = "TIME")]
    pub(super) ek_time: Option<EkTimeChoice>,
}

const EXAMPLES: &str = "\
Examples:
  hardware-identity challenge --batch batch-7 --ek-roots tpm-roots/ --output-dir challenges exports/
  hardware-identity challenge --batch batch-7 --ek-list tpms.csv --output-dir challenges exports/

Then, on each device, `hardware-identity activate`; and at the station `hardware-identity sign --require-proof
--batch batch-7 --answers answers`. Each refused device has a line on stderr: FILE: CAUSE. ADVICE. [CODE]";

/// The time at which certificates have to be valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EkTimeChoice {
    Now,
    Issued,
    At(Timestamp),
}

impl FromStr for EkTimeChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "now" => Ok(EkTimeChoice::Now),
            "issued" => Ok(EkTimeChoice::Issued),
            time => time
                .parse()
                .map(EkTimeChoice::At)
                .map_err(|_| "expected now, issued or a time such as 2026-01-31T12:00:00Z".to_owned()),
        }
    }
}

impl fmt::Display for EkTimeChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EkTimeChoice::Now => f.write_str("now"),
            EkTimeChoice::Issued => f.write_str("issued"),
            EkTimeChoice::At(time) => time.fmt(f),
        }
    }
}

impl Serialize for EkTimeChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EkTimeChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Why challenges were not made, or not for all.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum ChallengeFailure {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Input(#[from] InputError),
    #[error("{refused} of {all} devices were refused, and no challenge was written")]
    #[diagnostic(
        code("devices-refused"),
        help("Correct these devices, or challenge the others with --keep-going")
    )]
    Refused { refused: u64, all: u64 },
    #[error("{challenged} devices were challenged and {refused} were refused")]
    #[diagnostic(
        code("devices-left-out"),
        help("Correct the refused devices, and challenge them with the same --batch")
    )]
    LeftOut { challenged: u64, refused: u64 },
    #[error("there is no device to challenge")]
    #[diagnostic(code("no-device-to-challenge"), help("Pass exports as files or directories"))]
    Nothing,
}

impl ChallengeFailure {
    /// Members of the JSON object beside code, cause and advice.
    pub(crate) fn details(&self) -> Value {
        match self {
            ChallengeFailure::Refused { refused, all } => json!({"refused": refused, "all": all}),
            ChallengeFailure::LeftOut { challenged, refused } => {
                json!({"challenged": challenged, "refused": refused})
            }
            _ => json!({}),
        }
    }
}

pub(crate) fn run(arguments: &ChallengeArguments) -> Result<(), ToolError> {
    let batch = ProofBatch::open_or_create(&arguments.batch, &arguments.trust)?;
    let inputs = Input::all(&arguments.inputs).map_err(ChallengeFailure::Input)?;
    let stop = signals::stop_flag()?;
    let mut run = ChallengeRun {
        inputs: &inputs,
        output: ChallengeOutput::create(&arguments.output_dir, &inputs)?,
        checks: BatchChecks::default(),
        keys: UniqueFingerprints::default(),
        stop: &stop,
        challenged: 0,
        refused: 0,
    };
    let defaults = Defaults {
        revision: None,
        time: Timestamp::now(),
        required_backend: None,
    };
    let challenge = |input: &Input, export: &CheckedExport| make_challenge(&batch, input, export);
    check_exports(&inputs, &defaults, challenge, |location, export, made| {
        run.take(location, export, made)
    })?;
    let (challenged, refused) = (run.challenged, run.refused);
    if challenged + refused == 0 {
        return Err(ChallengeFailure::Nothing.into());
    }
    if refused > 0 && !arguments.keep_going {
        let all = challenged + refused;
        return Err(ChallengeFailure::Refused { refused, all }.into());
    }
    run.output.finish()?;
    match refused {
        0 => Ok(()),
        _ => Err(ChallengeFailure::LeftOut { challenged, refused }.into()),
    }
}

/// Two exports of a run would have one challenge, and one answer.
#[derive(Debug, Error, Diagnostic)]
#[error("another export of this run has the same file name")]
#[diagnostic(
    code("duplicate-export-name"),
    help("Give the files different names, also in different directories, and put one export into each file")
)]
struct DuplicateExportName;

/// A challenge as JSON, and the SHA-256 of its endorsement key.
type ChallengeResult = Result<(String, [u8; 32]), ProofProblem>;

fn make_challenge(batch: &ProofBatch, input: &Input, export: &CheckedExport) -> ChallengeResult {
    let (identity, message) = evidence_for(input, export)?;
    let evidence = batch.station.verify(identity, &message)?;
    let challenge = batch.station.challenge(identity, &evidence)?;
    Ok((challenge.to_json(), evidence.endorsement_key_sha256()))
}

/// The devices of a run in their order.
struct ChallengeRun<'a> {
    inputs: &'a [Input],
    output: ChallengeOutput<'a>,
    checks: BatchChecks,
    keys: UniqueFingerprints,
    stop: &'a AtomicBool,
    challenged: u64,
    refused: u64,
}

impl ChallengeRun<'_> {
    fn take(
        &mut self,
        location: Location,
        mut export: CheckedExport,
        made: Option<ChallengeResult>,
    ) -> Result<(), ToolError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(signals::Interrupted.into());
        }
        let inputs = self.inputs;
        let place = show(inputs, location);
        self.checks
            .compare(&mut export, location, |first| show(inputs, first));
        let made: Option<Result<String, ProofProblem>> = made.map(|made| {
            let (json, key) = made?;
            add_endorsement_key(&mut self.keys, &key, location, |first| show(inputs, first))?;
            Ok(json)
        });
        for problem in &export.problems {
            failure::report(&place, problem);
        }
        match made {
            Some(Err(problem)) => {
                failure::report(&place, &problem);
                self.refused += 1;
            }
            Some(Ok(json)) if export.problems.is_empty() => match self.output.write(location, &json)? {
                true => self.challenged += 1,
                false => {
                    failure::report(&place, &DuplicateExportName);
                    self.refused += 1;
                }
            },
            _ => self.refused += 1,
        }
        Ok(())
    }
}

/// The challenges of a run, which get their names when all are made. Until then they are in a temporary
/// file without a name.
///
/// Nothing is flushed to the disk: the command can make all challenges again, and an answer to an
/// earlier challenge of the batch counts all the same.
struct ChallengeOutput<'a> {
    inputs: &'a [Input],
    directory: PathBuf,
    file: BufWriter<File>,
    made: Vec<MadeChallenge>,
    /// The names of the files.
    names: UniqueFingerprints,
}

/// A challenge in the temporary file.
#[derive(Clone, Copy)]
struct MadeChallenge {
    /// The number of the export's input.
    input: u32,
    /// Where it starts, in bytes.
    start: u64,
    length: u32,
}

impl<'a> ChallengeOutput<'a> {
    fn create(directory: &Path, inputs: &'a [Input]) -> Result<Self, OutputError> {
        let file = fs::create_dir_all(directory).and_then(|()| tempfile::tempfile_in(directory));
        Ok(ChallengeOutput {
            inputs,
            directory: directory.to_owned(),
            file: BufWriter::with_capacity(BUFFER, file.map_err(|reason| unwritable(directory, reason))?),
            made: Vec::new(),
            names: UniqueFingerprints::default(),
        })
    }

    /// Returns false if this run has a challenge of this name. Those of earlier runs are overwritten at
    /// the end.
    fn write(&mut self, location: Location, json: &str) -> Result<bool, OutputError> {
        let name = Fingerprint::of(self.path(location.input).as_os_str().as_encoded_bytes());
        if self.names.add(name, location).is_some() {
            return Ok(false);
        }
        let written = self.file.write_all(json.as_bytes());
        written.map_err(|reason| unwritable(&self.directory, reason))?;
        let start = self
            .made
            .last()
            .map_or(0, |last| last.start + u64::from(last.length));
        self.made.push(MadeChallenge {
            input: location.input,
            start,
            length: u32::try_from(json.len()).unwrap_or(u32::MAX),
        });
        Ok(true)
    }

    /// The file for the challenge of an input.
    fn path(&self, input: u32) -> PathBuf {
        let name = match self.inputs.get(input as usize) {
            Some(Input::File(path)) => path.with_extension("challenge.json"),
            _ => PathBuf::new(),
        };
        self.directory.join(name.file_name().unwrap_or_default())
    }

    fn finish(mut self) -> Result<(), ToolError> {
        let flushed = self.file.flush();
        flushed.map_err(|reason| unwritable(&self.directory, reason))?;
        let workers = Workers {
            count: 0,
            group: FILES_GROUP,
        };
        let made = mem::take(&mut self.made);
        pipeline::run(
            made.into_iter(),
            workers,
            |challenge| self.write_file(challenge),
            |written| Ok(written?),
        )
    }

    fn write_file(&self, challenge: MadeChallenge) -> Result<(), OutputError> {
        let mut json = vec![0; challenge.length as usize];
        let read = self.file.get_ref().read_exact_at(&mut json, challenge.start);
        read.map_err(|reason| unwritable(&self.directory, reason))?;
        Ok(files::overwrite(&self.path(challenge.input), &json, MODE)?)
    }
}
