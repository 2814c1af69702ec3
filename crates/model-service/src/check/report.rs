//! The results of all checks.

use std::io::{self, Write as _};

use failure::Diagnostic;
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Good,
    Warning,
    Error,
}

impl Outcome {
    fn name(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

struct CheckLine {
    outcome: Outcome,
    line: String,
    json: Value,
}

/// A line for each check.
#[derive(Default)]
pub(super) struct CheckReport(Vec<CheckLine>);

impl CheckReport {
    pub(super) fn good(&mut self, check: &str, text: String) {
        self.0.push(CheckLine {
            outcome: Outcome::Good,
            json: json!({ "check": check, "outcome": "ok", "text": text }),
            line: format!("ok: {check}: {text}"),
        });
    }

    pub(super) fn warning(&mut self, check: &str, problem: &dyn Diagnostic) {
        self.problem(Outcome::Warning, check, problem);
    }

    pub(super) fn error(&mut self, check: &str, problem: &dyn Diagnostic) {
        self.problem(Outcome::Error, check, problem);
    }

    fn problem(&mut self, outcome: Outcome, check: &str, problem: &dyn Diagnostic) {
        let mut json = failure::json(problem);
        if let Value::Object(fields) = &mut json {
            fields.insert("check".to_owned(), check.into());
            fields.insert("outcome".to_owned(), outcome.name().into());
        }
        self.0.push(CheckLine {
            outcome,
            json,
            line: format!("{}: {check}: {}", outcome.name(), failure::line(problem)),
        });
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn errors(&self) -> usize {
        self.count(Outcome::Error)
    }

    fn count(&self, outcome: Outcome) -> usize {
        self.0.iter().filter(|line| line.outcome == outcome).count()
    }

    pub(super) fn print(&self, json: bool) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        if json {
            let checks: Vec<_> = self.0.iter().map(|line| &line.json).collect();
            let (errors, warnings) = (self.errors(), self.count(Outcome::Warning));
            let object = json!({ "checks": checks, "errors": errors, "warnings": warnings });
            return writeln!(stdout, "{object}");
        }
        self.0
            .iter()
            .try_for_each(|line| writeln!(stdout, "{}", line.line))
    }
}
