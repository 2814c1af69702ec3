//! Findings about the names and duties of hooks.

use std::borrow::Cow;

use miette::Diagnostic;
use thiserror::Error;

use crate::finding::FindingKind;

#[derive(Debug, Error, Diagnostic)]
pub(crate) enum HookFinding {
    #[error("snapd has no hook {name}")]
    #[diagnostic(
        code("ignored-hook"),
        help(
            "Rename it to {}, or remove it",
            suggestion.unwrap_or("the hook that it should be")
        )
    )]
    Ignored {
        name: String,
        suggestion: Option<&'static str>,
    },
    #[error("{path} does not exist")]
    #[diagnostic(
        code("hook-without-file"),
        help("Put the program at {path} (mode 755), or remove the entry")
    )]
    WithoutFile { path: String },
    #[error("the hook {name} does not exist")]
    #[diagnostic(
        code("missing-hook"),
        help("Put {name} of this project, or a script that calls it, into meta/hooks (mode 755)")
    )]
    Missing {
        name: &'static str,
        purpose: &'static str,
    },
    #[error("the hook configure does not exist")]
    #[diagnostic(
        code("no-configure"),
        help("Put configure of this project, or an empty script, into meta/hooks (mode 755)")
    )]
    NoConfigure {
        /// The snap-id that gadget.yaml has defaults of the gadget for.
        defaults_of: Option<String>,
    },
    #[error("the hook does not run {hook} of this project, and does not do its task{}", always_ends(*end))]
    #[diagnostic(
        code("hook-bypassed"),
        help(
            "Put the program at bin/{hook} of the snap, and call it first in the script: \
             \"$SNAP/bin/{hook}\""
        )
    )]
    Bypassed {
        hook: &'static str,
        /// The line of an `exit` that is always reached.
        end: Option<usize>,
    },
    #[error("line {line} can end the hook before it runs {hook} of this project")]
    #[diagnostic(
        code("hook-bypassed"),
        help(
            "Put the program at bin/{hook} of the snap, and call it first in the script: \
             \"$SNAP/bin/{hook}\""
        )
    )]
    ExitsFirst { hook: &'static str, line: usize },
    #[error("the script does not remove registration.body")]
    #[diagnostic(
        code("body-not-unset"),
        severity(Warning),
        help(
            "Begin the script with `snapctl unset registration.body`, or call prepare-device of this \
             project"
        )
    )]
    BodyNotUnset,
    #[error("the script sets the key digest under only one of its two names")]
    #[diagnostic(
        code("one-digest-name"),
        severity(Warning),
        help(
            "Set both fields of registration.body to the same value, or call prepare-serial-request \
             of this project"
        )
    )]
    OneDigestName,
}

impl FindingKind for HookFinding {
    fn why(&self) -> Cow<'static, str> {
        match self {
            HookFinding::Ignored { name, .. } if name == "prepare-serial" => {
                "some documentation calls the hook prepare-serial; snapd runs prepare-serial-request and ignores \
                 this one, so the device requests its serial without a proof of its identity"
                    .into()
            }
            HookFinding::Ignored { .. } => "snapd ignores hooks with other names, without a message".into(),
            HookFinding::WithoutFile { .. } => "snapd runs the declared hook, and fails".into(),
            HookFinding::Missing { purpose, .. } => {
                format!("it {purpose}; without it the device gets no serial for its hardware identity").into()
            }
            HookFinding::NoConfigure {
                defaults_of: Some(snap_id),
            } => format!(
                "gadget.yaml has defaults for the gadget ({snap_id}); snapd then fails to install the gadget"
            )
            .into(),
            HookFinding::NoConfigure { defaults_of: None } => {
                "`snap set` of the gadget fails, and the gadget cannot have defaults".into()
            }
            HookFinding::Bypassed { hook, .. } | HookFinding::ExitsFirst { hook, .. } => consequence(hook).into(),
            HookFinding::BodyNotUnset => "after a failed attempt snapd still has the body, and every later \
                                          attempt fails before snapd runs prepare-serial-request"
                .into(),
            HookFinding::OneDigestName => {
                "snapd 2.74 to 2.77 read hardware-id-key-sha384; later releases and the model service read \
                 hardware-id-key-sha3-384"
                    .into()
            }
        }
    }
}

fn always_ends(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!("; it always ends at line {line}"))
}

/// What happens if a hook of this project does not run.
fn consequence(hook: &str) -> &'static str {
    match hook {
        "prepare-serial-request" => {
            "the device requests its serial without a proof of its identity, and the model service refuses it"
        }
        "install-device" => "a factory image does not export the identity, although factory.export is set",
        "configure" => "wrong settings are accepted when they are set, and fail the registration later",
        _ => {
            "the hardware identity is not made, snapd does not learn the URL of the model service, and an old \
             registration.body fails every later attempt"
        }
    }
}
