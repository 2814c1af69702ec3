//! A project laid out as snapcraft does it, with the programs of this build and the libraries of
//! this machine.
//!
//! Source: canonical/snapcraft, `snapcraft/parts/setup_assets.py`: hooks of the project are copied
//! over those of the parts in snap/hooks, and each hook there gets a wrapper in meta/hooks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::onboarding::{program, succeed};
use crate::project::Project;

/// The directory prime.
pub(crate) struct Prime {
    directory: TempDir,
}

const HOOKS: [&str; 4] = [
    "configure",
    "install-device",
    "prepare-device",
    "prepare-serial-request",
];

impl Prime {
    pub(crate) fn of(project: &Project) -> Self {
        let yaml: Value = serde_saphyr::from_str(&source(project)).unwrap();
        let prime = Prime {
            directory: tempfile::tempdir().unwrap(),
        };
        for part in yaml["parts"].as_object().unwrap().values() {
            prime.part(project, part);
        }
        prime.hooks(project);
        prime.install(&project.path("gadget.yaml"), "meta/gadget.yaml", "644");
        prime.write("meta/snap.yaml", &snap_yaml(&yaml), "644");
        prime
    }

    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    fn part(&self, project: &Project, part: &Value) {
        match part["plugin"].as_str().unwrap() {
            "rust" => self.programs(part),
            "dump" => {
                let from = project.path(part["source"].as_str().unwrap()).join(".");
                succeed(Command::new("cp").arg("-r").arg(from).arg(self.root()));
            }
            _ => {
                succeed(
                    Command::new("sh")
                        .args(["-e", "-c", part["override-build"].as_str().unwrap()])
                        .current_dir(project.path(part["source"].as_str().unwrap()))
                        .env("CRAFT_ARCH_BUILD_FOR", "amd64")
                        .env("CRAFT_PART_INSTALL", self.root())
                        .env("CRAFT_PROJECT_DIR", project.root()),
                );
            }
        }
        for (from, to) in part["organize"].as_object().into_iter().flatten() {
            let to = self.root().join(to.as_str().unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::rename(self.root().join(from), to).unwrap();
        }
    }

    /// `cargo install` of the directories, and the packages.
    fn programs(&self, part: &Value) {
        for directory in part["rust-path"].as_array().unwrap() {
            let programs = match directory.as_str().unwrap() {
                "." => &HOOKS[..],
                "crates/cli" => &["hardware-identity"],
                other => panic!("{other}"),
            };
            for name in programs {
                self.install(&stripped(name), &format!("bin/{name}"), "755");
            }
        }
        let triplet = succeed(Command::new("gcc").arg("-print-multiarch")).stdout;
        let triplet = String::from_utf8(triplet).unwrap();
        for package in part["stage-packages"].as_array().unwrap() {
            let library = library_of(package.as_str().unwrap());
            let path = succeed(Command::new("gcc").arg(format!("-print-file-name={library}"))).stdout;
            let path = String::from_utf8(path).unwrap();
            let to = format!("usr/lib/{}/{library}", triplet.trim());
            self.install(Path::new(path.trim()), &to, "644");
        }
    }

    fn hooks(&self, project: &Project) {
        for entry in fs::read_dir(project.path("snap/hooks")).into_iter().flatten() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let hook = project.path("snap/hooks").join(&name);
            self.install(&hook, &format!("snap/hooks/{name}"), "755");
        }
        for entry in fs::read_dir(self.root().join("snap/hooks")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let wrapper = format!("#!/bin/sh\nexec \"$SNAP/snap/hooks/{name}\" \"$@\"\n");
            self.write(&format!("meta/hooks/{name}"), &wrapper, "755");
        }
    }

    /// Another process writes the file: a program that this process has open cannot be run.
    fn install(&self, from: &Path, to: &str, mode: &str) {
        let mut install = Command::new("install");
        install.args(["-D", "-m", mode]).arg(from);
        succeed(install.arg(self.root().join(to)));
    }

    fn write(&self, path: &str, text: &str, mode: &str) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        self.install(file.path(), path, mode);
    }

    /// Packs the directory, and unpacks the snap again.
    pub(crate) fn packed(&self) -> Packed {
        let directory = tempfile::tempdir().unwrap();
        let snap = directory.path().join("gadget.snap");
        let mut pack = Command::new("snap");
        pack.args(["pack", "--compression", "lzo", "--filename", "gadget.snap"]);
        succeed(pack.arg(self.root()).arg(directory.path()));
        let mut unsquash = Command::new("unsquashfs");
        unsquash
            .args(["-q", "-no-progress", "-d"])
            .arg(directory.path().join("gadget"));
        succeed(unsquash.arg(&snap));
        Packed { directory }
    }
}

/// A packed gadget, and the directory that it was unpacked to.
pub(crate) struct Packed {
    directory: TempDir,
}

impl Packed {
    pub(crate) fn snap(&self) -> PathBuf {
        self.directory.path().join("gadget.snap")
    }

    pub(crate) fn unpacked(&self) -> PathBuf {
        self.directory.path().join("gadget")
    }
}

fn source(project: &Project) -> String {
    let paths = ["snapcraft.yaml", "snap/snapcraft.yaml"];
    let path = paths.into_iter().find(|path| project.path(path).exists());
    project.read(path.unwrap())
}

/// JSON is YAML.
fn snap_yaml(yaml: &Value) -> String {
    let architecture = succeed(Command::new("dpkg").arg("--print-architecture")).stdout;
    let mut snap = yaml.clone();
    let entries = snap.as_object_mut().unwrap();
    for key in ["parts", "platforms"] {
        entries.remove(key);
    }
    let architecture = String::from_utf8(architecture).unwrap();
    entries.insert("architectures".to_owned(), json!([architecture.trim()]));
    snap.to_string()
}

/// A program of this build without debug information, which would make the snap large.
fn stripped(name: &str) -> PathBuf {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    let directory = DIRECTORY.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("check-project");
        fs::create_dir_all(&directory).unwrap();
        for name in HOOKS.into_iter().chain(["hardware-identity"]) {
            let mut strip = Command::new("strip");
            succeed(strip.arg("-o").arg(directory.join(name)).arg(program(name)));
        }
        directory
    });
    directory.join(name)
}

/// The library of a package, for all bases.
fn library_of(package: &str) -> String {
    let data = include_str!("../../../gadget-check/data/tpm2-tss.yaml");
    let data: Value = serde_saphyr::from_str(data).unwrap();
    let bases = data["bases"].as_array().unwrap().iter();
    let mut entries = bases.filter_map(|base| base["packages"].as_object()).flatten();
    let entry = entries.find(|(_, name)| *name == package);
    entry.unwrap_or_else(|| panic!("{package}")).0.clone()
}
