//! Trees as snapcraft lays them out, and as an author lays them out by hand, for each base and
//! architecture: whole, and with something broken.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::gadget::{Checked, Gadget, Parts};
use crate::packed::World;

const HOOKS: [&str; 4] = [
    "configure",
    "install-device",
    "prepare-device",
    "prepare-serial-request",
];

const SNAP_YAML: &str = "\
name: layout-gadget
version: '1'
summary: A gadget
description: A gadget
type: gadget
base: BASE
architectures: [ARCHITECTURE]
assumes: [snapd2.74]
confinement: strict
plugs:
  tpm: null
  hardware-observe: null
apps:
  hardware-identity:
    command: bin/hardware-identity
    plugs: [tpm, hardware-observe]
hooks:
  configure: {CHAIN}
  install-device: {plugs: [tpm, hardware-observe], CHAIN}
  prepare-device: {plugs: [tpm, hardware-observe], CHAIN}
  prepare-serial-request: {plugs: [tpm], CHAIN}
";

/// An architecture of snaps, and how gcc makes files that pass for it. The linter reads the class,
/// the machine and the loader of an ELF file, and none of these programs run.
struct Architecture {
    name: &'static str,
    triplet: &'static str,
    /// `e_machine`.
    machine: u8,
    flags: [&'static str; 2],
}

const ARCHITECTURES: [Architecture; 3] = [
    Architecture {
        name: "amd64",
        triplet: "x86_64-linux-gnu",
        machine: 62,
        flags: ["-m64", "-Wl,--dynamic-linker=/lib64/ld-linux-x86-64.so.2"],
    },
    Architecture {
        name: "arm64",
        triplet: "aarch64-linux-gnu",
        machine: 183,
        flags: ["-m64", "-Wl,--dynamic-linker=/lib/ld-linux-aarch64.so.1"],
    },
    Architecture {
        name: "armhf",
        triplet: "arm-linux-gnueabihf",
        machine: 40,
        flags: ["-m32", "-Wl,--dynamic-linker=/lib/ld-linux-armhf.so.3"],
    },
];

/// The libraries of tpm2-tss that the hooks need, and what each needs.
const LIBRARIES: [(&str, &[&str]); 6] = [
    ("libtss2-mu.so.0", &[]),
    ("libtss2-rc.so.0", &[]),
    ("libtss2-sys.so.1", &["libtss2-mu.so.0"]),
    ("libtss2-tcti-device.so.0", &["libtss2-mu.so.0"]),
    ("libtss2-tctildr.so.0", &["libtss2-rc.so.0"]),
    ("libtss2-esys.so.0", &["libtss2-sys.so.1", "libtss2-mu.so.0"]),
];

impl Architecture {
    /// The directory of the libraries and programs: `program` as our hooks are linked, and `new`,
    /// which needs a glibc that no base has. Built once.
    fn parts(&self) -> PathBuf {
        static BUILT: OnceLock<()> = OnceLock::new();
        BUILT.get_or_init(|| ARCHITECTURES.iter().for_each(Architecture::build));
        Parts::get().path(self.name)
    }

    fn build(&self) {
        let parts = Parts::get();
        fs::create_dir_all(parts.path(self.name)).unwrap();
        fs::write(parts.path("glibc.map"), "GLIBC_2.99 { global: new; };").unwrap();
        let map = format!("-Wl,--version-script={}", parts.path("glibc.map").display());
        self.compile(
            "libc.so.6",
            "int new(void) { return 0; }",
            &[],
            &["-shared", &map],
        );
        for (library, needed) in LIBRARIES {
            let soname = format!("-Wl,-soname,{library}");
            self.compile(library, "", needed, &["-shared", &soname]);
        }
        // As .cargo/config.toml links the hooks.
        let directory = format!("$ORIGIN/../../usr/lib/{0}:$ORIGIN/../usr/lib/{0}", self.triplet);
        let rpath = format!("-Wl,--disable-new-dtags,-rpath,{directory}");
        let needed = ["libtss2-esys.so.0", "libtss2-tctildr.so.0"];
        self.compile("program", "void _start(void) {}", &needed, &[&rpath]);
        let new = "int new(void); void _start(void) { new(); }";
        self.compile("new", new, &["libc.so.6"], &[&rpath]);
    }

    fn compile(&self, name: &str, source: &str, needed: &[&str], flags: &[&str]) {
        let needed: Vec<String> = needed
            .iter()
            .map(|needed| format!("{}/{needed}", self.name))
            .collect();
        let needed: Vec<&str> = needed.iter().map(String::as_str).collect();
        let flags = [&["-fPIC", "-nostdlib"], &self.flags[..], flags].concat();
        let file = Parts::get().compile(&format!("{}/{name}", self.name), source, &needed, &flags);
        assert!(file.is_file());
    }

    /// Copies a file for this machine into the tree.
    fn install(&self, gadget: &Gadget, part: &str, path: &str) {
        let mut content = fs::read(self.parts().join(part)).unwrap();
        content[18] = self.machine;
        fs::write(gadget.path(path), content).unwrap();
        gadget.set_mode(path, 0o755);
    }

    fn library(&self, name: &str) -> String {
        format!("usr/lib/{}/{name}", self.triplet)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// The programs are the files in meta/hooks.
    ByHand,
    /// The scripts of snapcraft run the programs in snap/hooks.
    Snapcraft,
    /// The scripts of snapcraft 4 to 6 for hooks with a command-chain.
    SnapcraftRunner,
    /// The command-chain is in snap.yaml.
    SnapcraftChain,
}

const LAYOUTS: [Layout; 4] = [
    Layout::ByHand,
    Layout::Snapcraft,
    Layout::SnapcraftRunner,
    Layout::SnapcraftChain,
];

impl Layout {
    /// The path of a hook's program.
    fn program(self, hook: &str) -> String {
        match self {
            Layout::ByHand => format!("meta/hooks/{hook}"),
            _ => format!("snap/hooks/{hook}"),
        }
    }

    fn script(self, hook: &str) -> Option<String> {
        match self {
            Layout::ByHand => None,
            Layout::SnapcraftRunner => Some(format!(
                "exec \"$SNAP/snap/command-chain/snapcraft-runner\" \"$SNAP/snap/hooks/{hook}\" \"$@\""
            )),
            _ => Some(format!("\nexec \"$SNAP/snap/hooks/{hook}\" \"$@\"")),
        }
    }

    fn chain(self) -> &'static str {
        match self {
            Layout::SnapcraftChain => "command-chain: [snap/command-chain/snapcraft-runner]",
            _ => "",
        }
    }
}

fn build(base: &str, architecture: &Architecture, layout: Layout) -> Gadget {
    let gadget = Gadget::empty();
    let yaml = SNAP_YAML
        .replace("BASE", base)
        .replace("ARCHITECTURE", architecture.name);
    gadget.write("meta/snap.yaml", &yaml.replace("CHAIN", layout.chain()));
    for hook in HOOKS {
        architecture.install(&gadget, "program", &layout.program(hook));
        if let Some(script) = layout.script(hook) {
            gadget.script(&format!("meta/hooks/{hook}"), &script);
        }
    }
    if layout != Layout::ByHand {
        gadget.script("snap/command-chain/snapcraft-runner", "exec \"$@\"");
    }
    architecture.install(&gadget, "program", "bin/hardware-identity");
    for (library, _) in LIBRARIES {
        architecture.install(&gadget, library, &architecture.library(library));
    }
    gadget
}

fn each_tree(check: impl Fn(&str, &Architecture, Layout)) {
    for base in ["core20", "core22", "core24", "core26"] {
        for architecture in &ARCHITECTURES {
            for layout in LAYOUTS {
                check(base, architecture, layout);
            }
        }
    }
}

/// The codes of a tree as a directory and, for the two plain layouts, as a .snap.
fn check_both(
    gadget: &Gadget,
    world: &World,
    expected: &[&str],
    place: &str,
    (what, layout): (&str, Layout),
) {
    let mut reports = vec![gadget.check()];
    if LAYOUTS[..2].contains(&layout) {
        let snap = world.squash(&gadget.root(), &["-noI", "-noD", "-noF", "-noX"]);
        reports.push(Checked::from(&world.check(&snap)));
    }
    for checked in reports {
        assert_eq!(checked.codes(), expected, "{what}: {:#}", checked.report);
        assert_eq!(checked.status, i32::from(!expected.is_empty()), "{what}");
        let mut findings = checked.report["findings"].as_array().unwrap().iter();
        let is_named = findings.any(|finding| finding["where"].as_str().unwrap().contains(place));
        assert!(expected.is_empty() || is_named, "{what}: {:#}", checked.report);
    }
}

#[test]
fn whole_trees_have_no_findings() {
    each_tree(|base, architecture, layout| {
        let checked = build(base, architecture, layout).check();
        let what = format!("{base} {} {layout:?}: {:#}", architecture.name, checked.report);
        assert_eq!(checked.codes(), [""; 0], "{what}");
    });
}

#[test]
fn a_deleted_hook_is_an_error() {
    let world = World::new();
    each_tree(|base, architecture, layout| {
        let gadget = build(base, architecture, layout);
        gadget.remove(&layout.program("prepare-device"));
        let (code, place) = match layout {
            Layout::ByHand => ("hook-without-file", "hooks.prepare-device"),
            _ => ("missing-program", "meta/hooks/prepare-device"),
        };
        let what = format!("{base} {} {layout:?}", architecture.name);
        check_both(&gadget, &world, &[code], place, (&what, layout));
    });
}

#[test]
fn deleted_libraries_are_errors() {
    let world = World::new();
    each_tree(|base, architecture, layout| {
        let gadget = build(base, architecture, layout);
        gadget.remove(&architecture.library("libtss2-tcti-device.so.0"));
        gadget.remove(&architecture.library("libtss2-esys.so.0"));
        let what = format!("{base} {} {layout:?}", architecture.name);
        let codes = ["missing-library", "missing-tcti"];
        check_both(
            &gadget,
            &world,
            &codes,
            &layout.program("configure"),
            (&what, layout),
        );
    });
}

#[test]
fn another_architecture_is_an_error() {
    let world = World::new();
    each_tree(|base, architecture, layout| {
        let gadget = build(base, architecture, layout);
        let program = layout.program("prepare-serial-request");
        let mut content = fs::read(gadget.path(&program)).unwrap();
        content[18] = 243;
        fs::write(gadget.path(&program), content).unwrap();
        let what = format!("{base} {} {layout:?}", architecture.name);
        check_both(
            &gadget,
            &world,
            &["wrong-architecture"],
            &program,
            (&what, layout),
        );
    });
}

#[test]
fn a_newer_glibc_is_an_error() {
    let world = World::new();
    each_tree(|base, architecture, layout| {
        let gadget = build(base, architecture, layout);
        let program = layout.program("configure");
        architecture.install(&gadget, "new", &program);
        let what = format!("{base} {} {layout:?}", architecture.name);
        check_both(&gadget, &world, &["glibc-too-new"], &program, (&what, layout));
    });
}

/// The wrapper is followed whatever it is called and wherever it is.
#[test]
fn wrappers_within_wrappers_are_followed() {
    let gadget = build("core24", &ARCHITECTURES[0], Layout::Snapcraft);
    gadget.rename("snap/hooks/prepare-device", "opt/identity/prepare-device");
    gadget.script(
        "snap/hooks/prepare-device",
        "set -e\nDIR=\"$(dirname \"$(readlink -f \"$0\")\")\"\n. \"$DIR/../lib.sh\"\nrun_it",
    );
    let library = "ROOT=${SNAP}/opt\nrun_it() {\n  exec env A=b timeout 60 sh -c '\"$SNAP\"/opt/identity/prepare-device'\n}\n";
    gadget.write("snap/lib.sh", library);
    let rpath = Path::new("opt/identity/prepare-device");
    assert!(gadget.root().join(rpath).is_file());
    gadget.check().is_clean();
    gadget.remove("opt/identity/prepare-device");
    let checked = gadget.check();
    assert_eq!(checked.codes(), ["missing-program"], "{:#}", checked.report);
    assert_eq!(checked.report["findings"][0]["where"], "snap/lib.sh");
}

/// In snapcraft a hook of the project replaces that of a part: those of canonical/pc-gadget replace
/// ours, and the device gets no identity.
#[test]
fn hooks_of_the_project_replace_ours() {
    let prepare_device = "set -eu\nif [ -z \"$MODEL_APIKEY\" ]; then\n  exit 0\nfi\n\
                          exec >> $SNAP_COMMON/prepare-device-hook.log 2>&1\n\
                          snapctl set registration.proposed-serial=\"\\\"$(date -u)\\\"\"";
    each_tree(|base, architecture, layout| {
        let gadget = build(base, architecture, layout);
        gadget.script(&layout.program("configure"), "# This file is for reference.");
        gadget.script(&layout.program("prepare-device"), prepare_device);
        let checked = gadget.check();
        let what = format!("{base} {} {layout:?}: {:#}", architecture.name, checked.report);
        assert_eq!(checked.codes(), ["hook-bypassed"], "{what}");
        assert_eq!(
            (&checked.report["errors"], &checked.report["warnings"]),
            (&1.into(), &1.into()),
            "{what}"
        );
        // The program of this project under another name does not help; called first, it does.
        architecture.install(&gadget, "program", "bin/prepare-device");
        architecture.install(&gadget, "program", "bin/configure");
        assert_eq!(gadget.check().codes(), ["hook-bypassed"], "{what}");
        let call = format!("\"$SNAP/bin/prepare-device\"\n{prepare_device}");
        gadget.script(&layout.program("prepare-device"), &call);
        gadget.script(&layout.program("configure"), "exec \"$SNAP/bin/configure\"");
        assert_eq!(gadget.check().codes(), [""; 0], "{what}");
    });
}
