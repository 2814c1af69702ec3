//! The report of a check, as text and as JSON.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::finding::{GadgetFinding, Severity};

/// All findings in a gadget snap, errors first.
#[derive(Clone, Debug)]
pub struct GadgetReport {
    findings: Vec<GadgetFinding>,
}

impl GadgetReport {
    /// Sorts the findings and drops duplicates: two hooks can have the same problem.
    pub(crate) fn new(mut findings: Vec<GadgetFinding>) -> Self {
        let mut seen = BTreeSet::new();
        findings.retain(|finding| {
            let GadgetFinding {
                code, place, what, ..
            } = finding;
            seen.insert((code.clone(), place.clone(), what.clone()))
        });
        findings.sort_by_key(|finding| finding.severity);
        GadgetReport { findings }
    }

    /// The findings, errors first.
    pub fn findings(&self) -> &[GadgetFinding] {
        &self.findings
    }

    /// Returns true if a finding is an error.
    pub fn has_errors(&self) -> bool {
        self.count(Severity::Error) > 0
    }

    fn count(&self, severity: Severity) -> usize {
        let findings = self.findings.iter();
        findings.filter(|finding| finding.severity == severity).count()
    }

    /// The report as a JSON object with `findings`, `errors`, `warnings` and `infos`.
    pub fn to_json(&self) -> Value {
        json!({
            "findings": self.findings,
            "errors": self.count(Severity::Error),
            "warnings": self.count(Severity::Warning),
            "infos": self.count(Severity::Info),
        })
    }

    /// The report as text for a terminal: three lines for each finding, then the numbers of all
    /// severities. Control characters are replaced by spaces.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            let severity = match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
                Severity::Info => "info",
            };
            // A file name in a snap can contain escape sequences for the terminal.
            let plain = |text: &str| text.replace(char::is_control, " ");
            // Writing to a String does not fail.
            let _ = writeln!(
                text,
                "{severity}: {}: {} [{}]\n  why: {}\n  fix: {}",
                plain(&finding.place),
                plain(&finding.what),
                finding.code,
                plain(&finding.why),
                plain(&finding.fix),
            );
        }
        text + &self.summary()
    }

    fn summary(&self) -> String {
        let counted = |severity, name: &str| match self.count(severity) {
            1 => format!("1 {name}"),
            count => format!("{count} {name}s"),
        };
        let (errors, warnings) = (
            counted(Severity::Error, "error"),
            counted(Severity::Warning, "warning"),
        );
        match (self.findings.is_empty(), self.count(Severity::Info)) {
            (true, _) => "no problems found\n".to_owned(),
            (false, 0) => format!("{errors}, {warnings}\n"),
            (false, _) => format!("{errors}, {warnings}, {}\n", counted(Severity::Info, "info")),
        }
    }
}
