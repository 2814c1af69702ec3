//! What was found: for people and as JSON.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::json;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The device gets no identity or no serial, or the snap does not do what its author wrote.
    Error,
    /// It may be meant, or depends on what the snap alone does not show.
    Warning,
}

/// One finding; `code` is stable.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    pub code: &'static str,
    pub severity: Severity,
    /// A path in the snap, or a file and a key in it.
    #[serde(rename = "where")]
    pub place: String,
    pub what: String,
    pub why: String,
    pub mend: String,
}

impl Finding {
    pub(crate) fn error(
        code: &'static str,
        place: impl Into<String>,
        what: impl Into<String>,
        why: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Finding {
            code,
            severity: Severity::Error,
            place: place.into(),
            what: what.into(),
            why: why.into(),
            mend: mend.into(),
        }
    }

    /// The same as a warning, where `doubtful`.
    pub(crate) fn warning_if(mut self, doubtful: bool) -> Self {
        if doubtful {
            self.severity = Severity::Warning;
        }
        self
    }

    pub(crate) fn warning(self) -> Self {
        self.warning_if(true)
    }
}

/// All findings, errors first.
#[derive(Debug)]
pub struct Report {
    findings: Vec<Finding>,
}

impl Report {
    /// Two hooks can stumble over one thing, which is then said once.
    pub(crate) fn new(mut findings: Vec<Finding>) -> Self {
        let mut seen = BTreeSet::new();
        findings.retain(|finding| seen.insert((finding.code, finding.place.clone(), finding.what.clone())));
        findings.sort_by_key(|finding| finding.severity);
        Report { findings }
    }

    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    fn count(&self, severity: Severity) -> usize {
        self.findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    }

    pub fn as_json(&self) -> serde_json::Result<String> {
        let report = json!({
            "findings": self.findings,
            "errors": self.errors(),
            "warnings": self.count(Severity::Warning),
        });
        Ok(format!("{}\n", serde_json::to_string_pretty(&report)?))
    }

    pub fn as_text(&self) -> String {
        let mut text = String::new();
        for finding in &self.findings {
            let severity = match finding.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            // Names in a snap can hold whatever moves a terminal's cursor.
            let plain = |text: &str| text.replace(char::is_control, " ");
            // Writing to a String does not fail.
            let _ = writeln!(
                text,
                "{severity}: {}: {} [{}]\n  why: {}\n  mend: {}",
                plain(&finding.place),
                plain(&finding.what),
                finding.code,
                plain(&finding.why),
                plain(&finding.mend),
            );
        }
        text + &self.summary()
    }

    fn summary(&self) -> String {
        let counted =
            |count: usize, name: &str| format!("{count} {name}{}", if count == 1 { "" } else { "s" });
        match self.findings.is_empty() {
            true => "nothing found\n".to_owned(),
            false => format!(
                "{}, {}\n",
                counted(self.errors(), "error"),
                counted(self.count(Severity::Warning), "warning")
            ),
        }
    }
}
