//! Scripts: what can be read from them without running them.

use super::literals::{self, Group};
use super::shell::ShellScript;

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

/// Bytes of a script that are read. Hooks have a few KiB.
pub(crate) const MAX_SCRIPT: usize = 1 << 20;

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
    /// Reads a script with a first line that names the interpreter. The flag tells whether the data
    /// is the whole script.
    pub(crate) fn parse((data, is_whole): (&[u8], bool)) -> Self {
        let line = data.split(|byte| *byte == b'\n').next().unwrap_or_default();
        // A carriage return stays: to the kernel it is a part of the name.
        let line = String::from_utf8_lossy(line.strip_prefix(b"#!").unwrap_or(line));
        let interpreter = line.trim_matches([' ', '\t']);
        let words: Vec<&str> = interpreter.split([' ', '\t']).collect();
        let name = command_of(&words).unwrap_or_else(|| words.first().copied().unwrap_or_default());
        let name = name.rsplit('/').next().unwrap_or(name).trim_end();
        Script {
            interpreter: interpreter.to_owned(),
            ..Script::read(name, (data, is_whole))
        }
    }

    /// Reads a file that is an argument of an interpreter, with `#!` or without.
    pub(crate) fn read(interpreter: &str, (data, is_whole): (&[u8], bool)) -> Self {
        let text = String::from_utf8_lossy(data);
        let (body, is_complete) = match is_shell(interpreter) {
            true => {
                let script = ShellScript::parse(&text);
                let is_complete = script.complete && is_whole;
                (Body::Shell(script), is_complete)
            }
            false => {
                let groups = literals::groups(&text);
                (Body::Other(interpreter.to_owned(), groups), is_whole)
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

    /// The line of the first syntax error of a shell script.
    pub(crate) fn error_line(&self) -> Option<usize> {
        match &self.body {
            Body::Shell(script) => script.error,
            Body::Other(..) => None,
        }
    }

    /// Returns true if the text is somewhere in the script, outside of its comments.
    pub(crate) fn mentions(&self, text: &str) -> bool {
        match &self.body {
            Body::Shell(script) => script.code.contains(text),
            Body::Other(_, groups) => groups.iter().flatten().any(|literal| literal.contains(text)),
        }
    }
}

/// Returns true for the name of a shell.
pub(crate) fn is_shell(name: &str) -> bool {
    SHELLS.contains(&name)
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

    fn parse(data: &[u8]) -> Script {
        Script::parse((data, true))
    }

    #[test]
    fn the_interpreter_is_read_as_the_kernel_reads_it() {
        let script = parse(b"#!/usr/bin/env -S bash -e\ntrue");
        assert_eq!(script.interpreter(), "/usr/bin/env");
        assert_eq!(script.command(), Some("bash"));
        assert!(matches!(script.body, Body::Shell(_)));
        let script = parse(b"#! /bin/sh\r\ntrue\r\n");
        assert_eq!(script.interpreter(), "/bin/sh\r");
        assert_eq!(script.command(), None);
        let script = parse(b"#!/usr/bin/python3\nprint('a') # b\n");
        assert!(matches!(&script.body, Body::Other(name, _) if name == "python3"));
        assert!(script.mentions("a") && !script.mentions("b"));
    }
}
