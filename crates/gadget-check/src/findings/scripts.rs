//! Findings about commands in scripts, and about what could not be read of them.

use std::borrow::Cow;

use miette::Diagnostic;
use thiserror::Error;

use crate::finding::FindingKind;

#[derive(Debug, Error, Diagnostic)]
pub(crate) enum ScriptFinding {
    #[error("snapctl stores the value {value} of {option} as JSON, and not as a string{}", at(*line))]
    #[diagnostic(
        code("untyped-set"),
        severity(Warning),
        help("Use `snapctl set -s {option}=…`, which always stores a string")
    )]
    UntypedSet {
        option: String,
        value: String,
        line: Option<usize>,
    },
    #[error("snapctl stores the value of {option} as a number if it has only digits{}", at(*line))]
    #[diagnostic(
        code("untyped-set"),
        severity(Warning),
        help("Use `snapctl set -s {option}=…`, which always stores a string")
    )]
    MaybeUntypedSet { option: String, line: Option<usize> },
    #[error("the script calls {program}{}", at(*line))]
    #[diagnostic(
        code("unreachable-program"),
        severity(Warning),
        help(
            "Use snapctl for the snap's own configuration, and stage other programs in the gadget; or \
             leave the task to a snap with the interface for it"
        )
    )]
    Unreachable { program: String, line: Option<usize> },
    #[error("not all of the script could be read: {}", reason(*line))]
    #[diagnostic(
        code("not-checked"),
        severity(Advice),
        help("Check the rest by hand, or try the hook with `testbed hook`")
    )]
    Incomplete {
        /// The line where the first part with a syntax error begins.
        line: Option<usize>,
    },
    #[error("only the string literals of this script were read, as commands ({})", language.escape_debug())]
    #[diagnostic(
        code("not-checked"),
        severity(Advice),
        help("Check the rest by hand, or try the hook with `testbed hook`")
    )]
    OtherLanguage { language: String },
    #[error("the program that line {line} runs is not known before the script runs")]
    #[diagnostic(
        code("not-checked"),
        severity(Advice),
        help("Check the rest by hand, or try the hook with `testbed hook`")
    )]
    UnknownProgram { line: usize },
    #[error("the scripts call each other too deeply or too often to follow them all")]
    #[diagnostic(
        code("not-checked"),
        severity(Advice),
        help("Check the rest by hand, or try the hook with `testbed hook`")
    )]
    TooMany,
}

fn at(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(" (line {line})"))
}

fn reason(line: Option<usize>) -> String {
    match line {
        Some(line) => format!("it has a syntax error or an unusual construct in line {line} or after it"),
        None => "it is too large or too deep".to_owned(),
    }
}

impl FindingKind for ScriptFinding {
    fn why(&self) -> Cow<'static, str> {
        match self {
            ScriptFinding::UntypedSet { .. } | ScriptFinding::MaybeUntypedSet { .. } => {
                "snapd reads the option as a string; a number, true, false or null fails the registration"
            }
            ScriptFinding::Unreachable { .. } => {
                "a hook or app runs under strict confinement, which denies this program; the command fails \
                 on the device"
            }
            _ => "a problem in what was not read is found only on the device",
        }
        .into()
    }
}
