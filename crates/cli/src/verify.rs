//! `hardware-identity verify`: checks hardware-identity assertions and their signatures.

use std::io::{self, BufWriter, Write};
use std::iter;
use std::path::PathBuf;

use clap::Args;
use files::FileError;
use jiff::Timestamp;
use miette::Diagnostic;
use serde::Serialize;
use serde_json::{Value, json};
use snap_assertions::types::HardwareIdentity;
use snap_assertions::{Assertion, DecodeError, Decoder, DigestForm, HeaderError, VerifyError};
use thiserror::Error;

use crate::error::{PROGRAM, ToolError};
use crate::export_reader::Input;
use crate::issuer_key::IssuerKey;
use crate::output::OutputError;
use crate::pipeline::{self, Workers};
use crate::signing_rules;

/// The number of assertions that a thread verifies at a time.
const GROUP: usize = 64;
/// The number of failed assertions that the last line names.
const NAMED_FAILURES: usize = 5;
/// Buffer size of stdout in bytes.
const OUTPUT_BUFFER: usize = 64 * 1024;

/// Check hardware-identity assertions and their signatures
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VerifyArguments {
    /// Verify the signatures with the key in FILE: an account-key assertion, which also names the account
    /// and the validity of the key; or only a public key, encoded as in the body of an account-key or in PEM
    #[arg(long, value_name = "FILE")]
    issuer_key: Option<PathBuf>,
    /// Fail assertions that snapd refuses for the form of their key digest (DER)
    #[arg(long)]
    snapd: bool,
    /// Streams of assertions; - for stdin
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  hardware-identity verify --issuer-key issuer.account-key signed.assert
  hardware-identity verify --issuer-key issuer.pem --json signed/*.assert | jq -c 'select(.ok == false)'

With --json each assertion has one line with a JSON object; \"ok\" is false if it failed, and
\"problem\", \"code\" and \"advice\" say why. If any failed, the last line is the failure of the command.
\"warnings\" has what snapd accepts but sign refuses; such an assertion does not fail. An assertion whose key
digest has the DER form, which snapd refuses, has a warning and \"snapd-refuses\": true; with --snapd it fails.";

/// Why an assertion failed.
#[derive(Debug, Error, Diagnostic)]
enum AssertionProblem {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Decode(#[from] DecodeError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Header(#[from] HeaderError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Verify(#[from] VerifyError),
    #[error("the key digest has the DER form, which snapd refuses")]
    #[diagnostic(
        code("digest-form-der"),
        help("Set digest-form to text before the first export if snapd has to accept the assertions")
    )]
    DerForm,
    #[error("the input is empty")]
    #[diagnostic(code("no-assertions"), help("Check the file that was named"))]
    Empty,
}

/// Some assertions failed; each has a line on stdout.
#[derive(Debug, Error, Diagnostic)]
#[error("{failed} of {all} assertions failed: {names}")]
#[diagnostic(
    code("assertions-failed"),
    help("Do not import these assertions; sign the exports again")
)]
pub(crate) struct AssertionsFailed {
    failed: u64,
    all: u64,
    /// The first ones.
    names: String,
}

impl AssertionsFailed {
    /// Members of the JSON object beside code, cause and advice.
    pub(crate) fn details(&self) -> Value {
        json!({"failed": self.failed, "all": self.all})
    }
}

/// The issuer's key was not given.
#[derive(Debug, Error, Diagnostic)]
#[error("the signatures were not verified")]
#[diagnostic(
    code("signatures-not-verified"),
    help("Name the key of the issuer with --issuer-key")
)]
struct NotVerified;

pub(crate) fn run(arguments: &VerifyArguments, json: bool) -> Result<(), ToolError> {
    let key = arguments.issuer_key.as_deref().map(IssuerKey::read).transpose()?;
    let inputs: Vec<(Input, String)> = arguments
        .files
        .iter()
        .map(|file| Input::named(file))
        .map(|input| (input.clone(), input.to_string()))
        .collect();
    let verifier = Verifier {
        key: key.as_ref(),
        for_snapd: arguments.snapd,
        now: Timestamp::now(),
        json,
    };
    let mut output = VerificationOutput::new();
    if !json {
        let head = row("", "FORM", "KEY", "HARDWARE ID", "FILE (NUMBER)") + "\n";
        output.write(head.as_bytes())?;
    }
    let workers = Workers {
        count: 0,
        group: GROUP,
    };
    pipeline::run(
        entries(&inputs),
        workers,
        |entry| entry.map(|entry| verifier.verify(entry)),
        |verified: Result<_, FileError>| output.add(verified?),
    )?;
    output.finish()?;
    if key.is_none() {
        failure::warn(PROGRAM, &NotVerified);
    }
    output.outcome()
}

/// The next assertion of a stream.
struct Entry<'a> {
    file: &'a str,
    /// Counted from 1 in the file.
    number: u64,
    assertion: Result<Assertion, AssertionProblem>,
}

/// The assertions of all files; each file is opened when the one before has ended.
fn entries(inputs: &[(Input, String)]) -> impl Iterator<Item = Result<Entry<'_>, FileError>> + Send {
    type Entries<'a> = Box<dyn Iterator<Item = Result<Entry<'a>, FileError>> + Send + 'a>;
    inputs.iter().flat_map(|(input, file)| -> Entries<'_> {
        let reader = match input.open() {
            Ok(reader) => reader,
            Err(error) => return Box::new(iter::once(Err(error))),
        };
        let entry = |number, assertion| {
            Ok(Entry {
                file,
                number,
                assertion,
            })
        };
        let mut decoder = Decoder::new(reader).peekable();
        if decoder.peek().is_none() {
            return Box::new(iter::once(entry(1, Err(AssertionProblem::Empty))));
        }
        Box::new(
            decoder
                .zip(1..)
                .map(move |(assertion, number)| entry(number, assertion.map_err(Into::into))),
        )
    })
}

/// The result for an assertion.
struct Verification<'a> {
    file: &'a str,
    number: u64,
    ok: bool,
    /// The row or the JSON object, with a line feed.
    line: Vec<u8>,
}

/// Checks assertions and formats the results, in the worker threads.
struct Verifier<'a> {
    key: Option<&'a IssuerKey>,
    /// Fail what snapd refuses.
    for_snapd: bool,
    now: Timestamp,
    json: bool,
}

impl Verifier<'_> {
    fn verify<'a>(&self, entry: Entry<'a>) -> Verification<'a> {
        let Entry {
            file,
            number,
            assertion,
        } = entry;
        let mut facts = Facts {
            file,
            number,
            ..Facts::default()
        };
        let result = match &assertion {
            Ok(assertion) => self.check(assertion, &mut facts),
            Err(_) => Ok(()),
        };
        let problem = assertion.as_ref().err().or(result.as_ref().err());
        facts.ok = problem.is_none();
        facts.problem = problem.map(ToString::to_string);
        facts.code = problem.map(|problem| failure::code(problem));
        facts.advice = problem.map(|problem| failure::advice(problem));
        let line = match self.json {
            // Strings, numbers and booleans: there is nothing that JSON cannot hold.
            true => serde_json::to_vec(&facts).unwrap_or_default(),
            false => facts.as_row().into_bytes(),
        };
        Verification {
            file,
            number,
            ok: facts.ok,
            line: [line.as_slice(), b"\n"].concat(),
        }
    }

    fn check<'a>(&self, assertion: &'a Assertion, facts: &mut Facts<'a>) -> Result<(), AssertionProblem> {
        let header = |name| Some(assertion.header(name).unwrap_or_default());
        facts.r#type = Some(assertion.kind().name());
        facts.issuer_id = header("issuer-id");
        facts.manufacturer = header("manufacturer");
        facts.hardware_name = header("hardware-name");
        facts.hardware_id = header("hardware-id");
        facts.key_digest = header("hardware-id-key-sha3-384");
        facts.revision = Some(assertion.revision());
        facts.sign_key = Some(assertion.sign_key_id());
        let identity = HardwareIdentity::check_any_form(assertion.headers())?;
        facts.key = Some(identity.key().public_key().kind().to_string());
        facts.digest_form = Some(identity.digest_form().to_string());
        let snapd_refuses = identity.digest_form() == DigestForm::Der;
        facts.snapd_refuses = Some(snapd_refuses);
        // Verifying has to say what snapd accepts, so that these do not fail.
        let weak = signing_rules::check_key_quickly(identity.key().public_key());
        let found = signing_rules::check_text(assertion.headers());
        let warnings = found.iter().chain(weak.as_ref().err());
        facts.warnings = warnings.map(|warning| failure::json(warning)).collect();
        if snapd_refuses && !self.for_snapd {
            facts.warnings.push(failure::json(&AssertionProblem::DerForm));
        }
        facts.signature_verified = Some(false);
        if let Some(key) = self.key {
            key.verify(assertion, self.now)?;
            facts.signature_verified = Some(true);
        }
        if snapd_refuses && self.for_snapd {
            return Err(AssertionProblem::DerForm);
        }
        Ok(())
    }
}

/// The members of a JSON line, as far as they are known.
#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Facts<'a> {
    file: &'a str,
    number: u64,
    ok: bool,
    problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    manufacturer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hardware_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hardware_id: Option<&'a str>,
    #[serde(rename = "hardware-id-key-sha3-384", skip_serializing_if = "Option::is_none")]
    key_digest: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    #[serde(rename = "sign-key-sha3-384", skip_serializing_if = "Option::is_none")]
    sign_key: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest_form: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapd_refuses: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature_verified: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<Value>,
}

impl Facts<'_> {
    fn as_row(&self) -> String {
        // Escaped: a header can hold control characters of a terminal.
        let hardware_id = self.hardware_id.unwrap_or("-").escape_debug().to_string();
        let (file, number) = (self.file, self.number);
        let place = match (&self.problem, &self.code) {
            (Some(problem), Some(code)) => format!("{file} ({number}): {problem} [{code}]"),
            _ => {
                let codes = self
                    .warnings
                    .iter()
                    .filter_map(|warning| warning["code"].as_str());
                let codes: String = codes.map(|code| format!(" warning [{code}]")).collect();
                format!("{file} ({number}){codes}")
            }
        };
        row(
            if self.ok { "ok" } else { "FAIL" },
            self.digest_form.as_deref().unwrap_or("-"),
            self.key.as_deref().unwrap_or("-"),
            &hardware_id,
            &place,
        )
    }
}

fn row(outcome: &str, form: &str, key: &str, hardware_id: &str, place: &str) -> String {
    format!("{outcome:<4}  {form:<4}  {key:<10}  {hardware_id:<24}  {place}")
}

/// The lines on stdout, and the count of failures.
struct VerificationOutput {
    stdout: BufWriter<io::StdoutLock<'static>>,
    all: u64,
    failed: u64,
    /// The first failures.
    names: Vec<String>,
}

impl VerificationOutput {
    fn new() -> Self {
        VerificationOutput {
            stdout: BufWriter::with_capacity(OUTPUT_BUFFER, io::stdout().lock()),
            all: 0,
            failed: 0,
            names: Vec::new(),
        }
    }

    fn add(&mut self, verification: Verification<'_>) -> Result<(), ToolError> {
        self.all += 1;
        if !verification.ok {
            self.failed += 1;
            if self.names.len() < NAMED_FAILURES {
                self.names
                    .push(format!("{} ({})", verification.file, verification.number));
            }
        }
        Ok(self.write(&verification.line)?)
    }

    fn write(&mut self, line: &[u8]) -> Result<(), OutputError> {
        self.stdout.write_all(line).map_err(OutputError::Stdout)
    }

    fn finish(&mut self) -> Result<(), OutputError> {
        self.stdout.flush().map_err(OutputError::Stdout)
    }

    fn outcome(self) -> Result<(), ToolError> {
        if self.failed == 0 {
            return Ok(());
        }
        let more = if self.failed > NAMED_FAILURES as u64 {
            ", …"
        } else {
            ""
        };
        Err(AssertionsFailed {
            failed: self.failed,
            all: self.all,
            names: self.names.join(", ") + more,
        }
        .into())
    }
}
