//! One finding, and how a kind of finding becomes one.

use std::borrow::Cow;

use miette::Diagnostic;
use serde::Serialize;

/// How bad a finding is. The worst comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The device gets no identity or no serial, or the snap does not do what its author wrote.
    Error,
    /// It can be intended, or depends on something that the snap does not contain.
    Warning,
    /// Something that could not be checked.
    Info,
}

/// One finding. All fields are strings in JSON; `place` is called `where`.
#[derive(Clone, Debug, Serialize)]
pub struct GadgetFinding {
    /// The stable code, in kebab-case. docs/check-gadget.md lists them all.
    pub code: String,
    /// Error, warning or info.
    pub severity: Severity,
    /// A path in the snap, or a file and a key in it.
    #[serde(rename = "where")]
    pub place: String,
    /// What is wrong.
    pub what: String,
    /// What happens on the device.
    pub why: String,
    /// What to do.
    pub fix: String,
}

impl GadgetFinding {
    /// Makes the finding a warning if `doubtful`.
    pub(crate) fn warning_if(mut self, doubtful: bool) -> Self {
        if doubtful {
            self.severity = Severity::Warning;
        }
        self
    }
}

/// A kind of finding: an enum in `findings/` whose variants declare their texts.
///
/// `#[error(…)]` is what is wrong; `#[diagnostic(…)]` has the code, the fix (`help`) and, unless it
/// is an error, the severity.
pub(crate) trait FindingKind: Diagnostic + Sized {
    /// What happens on the device.
    fn why(&self) -> Cow<'static, str>;

    /// The finding at a place: a path in the snap, or a file and a key in it.
    fn at(&self, place: impl Into<String>) -> GadgetFinding {
        GadgetFinding {
            code: failure::code(self),
            severity: match self.severity() {
                None | Some(miette::Severity::Error) => Severity::Error,
                Some(miette::Severity::Warning) => Severity::Warning,
                Some(miette::Severity::Advice) => Severity::Info,
            },
            place: place.into(),
            what: self.to_string(),
            why: self.why().into_owned(),
            fix: failure::advice(self),
        }
    }
}
