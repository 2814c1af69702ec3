//! The architectures of snaps.

use object::elf;

/// An architecture of snaps.
#[derive(Debug)]
pub(crate) struct Architecture {
    /// As in `architectures:` of snap.yaml.
    pub(crate) name: &'static str,
    /// `e_machine` of an ELF header.
    machine: u16,
    /// The path of the dynamic loader in the bases (hook-tests/029-fix-ld-so-symlink.test of
    /// core-base, and the glibc ABI list).
    pub(crate) loader: &'static str,
}

const ARCHITECTURES: [Architecture; 7] = [
    Architecture {
        name: "amd64",
        machine: elf::EM_X86_64.0,
        loader: "/lib64/ld-linux-x86-64.so.2",
    },
    Architecture {
        name: "arm64",
        machine: elf::EM_AARCH64.0,
        loader: "/lib/ld-linux-aarch64.so.1",
    },
    Architecture {
        name: "armhf",
        machine: elf::EM_ARM.0,
        loader: "/lib/ld-linux-armhf.so.3",
    },
    Architecture {
        name: "i386",
        machine: elf::EM_386.0,
        loader: "/lib/ld-linux.so.2",
    },
    Architecture {
        name: "ppc64el",
        machine: elf::EM_PPC64.0,
        loader: "/lib64/ld64.so.2",
    },
    Architecture {
        name: "riscv64",
        machine: elf::EM_RISCV.0,
        loader: "/lib/ld-linux-riscv64-lp64d.so.1",
    },
    Architecture {
        name: "s390x",
        machine: elf::EM_S390.0,
        loader: "/lib/ld64.so.1",
    },
];

impl Architecture {
    /// The architecture of an ELF file with this `e_machine`.
    pub(crate) fn of_machine(machine: u16) -> Option<&'static Architecture> {
        ARCHITECTURES
            .iter()
            .find(|architecture| architecture.machine == machine)
    }
}
