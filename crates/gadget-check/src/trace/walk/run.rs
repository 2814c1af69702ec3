//! Follows a command to the program that it runs in the end.

use std::rc::Rc;

use super::interpreters::joined;
use super::prefixes::{is_interpreter, is_lookup, prefix_length};
use super::target::Target;
use super::{Expanded, Frame, Walk, assign};
use crate::snap::script::is_shell;
use crate::snap::tree::Entry;
use crate::trace::{Call, GapReason, Program, Role, Value};

impl Walk<'_> {
    /// Follows a command to what it runs in the end: `exec env A=B timeout 9 PROGRAM`.
    pub(super) fn run(&mut self, mut command: Expanded, frame: &mut Frame) {
        // Each prefix takes a word away.
        while let Some(first) = command.words.first().cloned() {
            let (name, is_plain) = match self.target(&first, &command.environment) {
                Target::InSnap(path) => return self.call_program(path, command, frame),
                Target::Elsewhere(program) => (program, first.is_known()),
                Target::Unknown => return self.unknown(&command, frame),
            };
            let arguments = &command.words[1..];
            let base = name.rsplit('/').next().unwrap_or_default().to_owned();
            match (base.as_str(), is_plain) {
                ("exec", true) => command.takes_over = !command.conditional,
                (shell, true) if is_shell(shell) => return self.shell_program(&base, command, frame),
                ("." | "source", true) => return self.source(command, frame),
                ("eval" | "trap", true) => {
                    let count = if base == "eval" { arguments.len() } else { 1 };
                    let text = joined(arguments.iter().take(count));
                    return self.nested(text, &command, frame);
                }
                ("command", true) if arguments.first().is_some_and(|word| is_lookup(word.text())) => return,
                _ => {}
            }
            self.trace.calls.push(Call {
                script: frame.script.clone(),
                line: command.line,
                program: name,
                arguments: arguments.to_vec(),
            });
            if is_interpreter(&base) {
                return self.interpreted(&base, command, frame);
            }
            let count = match self.functions.contains(&base) {
                // A function such as `retry 5 snapctl unset …` can run its arguments.
                true => self
                    .command_in(arguments, &command.environment)
                    .map(|position| position + 1),
                false => prefix_length(&base, arguments),
            };
            let Some(count) = count else { return };
            for word in command.words.drain(..count).skip(1) {
                if let Some((name, value)) = word.text().split_once('=').filter(|_| base == "env") {
                    assign(&mut command.environment, name, &Value::known(value), false);
                }
            }
        }
    }

    fn call_program(&mut self, path: String, command: Expanded, frame: &mut Frame) {
        let [program, arguments @ ..] = command.words.as_slice() else {
            return;
        };
        self.trace.calls.push(Call {
            script: frame.script.clone(),
            line: command.line,
            program: program.text().to_owned(),
            arguments: arguments.to_vec(),
        });
        if self.is_of_content_snap(&path, &command.environment) {
            return;
        }
        let program = Program {
            path,
            role: Role::Called,
            user: frame.user.clone(),
            named_in: command.named_in.clone(),
            environment: Rc::clone(&command.environment),
            takes_over: command.takes_over && !frame.conditional,
            is_optional: command.is_optional,
            after_exit: frame.exit.clone(),
        };
        let name = program.name().to_owned();
        self.start(program, arguments);
        // A shell or another interpreter that the snap has.
        if is_shell(&name) {
            self.shell_program(&name, command, frame);
        } else if is_interpreter(&name) {
            self.interpreted(&name, command, frame);
        }
    }

    pub(super) fn unknown(&mut self, command: &Expanded, frame: &Frame) {
        if let Some(line) = command.line {
            self.gap(&frame.script, GapReason::UnknownProgram(line));
        }
    }

    /// Arguments that are programs of the snap: the program can run them.
    pub(super) fn arguments(&mut self, frame: &Frame, arguments: &[Value]) {
        for argument in arguments {
            let Target::InSnap(path) = self.target(argument, &frame.environment) else {
                continue;
            };
            let is_executable = matches!(self.tree.entry(&path), Entry::File { executable: true });
            if argument.text().contains('/') && is_executable {
                self.optional_program(path, frame);
            }
        }
    }

    pub(super) fn optional_program(&mut self, path: String, frame: &Frame) {
        if self.stack.contains(&path) {
            return;
        }
        self.start(
            Program {
                path,
                role: Role::Called,
                user: frame.user.clone(),
                named_in: frame.script.clone(),
                environment: Rc::clone(&frame.environment),
                takes_over: false,
                is_optional: true,
                after_exit: frame.exit.clone(),
            },
            &[],
        );
    }
}
