//! A small correct gadget, built with gcc, and the tool that checks it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

/// The gadget's snap-id.
pub(crate) const SNAP_ID: &str = "0123456789abcdefghijABCDEFGHIJkl";

const SNAP_YAML: &str = "\
name: test-gadget
version: '1'
summary: A gadget
description: A gadget
type: gadget
base: core24
architectures: [ARCHITECTURE]
assumes: [snapd2.74]
confinement: strict
environment:
  LD_LIBRARY_PATH: $SNAP/usr/lib
apps:
  hardware-identity:
    command: bin/hardware-identity
    command-chain: [bin/chain]
    plugs: [tpm, hardware-observe]
hooks:
  prepare-device:
    plugs: [tpm, hardware-observe]
  prepare-serial-request:
    plugs: [tpm]
    command-chain: [bin/chain]
  install-device:
    plugs: [tpm, hardware-observe]
";

const GADGET_YAML: &str = "\
volumes:
  pc:
    schema: gpt
    bootloader: grub
    structure:
      - name: EFI System
        filesystem: vfat
        type: EF,C12A7328-F81F-11D2-BA4B-00A0C93EC93B
        size: 1200M
defaults:
  SNAP_ID:
    hardware-identity:
      tpm-wait: 120
    hardware-identity.issuer-id: a-brand
  system:
    service:
      rsyslog.disable: true
connections:
  - plug: SNAP_ID:tpm
  - plug: SNAP_ID:hardware-observe
    slot: system:hardware-observe
";

const SETTINGS: &str = "\
hardware-id = 'dmi:product_serial'
[device-service]
url = 'https://serial.example/v1/'
[registration]
proposed-serial = 'hardware-id'
";

/// Opens the TCTI library of this gadget. That of this machine has no such function.
pub(crate) const TCTI_LOADER: &str = "\
#include <dlfcn.h>
int open_tcti(void)
{
    void *tcti = dlopen(\"libtss2-tcti-device.so.0\", RTLD_NOW);
    return tcti && dlsym(tcti, \"device\");
}
";
pub(crate) const PROGRAM: &str = "int open_tcti(void); int main(void) { return open_tcti() ? 0 : 9; }";

/// A program that needs nothing but the C library.
const PLAIN: &str = "int main(void) { return 0; }";

/// Libraries with the names of tpm2-tss's, and a program that needs them.
pub(crate) struct Parts {
    /// In the target directory: a temporary directory of all tests would never be removed.
    directory: PathBuf,
}

pub(crate) const LIBRARIES: [&str; 3] = [
    "libtss2-mu.so.0",
    "libtss2-tcti-device.so.0",
    "libtss2-tctildr.so.0",
];

impl Parts {
    /// Built once for all tests.
    pub(crate) fn get() -> &'static Parts {
        static PARTS: OnceLock<Parts> = OnceLock::new();
        PARTS.get_or_init(|| {
            let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("check-gadget");
            fs::create_dir_all(&directory).unwrap();
            let parts = Parts { directory };
            parts.library("libtss2-mu.so.0", "int mu(void) { return 0; }", &[]);
            parts.library(
                "libtss2-tcti-device.so.0",
                "int mu(void); int device(void) { return mu(); }",
                &["libtss2-mu.so.0"],
            );
            parts.library("libtss2-tctildr.so.0", TCTI_LOADER, &[]);
            parts.compile("program", PROGRAM, &["libtss2-tctildr.so.0"], &[]);
            parts.compile("plain", PLAIN, &[], &[]);
            parts
        })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn library(&self, name: &str, source: &str, needed: &[&str]) {
        let soname = format!("-Wl,-soname,{name}");
        self.compile(name, source, needed, &["-shared", "-fPIC", &soname]);
    }

    /// Compiles a file of this name and links it with these libraries.
    pub(crate) fn compile(&self, name: &str, source: &str, needed: &[&str], flags: &[&str]) -> PathBuf {
        let file = self.path(&format!("{}.c", name.replace('/', "-")));
        fs::write(&file, source).unwrap();
        let output = self.path(name);
        let status = Command::new("gcc")
            .args(["-s", "-o"])
            .arg(&output)
            .arg(&file)
            // Whether the libraries of a library are found shows when the program runs.
            .args(["-Wl,--no-as-needed", "-Wl,--allow-shlib-undefined"])
            .args(needed.iter().map(|name| self.path(name)))
            .args(flags)
            .status()
            .unwrap();
        assert!(status.success(), "gcc {name}");
        output
    }
}

/// A gadget in a temporary directory.
pub(crate) struct Gadget {
    directory: TempDir,
}

impl Gadget {
    /// A tree with settings and gadget.yaml, but without programs and snap.yaml.
    pub(crate) fn empty() -> Self {
        let gadget = Gadget {
            directory: tempfile::tempdir().unwrap(),
        };
        gadget.write("meta/gadget.yaml", &GADGET_YAML.replace("SNAP_ID", SNAP_ID));
        gadget.write("hardware-identity.toml", SETTINGS);
        gadget
    }

    pub(crate) fn new() -> Self {
        let gadget = Gadget::empty();
        let snap_yaml = SNAP_YAML.replace("ARCHITECTURE", &architecture());
        gadget.write("meta/snap.yaml", &snap_yaml);
        let parts = Parts::get();
        for library in LIBRARIES {
            gadget.copy(&parts.path(library), &format!("usr/lib/{library}"));
        }
        for program in [
            "meta/hooks/prepare-device",
            "meta/hooks/prepare-serial-request",
            "meta/hooks/install-device",
            "bin/hardware-identity",
        ] {
            gadget.copy(&parts.path("program"), program);
        }
        gadget.script("bin/chain", "exec \"$@\"");
        gadget.copy(&parts.path("plain"), "meta/hooks/configure");
        gadget
    }

    /// The directory of the snap.
    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("snap")
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        fs::write(self.path(path), text).unwrap();
    }

    pub(crate) fn script(&self, path: &str, text: &str) {
        self.write(path, &format!("#!/bin/sh\n{text}\n"));
        self.set_mode(path, 0o755);
    }

    pub(crate) fn copy(&self, from: &Path, path: &str) {
        fs::copy(from, self.path(path)).unwrap();
    }

    pub(crate) fn set_mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.path(path), Permissions::from_mode(mode)).unwrap();
    }

    pub(crate) fn remove(&self, path: &str) {
        fs::remove_file(self.path(path)).unwrap();
    }

    pub(crate) fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    pub(crate) fn link(&self, target: &str, path: &str) {
        let _ = fs::remove_file(self.path(path));
        std::os::unix::fs::symlink(target, self.path(path)).unwrap();
    }

    /// Replaces a string that the file must contain.
    pub(crate) fn edit(&self, path: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(path)).unwrap();
        assert!(text.contains(from), "`{from}` is not in {path}");
        self.write(path, &text.replace(from, to));
    }

    pub(crate) fn edit_snap(&self, from: &str, to: &str) {
        self.edit("meta/snap.yaml", from, to);
    }

    pub(crate) fn edit_gadget(&self, from: &str, to: &str) {
        self.edit("meta/gadget.yaml", from, to);
    }

    /// Runs the check.
    pub(crate) fn check(&self) -> Checked {
        Checked::of(&self.root())
    }
}

/// The architecture of this machine, as snaps name it.
pub(crate) fn architecture() -> String {
    let output = Command::new("dpkg").arg("--print-architecture").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub(crate) fn tool(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hardware-identity"));
    command.arg("check-gadget").args(arguments);
    command
}

/// The JSON object that the tool printed, and its exit status.
pub(crate) struct Checked {
    pub(crate) report: Value,
    pub(crate) status: i32,
}

impl Checked {
    pub(crate) fn of(snap: &Path) -> Self {
        Checked::from(&tool(&["--json", snap.to_str().unwrap()]).output().unwrap())
    }

    pub(crate) fn from(output: &Output) -> Self {
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(stderr, "", "stderr is empty");
        Checked {
            report: serde_json::from_slice(&output.stdout).unwrap(),
            status: output.status.code().unwrap(),
        }
    }

    /// The codes, sorted, each once.
    pub(crate) fn codes(&self) -> Vec<&str> {
        let findings = self.report["findings"].as_array().unwrap();
        let mut codes: Vec<&str> = findings.iter().map(|f| f["code"].as_str().unwrap()).collect();
        codes.sort_unstable();
        codes.dedup();
        codes
    }

    /// The codes of errors and warnings, sorted, each once.
    pub(crate) fn problems(&self) -> Vec<&str> {
        let findings = self.report["findings"].as_array().unwrap().iter();
        let problems = findings.filter(|finding| finding["severity"] != "info");
        let mut codes: Vec<&str> = problems.map(|f| f["code"].as_str().unwrap()).collect();
        codes.sort_unstable();
        codes.dedup();
        codes
    }

    /// Asserts that there are no findings.
    pub(crate) fn is_clean(&self) {
        assert_eq!(self.codes(), [""; 0], "{:#}", self.report);
        assert_eq!(self.status, 0);
    }
}
