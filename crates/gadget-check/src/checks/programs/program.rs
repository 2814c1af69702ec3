//! A program of the snap, and the findings about it.

use crate::facts::architectures::Architecture;
use crate::finding::{FindingKind as _, GadgetFinding};
use crate::findings::ProgramFinding;
use crate::gadget::Gadget;
use crate::snap::elf::Elf;
use crate::snap::environment::Environment;
use crate::snap::script::OURS;
use crate::snap::snap_yaml;

/// How a program comes to run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Hook,
    Command,
    CommandChain,
    /// A script calls it.
    Called,
}

pub(super) struct Program {
    /// In the snap.
    pub(super) path: String,
    pub(super) role: Role,
    /// The hook or app that runs it, such as `hook configure`.
    pub(super) user: String,
    /// Where it is named: the key of the hook or app in snap.yaml, or a script.
    pub(super) named_in: String,
    pub(super) environment: Environment,
}

impl Program {
    pub(super) fn missing(&self) -> GadgetFinding {
        let (path, user) = (self.path.clone(), self.user.clone());
        let key = &self.named_in;
        match self.role {
            Role::CommandChain => {
                ProgramFinding::MissingCommandChain { path, user }.at(format!("{key}.command-chain"))
            }
            Role::Command | Role::Hook => {
                ProgramFinding::MissingCommand { path, user }.at(format!("{key}.command"))
            }
            Role::Called => {
                let name = self.path.rsplit('/').next().unwrap_or_default();
                // A script can check first whether another program exists.
                let doubtful = !OURS.contains(&name);
                ProgramFinding::MissingProgram { path, user }
                    .at(key)
                    .warning_if(doubtful)
            }
        }
    }

    pub(super) fn link_leads_out(&self) -> GadgetFinding {
        ProgramFinding::LinkLeadsOut
            .at(&self.path)
            .warning_if(self.role != Role::Hook)
    }

    pub(super) fn not_executable(&self) -> GadgetFinding {
        let (path, user) = (self.path.clone(), self.user.clone());
        ProgramFinding::NotExecutable { path, user }.at(&self.path)
    }

    pub(super) fn not_a_program(&self, problem: &str) -> GadgetFinding {
        let (problem, user) = (problem.to_owned(), self.user.clone());
        ProgramFinding::NotAProgram { problem, user }.at(&self.path)
    }

    pub(super) fn wrong_architecture(&self, gadget: &Gadget<'_>, elf: &Elf) -> Option<GadgetFinding> {
        let built = match Architecture::of_machine(elf.machine) {
            Some(architecture) => architecture.name.to_owned(),
            None => format!("machine {}", elf.machine),
        };
        if is_for_all(gadget) || gadget.snap.architectures.contains(&built) {
            return None;
        }
        let finding = ProgramFinding::WrongArchitecture {
            built,
            declared: gadget.snap.architectures.join(", "),
            user: self.user.clone(),
        };
        Some(finding.at(&self.path))
    }

    pub(super) fn missing_interpreter(&self, gadget: &Gadget<'_>, interpreter: &str) -> GadgetFinding {
        ProgramFinding::MissingInterpreter {
            interpreter: interpreter.to_owned(),
            base: gadget.base_name(),
            path: self.path.clone(),
            user: self.user.clone(),
        }
        .at(&self.path)
    }
}

/// The finding about a snap for all architectures with a program for only one.
pub(super) fn no_architecture(gadget: &Gadget<'_>, program: String) -> Option<GadgetFinding> {
    is_for_all(gadget)
        .then(|| ProgramFinding::NoArchitecture { program }.at(format!("{}, architectures", snap_yaml::FILE)))
}

fn is_for_all(gadget: &Gadget<'_>) -> bool {
    let declared = &gadget.snap.architectures;
    declared.is_empty() || declared.iter().any(|name| name == "all")
}
