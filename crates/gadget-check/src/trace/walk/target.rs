//! Which program a word of a script names.

use super::Walk;
use super::prefixes::{is_builtin, is_interpreter};
use crate::snap::environment::Environment;
use crate::snap::script::{OURS, PROGRAM_DIRECTORIES};
use crate::trace::Value;

/// What the first word of a command is.
pub(super) enum Target {
    InSnap(String),
    /// A program of the base, of another snap, a builtin or a function.
    Elsewhere(String),
    Unknown,
}

impl Walk<'_> {
    pub(super) fn target(&self, word: &Value, environment: &Environment) -> Target {
        let in_snap = |text: &String| {
            environment
                .in_snap(text)
                .map(|path| path.to_string_lossy().into_owned())
        };
        let paths: Vec<String> = word.texts().iter().filter_map(in_snap).collect();
        if let Some(path) = paths.iter().find(|path| self.tree.is_file(path)) {
            return Target::InSnap(path.clone());
        }
        match (word.only(), paths.first()) {
            (Some(_), Some(path)) if !path.is_empty() => Target::InSnap(path.clone()),
            (Some(text), None) if text.starts_with('/') => Target::Elsewhere(text.to_owned()),
            (Some(text), None) if !text.contains('/') && !text.is_empty() => {
                match self.found_by_name(text, environment) {
                    Some(path) => Target::InSnap(path),
                    None => Target::Elsewhere(text.to_owned()),
                }
            }
            _ => Target::Unknown,
        }
    }

    /// The path of a program that is called by its name. Programs of this project are searched for
    /// also if PATH is set by something that cannot be read.
    fn found_by_name(&self, name: &str, environment: &Environment) -> Option<String> {
        if is_builtin(name) || is_interpreter(name) || self.functions.contains(name) {
            return None;
        }
        let path = environment.all("PATH").iter();
        let path = path.flat_map(|value| value.split(':').map(str::to_owned).collect::<Vec<_>>());
        let in_path = path.filter_map(|directory| Some(environment.in_snap(&directory)?.join(name)));
        let usual = PROGRAM_DIRECTORIES
            .iter()
            .filter(|_| OURS.contains(&name))
            .map(|directory| format!("{directory}/{name}").into());
        let mut paths = in_path
            .chain(usual)
            .map(|path| path.to_string_lossy().into_owned());
        paths.find(|path| self.tree.is_file(path))
    }

    /// The position of the first argument that is snapctl or a program of the snap.
    pub(super) fn command_in(&self, arguments: &[Value], environment: &Environment) -> Option<usize> {
        arguments.iter().position(|argument| {
            let is_path = argument.text().contains('/');
            argument.text() == "snapctl"
                || (is_path && matches!(self.target(argument, environment), Target::InSnap(_)))
        })
    }

    /// Returns true if a content snap has the file, which therefore cannot be looked at.
    pub(super) fn is_of_content_snap(&self, path: &str, environment: &Environment) -> bool {
        let mut targets = self.snap.content_targets().filter_map(|target| {
            let target = environment.expand(target);
            let in_snap = environment.in_snap(&target);
            // A relative target is below $SNAP too.
            Some(in_snap.unwrap_or_else(|| target.trim_start_matches('/').into()))
                .filter(|path| path.components().next().is_some())
        });
        targets.any(|target| std::path::Path::new(path).starts_with(target))
    }
}
