//! Scripts: what can be read from them without running them.

use super::literals::{self, Group};
use super::shell::{self, ShellScript};

/// Programs of this project.
pub(crate) const OURS: [&str; 5] = [
    "prepare-device",
    "prepare-serial-request",
    "install-device",
    "configure",
    "hardware-identity",
];
/// Directories of programs, below `$SNAP`.
pub(crate) const PROGRAM_DIRECTORIES: [&str; 4] = ["bin", "sbin", "usr/bin", "usr/sbin"];

/// Names of interpreters of shell scripts.
const SHELLS: [&str; 4] = ["sh", "bash", "dash", "ash"];

/// A file that an interpreter runs.
#[derive(Debug)]
pub(crate) struct Script {
    /// The first line without `#!`: the interpreter and at most one argument. Empty if there is no
    /// such line.
    interpreter: String,
    pub(crate) body: Body,
    /// True if all of it was read without an error.
    pub(crate) is_complete: bool,
}

#[derive(Debug)]
pub(crate) enum Body {
    Shell(ShellScript),
    /// In another language: the name of its interpreter, and the groups of string literals.
    Other(String, Vec<Group>),
}

impl Script {
    /// Returns `None` if the data does not begin with `#!`.
    pub(crate) fn parse(data: &[u8]) -> Option<Self> {
        let text = data.strip_prefix(b"#!")?;
        let line = text.split(|byte| *byte == b'\n').next()?;
        // A carriage return stays: to the kernel it is a part of the name.
        let line = String::from_utf8_lossy(line);
        let interpreter = line.trim_matches([' ', '\t']).to_owned();
        let words: Vec<&str> = interpreter.split([' ', '\t']).collect();
        let name = command_of(&words).unwrap_or_else(|| words.first().copied().unwrap_or_default());
        let name = name.rsplit('/').next().unwrap_or(name).trim_end();
        Some(Script {
            interpreter: interpreter.clone(),
            ..Script::read(name, data)
        })
    }

    /// Reads a file that is an argument of an interpreter, with `#!` or without.
    pub(crate) fn read(interpreter: &str, data: &[u8]) -> Self {
        // The parser notices by the byte more that the script is too large.
        let text = String::from_utf8_lossy(&data[..data.len().min(shell::LARGEST + 1)]);
        let (body, is_complete) = match SHELLS.contains(&interpreter) {
            true => {
                let script = ShellScript::parse(&text);
                let is_complete = script.complete;
                (Body::Shell(script), is_complete)
            }
            false => {
                let groups = literals::groups(&text);
                (
                    Body::Other(interpreter.to_owned(), groups),
                    data.len() <= shell::LARGEST,
                )
            }
        };
        Script {
            interpreter: String::new(),
            body,
            is_complete,
        }
    }

    /// The path of the interpreter.
    pub(crate) fn interpreter(&self) -> &str {
        self.interpreter.split([' ', '\t']).next().unwrap_or_default()
    }

    /// The name that `#!/usr/bin/env NAME` looks up.
    pub(crate) fn command(&self) -> Option<&str> {
        command_of(&self.interpreter.split([' ', '\t']).collect::<Vec<_>>())
    }

    /// Returns true if the text is somewhere in the script, outside of its comments.
    pub(crate) fn mentions(&self, text: &str) -> bool {
        match &self.body {
            Body::Shell(script) => script.code.contains(text),
            Body::Other(_, groups) => groups.iter().flatten().any(|literal| literal.contains(text)),
        }
    }
}

/// The name that `env` looks up, from the words of the first line.
fn command_of<'a>(words: &[&'a str]) -> Option<&'a str> {
    let (env, rest) = words.split_first()?;
    let is_name = |word: &&&str| !word.is_empty() && !word.starts_with('-');
    rest.iter()
        .find(is_name)
        .copied()
        .filter(|_| env.ends_with("/env"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interpreter_is_read_as_the_kernel_reads_it() {
        let script = Script::parse(b"#!/usr/bin/env -S bash -e\ntrue").unwrap();
        assert_eq!(script.interpreter(), "/usr/bin/env");
        assert_eq!(script.command(), Some("bash"));
        assert!(matches!(script.body, Body::Shell(_)));
        let script = Script::parse(b"#! /bin/sh\r\ntrue\r\n").unwrap();
        assert_eq!(script.interpreter(), "/bin/sh\r");
        assert_eq!(script.command(), None);
        assert!(Script::parse(b"echo").is_none());
        let script = Script::parse(b"#!/usr/bin/python3\nprint('a') # b\n").unwrap();
        assert!(matches!(&script.body, Body::Other(name, _) if name == "python3"));
        assert!(script.mentions("a") && !script.mentions("b"));
    }
}
