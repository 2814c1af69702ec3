//! The report of an import: a line for each assertion, kept in a temporary file.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Seek as _, Write as _};

use failure::Diagnostic;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::proofs::ProofStatus;
use crate::message::{cause, message};
use crate::store::ImportOrigin;

/// The outcome for an assertion.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ImportOutcome {
    /// It was not stored before.
    New,
    /// It replaced one with a lower revision.
    Replaced,
    /// The same assertion was stored before.
    Present,
    /// One with a higher revision is stored, and stays.
    Older,
    /// It cannot be stored.
    Refused,
}

impl ImportOutcome {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Replaced => "replaced",
            Self::Present => "present",
            Self::Older => "older",
            Self::Refused => "refused",
        }
    }
}

/// An assertion in the report.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct ReportLine {
    /// The name of the input, if there may be several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) input: Option<String>,
    /// The place of the assertion in the input, counted from 1.
    pub(crate) number: u64,
    pub(crate) outcome: ImportOutcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hardware_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<String>,
    /// `CAUSE. ADVICE` for a refused assertion, or for a warning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
    /// Absent if the import was not compared with proofs, which the command alone does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(ignore)]
    pub(crate) proof: Option<ProofStatus>,
}

impl ReportLine {
    pub(super) fn new(input: Option<String>, number: u64, outcome: ImportOutcome) -> Self {
        Self {
            input,
            number,
            outcome,
            hardware_id: None,
            digest: None,
            reason: None,
            code: None,
            cause: None,
            advice: None,
            proof: None,
        }
    }

    pub(super) fn about(self, hardware_id: Option<String>, digest: Option<String>) -> Self {
        Self {
            hardware_id,
            digest,
            ..self
        }
    }

    pub(super) fn with_proof(self, proof: Option<ProofStatus>) -> Self {
        Self { proof, ..self }
    }

    pub(super) fn because(self, reason: &dyn Diagnostic) -> Self {
        Self {
            reason: Some(message(reason)),
            code: Some(failure::code(reason)),
            cause: Some(cause(reason)),
            advice: Some(failure::advice(reason)),
            ..self
        }
    }
}

/// The number of assertions with each outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ImportCounts {
    pub(crate) new: u64,
    pub(crate) replaced: u64,
    pub(crate) present: u64,
    pub(crate) older: u64,
    pub(crate) refused: u64,
    /// Those of the others that have a warning.
    pub(crate) warnings: u64,
    /// Those of the others that have a recorded proof; 0 without `--proofs`.
    pub(crate) proven: u64,
}

impl ImportCounts {
    fn add(&mut self, line: &ReportLine) {
        if line.outcome != ImportOutcome::Refused && line.proof == Some(ProofStatus::Recorded) {
            self.proven += 1;
        }
        if line.outcome != ImportOutcome::Refused && line.code.is_some() {
            self.warnings += 1;
        }
        *match line.outcome {
            ImportOutcome::New => &mut self.new,
            ImportOutcome::Replaced => &mut self.replaced,
            ImportOutcome::Present => &mut self.present,
            ImportOutcome::Older => &mut self.older,
            ImportOutcome::Refused => &mut self.refused,
        } += 1;
    }

    /// The number of all assertions.
    pub(crate) fn total(&self) -> u64 {
        self.new + self.replaced + self.present + self.older + self.refused
    }

    /// Writes a line to the log of the service.
    pub(crate) fn log(&self, origin: &ImportOrigin) {
        let Self {
            new,
            replaced,
            present,
            older,
            refused,
            warnings,
            ..
        } = self;
        let what = if self.stored() {
            "imported"
        } else {
            "refused to import"
        };
        tracing::info!(
            by = origin.by,
            file = origin.name,
            new,
            replaced,
            present,
            older,
            refused,
            warnings,
            "{what} identities"
        );
    }

    /// Returns true if the import was stored, which it is unless an assertion was refused.
    pub(crate) fn stored(&self) -> bool {
        self.refused == 0
    }
}

/// A report that is being written.
pub(super) struct ReportWriter {
    counts: ImportCounts,
    lines: BufWriter<File>,
}

impl ReportWriter {
    pub(super) fn new(file: File) -> Self {
        Self {
            counts: ImportCounts::default(),
            lines: BufWriter::new(file),
        }
    }

    pub(super) fn counts(&self) -> ImportCounts {
        self.counts
    }

    pub(super) fn write(&mut self, line: &ReportLine) -> io::Result<()> {
        self.counts.add(line);
        serde_json::to_writer(&mut self.lines, line)?;
        self.lines.write_all(b"\n")
    }

    pub(super) fn finish(self) -> io::Result<ImportReport> {
        let mut lines = self.lines.into_inner().map_err(io::IntoInnerError::into_error)?;
        lines.rewind()?;
        Ok(ImportReport {
            counts: self.counts,
            lines,
        })
    }
}

/// The report as JSON, which [`ImportReport::json`] writes piece by piece.
#[derive(ToSchema)]
#[schema(as = ImportReport)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct ImportSummary {
    /// False if an assertion is refused: then nothing is stored
    stored: bool,
    new: u64,
    replaced: u64,
    present: u64,
    older: u64,
    refused: u64,
    warnings: u64,
    /// In the order of the input
    assertions: Vec<ReportLine>,
}

/// The report of an import.
pub(crate) struct ImportReport {
    pub(crate) counts: ImportCounts,
    lines: File,
}

impl ImportReport {
    /// The lines, in the order of the input.
    pub(crate) fn lines(self) -> impl Iterator<Item = io::Result<ReportLine>> {
        let parse = |line: io::Result<String>| Ok(serde_json::from_str(&line?)?);
        BufReader::new(self.lines).lines().map(parse)
    }

    /// The report as a JSON object, in pieces: the counts, then `assertions`.
    pub(crate) fn json(self) -> impl Iterator<Item = io::Result<String>> {
        let ImportCounts {
            new,
            replaced,
            present,
            older,
            refused,
            warnings,
            ..
        } = self.counts;
        let stored = self.counts.stored();
        let head = format!(
            "{{\"stored\":{stored},\"new\":{new},\"replaced\":{replaced},\"present\":{present},\"older\":{older},\
             \"refused\":{refused},\"warnings\":{warnings},\"assertions\":["
        );
        let lines = BufReader::new(self.lines).lines().enumerate();
        let lines =
            lines.map(|(index, line)| Ok(format!("{}\n{}", if index == 0 { "" } else { "," }, line?)));
        std::iter::once(Ok(head))
            .chain(lines)
            .chain(std::iter::once(Ok("\n]}\n".to_owned())))
    }
}
