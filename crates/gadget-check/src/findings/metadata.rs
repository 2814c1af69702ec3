//! Findings in snap.yaml and gadget.yaml as a whole.

use std::borrow::Cow;

use miette::Diagnostic;
use thiserror::Error;

use crate::finding::FindingKind;

#[derive(Debug, Error, Diagnostic)]
pub(crate) enum MetadataFinding {
    #[error("the file does not exist")]
    #[diagnostic(
        code("no-snap-yaml"),
        help("Name a .snap, the directory prime of snapcraft, or an unpacked snap")
    )]
    NoSnapYaml,
    #[error("{problem}")]
    #[diagnostic(
        code("bad-snap-yaml"),
        help("Correct the file, or snapcraft.yaml if snapcraft writes it")
    )]
    BadSnapYaml { problem: String },
    #[error("the snap is not of type gadget")]
    #[diagnostic(
        code("not-a-gadget"),
        help("Set `type: gadget`, or check the gadget snap instead")
    )]
    NotAGadget,
    #[error("the file does not exist")]
    #[diagnostic(
        code("no-gadget-yaml"),
        help("Put gadget.yaml beside snap.yaml, or beside snapcraft.yaml in a snapcraft project")
    )]
    NoGadgetYaml,
    #[error("{problem}")]
    #[diagnostic(code("bad-gadget-yaml"), help("Correct the file"))]
    BadGadgetYaml { problem: String },
    #[error("the base {base} is unknown to this check")]
    #[diagnostic(
        code("unknown-base"),
        severity(Warning),
        help("Set `base:` to the base of the model: {known}")
    )]
    UnknownBase { base: String, known: String },
    #[error("the snap names no base")]
    #[diagnostic(
        code("unknown-base"),
        severity(Warning),
        help("Set `base:` to the base of the model: {known}")
    )]
    NoBase { known: String },
    #[error("it requires only snapd {major}.{minor}")]
    #[diagnostic(code("old-assumes"), severity(Warning), help("Add `assumes: [snapd2.74]`"))]
    OldAssumes { major: u32, minor: u32 },
    #[error("it requires no release of snapd")]
    #[diagnostic(code("old-assumes"), severity(Warning), help("Add `assumes: [snapd2.74]`"))]
    NoAssumes,
}

impl FindingKind for MetadataFinding {
    fn why(&self) -> Cow<'static, str> {
        match self {
            MetadataFinding::NoSnapYaml => "a directory is a snap only if it has this file",
            MetadataFinding::BadSnapYaml { .. } => {
                "snapd refuses the file or reads other values than it seems to have; nothing else was checked"
            }
            MetadataFinding::NotAGadget => {
                "snapd runs prepare-device and prepare-serial-request only from the gadget of the model"
            }
            MetadataFinding::NoGadgetYaml => {
                "the file describes the volumes; no image can be built without it"
            }
            MetadataFinding::BadGadgetYaml { .. } => {
                "snapd refuses the file or reads other values than it seems to have"
            }
            MetadataFinding::UnknownBase { .. } | MetadataFinding::NoBase { .. } => {
                "interpreters and libraries outside of the snap cannot be checked, and a model accepts only a \
                 gadget with the base of the model"
            }
            MetadataFinding::OldAssumes { .. } | MetadataFinding::NoAssumes => {
                "snapd before 2.74 ignores prepare-serial-request and requests a serial without a proof; 2.73 is \
                 the first to know the hardware-identity assertion; 2.74 to 2.77 read the older name of the key \
                 digest, which the hook of this project sets too"
            }
        }
        .into()
    }
}
