//! Where install-device takes an export to: a volume, a file, a console; and what may go wrong there.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;

use common::line::{Line, check_export, names_in};
use common::{Expect as _, INSTALL_DEVICE, World};
use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const BY_LABEL: &str = "volume:FACTORY";

#[test]
fn the_export_is_on_the_volume_before_the_device_stops() {
    for stop in ["halt", "poweroff"] {
        let line = Line::new(BY_LABEL, stop);
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
        assert_eq!(line.left(), ["SN-1.json"]);
        let export = fs::read_to_string(line.path("left/SN-1.json")).unwrap();
        check_export(&line.world, &export);
        assert_eq!(names_in(&seen), ["SN-1.json"]);
        let seen = fs::read_to_string(seen.join("SN-1.json")).unwrap();
        assert_eq!(seen, export, "whole when snapd was asked to stop the device");
        assert_eq!(line.stop().as_deref(), Some(stop));
        assert_eq!(line.last_call(), ["reboot", &format!("--{stop}")]);
        line.run_mode_works();
    }
}

#[test]
fn a_volume_is_found_by_the_numbers_or_the_name_of_its_device() {
    for known_by in ["numbers", "name"] {
        let line = Line::new(BY_LABEL, "halt");
        let hook = line.hook_with_volume("").env("KNOWN_BY", known_by);
        hook.run().unwrap().succeeded();
        assert_eq!(line.left(), ["SN-1.json"], "{known_by}");
    }
}

#[test]
fn a_label_and_a_mount_point_may_have_blanks() {
    let line = Line::new("volume:my stick", "halt");
    let named = "mv /dev/disk/by-label/FACTORY '/dev/disk/by-label/my\\x20stick'";
    let hook = line.hook_with_volume(named);
    let hook = hook.env("VOLUME", line.path("work/media/my stick"));
    hook.run().unwrap().succeeded();
    assert_eq!(line.left(), ["SN-1.json"]);
}

#[test]
fn the_writable_mount_of_a_volume_is_taken() {
    let line = Line::new(BY_LABEL, "halt");
    let twice = "mkdir \"$WORK/other\"; mount --bind \"$VOLUME\" \"$WORK/other\"; mount -o remount,bind,ro \"$VOLUME\"";
    line.hook_with_volume(twice).run().unwrap().succeeded();
    assert_eq!(line.left(), ["SN-1.json"]);
}

/// Refused after the mishap, with nothing of the export on the volume; on a better day the line gets it.
fn refused_after(mishap: &str, options: &str, parts: &[&str], left: &[&str]) {
    let line = Line::new(BY_LABEL, "halt");
    // More than a page, of which tmpfs is made.
    line.world.set_option("manufacturer", json!("A".repeat(5000)));
    line.failed(line.hook_with_volume(mishap).env("OPTIONS", options), parts);
    assert_eq!(line.left(), left, "{mishap}");
    let name = line.world.name_at_handle();
    fs::remove_dir_all(line.path("left")).unwrap();
    fs::create_dir(line.path("left")).unwrap();
    line.world.set_option("manufacturer", json!("A"));
    line.hook_with_volume("").run().unwrap().succeeded();
    let export = fs::read_to_string(line.path("left/SN-1.json")).unwrap();
    check_export(&line.world, &export);
    assert_eq!(line.world.name_at_handle(), name);
    assert_eq!(line.stop().as_deref(), Some("halt"));
}

#[test]
fn a_volume_that_is_not_there_is_named() {
    let label = "there is no volume with the label \"FACTORY\" (/dev/disk/by-label/FACTORY leads to no device; the labels there are: ";
    for (mishap, there) in [
        ("rm /dev/disk/by-label/FACTORY", "none). Plug it in"),
        ("mv /dev/disk/by-label/FACTORY /dev/disk/by-label/X", "X)"),
        ("rm /dev/stick", "FACTORY)"),
    ] {
        refused_after(mishap, "", &[&format!("{label}{there}")], &[]);
    }
}

#[test]
fn a_volume_that_is_not_mounted_is_named() {
    let parts = ["FACTORY\" (/dev/stick) is not mounted. Have it mounted before this hook runs"];
    refused_after("umount \"$VOLUME\"", "", &parts, &[]);
    // Something else stands where it was.
    refused_after("mount -t tmpfs tmpfs \"$VOLUME\"", "", &parts, &[]);
}

#[test]
fn what_is_mounted_has_to_be_seen() {
    let parts = [
        "what is mounted cannot be read from /proc/self/mountinfo: ",
        "Connect the plug mount-observe",
    ];
    refused_after("mount -t tmpfs tmpfs /proc", "", &parts, &[]);
}

#[test]
fn a_volume_that_takes_nothing_is_named() {
    let file = "media/stick/SN-1.json: ";
    let filled = "head -c 65536 \"$HOOK\" >\"$VOLUME/filler\"";
    let no_room = [file, "no room is left there. Make room"];
    refused_after(filled, "size=64k", &no_room, &["filler"]);
    // Room for half of it, and for no name.
    refused_after("", "size=4k", &no_room, &[]);
    refused_after("", "nr_inodes=1", &no_room, &[]);
    let read_only = [file, "mounted read-only. Have it mounted writable"];
    refused_after("", "ro", &read_only, &[]);
    refused_after("mount -o remount,bind,ro \"$VOLUME\"", "", &read_only, &[]);
    let gone = [
        file,
        "its folder does not exist, or not any more. Check that the volume is still there",
    ];
    refused_after("mount -t tmpfs tmpfs \"$WORK/media\"", "", &gone, &[]);
}

#[test]
fn what_has_the_name_on_the_volume_stays() {
    let foreign = ["SN-1.json is there already and is no export of this device; it is never overwritten"];
    refused_after("echo {} >\"$VOLUME/SN-1.json\"", "", &foreign, &["SN-1.json"]);
    let no_file = ["media/stick/SN-1.json: something that is no file has its name"];
    refused_after("mkdir \"$VOLUME/SN-1.json\"", "", &no_file, &["SN-1.json"]);
    refused_after("mkfifo \"$VOLUME/SN-1.json\"", "", &no_file, &["SN-1.json"]);
}

#[test]
fn a_file_is_written_whole_and_equal_each_time() {
    let (line, file) = Line::to_file();
    line.hook().run().unwrap().succeeded();
    let export = fs::read_to_string(&file).unwrap();
    check_export(&line.world, &export);
    // The tool writes the same, with the time of the export.
    let by_tool = line.world.tool(&["export"]).stdout;
    let mut by_tool: Value = serde_json::from_slice(&by_tool).unwrap();
    by_tool["timestamp"] = line.world.record()["created"].clone();
    assert_eq!(serde_json::from_str::<Value>(&export).unwrap(), by_tool);
    assert_eq!(export.lines().count(), 11);
    // An older export of the same device is replaced, one that was made a moment ago stays.
    for content in [export.replace("a-box", "b-box"), export.clone(), String::new()] {
        fs::write(&file, content).unwrap();
        line.hook().run().unwrap().succeeded();
        assert_eq!(fs::read_to_string(&file).unwrap(), export);
        assert_eq!(line.stop().as_deref(), Some("poweroff"));
    }
    assert_eq!(names_in(file.parent().unwrap()), ["export.json", "left", "work"]);
}

#[test]
fn the_export_of_another_device_stays() {
    let (line, file) = Line::to_file();
    line.hook().run().unwrap().succeeded();
    let export = fs::read(&file).unwrap();
    let (other, _) = Line::to_file();
    other
        .world
        .set_option("factory.export", json!(format!("file:{}", file.display())));
    other.failed(
        other.hook(),
        &[
            "export.json is there already",
            "no two may have the same hardware id",
        ],
    );
    assert_eq!(fs::read(&file).unwrap(), export);
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let (line, _) = Line::to_file();
    for (target, parts) in [
        (
            "file:/nonexistent/folder/e.json",
            ["/nonexistent/folder/e.json: its folder", "does not exist"],
        ),
        (
            "file:/dev/null",
            ["/dev/null: something that is no file", "has its name"],
        ),
    ] {
        line.export_to(target);
        line.failed(line.hook(), &parts);
    }
    let folder = line.path("closed");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o500)).unwrap();
    line.export_to(&format!("file:{}", folder.join("e.json").display()));
    let parts = [
        "Permission denied",
        "Connect the plug",
        "removable-media",
        "system-files",
    ];
    line.failed(line.world.unprivileged_hook(INSTALL_DEVICE), &parts);
}

/// A terminal, and the end at which the line reads.
struct Terminal {
    line: OwnedFd,
    device: PathBuf,
    /// Keeps it from being hung up when the hook closes it.
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

    /// What was read, when no hook has it open any more.
    fn lines(self, reading: thread::JoinHandle<Vec<String>>) -> Vec<String> {
        drop(self._open);
        reading.join().unwrap()
    }

    /// Writes until nothing more is taken.
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
    assert_eq!(line.stop().as_deref(), Some("halt"));
    assert_eq!(line.last_call(), ["reboot", "--halt"]);
}

#[test]
fn without_a_name_the_console_is_the_kernels() {
    let terminal = Terminal::new();
    let line = Line::new("console", "halt");
    let reading = terminal.read();
    let hook = line.hook_with_volume("").env("CONSOLE", &terminal.device);
    hook.run().unwrap().succeeded();
    check_console(&line.world, &terminal.lines(reading));
}

#[test]
fn a_console_that_is_full_is_waited_for_and_gets_it_all() {
    let terminal = Terminal::new();
    let line = Line::new(&terminal.target(), "halt");
    // More than a terminal takes at once.
    let manufacturer = "A".repeat(200_000);
    line.world.set_option("manufacturer", json!(manufacturer));
    terminal.fill();
    let hook = line.hook().spawn().unwrap();
    // The record is the last that is written before the console; then nothing goes on until someone reads.
    while !line.world.record_file().exists() {
        thread::yield_now();
    }
    assert_eq!(line.stop(), None);
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
    assert_eq!(line.stop().as_deref(), Some("halt"));
}

#[test]
fn a_console_that_cannot_be_used_is_named() {
    let line = Line::new("console", "halt");
    for (target, parts) in [
        (
            "console:/dev/null",
            ["console /dev/null: it is no terminal", "`factory.export`"],
        ),
        (
            "console:/dev/nothing0",
            ["console /dev/nothing0: No such file", "console="],
        ),
    ] {
        line.export_to(target);
        line.failed(line.hook(), &parts);
    }
    let hung_up = Terminal::new();
    line.export_to(&hung_up.target());
    let Terminal { line: end, _open, .. } = hung_up;
    drop(end);
    line.failed(line.hook(), &["the export cannot be written to the console"]);
}

#[test]
fn who_waits_at_the_console_hears_of_a_failure() {
    let terminal = Terminal::new();
    let line = Line::new(&terminal.target(), "halt");
    let reading = terminal.read();
    line.failed(line.hook_without_tpm(), &["there is no TPM"]);
    let lines = terminal.lines(reading);
    let [marker, message] = lines.last_chunk().unwrap();
    assert_eq!(marker, "-----HARDWARE IDENTITY FAILED-----");
    assert!(message.starts_with("there is no TPM"), "{message}");
}
