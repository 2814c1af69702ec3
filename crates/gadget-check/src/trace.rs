//! What a hook or app runs: the programs that its scripts reach, and all calls on the way.
//!
//! snapcraft writes scripts into meta/hooks that run the hook itself, and authors write their own.
//! A trace follows them in any layout without running anything: see [`walk`].

pub(crate) mod snapctl;
mod value;
mod walk;

use std::rc::Rc;

use crate::snap::content::{Content, Contents};
use crate::snap::environment::Environment;
use crate::snap::script::Script;
use crate::snap::snap_yaml::{Runnable, SnapYaml};
use crate::snap::tree::Tree;
use snapctl::Snapctl;
pub(crate) use value::Value;

/// What one hook or app runs.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    /// The programs of the snap, each once.
    pub(crate) programs: Vec<Program>,
    /// The calls in scripts, in the order of the text.
    pub(crate) calls: Vec<Call>,
    /// The scripts that were read, with their paths.
    scripts: Vec<(String, Rc<Content>)>,
    pub(crate) gaps: Vec<Gap>,
    /// The first `exit` that is always reached.
    pub(crate) end: Option<Exit>,
}

/// How a program comes to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Hook,
    Command,
    CommandChain,
    /// A script calls it.
    Called,
}

/// A program of the snap.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// In the snap.
    pub(crate) path: String,
    pub(crate) role: Role,
    /// The hook or app that runs it, such as `hook configure`.
    pub(crate) user: String,
    /// Where it is named: the key of the hook or app in snap.yaml, or a script.
    pub(crate) named_in: String,
    pub(crate) environment: Rc<Environment>,
    /// True if it replaces the script by `exec`, under no condition.
    pub(crate) takes_over: bool,
    /// True if the script tests whether it exists.
    pub(crate) is_optional: bool,
    /// An `exit` under a condition, before the call.
    pub(crate) after_exit: Option<Exit>,
}

/// An `exit` of a script with success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) script: String,
    pub(crate) line: usize,
}

/// A command of a script.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// The path of the script.
    pub(crate) script: String,
    /// `None` in languages whose string literals alone are read.
    pub(crate) line: Option<usize>,
    /// The path or name of the program, with variables replaced.
    pub(crate) program: String,
    pub(crate) arguments: Vec<Value>,
}

/// A part of a script that could not be followed.
#[derive(Clone, Debug)]
pub(crate) struct Gap {
    pub(crate) script: String,
    pub(crate) reason: GapReason,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GapReason {
    /// Too large, too deep, or a syntax error in this line.
    Incomplete(Option<usize>),
    /// Only string literals are read of this language.
    OtherLanguage(String),
    /// The name of a program is not known before the script runs.
    UnknownProgram(usize),
    /// The scripts call each other too often or too deeply.
    TooMany,
}

impl Trace {
    /// Follows a hook or app from its programs.
    ///
    /// `user` is such as `hook configure`, `named_in` its key in snap.yaml.
    pub(crate) fn follow(
        (tree, contents, snap): (&Tree, &Contents<'_>, &SnapYaml),
        runnable: &Runnable,
        (user, named_in): (&str, &str),
        (role, paths): (Role, &[&str]),
    ) -> Self {
        let mut environment = Rc::new(Environment::of(snap).with(&runnable.environment));
        let mut walk = walk::Walk::new(tree, contents, snap);
        let program = |path: &str, role, environment: &Rc<Environment>| Program {
            path: path.to_owned(),
            role,
            user: user.to_owned(),
            named_in: named_in.to_owned(),
            environment: Rc::clone(environment),
            takes_over: true,
            is_optional: false,
            after_exit: None,
        };
        for path in &runnable.command_chain {
            // A script in the chain can set variables for what follows.
            environment = walk.start(program(path, Role::CommandChain, &environment), &[]);
        }
        for path in paths {
            walk.start(program(path, role, &environment), &[]);
        }
        walk.finish()
    }

    /// Follows the text of a script of this interpreter, as a fuzz target does.
    #[cfg(feature = "fuzzing")]
    pub(crate) fn of_text(
        (tree, contents, snap): (&Tree, &Contents<'_>, &SnapYaml),
        interpreter: &str,
        text: &[u8],
    ) -> Self {
        let script = Content::Script(Script::read(interpreter, (text, true)));
        let mut walk = walk::Walk::new(tree, contents, snap);
        walk.text(Rc::new(script), Environment::of(snap));
        walk.finish()
    }

    /// The calls of snapctl.
    pub(crate) fn snapctl(&self) -> impl Iterator<Item = (&Call, Snapctl)> {
        self.calls
            .iter()
            .filter_map(|call| Some((call, Snapctl::of(call)?)))
    }

    /// Returns true if a script sets the option, or may set it.
    pub(crate) fn sets(&self, option: &str) -> bool {
        let in_gap = !self.gaps.is_empty() && self.mentions(option);
        in_gap || self.snapctl().any(|(_, snapctl)| snapctl.sets(option))
    }

    /// Returns true if a script removes the option, or may remove it.
    pub(crate) fn unsets(&self, option: &str) -> bool {
        let words = ["unset", "registration"];
        let in_gap = !self.gaps.is_empty() && words.iter().all(|word| self.mentions(word));
        in_gap || self.snapctl().any(|(_, snapctl)| snapctl.unsets(option))
    }

    /// Returns true if a script runs something that could not be followed.
    pub(crate) fn has_unknown_calls(&self) -> bool {
        let mut gaps = self.gaps.iter();
        gaps.any(|gap| !matches!(gap.reason, GapReason::OtherLanguage(_)))
    }

    /// Returns true if the text is in one of the scripts, outside of comments.
    pub(crate) fn mentions(&self, text: &str) -> bool {
        self.scripts().any(|(_, script)| script.mentions(text))
    }

    /// Returns true if a script in another language has the text in a string literal.
    pub(crate) fn names_in_other_language(&self, text: &str) -> bool {
        let gaps = self.gaps.iter();
        let mut others = gaps.filter(|gap| matches!(gap.reason, GapReason::OtherLanguage(_)));
        others.any(|gap| {
            let mut scripts = self.scripts();
            scripts.any(|(path, script)| path == gap.script && script.mentions(text))
        })
    }

    fn scripts(&self) -> impl Iterator<Item = (&str, &Script)> {
        self.scripts
            .iter()
            .filter_map(|(path, content)| match &**content {
                Content::Script(script) => Some((path.as_str(), script)),
                _ => None,
            })
    }
}

impl Program {
    /// The file name.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }
}
