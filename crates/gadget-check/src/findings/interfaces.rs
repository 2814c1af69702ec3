//! Findings about plugs, slots and connections.

use std::borrow::Cow;

use miette::Diagnostic;
use thiserror::Error;

use crate::finding::FindingKind;

#[derive(Debug, Error, Diagnostic)]
pub(crate) enum InterfaceFinding {
    #[error("the {kind} {name} has no plug {interface}")]
    #[diagnostic(
        code("missing-plug"),
        help(
            "Add `plugs: [{interface}]` to {kind}s.{name}. A plug that a hook or app lists belongs only \
             to those that list it; a plug that none of them lists belongs to all"
        )
    )]
    MissingPlug {
        /// `hook` or `app`.
        kind: &'static str,
        name: String,
        interface: &'static str,
    },
    #[error("snapd {major}.{minor} has no interface {interface}")]
    #[diagnostic(
        code("unknown-interface"),
        help(
            "Correct the name to {}, or remove the entry",
            suggestion.unwrap_or("one that `snap interface` lists")
        )
    )]
    Unknown {
        interface: String,
        suggestion: Option<&'static str>,
        major: u32,
        minor: u32,
    },
    #[error("no entry connects the plug {plug} to system:{interface}")]
    #[diagnostic(
        code("not-connected"),
        severity(Warning),
        help(
            "Add `- plug: SNAP-ID:{plug}` and `slot: system:{interface}` with the snap-id of the gadget \
             (`snap info --verbose {gadget}`). For a gadget without a signature of a store, run `snap \
             connect {gadget}:{plug}`"
        )
    )]
    NotConnected {
        plug: String,
        interface: String,
        gadget: String,
    },
    #[error("{problem}")]
    #[diagnostic(
        code("bad-connection"),
        help(
            "Write `plug: SNAP-ID:tpm` with the snap-id that the store gave the gadget (`snap info \
             --verbose GADGET`), not with its name; leave out `slot:` for the system's slot of the same \
             name"
        )
    )]
    BadConnection { problem: String },
    #[error("the gadget has no {kind} {name}")]
    #[diagnostic(
        code("unknown-connection"),
        help("Correct the name, or add the {kind} to meta/snap.yaml")
    )]
    UnknownConnection {
        /// `plug` or `slot`.
        kind: &'static str,
        name: String,
    },
}

impl FindingKind for InterfaceFinding {
    fn why(&self) -> Cow<'static, str> {
        match self {
            InterfaceFinding::MissingPlug { interface: "tpm", .. } => {
                "AppArmor then denies access to /dev/tpmrm0"
            }
            InterfaceFinding::MissingPlug {
                interface: "hardware-observe",
                ..
            } => "AppArmor then denies access to the serial number that the setting hardware-id names",
            InterfaceFinding::MissingPlug { .. } => {
                "AppArmor then denies access to what the setting factory.export names"
            }
            InterfaceFinding::Unknown { .. } => "snapd ignores plugs and slots of an unknown interface",
            InterfaceFinding::NotConnected { .. } => {
                "snapd connects the plug only if there is an entry here or a snap-declaration of the store; \
                 until then the hooks fail with permission denied. snapd ignores all entries of a gadget without \
                 a signature of a store: it has no snap-id"
            }
            InterfaceFinding::BadConnection { .. } => {
                "snapd refuses the file, or finds no snap that the entry is for"
            }
            InterfaceFinding::UnknownConnection { .. } => "snapd ignores the entry",
        }
        .into()
    }
}
