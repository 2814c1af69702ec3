//! A program of the snap, and what can be wrong with it.

use crate::Gadget;
use crate::bases::ARCHITECTURES;
use crate::elf::Elf;
use crate::environment::Environment;
use crate::finding::Finding;
use crate::script::OURS;
use crate::snap_yaml;

/// What a program is there for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Hook,
    Command,
    CommandChain,
    /// A script names it.
    Called,
}

pub(crate) struct Program {
    pub(crate) path: String,
    pub(crate) role: Role,
    /// The hook or app that runs it.
    pub(crate) user: String,
    /// Where it is named: the key of `user` in snap.yaml, or a script.
    pub(crate) key: String,
    pub(crate) environment: Environment,
}

impl Program {
    pub(crate) fn missing(&self) -> Finding {
        let (code, place) = match self.role {
            Role::CommandChain => ("missing-command-chain", format!("{}.command-chain", self.key)),
            Role::Called => ("missing-program", self.key.clone()),
            Role::Command | Role::Hook => ("missing-command", format!("{}.command", self.key)),
        };
        let name = self.path.rsplit('/').next().unwrap_or_default();
        Finding::error(
            code,
            place,
            format!("{} is not in the snap", self.path),
            format!("{} fails when it comes to it", self.user),
            "Put the file into the snap, or correct its name",
        )
        // A script can look first whether it is there.
        .warning_if(self.role == Role::Called && !OURS.contains(&name))
    }

    pub(crate) fn outside(&self) -> Finding {
        Finding::error(
            "link-leads-out",
            &self.path,
            "a symbolic link leads out of the snap, or in a circle",
            "snapd refuses a snap with such a hook; what another link leads to on a device cannot be seen here",
            "Put the file itself into the snap, or a relative link that stays in it",
        )
        .warning_if(self.role != Role::Hook)
    }

    pub(crate) fn not_executable(&self) -> Finding {
        Finding::error(
            "not-executable",
            &self.path,
            "it is not executable",
            format!("{} cannot run it; snapd refuses the snap", self.user),
            format!("chmod 755 {}", self.path),
        )
    }

    pub(crate) fn no_program(&self, problem: &str) -> Finding {
        Finding::error(
            "not-a-program",
            &self.path,
            format!("no program: {problem}"),
            format!("{} cannot run it", self.user),
            "Put in an ELF program for the device's architecture, or a script whose first line is #!/bin/sh",
        )
    }

    pub(crate) fn wrong_architecture(&self, gadget: &Gadget<'_>, elf: &Elf) -> Option<Finding> {
        let known = ARCHITECTURES
            .iter()
            .find(|(_, machine, _)| *machine == elf.machine);
        let name = match known {
            Some((name, _, _)) => (*name).to_owned(),
            None => format!("machine {}", elf.machine),
        };
        if is_for_all(gadget) || gadget.snap.architectures.contains(&name) {
            return None;
        }
        let declared = gadget.snap.architectures.join(", ");
        Some(Finding::error(
            "wrong-architecture",
            &self.path,
            format!("it is built for {name}, the snap is for {declared}"),
            format!("the kernel refuses to run it, so that {} fails", self.user),
            format!(
                "Build it for {declared} (cargo build --target), or correct `architectures:` in {}",
                snap_yaml::FILE
            ),
        ))
    }

    pub(crate) fn missing_interpreter(&self, gadget: &Gadget<'_>, interpreter: &str) -> Finding {
        let mend = match interpreter.ends_with('\r') {
            true => format!("End its lines as Unix does: sed -i 's/\\r$//' {}", self.path),
            false => {
                "Use one that the base has, such as /bin/sh, or stage it and name it by its path in the snap"
                    .into()
            }
        };
        Finding::error(
            "missing-interpreter",
            &self.path,
            format!(
                "its interpreter \"{}\" is neither in {} nor in the snap",
                interpreter.escape_debug(),
                gadget.base_name()
            ),
            format!(
                "the kernel says \"not found\" of the program, and {} fails",
                self.user
            ),
            mend,
        )
    }
}

/// Whether snap.yaml binds the snap to no architecture.
pub(crate) fn is_for_all(gadget: &Gadget<'_>) -> bool {
    let declared = &gadget.snap.architectures;
    declared.is_empty() || declared.iter().any(|name| name == "all")
}

pub(crate) fn no_architecture(program: &str) -> Finding {
    Finding::error(
        "no-architecture",
        format!("{}, architectures", snap_yaml::FILE),
        format!("the snap is for all architectures, {program} for one"),
        "it can be put into an image for another architecture, where the hooks fail",
        "Name the architecture: `architectures: [amd64]`",
    )
    .warning()
}
