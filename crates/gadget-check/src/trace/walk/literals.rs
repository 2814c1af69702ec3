//! String literals of scripts in other languages than that of the shell.

use std::rc::Rc;

use super::{Expanded, Frame, Walk};
use crate::snap::shell::UNKNOWN;
use crate::snap::tree::Entry;
use crate::trace::{Call, Value};

impl Walk<'_> {
    /// Literals of one call in another language: the words of a command, a command for a shell, or
    /// the path of a program.
    pub(super) fn literals(&mut self, group: &[String], frame: &mut Frame) {
        let words: Vec<Value> = group.iter().map(|literal| of_literal(literal)).collect();
        let is_snapctl = |text: &str| text.rsplit('/').next() == Some("snapctl");
        if words.len() > 1 && !group[0].contains(char::is_whitespace) {
            self.trace.calls.push(Call {
                script: frame.script.clone(),
                line: None,
                program: group[0].clone(),
                arguments: words[1..].to_vec(),
            });
        }
        for literal in group
            .iter()
            .filter(|literal| literal.contains(char::is_whitespace))
        {
            let first = literal.split_ascii_whitespace().next().unwrap_or_default();
            if is_snapctl(first) || first.contains("SNAP") || first.starts_with('/') {
                let command = Expanded {
                    words: Vec::new(),
                    named_in: frame.script.clone(),
                    environment: Rc::clone(&frame.environment),
                    line: None,
                    conditional: true,
                    takes_over: false,
                    is_optional: true,
                };
                self.nested(Some(literal.clone()), &command, frame);
            }
        }
        let all = group.join("/");
        let paths = group
            .iter()
            .chain([&all])
            .filter_map(|literal| self.literal_path(literal));
        for path in paths.collect::<Vec<_>>() {
            self.optional_program(path, frame);
        }
    }

    /// The program of the snap that a literal such as `{snap}/bin/a`, `$SNAP/bin/a` or `bin/a` names.
    fn literal_path(&self, literal: &str) -> Option<String> {
        let path = literal
            .rsplit_once(['}', '$', '%'])
            .map_or(literal, |(_, path)| path);
        let path = path.strip_prefix("SNAP").unwrap_or(path).trim_start_matches('/');
        let is_program = matches!(self.tree.entry(path), Entry::File { executable: true });
        (path.contains('/') && is_program).then(|| path.to_owned())
    }
}

/// Python, Perl and others insert values by `{name}`, `%s` and `+`.
fn of_literal(literal: &str) -> Value {
    let (name, value) = literal.split_once('=').unwrap_or(("", literal));
    let inserts = |text: &str| {
        let is_name = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        text.split('{').skip(1).any(is_name) || text.contains("%s") || text.contains('$')
    };
    match name.is_empty() {
        false if value.is_empty() || inserts(value) => Value::partly_known(format!("{name}={UNKNOWN}")),
        _ if inserts(name) => Value::partly_known(UNKNOWN),
        _ => Value::known(literal),
    }
}
