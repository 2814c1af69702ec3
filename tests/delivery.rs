//! Delivery of an export by install-device: to a volume, a file and a console, and its failures.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;

use common::line::{Line, check_export, names_in};
use common::{Expect as _, INSTALL_DEVICE, World, assert_line};
use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const BY_LABEL: &str = "volume:FACTORY";

#[test]
fn the_export_is_on_the_volume_before_the_device_shuts_down() {
    for shutdown in ["halt", "poweroff"] {
        let line = Line::new(BY_LABEL, shutdown);
        let seen = line.path("seen");
        fs::create_dir(&seen).unwrap();
        let note = "case $1 in reboot) cp -a \"$VOLUME/.\" \"$SEEN\" ;; esac; exec \"$SNAPCTL\" \"$@\"";
        let hook = line
            .hook_with_volume("")
            .snapctl(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/script.sh").as_ref())
            .env("SNAPCTL", Path::new(INSTALL_DEVICE).with_file_name("snapctl"))
            .env("SNAPCTL_SCRIPT", note)
            .env("SEEN", &seen);
        hook.run().unwrap().succeeded();
        assert_eq!(line.on_volume(), ["SN-1.json"]);
        let export = fs::read_to_string(line.path("copy/SN-1.json")).unwrap();
        check_export(&line.world, &export);
        assert_eq!(names_in(&seen), ["SN-1.json"]);
        let seen = fs::read_to_string(seen.join("SN-1.json")).unwrap();
        assert_eq!(seen, export, "complete when snapd was asked for the shutdown");
        assert_eq!(line.shutdown().as_deref(), Some(shutdown));
        assert_eq!(line.last_call(), ["reboot", &format!("--{shutdown}")]);
        line.run_mode_works();
    }
}

#[test]
fn a_volume_is_found_by_the_numbers_or_the_name_of_its_device() {
    for known_by in ["numbers", "name"] {
        let line = Line::new(BY_LABEL, "halt");
        let hook = line.hook_with_volume("").env("KNOWN_BY", known_by);
        hook.run().unwrap().succeeded();
        assert_eq!(line.on_volume(), ["SN-1.json"], "{known_by}");
    }
}

#[test]
fn a_label_and_a_mount_point_may_have_spaces() {
    let line = Line::new("volume:my stick", "halt");
    let named = "mv /dev/disk/by-label/FACTORY '/dev/disk/by-label/my\\x20stick'";
    let hook = line.hook_with_volume(named);
    let hook = hook.env("VOLUME", line.path("work/media/my stick"));
    hook.run().unwrap().succeeded();
    assert_eq!(line.on_volume(), ["SN-1.json"]);
}

#[test]
fn the_writable_mount_of_a_volume_is_used() {
    let line = Line::new(BY_LABEL, "halt");
    let twice = "mkdir \"$WORK/other\"; mount --bind \"$VOLUME\" \"$WORK/other\"; mount -o remount,bind,ro \"$VOLUME\"";
    line.hook_with_volume(twice).run().unwrap().succeeded();
    assert_eq!(line.on_volume(), ["SN-1.json"]);
}

/// The hook fails after `fault` with this code, and the volume has only the files `left`. A run
/// without the fault then delivers the export of the same identity.
fn refused_after(fault: &str, options: &str, code: &str, left: &[&str]) {
    let line = Line::new(BY_LABEL, "halt");
    // More than a page, the unit of a tmpfs.
    line.world.set_option("manufacturer", json!("A".repeat(5000)));
    line.failed(line.hook_with_volume(fault).env("OPTIONS", options), code, &[]);
    assert_eq!(line.on_volume(), left, "{fault}");
    let name = line.world.name_at_handle();
    fs::remove_dir_all(line.path("copy")).unwrap();
    fs::create_dir(line.path("copy")).unwrap();
    line.world.set_option("manufacturer", json!("A"));
    line.hook_with_volume("").run().unwrap().succeeded();
    let export = fs::read_to_string(line.path("copy/SN-1.json")).unwrap();
    check_export(&line.world, &export);
    assert_eq!(line.world.name_at_handle(), name);
    assert_eq!(line.shutdown().as_deref(), Some("halt"));
}

#[test]
fn a_missing_volume_is_an_error_that_lists_the_labels() {
    for (fault, labels) in [
        ("rm /dev/disk/by-label/FACTORY", "none"),
        ("mv /dev/disk/by-label/FACTORY /dev/disk/by-label/OTHER", "OTHER"),
        ("rm /dev/stick", ": FACTORY"),
    ] {
        refused_after(fault, "", "volume-missing", &[]);
        let line = Line::new(BY_LABEL, "halt");
        line.failed(line.hook_with_volume(fault), "volume-missing", &[labels]);
    }
}

#[test]
fn a_volume_that_is_not_mounted_is_an_error() {
    refused_after("umount \"$VOLUME\"", "", "volume-not-mounted", &[]);
    let covered = "mount -t tmpfs tmpfs \"$VOLUME\"";
    refused_after(covered, "", "volume-not-mounted", &[]);
}

#[test]
fn a_table_of_mounts_that_cannot_be_read_is_an_error() {
    refused_after("mount -t tmpfs tmpfs /proc", "", "mounts-unreadable", &[]);
}

#[test]
fn a_volume_that_cannot_be_written_is_an_error() {
    let full = "head -c 65536 \"$HOOK\" >\"$VOLUME/filler\"";
    refused_after(full, "size=64k", "export-no-space", &["filler"]);
    // Space for half of the export, and for no file.
    refused_after("", "size=4k", "export-no-space", &[]);
    refused_after("", "nr_inodes=1", "export-no-space", &[]);
    refused_after("", "ro", "export-read-only", &[]);
    let read_only = "mount -o remount,bind,ro \"$VOLUME\"";
    refused_after(read_only, "", "export-read-only", &[]);
    let gone = "mount -t tmpfs tmpfs \"$WORK/media\"";
    refused_after(gone, "", "export-directory-missing", &[]);
}

#[test]
fn a_foreign_file_on_the_volume_is_not_replaced() {
    let foreign = "echo {} >\"$VOLUME/SN-1.json\"";
    refused_after(foreign, "", "export-of-other-device", &["SN-1.json"]);
    for not_regular in ["mkdir", "mkfifo", "ln -s filler"] {
        let fault = format!("{not_regular} \"$VOLUME/SN-1.json\"");
        refused_after(&fault, "", "export-not-regular", &["SN-1.json"]);
    }
}

#[test]
fn a_file_has_the_same_content_after_each_run() {
    let (line, file) = Line::to_file();
    line.hook().run().unwrap().succeeded();
    let export = fs::read_to_string(&file).unwrap();
    check_export(&line.world, &export);
    // The tool writes the same, but with the time of the export.
    let by_tool = line.world.tool(&["export"]).stdout;
    let mut by_tool: Value = serde_json::from_slice(&by_tool).unwrap();
    by_tool["timestamp"] = line.world.record()["created"].clone();
    assert_eq!(serde_json::from_str::<Value>(&export).unwrap(), by_tool);
    assert_eq!(export.lines().count(), 11);
    // An older export of the same device is replaced.
    for content in [export.replace("a-box", "b-box"), export.clone(), String::new()] {
        fs::write(&file, content).unwrap();
        line.hook().run().unwrap().succeeded();
        assert_eq!(fs::read_to_string(&file).unwrap(), export);
        assert_eq!(line.shutdown().as_deref(), Some("poweroff"));
    }
    assert_eq!(names_in(file.parent().unwrap()), ["copy", "export.json", "work"]);
}

#[test]
fn the_export_of_another_device_is_not_replaced() {
    let (line, file) = Line::to_file();
    line.hook().run().unwrap().succeeded();
    let export = fs::read(&file).unwrap();
    let (other, _) = Line::to_file();
    other
        .world
        .set_option("factory.export", json!(format!("file:{}", file.display())));
    other.failed(other.hook(), "export-of-other-device", &["export.json"]);
    assert_eq!(fs::read(&file).unwrap(), export);
}

#[test]
fn a_file_that_cannot_be_written_is_an_error() {
    let (line, _) = Line::to_file();
    for (target, code) in [
        ("file:/nonexistent/directory/e.json", "export-directory-missing"),
        ("file:/dev/null", "export-not-regular"),
    ] {
        line.export_to(target);
        line.failed(line.hook(), code, &[target.trim_start_matches("file:")]);
    }
    let directory = line.path("closed");
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, Permissions::from_mode(0o500)).unwrap();
    line.export_to(&format!("file:{}", directory.join("e.json").display()));
    let hook = line.world.unprivileged_hook(INSTALL_DEVICE);
    line.failed(hook, "export-permission-denied", &[]);
}

/// A terminal, and the end that the factory line reads.
struct Terminal {
    line: OwnedFd,
    device: PathBuf,
    /// Prevents a hangup when the hook closes the terminal.
    _open: File,
}

impl Terminal {
    fn new() -> Self {
        let line = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&line).unwrap();
        unlockpt(&line).unwrap();
        let device: PathBuf = ptsname(&line, Vec::new()).unwrap().into_string().unwrap().into();
        let _open = opened(&device);
        Terminal { line, device, _open }
    }

    fn target(&self) -> String {
        format!("console:{}", self.device.display())
    }

    /// Reads until the other end is closed.
    fn read(&self) -> thread::JoinHandle<Vec<String>> {
        let reader = BufReader::new(File::from(self.line.try_clone().unwrap()));
        let lines = reader.lines().map_while(Result::ok);
        thread::spawn(|| lines.map(|line| line.trim_end().to_owned()).collect())
    }

    /// All lines, when no hook has the terminal open any more.
    fn lines(self, reading: thread::JoinHandle<Vec<String>>) -> Vec<String> {
        drop(self._open);
        reading.join().unwrap()
    }

    /// Writes until the terminal takes no more.
    fn fill(&self) {
        let error = loop {
            if let Err(error) = opened(&self.device).write_all(b"filler\n") {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
}

fn opened(device: &Path) -> File {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().write(true).custom_flags(flags).open(device);
    file.unwrap()
}

const BEGIN: &str = "-----BEGIN HARDWARE IDENTITY EXPORT-----";

fn check_console(world: &World, lines: &[String]) {
    let [begin, export, end] = lines.last_chunk().unwrap();
    assert_eq!(begin, BEGIN);
    check_export(world, export);
    assert_eq!(*end, end_of(export));
}

/// The TPM has no certificate, so the evidence is a key, with a warning.
#[test]
fn evidence_is_delivered_with_the_export() {
    let line = Line::new(BY_LABEL, "halt");
    line.world
        .set_option("factory.evidence", json!("endorsement-key"));
    let outcome = line.hook_with_volume("").run().unwrap();
    outcome.warned(&["ek-certificate-missing"]);
    assert_eq!(line.on_volume(), ["SN-1.evidence.json", "SN-1.json"]);
    check_export(
        &line.world,
        &fs::read_to_string(line.path("copy/SN-1.json")).unwrap(),
    );
    let evidence = fs::read_to_string(line.path("copy/SN-1.evidence.json")).unwrap();

    let terminal = Terminal::new();
    line.export_to(&terminal.target());
    let reading = terminal.read();
    line.hook().run().unwrap().warned(&["ek-certificate-missing"]);
    let lines = terminal.lines(reading);
    check_console(&line.world, &lines);
    let begin = lines
        .iter()
        .position(|line| line == "-----BEGIN HARDWARE IDENTITY EVIDENCE-----");
    let [_, on_console, end, ..] = &lines[begin.unwrap()..] else {
        unreachable!()
    };
    assert_eq!(*end, end_of(on_console).replace("EXPORT", "EVIDENCE"));
    let [file, on_console] = [&evidence, on_console].map(|json| serde_json::from_str::<Value>(json).unwrap());
    assert_eq!(on_console, file);
    assert_eq!(file["hardware-id"], "SN-1");
    assert_eq!(file["endorsement"][0]["template"], "L-2");
}

fn end_of(export: &str) -> String {
    let digest = hex::encode(Sha256::digest(export));
    format!("-----END HARDWARE IDENTITY EXPORT sha256={digest}-----")
}

#[test]
fn a_console_gets_the_export_between_markers() {
    let terminal = Terminal::new();
    let line = Line::new(&terminal.target(), "halt");
    let reading = terminal.read();
    line.hook().run().unwrap().succeeded();
    check_console(&line.world, &terminal.lines(reading));
    assert_eq!(line.shutdown().as_deref(), Some("halt"));
    assert_eq!(line.last_call(), ["reboot", "--halt"]);
}

#[test]
fn the_default_console_is_the_kernels() {
    let terminal = Terminal::new();
    let line = Line::new("console", "halt");
    let reading = terminal.read();
    let hook = line.hook_with_volume("").env("CONSOLE", &terminal.device);
    hook.run().unwrap().succeeded();
    check_console(&line.world, &terminal.lines(reading));
}

#[test]
fn a_full_console_gets_the_whole_export_when_it_is_read() {
    let terminal = Terminal::new();
    let line = Line::new(&terminal.target(), "halt");
    // More than a terminal buffers.
    let manufacturer = "A".repeat(200_000);
    line.world.set_option("manufacturer", json!(manufacturer));
    terminal.fill();
    let hook = line.hook().spawn().unwrap();
    // The hook writes the record just before it writes to the console, where it then waits.
    while !line.world.record_file().exists() {
        thread::yield_now();
    }
    assert_eq!(line.shutdown(), None);
    let reading = terminal.read();
    hook.wait().unwrap().succeeded();
    let mut lines = terminal.lines(reading);
    assert_eq!(lines[0], "filler");
    let [.., export, end] = lines.as_mut_slice() else {
        unreachable!()
    };
    assert_eq!(*end, end_of(export));
    *export = export.replace(&manufacturer, "A");
    *end = end_of(export);
    check_console(&line.world, &lines);
    assert_eq!(line.shutdown().as_deref(), Some("halt"));
}

#[test]
fn a_console_that_cannot_be_used_is_an_error() {
    let line = Line::new("console", "halt");
    for (target, code) in [
        ("console:/dev/null", "console-not-a-terminal"),
        ("console:/dev/nothing0", "console-unusable"),
    ] {
        line.export_to(target);
        line.failed(line.hook(), code, &[target.trim_start_matches("console:")]);
    }
    let hung_up = Terminal::new();
    line.export_to(&hung_up.target());
    let Terminal { line: end, _open, .. } = hung_up;
    drop(end);
    line.failed(line.hook(), "console-unusable", &[]);
}

#[test]
fn a_failure_is_announced_on_the_console() {
    let terminal = Terminal::new();
    let line = Line::new(&terminal.target(), "halt");
    let reading = terminal.read();
    line.failed(line.hook_without_tpm(), "tpm-missing", &[]);
    let lines = terminal.lines(reading);
    let [marker, message] = lines.last_chunk().unwrap();
    assert_eq!(marker, "-----HARDWARE IDENTITY FAILED-----");
    assert_line(message, "tpm-missing", &[]);
}
