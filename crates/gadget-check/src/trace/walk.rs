//! Follows scripts from call to call.

mod conditions;
mod literals;
mod prefixes;

use std::collections::BTreeSet;
use std::rc::Rc;

use prefixes::{is_builtin, is_interpreter, is_lookup, prefix_length};

use super::value::Scope;
use super::{Call, Exit, Gap, GapReason, Program, Role, Trace, Value};
use crate::snap::content::{Content, Contents};
use crate::snap::environment::Environment;
use crate::snap::script::{Body, OURS, PROGRAM_DIRECTORIES, Script, is_shell};
use crate::snap::shell::{Command, Part, ShellScript, Step, UNKNOWN, Word};
use crate::snap::snap_yaml::SnapYaml;
use crate::snap::tree::{Entry, Tree};

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

/// What the first word of a command is.
enum Target {
    InSnap(String),
    /// A program of the base, of another snap, a builtin or a function.
    Elsewhere(String),
    Unknown,
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

    /// Follows a command to what it runs in the end: `exec env A=B timeout 9 PROGRAM`.
    fn run(&mut self, mut command: Expanded, frame: &mut Frame) {
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

    /// The position of the first argument that is snapctl or a program of the snap.
    fn command_in(&self, arguments: &[Value], environment: &Environment) -> Option<usize> {
        arguments.iter().position(|argument| {
            let is_path = argument.text().contains('/');
            argument.text() == "snapctl"
                || (is_path && matches!(self.target(argument, environment), Target::InSnap(_)))
        })
    }

    fn target(&self, word: &Value, environment: &Environment) -> Target {
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

    /// Returns true if a content snap has the file, which therefore cannot be looked at.
    fn is_of_content_snap(&self, path: &str, environment: &Environment) -> bool {
        let mut targets = self.snap.content_targets().filter_map(|target| {
            let target = environment.expand(target);
            let in_snap = environment.in_snap(&target);
            // A relative target is below $SNAP too.
            Some(in_snap.unwrap_or_else(|| target.trim_start_matches('/').into()))
                .filter(|path| path.components().next().is_some())
        });
        targets.any(|target| std::path::Path::new(path).starts_with(target))
    }

    fn unknown(&mut self, command: &Expanded, frame: &Frame) {
        if let Some(line) = command.line {
            self.gap(&frame.script, GapReason::UnknownProgram(line));
        }
    }

    /// Arguments that are programs of the snap: the program can run them.
    fn arguments(&mut self, frame: &Frame, arguments: &[Value]) {
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

    fn optional_program(&mut self, path: String, frame: &Frame) {
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

    /// `sh -c TEXT` and `sh FILE`.
    fn shell_program(&mut self, shell: &str, command: Expanded, frame: &mut Frame) {
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
    fn source(&mut self, command: Expanded, frame: &mut Frame) {
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

    fn interpreted(&mut self, interpreter: &str, command: Expanded, frame: &Frame) {
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
    fn nested(&mut self, text: Option<String>, command: &Expanded, frame: &mut Frame) {
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

/// The words as one text, if they are known.
fn joined<'a>(words: impl Iterator<Item = &'a Value>) -> Option<String> {
    let words: Option<Vec<&str>> = words.map(Value::only).collect();
    Some(words?.join(" ")).filter(|text| !text.is_empty())
}
