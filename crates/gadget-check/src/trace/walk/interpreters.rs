//! Scripts that are arguments: of interpreters, of `sh -c`, `eval` and `.`.

use std::rc::Rc;

use super::target::Target;
use super::{Expanded, Frame, MAX_DEPTH, MAX_TEXT, Walk};
use crate::snap::shell::ShellScript;
use crate::trace::{GapReason, Value};

impl Walk<'_> {
    /// `sh -c TEXT` and `sh FILE`.
    pub(super) fn shell_program(&mut self, shell: &str, command: Expanded, frame: &mut Frame) {
        let mut words = command.words.iter().skip(1);
        while let Some(word) = words.next() {
            match word.text() {
                "-o" | "+o" => drop(words.next()),
                text if text.starts_with('-') && !text.starts_with("--") && text.ends_with('c') => {
                    let text = joined(words.take(1));
                    return self.nested(text, &command, frame);
                }
                text if text.starts_with(['-', '+']) => {}
                _ => {
                    let rest: Vec<Value> = words.cloned().collect();
                    return self.file(shell, &word.clone(), &rest, command, frame);
                }
            }
        }
    }

    /// A script that is an argument of its interpreter.
    fn file(&mut self, interpreter: &str, file: &Value, rest: &[Value], command: Expanded, frame: &Frame) {
        let Target::InSnap(path) = self.target(file, &command.environment) else {
            return self.unknown(&command, frame);
        };
        let Some(content) = self.contents.script_of(interpreter, &path) else {
            return;
        };
        let mut inner = Frame {
            user: frame.user.clone(),
            script: path,
            environment: command.environment,
            arguments: rest.to_vec(),
            called_in: frame.script.clone(),
            exit: frame.exit.clone(),
            conditional: frame.conditional || command.conditional,
        };
        self.script(&content, &mut inner);
    }

    /// `. FILE`: its assignments and exits are those of the script.
    pub(super) fn source(&mut self, command: Expanded, frame: &mut Frame) {
        let Some(file) = command.words.get(1) else { return };
        let Target::InSnap(path) = self.target(file, &command.environment) else {
            return self.unknown(&command, frame);
        };
        let Some(content) = self.contents.script_of("sh", &path) else {
            return;
        };
        let outer = std::mem::replace(&mut frame.script, path);
        self.script(&content, frame);
        frame.script = outer;
    }

    pub(super) fn interpreted(&mut self, interpreter: &str, command: Expanded, frame: &Frame) {
        let rest = command.words.get(1..).unwrap_or_default();
        let file = rest.iter().position(|word| !word.text().starts_with('-'));
        let is_text = |word: &Value| matches!(word.text(), "-c" | "-e" | "-m");
        if let Some(file) = file.filter(|file| !rest[..*file].iter().any(is_text)) {
            let arguments = rest[file + 1..].to_vec();
            self.file(interpreter, &rest[file].clone(), &arguments, command, frame);
        } else {
            self.gap(&frame.script, GapReason::OtherLanguage(interpreter.to_owned()));
        }
    }

    /// The text of `sh -c`, `eval` and `trap`.
    pub(super) fn nested(&mut self, text: Option<String>, command: &Expanded, frame: &mut Frame) {
        let Some(text) = text else {
            return self.unknown(command, frame);
        };
        self.text += text.len();
        if self.stack.len() >= MAX_DEPTH || self.text > MAX_TEXT {
            return self.gap(&frame.script, GapReason::TooMany);
        }
        let mut inner = Frame {
            user: frame.user.clone(),
            script: frame.script.clone(),
            environment: Rc::clone(&command.environment),
            arguments: Vec::new(),
            called_in: frame.called_in.clone(),
            exit: frame.exit.clone(),
            conditional: frame.conditional || command.conditional,
        };
        self.stack.push(String::new());
        let mut script = ShellScript::parse(&text);
        if let Some(outer) = command.line {
            script.move_to_line(outer);
        }
        if !script.complete {
            self.gap(&frame.script, GapReason::Incomplete(script.error));
        }
        self.shell(&script, &mut inner);
        self.stack.pop();
    }
}

/// The words as one text, if they are known.
pub(super) fn joined<'a>(words: impl Iterator<Item = &'a Value>) -> Option<String> {
    let words: Option<Vec<&str>> = words.map(Value::only).collect();
    Some(words?.join(" ")).filter(|text| !text.is_empty())
}
