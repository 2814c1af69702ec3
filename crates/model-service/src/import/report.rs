//! The report of an import: a line for each assertion, kept in a temporary file.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Seek as _, Write as _};

use serde::{Deserialize, Serialize};

/// What became of an assertion.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// It was not there.
    New,
    /// It takes the place of one with a lower revision.
    Replaced,
    /// It was there already.
    Present,
    /// One with a higher revision is there, and stays.
    Older,
    /// It cannot be stored.
    Refused,
}

impl Outcome {
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
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Line {
    /// The file, where there may be several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) input: Option<String>,
    /// Its place in the stream, counted from 1.
    pub(crate) number: u64,
    pub(crate) outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hardware_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

/// How many assertions had which outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) new: u64,
    pub(crate) replaced: u64,
    pub(crate) present: u64,
    pub(crate) older: u64,
    pub(crate) refused: u64,
}

impl Counts {
    fn add(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::New => &mut self.new,
            Outcome::Replaced => &mut self.replaced,
            Outcome::Present => &mut self.present,
            Outcome::Older => &mut self.older,
            Outcome::Refused => &mut self.refused,
        } += 1;
    }

    /// Whether the import was stored: it is, unless something was refused.
    pub(crate) fn stored(&self) -> bool {
        self.refused == 0
    }
}

/// A report in the making.
pub(super) struct Reporter {
    counts: Counts,
    lines: BufWriter<File>,
}

impl Reporter {
    pub(super) fn new(file: File) -> Self {
        Self {
            counts: Counts::default(),
            lines: BufWriter::new(file),
        }
    }

    pub(super) fn counts(&self) -> Counts {
        self.counts
    }

    pub(super) fn write(&mut self, line: &Line) -> io::Result<()> {
        self.counts.add(line.outcome);
        serde_json::to_writer(&mut self.lines, line)?;
        self.lines.write_all(b"\n")
    }

    pub(super) fn finish(self) -> io::Result<Report> {
        let mut lines = self.lines.into_inner().map_err(io::IntoInnerError::into_error)?;
        lines.rewind()?;
        Ok(Report {
            counts: self.counts,
            lines,
        })
    }
}

/// A finished report.
pub(crate) struct Report {
    pub(crate) counts: Counts,
    lines: File,
}

impl Report {
    /// The lines, in the order of the input.
    pub(crate) fn lines(self) -> impl Iterator<Item = io::Result<Line>> {
        let parse = |line: io::Result<String>| Ok(serde_json::from_str(&line?)?);
        BufReader::new(self.lines).lines().map(parse)
    }

    /// The report as a JSON object, piece by piece: the counts, then `assertions`.
    pub(crate) fn json(self) -> impl Iterator<Item = io::Result<String>> {
        let Counts {
            new,
            replaced,
            present,
            older,
            refused,
        } = self.counts;
        let stored = self.counts.stored();
        let head = format!(
            "{{\"stored\":{stored},\"new\":{new},\"replaced\":{replaced},\"present\":{present},\"older\":{older},\
             \"refused\":{refused},\"assertions\":["
        );
        let lines = BufReader::new(self.lines).lines().enumerate();
        let lines =
            lines.map(|(index, line)| Ok(format!("{}\n{}", if index == 0 { "" } else { "," }, line?)));
        std::iter::once(Ok(head))
            .chain(lines)
            .chain(std::iter::once(Ok("\n]}\n".to_owned())))
    }
}
