//! Findings about values in YAML and about snap-ids.

use std::borrow::Cow;

use miette::Diagnostic;
use thiserror::Error;

use crate::finding::FindingKind;

#[derive(Debug, Error, Diagnostic)]
pub(crate) enum ValueFinding {
    #[error("snapd reads {written} as {read} (line {line})")]
    #[diagnostic(
        code("yaml-value"),
        severity(Warning),
        help("Write \"{written}\" in quotation marks if it is text, or {read} if that is meant")
    )]
    Yaml {
        written: String,
        read: String,
        line: usize,
    },
    #[error("{snap_id} is not a snap-id of a store, but a placeholder")]
    #[diagnostic(
        code("placeholder-snap-id"),
        severity(Warning),
        help(
            "Register the name of the gadget, and take the snap-id from `snap info --verbose {gadget}` or \
             from the snap-declaration"
        )
    )]
    PlaceholderSnapId { snap_id: String, gadget: String },
}

impl FindingKind for ValueFinding {
    fn why(&self) -> Cow<'static, str> {
        match self {
            ValueFinding::Yaml { .. } => {
                "snapd's YAML reader follows YAML 1.1: the hooks get another value than the one written"
            }
            ValueFinding::PlaceholderSnapId { .. } => {
                "snapd applies the entry only to the snap with this snap-id, which does not exist: no plug is \
                 connected and no default is set"
            }
        }
        .into()
    }
}
