//! `hardware-identity verify`: checks hardware-identity assertions, and whose signature they carry.

use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use jiff::Timestamp;
use rayon::prelude::*;
use serde_json::{Value, json};
use snap_assertions::types::HardwareIdentity;
use snap_assertions::{Assertion, Decoder};

use crate::explain::Explain as _;
use crate::exports::Input;
use crate::issuer_key::IssuerKey;

/// Assertions that are read before they are verified, all cores at work.
const CHUNK: usize = 1024;

/// Checks hardware-identity assertions
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// Verify the signatures with the key in FILE: an account-key assertion, which also says whose key it is
    /// and how long it is valid; or a public key alone, encoded as in an account-key's body or in PEM
    #[arg(long, value_name = "FILE")]
    issuer_key: Option<PathBuf>,
    /// Print a JSON object for each assertion, one on a line
    #[arg(long)]
    json: bool,
    /// Streams of assertions; - for stdin
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let key = arguments.issuer_key.as_deref().map(IssuerKey::read).transpose()?;
    let mut report = Report {
        output: BufWriter::new(io::stdout().lock()),
        json: arguments.json,
        all: 0,
        failed: 0,
        first: Vec::new(),
    };
    report.head()?;
    for file in &arguments.files {
        verify_file(file, key.as_ref(), &mut report)?;
    }
    report
        .output
        .flush()
        .explain("stdout cannot be written", "Check where it leads")?;
    if key.is_none() {
        eprintln!(
            "hardware-identity: warning: the signatures were not verified; give the issuer's key with \
             --issuer-key."
        );
    }
    report.outcome()
}

fn verify_file(file: &Path, key: Option<&IssuerKey>, report: &mut Report<'_>) -> anyhow::Result<()> {
    let input = Input::named(file);
    let name = input.to_string();
    let mut assertions = Decoder::new(input.open()?);
    let now = Timestamp::now();
    let mut number = 0;
    loop {
        let chunk: Vec<_> = assertions.by_ref().take(CHUNK).collect();
        if chunk.is_empty() {
            break;
        }
        let findings: Vec<Finding> = chunk
            .into_par_iter()
            .map(|assertion| match assertion {
                Ok(assertion) => Finding::of(&assertion, key, now),
                Err(error) => Finding::unreadable(error.to_string()),
            })
            .collect();
        for finding in findings {
            number += 1;
            report.add(&name, number, &finding)?;
        }
    }
    if number == 0 {
        report.add(
            &name,
            1,
            &Finding::unreadable("there is no assertion in it".to_owned()),
        )?;
    }
    Ok(())
}

/// What was found out of one assertion.
struct Finding {
    facts: Value,
    problem: Option<String>,
}

impl Finding {
    fn unreadable(problem: String) -> Self {
        Finding {
            facts: json!({}),
            problem: Some(problem),
        }
    }

    fn of(assertion: &Assertion, key: Option<&IssuerKey>, now: Timestamp) -> Self {
        let text = |name: &str| assertion.header(name).unwrap_or_default();
        let mut facts = json!({
            "type": assertion.kind().name(),
            "issuer-id": text("issuer-id"),
            "manufacturer": text("manufacturer"),
            "hardware-name": text("hardware-name"),
            "hardware-id": text("hardware-id"),
            "hardware-id-key-sha3-384": text("hardware-id-key-sha3-384"),
            "revision": assertion.revision(),
            "sign-key-sha3-384": assertion.sign_key_id(),
        });
        let identity = match HardwareIdentity::check_any_form(assertion.headers()) {
            Ok(identity) => identity,
            Err(error) => {
                return Finding {
                    facts,
                    problem: Some(error.to_string()),
                };
            }
        };
        facts["key"] = identity.key().public_key().kind().to_string().into();
        facts["digest-form"] = identity.digest_form().to_string().into();
        let verified = key.map(|key| key.verify(assertion, now));
        facts["signature-verified"] = matches!(verified, Some(Ok(()))).into();
        Finding {
            facts,
            problem: verified.and_then(Result::err).map(|error| error.to_string()),
        }
    }
}

struct Report<'a> {
    output: BufWriter<io::StdoutLock<'a>>,
    json: bool,
    all: u64,
    failed: u64,
    /// The first that failed, for the last line.
    first: Vec<String>,
}

/// How many of the failed ones the last line names.
const NAMED: usize = 5;

impl Report<'_> {
    fn head(&mut self) -> anyhow::Result<()> {
        match self.json {
            true => Ok(()),
            false => self.line(&row("", "FORM", "KEY", "HARDWARE ID", "FILE (NUMBER)")),
        }
    }

    fn add(&mut self, file: &str, number: u64, finding: &Finding) -> anyhow::Result<()> {
        self.all += 1;
        if finding.problem.is_some() {
            self.failed += 1;
            if self.first.len() < NAMED {
                self.first.push(format!("{file} ({number})"));
            }
        }
        let line = match self.json {
            true => as_json(file, number, finding),
            false => as_row(file, number, finding),
        };
        self.line(&line)
    }

    fn line(&mut self, line: &str) -> anyhow::Result<()> {
        writeln!(self.output, "{line}").explain("stdout cannot be written", "Check where it leads")
    }

    fn outcome(self) -> anyhow::Result<()> {
        if self.failed == 0 {
            return Ok(());
        }
        let more = if self.failed > NAMED as u64 { ", …" } else { "" };
        bail!(
            "{} of {} assertions failed: {}{more}. Do not import them; have them signed anew",
            self.failed,
            self.all,
            self.first.join(", ")
        )
    }
}

fn as_json(file: &str, number: u64, finding: &Finding) -> String {
    let mut line =
        json!({"file": file, "number": number, "ok": finding.problem.is_none(), "problem": finding.problem});
    if let (Value::Object(line), Value::Object(facts)) = (&mut line, &finding.facts) {
        line.extend(facts.clone());
    }
    line.to_string()
}

fn as_row(file: &str, number: u64, finding: &Finding) -> String {
    // Escaped: a name in an assertion can hold whatever moves a terminal's cursor.
    let fact = |name: &str| {
        finding.facts[name]
            .as_str()
            .unwrap_or("-")
            .escape_debug()
            .to_string()
    };
    let (outcome, reason) = match &finding.problem {
        None => ("ok", String::new()),
        Some(problem) => ("FAIL", format!(": {problem}")),
    };
    let place = format!("{file} ({number}){reason}");
    row(
        outcome,
        &fact("digest-form"),
        &fact("key"),
        &fact("hardware-id"),
        &place,
    )
}

fn row(outcome: &str, form: &str, key: &str, hardware_id: &str, place: &str) -> String {
    format!("{outcome:<4}  {form:<4}  {key:<10}  {hardware_id:<24}  {place}")
}
