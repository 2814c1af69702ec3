//! A .snap is unpacked and checked. A damaged or hostile one is refused; nothing outside is read.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::gadget::{Checked, Gadget, tool};
use crate::{failed, refused};

/// A directory for .snap files, with the temporary directory `tmp` of the tool.
pub(crate) struct World {
    directory: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let world = World {
            directory: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(world.path("tmp")).unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs the check, which must remove the unpacked files.
    pub(crate) fn check(&self, snap: &Path) -> Output {
        let output = tool(&["--json", snap.to_str().unwrap()])
            .env("TMPDIR", self.path("tmp"))
            .output()
            .unwrap();
        assert_eq!(fs::read_dir(self.path("tmp")).unwrap().count(), 0);
        output
    }

    fn pack(&self, gadget: &Gadget, compression: &str) -> PathBuf {
        let name = format!("{compression}.snap");
        let output = Command::new("snap")
            .args(["pack", "--compression", compression, "--filename", &name])
            .arg(gadget.root())
            .arg(self.directory.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        self.path(&name)
    }

    /// Packs without the checks of `snap pack`.
    pub(crate) fn squash(&self, directory: &Path, arguments: &[&str]) -> PathBuf {
        let snap = self.path("x.snap");
        let output = Command::new("mksquashfs")
            .arg(directory)
            .arg(&snap)
            .args(["-noappend", "-no-progress"])
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        snap
    }
}

fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn both_compressions_of_snaps_are_read() {
    let world = World::new();
    let gadget = Gadget::new();
    for compression in ["xz", "lzo"] {
        Checked::from(&world.check(&world.pack(&gadget, compression))).is_clean();
    }
    gadget.edit_snap("  prepare-serial-request:", "  prepare-serial:");
    gadget.rename("meta/hooks/prepare-serial-request", "meta/hooks/prepare-serial");
    let checked = Checked::from(&world.check(&world.pack(&gadget, "xz")));
    assert_eq!((checked.codes(), checked.status), (vec!["ignored-hook"], 1));
}

#[test]
fn a_file_that_is_not_a_snap_is_refused() {
    let world = World::new();
    refused(&world.check(&world.path("none")), "file-unreadable");
    for content in ["", "hsqs", "#!/bin/sh\n", &"x".repeat(4096)] {
        let file = world.path("a.snap");
        fs::write(&file, content).unwrap();
        refused(&world.check(&file), "not-a-snap");
    }
    refused(&world.check(Path::new("/dev/null")), "file-not-regular");
    let fifo = world.path("fifo.snap");
    make_fifo(&fifo);
    refused(&world.check(&fifo), "file-not-regular");
    let only_magic = world.path("a.snap");
    fs::write(&only_magic, format!("hsqs{}", "\0".repeat(4096))).unwrap();
    refused(&world.check(&only_magic), "snap-damaged");
}

#[test]
fn a_damaged_snap_is_refused() {
    let world = World::new();
    let snap = world.pack(&Gadget::new(), "xz");
    let whole = fs::read(&snap).unwrap();
    for length in [whole.len() / 2, 97] {
        fs::write(&snap, &whole[..length]).unwrap();
        refused(&world.check(&snap), "snap-damaged");
    }
    let mut damaged = whole;
    let middle = damaged.len() / 3;
    damaged[middle..middle * 2].fill(0x5a);
    fs::write(&snap, &damaged).unwrap();
    refused(&world.check(&snap), "snap-damaged");
}

#[test]
fn a_huge_snap_is_refused_before_it_is_unpacked() {
    let world = World::new();
    let gadget = Gadget::new();
    let huge = File::create(gadget.path("huge")).unwrap();
    huge.set_len((1 << 30) + 1).unwrap();
    let snap = world.squash(&gadget.root(), &[]);
    assert!(fs::metadata(&snap).unwrap().len() < 1 << 20, "it looks small");
    refused(&world.check(&snap), "snap-too-large");
}

#[test]
fn a_snap_of_very_many_files_is_refused() {
    let world = World::new();
    let snap = world.squash(&Gadget::new().root(), &[]);
    let mut file = OpenOptions::new().write(true).open(&snap).unwrap();
    // The number of inodes in the superblock.
    file.seek(SeekFrom::Start(4)).unwrap();
    file.write_all(&u32::MAX.to_le_bytes()).unwrap();
    refused(&world.check(&snap), "snap-too-large");
}

#[test]
fn devices_and_fifos_are_refused() {
    let world = World::new();
    for pseudo in ["device c 666 0 0 1 3", "meta/hooks/remove b 666 0 0 8 0"] {
        let snap = world.squash(&Gadget::new().root(), &["-p", pseudo]);
        let output = world.check(&snap);
        refused(&output, "snap-special-file");
        let stderr = String::from_utf8(output.stderr).unwrap();
        let path = pseudo.split(' ').next().unwrap();
        assert!(stderr.contains(path), "{stderr}");
    }
    let gadget = Gadget::new();
    for fifo in ["meta/hooks/remove", "hardware-identity.toml"] {
        let _ = fs::remove_file(gadget.path(fifo));
        make_fifo(&gadget.path(fifo));
    }
    refused(
        &world.check(&world.squash(&gadget.root(), &[])),
        "snap-special-file",
    );
    // In a directory they are not opened: that would block for ever.
    assert_eq!(gadget.check().codes(), ["bad-settings", "not-a-program"]);
    fs::rename(gadget.path("meta/hooks/remove"), gadget.path("meta/snap.yaml")).unwrap();
    let output = Command::new("timeout")
        .args([
            "60",
            env!("CARGO_BIN_EXE_hardware-identity"),
            "check-gadget",
            "--json",
        ])
        .arg(gadget.root())
        .output()
        .unwrap();
    assert_eq!(Checked::from(&output).codes(), ["bad-snap-yaml"]);
}

/// Links out of the snap, to a file whose content must not be printed.
#[test]
fn links_out_of_the_snap_are_not_followed() {
    let world = World::new();
    let secret = world.path("secret");
    fs::write(&secret, "#!top-secret\nname: [top-secret\n").unwrap();
    let target = secret.to_str().unwrap();
    let relative = format!("{}{target}", "../".repeat(20));
    for link in [target, &relative] {
        for path in [
            "meta/snap.yaml",
            "meta/gadget.yaml",
            "hardware-identity.toml",
            "meta/hooks/configure",
            "bin/chain",
            "usr/lib/libtss2-mu.so.0",
        ] {
            let gadget = Gadget::new();
            gadget.link(link, path);
            let output = world.check(&world.squash(&gadget.root(), &[]));
            let text = String::from_utf8(output.stdout.clone()).unwrap();
            assert!(!text.contains("top-secret"), "{text}");
            let checked = Checked::from(&output);
            assert_eq!(checked.status, i32::from(path != "bin/chain"), "{path}: {text}");
            assert_ne!(checked.codes(), [""; 0], "{path}");
        }
    }
    let gadget = Gadget::new();
    fs::rename(gadget.path("meta/hooks"), world.path("hooks")).unwrap();
    gadget.link(world.path("hooks").to_str().unwrap(), "meta/hooks");
    let checked = Checked::from(&world.check(&world.squash(&gadget.root(), &[])));
    assert!(
        checked.codes().contains(&"hook-without-file"),
        "{:#}",
        checked.report
    );
}

/// File names with escape sequences for the terminal, and YAML aliases that expand to gigabytes.
#[test]
fn hostile_names_and_yaml_are_harmless() {
    let gadget = Gadget::new();
    gadget.script("meta/hooks/\u{1b}[2Jprepare-device", "true");
    let output = tool(&[gadget.root().to_str().unwrap()]).output().unwrap();
    assert!(!output.stdout.contains(&0x1b));
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(",");
        bomb += &format!("a{level}: &a{level} [{aliases}]\n");
    }
    for (file, code) in [
        ("meta/snap.yaml", "bad-snap-yaml"),
        ("meta/gadget.yaml", "bad-gadget-yaml"),
    ] {
        for text in [
            &bomb,
            &format!("name: {}", "[".repeat(100_000)),
            &"# x\n".repeat(300_000),
        ] {
            let gadget = Gadget::new();
            gadget.write(file, text);
            assert!(gadget.check().codes().contains(&code), "{code}");
        }
    }
}

#[test]
fn a_missing_unsquashfs_has_its_own_code() {
    let world = World::new();
    let snap = world.pack(&Gadget::new(), "xz");
    let output = tool(&[snap.to_str().unwrap()])
        .env("PATH", "/nowhere")
        .output()
        .unwrap();
    failed(&output, "unsquashfs-missing", 5);
}
