//! Findings in a snapcraft project.

use std::borrow::Cow;

use miette::Diagnostic;
use thiserror::Error;

use crate::finding::FindingKind;

#[derive(Debug, Error, Diagnostic)]
pub(crate) enum ProjectFinding {
    #[error("{problem}")]
    #[diagnostic(code("project-bad-yaml"), help("Correct the file"))]
    BadYaml { problem: String },
    #[error("the base {base} has no usable tpm2-tss: {reason}")]
    #[diagnostic(
        code("project-base-unsupported"),
        help("Set `base:` to one of {supported}, as in the model")
    )]
    BaseUnsupported {
        base: String,
        reason: String,
        supported: String,
    },
    #[error("the programs of the hardware identity cannot be built for {architecture}")]
    #[diagnostic(
        code("project-architecture-unsupported"),
        help("Remove the architecture from the gadget with a hardware identity; {supported} can be built")
    )]
    ArchitectureUnsupported { architecture: String, supported: String },
    #[error("no part builds the programs of the hardware identity")]
    #[diagnostic(code("project-part-missing"), help("Add the part hardware-identity"))]
    PartMissing,
    #[error("{key} lacks {missing}")]
    #[diagnostic(code("project-part-incomplete"), help("Add {missing} to {key} of the part"))]
    PartIncomplete { key: &'static str, missing: String },
    #[error("the part still has the placeholder {placeholder} as its {key}")]
    #[diagnostic(
        code("project-placeholder"),
        help("Replace {placeholder} with the address of the repository of the hardware identity")
    )]
    Placeholder {
        key: &'static str,
        placeholder: &'static str,
    },
    #[error("no part stages {packages}")]
    #[diagnostic(
        code("project-packages-missing"),
        help("Add them to `stage-packages` of the part: these are the names for {base}")
    )]
    PackagesMissing { packages: String, base: String },
    #[error("the part stages {packages}")]
    #[diagnostic(
        code("project-packages-wrong"),
        help("Replace them with the names for {base}: the lines to add have them")
    )]
    PackagesWrong {
        packages: String,
        base: String,
        ubuntu: String,
    },
    #[error("the part does not put {name} into snap/hooks")]
    #[diagnostic(
        code("project-hook-missing"),
        help("Add `bin/{name}: snap/hooks/{name}` to `organize` of the part")
    )]
    HookMissing { name: &'static str },
    #[error("the hook replaces {name} of the hardware identity and does not call it")]
    #[diagnostic(
        code("shadowed-hook"),
        help(
            "Call \"$SNAP/bin/{name}\" from the hook, and remove its line from `organize` of the part, so \
             that the program stays in bin"
        )
    )]
    Shadowed { name: &'static str },
    #[error("the hook calls $SNAP/bin/{name}, but `organize` moves that program to snap/hooks")]
    #[diagnostic(
        code("moved-program"),
        help("Remove the line of bin/{name} from `organize` of the part")
    )]
    ProgramMoved { name: &'static str },
    #[error("the hook {hook} has no plug {plugs}")]
    #[diagnostic(code("project-plugs-missing"), help("Add {plugs} to `plugs` of hooks.{hook}"))]
    PlugsMissing { hook: &'static str, plugs: String },
    #[error("the part writes gadget.yaml from a source that is not in the project")]
    #[diagnostic(
        code("project-gadget-yaml-unread"),
        severity(Warning),
        help("Check the packed gadget: only there are its connections")
    )]
    GadgetYamlUnread,
    #[error("no app runs the tool hardware-identity")]
    #[diagnostic(
        code("project-app-missing"),
        severity(Warning),
        help("Add the app hardware-identity with the plugs of the tool")
    )]
    AppMissing,
    #[error("no part puts {} into the snap", hardware_identity::config::FILE)]
    #[diagnostic(
        code("project-settings-missing"),
        severity(Warning),
        help(
            "Add a part with plugin dump for a directory that contains the settings file; docs/settings.md \
             describes all settings"
        )
    )]
    SettingsMissing,
}

impl FindingKind for ProjectFinding {
    fn why(&self) -> Cow<'static, str> {
        match self {
            ProjectFinding::BadYaml { .. } => "snapcraft refuses the file; nothing else was checked".into(),
            ProjectFinding::BaseUnsupported { .. } => {
                "the programs link tpm2-tss of the release that the base is built from; nothing else was \
                 checked"
                    .into()
            }
            ProjectFinding::ArchitectureUnsupported { .. } => {
                "tss-esapi-sys, which links tpm2-tss, has no bindings for it, and the build fails".into()
            }
            ProjectFinding::PartMissing => {
                "without the programs the device gets no hardware identity and no serial for it".into()
            }
            ProjectFinding::PartIncomplete { key: "rust-path", .. } => {
                "the plugin rust builds only these directories, and the tool is in crates/cli".into()
            }
            ProjectFinding::PartIncomplete { .. } => "the part cannot be built without it".into(),
            ProjectFinding::Placeholder { .. } => "snapcraft cannot pull the part".into(),
            ProjectFinding::PackagesMissing { .. } => {
                "the base has no tpm2-tss, so the hooks do not start or do not reach the TPM; the library \
                 libtss2-tcti-device is opened at run time, so snapcraft does not miss it"
                    .into()
            }
            ProjectFinding::PackagesWrong { ubuntu, .. } => {
                format!("Ubuntu {ubuntu}, which the base is built from, has no packages of these names").into()
            }
            ProjectFinding::HookMissing { .. } => {
                "snapcraft takes the hooks of a part from snap/hooks; snapd never runs the program in bin".into()
            }
            ProjectFinding::Shadowed { .. } => {
                "snapcraft puts a hook of the project over the hook of the same name from a part, without a \
                 message, so snapd never runs the program of the hardware identity"
                    .into()
            }
            ProjectFinding::ProgramMoved { .. } => {
                "snapcraft puts the hook of the project over the program in snap/hooks, so there is nothing \
                 left to call, and the hook fails"
                    .into()
            }
            ProjectFinding::PlugsMissing { .. } => {
                "AppArmor then denies access to the TPM or to the serial number".into()
            }
            ProjectFinding::GadgetYamlUnread => "its connections and defaults were not checked".into(),
            ProjectFinding::AppMissing => {
                "`GADGET.hardware-identity export` on the factory line needs it; with a factory image the hook \
                 install-device exports instead"
                    .into()
            }
            ProjectFinding::SettingsMissing => {
                "without settings the device asks Canonical's service for a serial and proposes none".into()
            }
        }
    }
}
