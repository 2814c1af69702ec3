//! Findings about programs: missing, not executable, for another machine.

use std::borrow::Cow;

use miette::Diagnostic;
use thiserror::Error;

use crate::finding::FindingKind;

/// `user` is the hook or app that runs the program, such as `hook configure`.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum ProgramFinding {
    #[error("{path} is not in the snap")]
    #[diagnostic(
        code("missing-command"),
        help("Put the file into the snap, or correct its name")
    )]
    MissingCommand { path: String, user: String },
    #[error("{path} is not in the snap")]
    #[diagnostic(
        code("missing-command-chain"),
        help("Put the file into the snap, or correct its name")
    )]
    MissingCommandChain { path: String, user: String },
    #[error("{path} is not in the snap")]
    #[diagnostic(
        code("missing-program"),
        help("Put the file into the snap, or correct its name")
    )]
    MissingProgram { path: String, user: String },
    #[error("a symbolic link leads out of the snap or in a circle")]
    #[diagnostic(
        code("link-leads-out"),
        help("Put the file itself into the snap, or a relative link that stays in the snap")
    )]
    LinkLeadsOut,
    #[error("the file is not executable")]
    #[diagnostic(code("not-executable"), help("Run `chmod 755 {path}`"))]
    NotExecutable { path: String, user: String },
    #[error("not a program: {problem}")]
    #[diagnostic(
        code("not-a-program"),
        help(
            "Use an ELF program for the architecture of the device, or a script whose first line is \
             #!/bin/sh"
        )
    )]
    NotAProgram { problem: String, user: String },
    #[error("the program is built for {built}, the snap is for {declared}")]
    #[diagnostic(
        code("wrong-architecture"),
        help(
            "Build it for {declared} (`cargo build --target …`), or correct `architectures:` in \
             meta/snap.yaml"
        )
    )]
    WrongArchitecture {
        built: String,
        declared: String,
        user: String,
    },
    #[error("the snap is for all architectures, {program} for only one")]
    #[diagnostic(
        code("no-architecture"),
        severity(Warning),
        help("Name the architecture: `architectures: [amd64]`")
    )]
    NoArchitecture { program: String },
    #[error("the interpreter \"{}\" is neither in {base} nor in the snap", interpreter.escape_debug())]
    #[diagnostic(code("missing-interpreter"), help("{}", interpreter_fix(interpreter, path)))]
    MissingInterpreter {
        interpreter: String,
        base: String,
        path: String,
        user: String,
    },
}

fn interpreter_fix(interpreter: &str, path: &str) -> String {
    match interpreter.ends_with('\r') {
        true => format!("Convert its line ends to those of Unix: sed -i 's/\\r$//' {path}"),
        false => "Use an interpreter of the base, such as /bin/sh, or stage one and name it by its path \
                  in the snap"
            .to_owned(),
    }
}

impl FindingKind for ProgramFinding {
    fn why(&self) -> Cow<'static, str> {
        match self {
            ProgramFinding::MissingCommand { user, .. }
            | ProgramFinding::MissingCommandChain { user, .. }
            | ProgramFinding::MissingProgram { user, .. } => {
                format!("the {user} fails when it starts the program").into()
            }
            ProgramFinding::LinkLeadsOut => {
                "snapd refuses a snap with such a hook; where any other link leads \
                                             on the device is unknown here"
                    .into()
            }
            ProgramFinding::NotExecutable { user, .. } => {
                format!("the {user} cannot run it, and snapd refuses the snap").into()
            }
            ProgramFinding::NotAProgram { user, .. } => format!("the {user} cannot run it").into(),
            ProgramFinding::WrongArchitecture { user, .. } => {
                format!("the kernel refuses to run it, and the {user} fails").into()
            }
            ProgramFinding::NoArchitecture { .. } => {
                "the snap can get into an image for another architecture, where its hooks fail".into()
            }
            ProgramFinding::MissingInterpreter { user, .. } => {
                format!("the kernel reports \"not found\" for the program, and the {user} fails").into()
            }
        }
    }
}
