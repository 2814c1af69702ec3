//! The programs of hooks and apps: whether they are there, and whether they can start.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::bases::ARCHITECTURES;
use crate::content::{Content, Contents};
use crate::elf::Elf;
use crate::environment::Environment;
use crate::finding::Finding;
use crate::libraries::{Missing, Start};
use crate::library_findings::glibc_too_new;
use crate::program::{self, Program, Role};
use crate::script::{PROGRAM_FOLDERS, Script};
use crate::snap_yaml::{self, Runnable};
use crate::tree::Entry;
use crate::{Gadget, HOOKS};

pub(crate) fn check(gadget: &Gadget<'_>) -> Vec<Finding> {
    let contents = Contents::of(gadget.tree);
    let mut check = Check {
        gadget,
        contents: &contents,
        findings: Vec::new(),
        waiting: Vec::new(),
        checked: BTreeSet::new(),
        missing: BTreeMap::new(),
        built: None,
    };
    for name in &gadget.hooks {
        let path = format!("{HOOKS}/{name}");
        check.runnable(("hook", name), &gadget.snap.hook(name), Role::Hook, &[&path]);
    }
    for (name, app) in gadget.snap.apps() {
        let commands: Vec<&str> = app.commands().collect();
        check.runnable(("app", name), app, Role::Command, &commands);
    }
    check.finish()
}

struct Check<'a> {
    gadget: &'a Gadget<'a>,
    contents: &'a Contents<'a>,
    findings: Vec<Finding>,
    /// Programs that have yet to be looked at.
    waiting: Vec<Program>,
    /// Paths and users: scripts can call each other.
    checked: BTreeSet<(String, String)>,
    /// With the hooks and apps that stumble over it.
    missing: BTreeMap<Missing, BTreeSet<String>>,
    /// A program that runs on one architecture alone.
    built: Option<String>,
}

impl Check<'_> {
    /// Checks the programs of a hook or app, its command-chain, and what its scripts call.
    fn runnable(&mut self, (kind, name): (&str, &str), runnable: &Runnable, role: Role, paths: &[&str]) {
        let environment = self.environment(runnable);
        let chain = runnable.command_chain.iter().map(String::as_str);
        let chain = chain.map(|path| (Role::CommandChain, path));
        let own = paths.iter().map(|path| (role, *path));
        self.waiting.extend(chain.chain(own).map(|(role, path)| Program {
            path: path.to_owned(),
            role,
            user: format!("{kind} {name}"),
            key: format!("{}, {kind}s.{name}", snap_yaml::FILE),
            environment: environment.clone(),
        }));
        while let Some(program) = self.waiting.pop() {
            if self.checked.insert((program.path.clone(), program.user.clone())) {
                self.program(&program);
            }
        }
    }

    /// What the programs find: a script in the command-chain can set the path to libraries.
    fn environment(&self, runnable: &Runnable) -> Environment {
        let environment = Environment::of(self.gadget.snap).with(&runnable.environment);
        let chain = runnable.command_chain.iter();
        chain.fold(environment, |environment, path| {
            match &*self.contents.get(path.as_ref()) {
                Content::Script(script) => environment.with_library_paths(&script.library_paths()),
                _ => environment,
            }
        })
    }

    fn program(&mut self, program: &Program) {
        match self.gadget.tree.entry(&program.path) {
            Entry::Missing => return self.findings.push(program.missing()),
            Entry::Outside => return self.findings.push(program.outside()),
            Entry::Other => return self.findings.push(program.no_program("it is not a file")),
            Entry::File { executable: false } => self.findings.push(program.not_executable()),
            Entry::File { executable: true } => {}
        }
        let path = self.gadget.tree.canonical(&program.path);
        let path = path.unwrap_or_else(|| program.path.clone().into());
        match &*self.contents.get(&path) {
            Content::Elf(elf) => self.elf(program, &path, elf),
            Content::Script(script) => self.script(program, script),
            Content::Damaged(problem) => self.findings.push(program.no_program(problem)),
            Content::Neither => self
                .findings
                .push(program.no_program("it begins neither with #! nor as an ELF")),
        }
    }

    fn elf(&mut self, program: &Program, path: &Path, elf: &Elf) {
        if let Some(finding) = program.wrong_architecture(self.gadget, elf) {
            // Nothing else that is said of it would be of use.
            return self.findings.push(finding);
        }
        self.built.get_or_insert_with(|| program.path.clone());
        self.findings.extend(self.loader(program, elf));
        let start = Start {
            contents: self.contents,
            environment: &program.environment,
            base: self.gadget.base,
            tcti: &self.gadget.tcti(),
        };
        let outcome = start.load(path);
        for missing in outcome.missing {
            self.missing
                .entry(missing)
                .or_default()
                .insert(program.user.clone());
        }
        if let Some(base) = self.gadget.base {
            let too_new = outcome.too_new.iter();
            self.findings
                .extend(too_new.map(|(path, glibc)| glibc_too_new(path, *glibc, base)));
        }
    }

    fn loader(&self, program: &Program, elf: &Elf) -> Option<Finding> {
        let loader = elf.loader.as_deref()?;
        let (_, _, expected) = ARCHITECTURES
            .iter()
            .find(|(_, machine, _)| *machine == elf.machine)?;
        let in_snap = program.environment.in_snap(loader);
        let found = in_snap.map_or(loader.ends_with(expected), |path| self.gadget.tree.is_file(path));
        (!found).then(|| program.missing_interpreter(self.gadget, loader))
    }

    fn script(&mut self, program: &Program, script: &Script) {
        if !self.has_interpreter(program, script) {
            let interpreter = match script.command() {
                Some(command) => command,
                None => script.interpreter(),
            };
            let finding = program.missing_interpreter(self.gadget, interpreter);
            self.findings.push(finding);
        }
        let environment = program
            .environment
            .clone()
            .with_library_paths(&script.library_paths());
        for path in script.programs(&environment) {
            // Our own by their bare names, which a script can also mean otherwise.
            let Some(path) = self.located(path) else { continue };
            self.waiting.push(Program {
                path,
                role: Role::Called,
                user: program.user.clone(),
                key: program.path.clone(),
                environment: environment.clone(),
            });
        }
    }

    fn has_interpreter(&self, program: &Program, script: &Script) -> bool {
        if let Some(path) = program.environment.in_snap(script.interpreter()) {
            return self.gadget.tree.is_file(path);
        }
        let Some(base) = self.gadget.base else { return true };
        let has_command = |name: &str| base.has_command(name) || self.located(name.to_owned()).is_some();
        base.has_interpreter(script.interpreter()) && script.command().is_none_or(has_command)
    }

    /// The path of a program; a bare name is looked for in the folders of programs.
    fn located(&self, path: String) -> Option<String> {
        if path.contains('/') {
            return Some(path);
        }
        let mut paths = PROGRAM_FOLDERS.iter().map(|folder| format!("{folder}/{path}"));
        paths.find(|path| self.gadget.tree.is_file(path))
    }

    fn finish(mut self) -> Vec<Finding> {
        if !self.missing.is_empty() {
            let files = self.gadget.tree.files_by_name();
            let library = |(missing, users): (&Missing, &BTreeSet<String>)| {
                let users: Vec<&str> = users.iter().map(String::as_str).collect();
                let elsewhere = files.get(&missing.library).map(|path| path.as_path());
                missing.finding(self.gadget, &users.join(", "), elsewhere)
            };
            self.findings.extend(self.missing.iter().map(library));
        }
        if let Some(built) = self.built.filter(|_| program::is_for_all(self.gadget)) {
            self.findings.push(program::no_architecture(&built));
        }
        self.findings
    }
}
