//! `hardware-identity sign`: signs a batch of exports as hardware-identity assertions.
//!
//! All exports are checked before any is signed. Between the two steps they are in a temporary file:
//! the bytes that are signed are those that were checked, and the memory does not grow with the batch.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Seek as _, Write as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use aws_lc_rs::rand;
use clap::{ArgGroup, Args};
use failure::Status;
use jiff::Timestamp;
use miette::Diagnostic;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use snap_assertions::{DigestForm, SignError, SignOptions, Signer, Statement};
use thiserror::Error;

use crate::error::{PROGRAM, ToolError};
use crate::export_batch::{check_exports, show};
use crate::export_checks::{BatchChecks, CheckedExport, Defaults};
use crate::export_reader::{Input, InputError};
use crate::ledger::Ledger;
use crate::output::OutputError;
use crate::pipeline::{self, Workers};
use crate::progress;
use crate::proof::{ProofArguments, ProofChecks, ProofComparison};
use crate::recorded_output::{RecordedOutput, SignedExport};
use crate::signals;
use crate::signed_output::SignedOutput;
use crate::signing_key::SignerArguments;

/// A signature takes long enough for a thread to fetch one export at a time.
const SIGN_GROUP: usize = 1;

/// Sign exports: make hardware-identity assertions of them
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
// Either has a ledger, the mark of exports without a proof.
#[command(group = ArgGroup::new("record").args(["require_proof", "ledger"]).multiple(true))]
pub(crate) struct SignArguments {
    #[command(flatten)]
    signer: SignerArguments,
    /// Write one stream of assertions to FILE, as a whole or not at all, instead of stdout
    #[arg(long, short, value_name = "FILE", conflicts_with = "output_dir")]
    output: Option<PathBuf>,
    /// Write one file for each device to DIR, named after its hardware id
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    /// Append a line for each assertion to FILE before the assertion is written: what was signed, when and
    /// with which key, in a chain that `ledger verify` checks
    #[arg(long, value_name = "FILE")]
    ledger: Option<PathBuf>,
    /// Revision of the assertions, higher than that of earlier assertions for the same keys
    #[arg(long, value_name = "N")]
    revision: Option<u64>,
    /// Time of signing, instead of now: RFC 3339, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    timestamp: Option<Timestamp>,
    /// Number of signatures to make at a time; the number of cores by default
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Sign the good exports even if others are refused; the exit status is still 1
    #[arg(long)]
    keep_going: bool,
    #[command(flatten)]
    proof: ProofArguments,
    /// Exports: files, directories with .json files, or - for stdin, which is also the default
    #[arg(value_name = "INPUT")]
    inputs: Vec<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  hardware-identity sign --key issuer.pem --output signed.assert exports/
  hardware-identity sign --gpg-key issuer --output-dir signed exports/
  hardware-identity sign --key <(openssl pkey -in encrypted.pem) one.json >one.assert
  hardware-identity sign --key issuer.pem --ledger station.jsonl -o signed.assert exports/
  hardware-identity sign --key issuer.pem --require-proof --batch batch-7 --answers answers \\
    -o signed.assert exports/
  PKCS11_PIN=… hardware-identity sign \\
    --pkcs11 'pkcs11:token=issuer;object=key?module-path=/usr/lib/libhsm.so' -o signed.assert exports/

Each refused export has a line on stderr: FILE:LINE: CAUSE. ADVICE. [CODE]";

/// Why a batch was not signed, or not completely.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum SignFailure {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Input(#[from] InputError),
    #[error("{0} is not a time for a signature, which is from 1970 to 2106")]
    #[diagnostic(code("signing-time-out-of-range"), help("Correct --timestamp or the clock"))]
    Time(Timestamp),
    #[error("{refused} of {all} exports were refused, and nothing was signed")]
    #[diagnostic(
        code("exports-refused"),
        help("Correct these exports, or sign the others with --keep-going")
    )]
    Refused { refused: u64, all: u64 },
    #[error("{signed} exports were signed and {refused} were refused")]
    #[diagnostic(code("exports-left-out"), help("Correct the refused exports and sign them"))]
    LeftOut { signed: u64, refused: u64 },
    #[error("there is nothing to sign")]
    #[diagnostic(
        code("nothing-to-sign"),
        help("Pass exports as files, directories or on stdin")
    )]
    Nothing,
    #[error("cannot sign the export with the hardware id {hardware_id:?}: {reason}")]
    #[diagnostic(forward(reason))]
    NotSigned { hardware_id: String, reason: SignError },
    #[error("cannot use the temporary file for the checked exports: {0}")]
    #[diagnostic(
        code("temporary-file"),
        help("Make room on its disk, or set TMPDIR to another directory")
    )]
    TemporaryFile(io::Error),
}

impl SignFailure {
    pub(crate) fn status(&self) -> Status {
        match self {
            SignFailure::NotSigned {
                reason: SignError::Signer(_) | SignError::BadSignature(_),
                ..
            } => Status::Device,
            SignFailure::TemporaryFile(_) => Status::Internal,
            _ => Status::BadInput,
        }
    }

    /// Members of the JSON object beside code, cause and advice.
    pub(crate) fn details(&self) -> Value {
        match self {
            SignFailure::Refused { refused, all } => json!({"refused": refused, "all": all}),
            SignFailure::LeftOut { signed, refused } => json!({"signed": signed, "refused": refused}),
            SignFailure::NotSigned { hardware_id, .. } => json!({"hardware-id": hardware_id}),
            _ => json!({}),
        }
    }
}

/// The assertions have a form that snapd refuses.
#[derive(Debug, Error, Diagnostic)]
#[error("the key digests of these assertions have the DER form, which `snap ack` refuses")]
#[diagnostic(
    code("digest-form-der"),
    help("Set digest-form to text before the first export if snapd has to accept the assertions")
)]
pub(crate) struct DerForm;

/// Other batches do not read the ledger of this one.
#[derive(Debug, Error, Diagnostic)]
#[error("the proofs are recorded in {}, with which no other batch is compared", .0.display())]
#[diagnostic(
    code("ledger-of-one-batch"),
    help("Name one --ledger for all batches, so that a TPM or a key is not accepted in two of them")
)]
pub(crate) struct LedgerOfOneBatch(pub(crate) PathBuf);

/// The reader of stdout has got a part of the result.
#[derive(Debug, Error, Diagnostic)]
#[error("the result on stdout is incomplete")]
#[diagnostic(
    code("output-incomplete"),
    help("Discard it and run the command again; --output never leaves an incomplete file")
)]
struct IncompleteOutput;

pub(crate) fn run(arguments: &SignArguments) -> Result<(), ToolError> {
    let time = arguments.timestamp.unwrap_or_else(Timestamp::now);
    let seconds = u32::try_from(time.as_second()).map_err(|_| SignFailure::Time(time))?;
    let signer = arguments.signer.open()?;
    let batch = arguments.proof.open_batch()?;
    // With proofs it is locked before they are checked, so that no device is proven twice at once.
    let of_batch = arguments.proof.ledger();
    let early = match arguments.proof.needs_record() {
        true => open_ledger(arguments, of_batch.as_ref())?,
        false => None,
    };
    let recorded = early.as_ref().map(Ledger::path);
    let proofs = arguments.proof.checks(batch, recorded, arguments.revision)?;
    let checked = thread::scope(|scope| {
        // For its first signature aws-lc collects randomness, for 30 ms on one core.
        let _ = thread::Builder::new().spawn_scoped(scope, || rand::fill(&mut [0]));
        CheckedExports::read(arguments, time, proofs)
    })?;
    let (accepted, refused) = (checked.accepted, checked.refused);
    if refused > 0 && !arguments.keep_going {
        let all = accepted + refused;
        return Err(SignFailure::Refused { refused, all }.into());
    }
    if accepted == 0 {
        return Err(SignFailure::Nothing.into());
    }
    if checked.form == DigestForm::Der {
        failure::warn(PROGRAM, &DerForm);
    }
    if let (None, Some(of_batch)) = (&arguments.ledger, of_batch) {
        failure::warn(PROGRAM, &LedgerOfOneBatch(of_batch));
    }
    let options = SignOptions {
        time: seconds,
        digest_form: checked.form,
    };
    let ledger = match early {
        Some(ledger) => Some(ledger),
        None => open_ledger(arguments, None)?,
    };
    // Before, there is nothing to remove, and a signal ends the program at once.
    let stop = signals::stop_flag()?;
    let output = SignedOutput::create(arguments.output.as_deref(), arguments.output_dir.as_deref())?;
    let signing = Signing {
        signer: signer.as_ref(),
        options,
        stop: &stop,
    };
    signing.sign_all(checked, arguments.jobs, RecordedOutput::new(output, ledger))?;
    match refused {
        0 => Ok(()),
        _ => Err(SignFailure::LeftOut {
            signed: accepted,
            refused,
        }
        .into()),
    }
}

/// Opens the ledger of the command line, or else `default`.
fn open_ledger(arguments: &SignArguments, default: Option<&PathBuf>) -> Result<Option<Ledger>, ToolError> {
    let Some(path) = arguments.ledger.as_ref().or(default) else {
        return Ok(None);
    };
    let ledger = Ledger::open(path, Duration::ZERO)?;
    ledger.refuse_as_output(arguments.output.as_deref())?;
    Ok(Some(ledger))
}

/// The exports that passed all checks, as JSON lines in a temporary file.
struct CheckedExports {
    file: File,
    form: DigestForm,
    accepted: u64,
    refused: u64,
}

impl CheckedExports {
    fn read(
        arguments: &SignArguments,
        time: Timestamp,
        (checks, mut compared): (ProofChecks, ProofComparison),
    ) -> Result<Self, ToolError> {
        let inputs = Input::all(&arguments.inputs).map_err(SignFailure::Input)?;
        let defaults = Defaults {
            revision: arguments.revision,
            time,
        };
        let file = temporary_file(arguments).map_err(SignFailure::TemporaryFile)?;
        let mut file = BufWriter::new(file);
        let mut batch = BatchChecks::default();
        let (mut accepted, mut refused) = (0, 0);
        let prove = |input: &Input, export: &CheckedExport| checks.check(input, export);
        check_exports(&inputs, &defaults, prove, |location, mut export, proof| {
            batch.compare(&mut export, location, |first| show(&inputs, first));
            for problem in &export.problems {
                failure::report(&show(&inputs, location), problem);
            }
            let proof =
                proof.map(|proof| compared.compare(proof, &export, location, |first| show(&inputs, first)));
            let proof = match proof {
                Some(Err(problem)) => {
                    failure::report(&show(&inputs, location), &problem);
                    None
                }
                Some(Ok(proof)) if export.problems.is_empty() => Some(proof),
                _ => None,
            };
            let Some(proof) = proof else {
                refused += 1;
                return Ok(());
            };
            accepted += 1;
            // In JSON on one line, there is no tab.
            writeln!(file, "{proof}\t{}", export.statement)
                .map_err(|error| ToolError::from(SignFailure::TemporaryFile(error)))
        })?;
        let rewound = file
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|mut file| file.rewind().map(|()| file));
        Ok(CheckedExports {
            file: rewound.map_err(SignFailure::TemporaryFile)?,
            form: batch.form(),
            accepted,
            refused,
        })
    }
}

/// A file without a name, so that nothing of it remains when the program ends.
fn temporary_file(arguments: &SignArguments) -> io::Result<File> {
    // The disk of the output has room for the assertions; /tmp may be in memory.
    let output = arguments.output.as_deref().map(files::directory_of);
    match output
        .or(arguments.output_dir.as_deref())
        .filter(|directory| directory.is_dir())
    {
        Some(directory) => tempfile::tempfile_in(directory),
        None => tempfile::tempfile(),
    }
}

/// Signs what was checked.
struct Signing<'a> {
    signer: &'a dyn Signer,
    options: SignOptions,
    stop: &'a AtomicBool,
}

impl Signing<'_> {
    fn sign_all(
        &self,
        checked: CheckedExports,
        jobs: Option<usize>,
        mut output: RecordedOutput,
    ) -> Result<(), ToolError> {
        let workers = Workers {
            count: jobs.unwrap_or(0),
            group: SIGN_GROUP,
        };
        let bar = progress::bar(checked.accepted, "signing");
        let lines = BufReader::new(checked.file).lines();
        let take = |signed: Result<SignedExport, ToolError>| {
            output.write(signed?)?;
            bar.inc(1);
            Ok(())
        };
        let signed = pipeline::run(lines, workers, |line| self.sign(line), take);
        let is_partial = output.is_released();
        let result = signed.and_then(|()| output.finish());
        if is_partial
            && let Err(error) = &result
            && !matches!(error, ToolError::Output(OutputError::Stdout(_)))
        {
            failure::warn(PROGRAM, &IncompleteOutput);
        }
        result
    }

    /// Signs a line of the temporary file: the proof, a tab, the statement.
    fn sign(&self, line: io::Result<String>) -> Result<SignedExport, ToolError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(signals::Interrupted.into());
        }
        let damaged = |error| SignFailure::TemporaryFile(io::Error::other(error));
        let line = line.map_err(SignFailure::TemporaryFile)?;
        let (proof, json) = line.split_once('\t').unwrap_or(("", &line));
        let statement = Statement::from_json(json).map_err(|error| damaged(error.to_string()))?;
        let proof = match proof {
            "" => None,
            proof => {
                Some(RawValue::from_string(proof.to_owned()).map_err(|error| damaged(error.to_string()))?)
            }
        };
        let signed = statement.sign(self.signer, &self.options);
        let assertion = signed.map_err(|reason| SignFailure::NotSigned {
            hardware_id: statement
                .headers
                .get_str("hardware-id")
                .unwrap_or_default()
                .to_owned(),
            reason,
        })?;
        Ok(SignedExport { assertion, proof })
    }
}
