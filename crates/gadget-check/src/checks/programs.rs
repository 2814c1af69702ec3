//! The programs of hooks and apps: whether they exist and can start.

mod loader;
mod program;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::token;
use crate::facts::architectures::Architecture;
use crate::finding::{FindingKind as _, GadgetFinding};
use crate::findings::{LibraryFinding, LibraryFix};
use crate::gadget::Gadget;
use crate::snap::content::Content;
use crate::snap::elf::Elf;
use crate::snap::script::{PROGRAM_DIRECTORIES, Script};
use crate::snap::tree::Entry;
use crate::trace::Program;
use loader::{Loader, MissingLibrary};

pub(crate) fn check(gadget: &Gadget<'_>) -> Vec<GadgetFinding> {
    let mut check = Check {
        gadget,
        findings: Vec::new(),
        missing: BTreeMap::new(),
        built: None,
    };
    for program in gadget.traces().flat_map(|trace| &trace.programs) {
        check.program(program);
    }
    check.finish()
}

struct Check<'a> {
    gadget: &'a Gadget<'a>,
    findings: Vec<GadgetFinding>,
    /// Missing libraries with the hooks and apps that need them.
    missing: BTreeMap<MissingLibrary, BTreeSet<String>>,
    /// A program that runs only on one architecture.
    built: Option<String>,
}

impl Check<'_> {
    fn program(&mut self, program: &Program) {
        match self.gadget.tree.entry(&program.path) {
            Entry::Missing if program.is_optional => return,
            Entry::Missing => return self.findings.push(program.missing()),
            Entry::Outside => return self.findings.push(program.link_leads_out()),
            Entry::Other => return self.findings.push(program.not_a_program("not a regular file")),
            Entry::File { executable: false } => self.findings.push(program.not_executable()),
            Entry::File { executable: true } => {}
        }
        let path = self.gadget.tree.canonical(&program.path);
        let path = path.unwrap_or_else(|| program.path.clone().into());
        match &*self.gadget.contents.get(&path) {
            Content::Elf(elf) => self.elf(program, &path, elf),
            Content::Script(script) => self.script(program, script),
            Content::Damaged(problem) => self.findings.push(program.not_a_program(problem)),
            Content::Neither => {
                let problem = "it begins neither with #! nor with an ELF header";
                self.findings.push(program.not_a_program(problem));
            }
        }
    }

    fn elf(&mut self, program: &Program, path: &Path, elf: &Elf) {
        if let Some(finding) = program.wrong_architecture(self.gadget, elf) {
            // Further findings about the program would be noise.
            return self.findings.push(finding);
        }
        self.built.get_or_insert_with(|| program.path.clone());
        self.findings.extend(self.elf_interpreter(program, elf));
        let tcti = self.gadget.tcti_name();
        let module = token::module_in_snap(self.gadget).filter(|_| self.gadget.uses_tpm(program));
        let loader = Loader {
            contents: &self.gadget.contents,
            environment: &program.environment,
            base: self.gadget.base,
            tcti: tcti.as_deref(),
            module: module.as_deref(),
        };
        let outcome = loader.load(path);
        for missing in outcome.missing {
            let users = self.missing.entry(missing).or_default();
            users.insert(program.user.clone());
        }
        let gadget = self.gadget;
        let too_new = outcome.too_new.into_iter();
        self.findings
            .extend(too_new.filter_map(|(path, glibc)| glibc_too_new(gadget, &path, glibc)));
    }

    /// The finding about an ELF file whose dynamic loader does not exist.
    fn elf_interpreter(&self, program: &Program, elf: &Elf) -> Option<GadgetFinding> {
        let interpreter = elf.loader.as_deref()?;
        let of_base = Architecture::of_machine(elf.machine)?.loader;
        let exists = match program.environment.in_snap(interpreter) {
            Some(path) => self.gadget.tree.is_file(path),
            None => interpreter.ends_with(of_base),
        };
        (!exists).then(|| program.missing_interpreter(self.gadget, interpreter))
    }

    fn script(&mut self, program: &Program, script: &Script) {
        if !self.has_interpreter(program, script) {
            let interpreter = script.command().unwrap_or(script.interpreter());
            self.findings
                .push(program.missing_interpreter(self.gadget, interpreter));
        }
    }

    fn has_interpreter(&self, program: &Program, script: &Script) -> bool {
        if let Some(path) = program.environment.in_snap(script.interpreter()) {
            return self.gadget.tree.is_file(path);
        }
        let Some(base) = self.gadget.base else { return true };
        let has_command = |name: &str| base.has_command(name) || self.has_program(name);
        base.has_interpreter(script.interpreter()) && script.command().is_none_or(has_command)
    }

    /// Returns true if a directory of programs in the snap has the program.
    fn has_program(&self, name: &str) -> bool {
        let mut paths = PROGRAM_DIRECTORIES
            .iter()
            .map(|directory| format!("{directory}/{name}"));
        paths.any(|path| self.gadget.tree.is_file(path))
    }

    fn finish(mut self) -> Vec<GadgetFinding> {
        if !self.missing.is_empty() {
            let files = self.gadget.tree.files_by_name();
            let missing = self.missing.iter();
            let missing =
                missing.map(|(library, users)| missing_library(self.gadget, library, users, &files));
            self.findings.extend(missing);
        }
        let no_architecture = self
            .built
            .and_then(|built| program::no_architecture(self.gadget, built));
        self.findings.extend(no_architecture);
        self.findings
    }
}

/// `files` are the files of the snap by name, also outside of the loader's search path.
fn missing_library(
    gadget: &Gadget<'_>,
    missing: &MissingLibrary,
    users: &BTreeSet<String>,
    files: &BTreeMap<String, PathBuf>,
) -> GadgetFinding {
    let library = missing.library.clone();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let users = users.join(", ");
    let elsewhere = files.get(&library).and_then(|path| path.parent());
    let package = gadget.base.and_then(|base| base.package_of(&library));
    let fix = match (elsewhere, package) {
        (Some(directory), _) => LibraryFix::SearchPath(directory.display().to_string()),
        (None, Some(package)) => LibraryFix::Stage(package.to_owned()),
        (None, None) => LibraryFix::StageUnknown,
    };
    let finding = match missing.is_tcti {
        true => LibraryFinding::MissingTcti { library, users, fix },
        false => LibraryFinding::Missing {
            library,
            base: gadget.base_name(),
            users,
            fix,
        },
    };
    finding
        .at(missing.needed_by.to_string_lossy())
        .warning_if(gadget.has_other_libraries())
}

fn glibc_too_new(gadget: &Gadget<'_>, path: &Path, (major, minor): (u32, u32)) -> Option<GadgetFinding> {
    let base = gadget.base?;
    let finding = LibraryFinding::GlibcTooNew {
        major,
        minor,
        base: base.name.clone(),
        base_major: base.glibc.0,
        base_minor: base.glibc.1,
    };
    Some(finding.at(path.to_string_lossy()))
}
