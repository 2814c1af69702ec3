//! The findings about a program of the snap.

use crate::facts::architectures::Architecture;
use crate::finding::{FindingKind as _, GadgetFinding};
use crate::findings::ProgramFinding;
use crate::gadget::Gadget;
use crate::snap::elf::Elf;
use crate::snap::script::OURS;
use crate::snap::snap_yaml;
use crate::trace::{Program, Role};

/// The directory of the hooks that snapcraft's scripts in meta/hooks run.
const PACKED_HOOKS: &str = "snap/hooks/";

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
                // A script can call another program under a condition.
                let doubtful = !OURS.contains(&self.name()) && !self.path.starts_with(PACKED_HOOKS);
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
