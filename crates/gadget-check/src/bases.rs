//! What a base snap gives the programs of a gadget.
//!
//! Read from the bases' own recipes: canonical/core20 (snapcraft.yaml, hook-tests/001-extra-packages.test),
//! canonical/core-base branches core22 and core24 (hook-tests/001-extra-packages, hooks/*-remove-pkgs*,
//! 606-cleanup-perl) and main, which is core26 (snapcraft.yaml with canonical/chisel-releases ubuntu-26.04,
//! hooks/034-python3-move), and from packages.ubuntu.com for the versions. The lists are short: what packages
//! of many kinds link to, and nothing that a base might drop.

/// The libraries of all bases.
const LIBRARIES: &[&str] = &[
    // libc6
    "libBrokenLocale.so.1",
    "libanl.so.1",
    "libc.so.6",
    "libdl.so.2",
    "libm.so.6",
    "libmvec.so.1",
    "libnsl.so.1",
    "libnss_compat.so.2",
    "libnss_dns.so.2",
    "libnss_files.so.2",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libthread_db.so.1",
    "libutil.so.1",
    // Packages of these names
    "libblkid.so.1",
    "libcap.so.2",
    "libcom_err.so.2",
    "libcrypt.so.1",
    "libdbus-1.so.3",
    "libgcc_s.so.1",
    "libgcrypt.so.20",
    "libgpg-error.so.0",
    "liblz4.so.1",
    "liblzma.so.5",
    "libmount.so.1",
    "libseccomp.so.2",
    "libselinux.so.1",
    "libstdc++.so.6",
    "libsystemd.so.0",
    "libudev.so.1",
    "libuuid.so.1",
    "libz.so.1",
    "libzstd.so.1",
];
const OPENSSL_3: [&str; 2] = ["libcrypto.so.3", "libssl.so.3"];
const OPENSSL_1_1: [&str; 2] = ["libcrypto.so.1.1", "libssl.so.1.1"];

/// A base snap.
#[derive(Debug)]
pub(crate) struct Base {
    pub(crate) name: &'static str,
    /// Version of glibc.
    pub(crate) glibc: (u32, u32),
    openssl: [&'static str; 2],
    /// Interpreters of scripts, in /bin or /usr/bin.
    interpreters: &'static [&'static str],
    /// What this distribution's packages of libtss2 are called.
    tss2: Option<&'static [(&'static str, &'static str)]>,
}

pub(crate) static BASES: [Base; 4] = [
    Base {
        name: "core20",
        glibc: (2, 31),
        openssl: OPENSSL_1_1,
        interpreters: &["sh", "bash", "dash", "env", "perl", "python3"],
        tss2: None,
    },
    Base {
        name: "core22",
        glibc: (2, 35),
        openssl: OPENSSL_3,
        interpreters: &["sh", "bash", "dash", "env", "perl", "python3"],
        tss2: Some(&[
            ("libtss2-esys.so.0", "libtss2-esys-3.0.2-0"),
            ("libtss2-mu.so.0", "libtss2-mu0"),
            ("libtss2-sys.so.1", "libtss2-sys1"),
            ("libtss2-rc.so.0", "libtss2-rc0"),
            ("libtss2-tctildr.so.0", "libtss2-tctildr0"),
            ("libtss2-tcti-device.so.0", "libtss2-tcti-device0"),
        ]),
    },
    Base {
        name: "core24",
        glibc: (2, 39),
        openssl: OPENSSL_3,
        interpreters: &["sh", "bash", "dash", "env", "python3"],
        tss2: Some(&[
            ("libtss2-esys.so.0", "libtss2-esys-3.0.2-0t64"),
            ("libtss2-mu.so.0", "libtss2-mu-4.0.1-0t64"),
            ("libtss2-sys.so.1", "libtss2-sys1t64"),
            ("libtss2-rc.so.0", "libtss2-rc0t64"),
            ("libtss2-tctildr.so.0", "libtss2-tctildr0t64"),
            ("libtss2-tcti-device.so.0", "libtss2-tcti-device0t64"),
        ]),
    },
    Base {
        name: "core26",
        glibc: (2, 43),
        openssl: OPENSSL_3,
        interpreters: &["sh", "bash", "env"],
        tss2: None,
    },
];

impl Base {
    pub(crate) fn named(name: &str) -> Option<&'static Base> {
        BASES.iter().find(|base| base.name == name)
    }

    pub(crate) fn has_library(&self, soname: &str) -> bool {
        LIBRARIES.contains(&soname) || self.openssl.contains(&soname) || is_loader(soname)
    }

    pub(crate) fn has_interpreter(&self, path: &str) -> bool {
        let name = path
            .strip_prefix("/usr/bin/")
            .or_else(|| path.strip_prefix("/bin/"));
        name.is_some_and(|name| self.has_command(name))
    }

    /// Whether `env` finds it.
    pub(crate) fn has_command(&self, name: &str) -> bool {
        self.interpreters.contains(&name)
    }

    /// The package to stage.
    pub(crate) fn package_of(&self, soname: &str) -> Option<&'static str> {
        let (_, package) = self.tss2?.iter().find(|(library, _)| *library == soname)?;
        Some(package)
    }
}

/// The dynamic loader, by which some programs are linked.
fn is_loader(soname: &str) -> bool {
    soname.starts_with("ld-linux") || soname.starts_with("ld64.so.")
}

/// The architectures of snaps: name, machine in an ELF header, and the loader of the bases (hook-tests/
/// 029-fix-ld-so-symlink.test of core-base, and the glibc ABI list).
pub(crate) const ARCHITECTURES: [(&str, u16, &str); 7] = [
    ("amd64", object::elf::EM_X86_64.0, "/lib64/ld-linux-x86-64.so.2"),
    ("arm64", object::elf::EM_AARCH64.0, "/lib/ld-linux-aarch64.so.1"),
    ("armhf", object::elf::EM_ARM.0, "/lib/ld-linux-armhf.so.3"),
    ("i386", object::elf::EM_386.0, "/lib/ld-linux.so.2"),
    ("ppc64el", object::elf::EM_PPC64.0, "/lib64/ld64.so.2"),
    (
        "riscv64",
        object::elf::EM_RISCV.0,
        "/lib/ld-linux-riscv64-lp64d.so.1",
    ),
    ("s390x", object::elf::EM_S390.0, "/lib/ld64.so.1"),
];
