//! Follows scripts from call to call.

mod conditions;
mod interpreters;
mod literals;
mod prefixes;
mod run;
mod target;

use std::collections::BTreeSet;
use std::rc::Rc;

use super::value::Scope;
use super::{Exit, Gap, GapReason, Program, Trace, Value};
use crate::snap::content::{Content, Contents};
use crate::snap::environment::Environment;
use crate::snap::script::{Body, Script};
use crate::snap::shell::{Command, Part, ShellScript, Step, UNKNOWN, Word};
use crate::snap::snap_yaml::SnapYaml;
use crate::snap::tree::Tree;

/// Scripts and `sh -c` within each other.
const MAX_DEPTH: usize = 16;
/// Commands and assignments of all scripts of a hook, and programs of the snap.
const MAX_STEPS: usize = 20_000;
const MAX_PROGRAMS: usize = 200;
/// Bytes of the arguments of `sh -c` and `eval`.
const MAX_TEXT: usize = 1 << 20;
/// Existence tests that are compared by their values, and not only as they are written.
const MAX_TESTED: usize = 100;
const MAX_TESTED_LENGTH: usize = 1000;

pub(super) struct Walk<'a> {
    tree: &'a Tree,
    contents: &'a Contents<'a>,
    snap: &'a SnapYaml,
    trace: Trace,
    steps: usize,
    text: usize,
    /// The scripts that are being followed.
    stack: Vec<String>,
    /// The names of the functions of all scripts.
    functions: BTreeSet<String>,
}

/// A script that is being followed.
struct Frame {
    /// The hook or app.
    user: String,
    /// The path of the script.
    script: String,
    environment: Rc<Environment>,
    arguments: Vec<Value>,
    /// Where the arguments are from: another script.
    called_in: String,
    /// An `exit` under a condition that can end it before the next command.
    exit: Option<Exit>,
    /// True if it runs only under a condition.
    conditional: bool,
}

/// A command with its words expanded.
struct Expanded {
    words: Vec<Value>,
    /// The script that names the program: for `"$@"` the caller of this one.
    named_in: String,
    environment: Rc<Environment>,
    line: Option<usize>,
    conditional: bool,
    /// True after `exec`.
    takes_over: bool,
    /// True if the script tests whether the program exists.
    is_optional: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(tree: &'a Tree, contents: &'a Contents<'a>, snap: &'a SnapYaml) -> Self {
        Walk {
            tree,
            contents,
            snap,
            trace: Trace::default(),
            steps: 0,
            text: 0,
            stack: Vec::new(),
            functions: BTreeSet::new(),
        }
    }

    pub(super) fn finish(self) -> Trace {
        self.trace
    }

    /// Follows a program of the snap. Returns the environment that it leaves if it is a script.
    pub(super) fn start(&mut self, program: Program, arguments: &[Value]) -> Rc<Environment> {
        let mut frame = Frame {
            user: program.user.clone(),
            script: program.path.clone(),
            environment: Rc::clone(&program.environment),
            arguments: arguments.to_vec(),
            called_in: program.named_in.clone(),
            exit: program.after_exit.clone(),
            conditional: !program.takes_over,
        };
        let content = self.contents.get(&program.path);
        self.add_program(program);
        match &*content {
            Content::Script(_) => self.script(&content, &mut frame),
            // It can run its arguments, as a command-chain does.
            Content::Elf(_) => self.arguments(&frame, arguments),
            _ => {}
        }
        frame.environment
    }

    #[cfg(feature = "fuzzing")]
    pub(super) fn text(&mut self, script: Rc<Content>, environment: Environment) {
        let mut frame = Frame {
            user: String::new(),
            script: "meta/hooks/configure".to_owned(),
            environment: Rc::new(environment),
            arguments: Vec::new(),
            called_in: String::new(),
            exit: None,
            conditional: false,
        };
        self.script(&script, &mut frame);
    }

    /// A program can be called more than once: what is certain counts.
    fn add_program(&mut self, program: Program) {
        let is_full = self.trace.programs.len() >= MAX_PROGRAMS;
        let mut known = self.trace.programs.iter_mut();
        match known.find(|known| known.path == program.path) {
            Some(known) => {
                known.takes_over |= program.takes_over;
                known.is_optional &= program.is_optional;
                if program.after_exit.is_none() {
                    known.after_exit = None;
                }
            }
            None if is_full => self.gap(&program.path, GapReason::TooMany),
            None => self.trace.programs.push(program),
        }
    }

    fn gap(&mut self, script: &str, reason: GapReason) {
        let gaps = &mut self.trace.gaps;
        let is_same = |gap: &Gap| {
            std::mem::discriminant(&gap.reason) == std::mem::discriminant(&reason) && gap.script == script
        };
        if gaps.len() < MAX_PROGRAMS && !gaps.iter().any(is_same) {
            let script = script.to_owned();
            gaps.push(Gap { script, reason });
        }
    }

    fn script(&mut self, content: &Rc<Content>, frame: &mut Frame) {
        let Content::Script(script) = &**content else {
            return;
        };
        if self.stack.contains(&frame.script) {
            return;
        }
        if self.stack.len() >= MAX_DEPTH {
            return self.gap(&frame.script, GapReason::TooMany);
        }
        let is_known = self.trace.scripts.iter().any(|(path, _)| *path == frame.script);
        if !is_known {
            let path = frame.script.clone();
            self.trace.scripts.push((path, Rc::clone(content)));
        }
        self.stack.push(frame.script.clone());
        self.body(script, frame);
        self.stack.pop();
    }

    fn body(&mut self, script: &Script, frame: &mut Frame) {
        if !script.is_complete {
            self.gap(&frame.script, GapReason::Incomplete(script.error_line()));
        }
        match &script.body {
            Body::Shell(script) => {
                self.functions.extend(script.functions.iter().cloned());
                self.shell(script, frame);
            }
            Body::Other(language, groups) => {
                self.gap(&frame.script, GapReason::OtherLanguage(language.clone()));
                for group in groups {
                    if self.is_exhausted(frame) {
                        return;
                    }
                    self.literals(group, frame);
                }
            }
        }
    }

    fn is_exhausted(&mut self, frame: &Frame) -> bool {
        self.steps += 1;
        let exhausted = self.steps > MAX_STEPS || !self.contents.count_step(0);
        if exhausted {
            self.gap(&frame.script, GapReason::TooMany);
        }
        exhausted
    }

    fn shell(&mut self, script: &ShellScript, frame: &mut Frame) {
        for step in &script.steps {
            if self.is_exhausted(frame) {
                return;
            }
            match step {
                Step::Assign {
                    name,
                    value,
                    conditional,
                } => {
                    let value = frame.scope().word(value);
                    assign(&mut frame.environment, name, &value, *conditional);
                }
                Step::Exit { line, conditions } => {
                    let exit = Exit {
                        script: frame.script.clone(),
                        line: *line,
                    };
                    match self.holds(conditions, frame) {
                        Some(true) => {
                            self.trace.end = self.trace.end.take().or((!frame.conditional).then_some(exit));
                            return;
                        }
                        Some(false) => {}
                        None => drop(frame.exit.get_or_insert(exit)),
                    }
                }
                Step::Run(command) => self.command(script, command, frame),
            }
        }
    }

    fn command(&mut self, script: &ShellScript, command: &Command, frame: &mut Frame) {
        let scope = frame.scope();
        let words = scope.words(&command.words);
        let variables = command.variables.iter();
        let variables: Vec<_> = variables.map(|(name, word)| (name, scope.word(word))).collect();
        let length = words.iter().flat_map(Value::texts).map(String::len).sum();
        if !self.contents.count_step(length) {
            return self.gap(&frame.script, GapReason::TooMany);
        }
        let mut environment = Rc::clone(&frame.environment);
        for (name, value) in &variables {
            assign(&mut environment, name, value, false);
        }
        let is_optional = command
            .words
            .iter()
            .any(|word| script.tested.contains_key(word.text()))
            || tests(script, &words, frame);
        let is_of_caller = |word: &Word| {
            let is_argument = |part: &Part| matches!(part, Part::Variable(name) if name == "@");
            word.parts().first().is_some_and(is_argument)
        };
        let mut leading = command.words.iter().filter(|word| word.text() != "exec");
        let named_in = match leading.next().is_some_and(is_of_caller) {
            true => frame.called_in.clone(),
            false => frame.script.clone(),
        };
        let expanded = Expanded {
            words,
            named_in,
            environment,
            line: Some(command.line),
            conditional: command.conditional,
            takes_over: false,
            is_optional,
        };
        self.run(expanded, frame);
    }
}

impl Frame {
    fn scope(&self) -> Scope<'_> {
        Scope {
            environment: &self.environment,
            script: &self.script,
            arguments: &self.arguments,
        }
    }
}

/// Sets a variable. Search paths keep the parts of a value that are known.
fn assign(environment: &mut Rc<Environment>, name: &str, value: &Value, conditional: bool) {
    let environment = Rc::make_mut(environment);
    if value.is_known() || name.ends_with("PATH") {
        let texts = value.texts().iter().map(|text| text.replace(UNKNOWN, ""));
        environment.set(name, texts.collect(), conditional);
    } else {
        environment.forget(name);
    }
}

/// Returns true if the script tests whether the program exists, under another spelling.
fn tests(script: &ShellScript, words: &[Value], frame: &Frame) -> bool {
    if script.tested.len() > MAX_TESTED {
        return false;
    }
    let scope = frame.scope();
    let tested = script
        .tested
        .values()
        .filter(|word| word.text().len() < MAX_TESTED_LENGTH);
    let tested = tested.map(|word| scope.word(word));
    let tested: Vec<Value> = tested.filter(Value::is_known).collect();
    words.iter().take(MAX_DEPTH).any(|word| tested.contains(word))
}
