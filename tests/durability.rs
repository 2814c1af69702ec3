//! Durable writes of record and export. strace shows the system calls of a real hook: the new file
//! is written and flushed before it gets its name, and the directory is flushed after that.

#![allow(clippy::panic, clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use common::line::Line;
use common::{Expect as _, INSTALL_DEVICE, PREPARE_DEVICE, World};

/// Runs the hook under strace, which writes to the file `$TRACE` and shows the path of each file
/// descriptor.
const STRACE: &str = "exec strace -f -qq -y -s 0 -o \"$TRACE\" -e signal=none \
                      -e trace=write,fsync,fdatasync,rename,renameat,renameat2 \"$HOOK\"";

/// Runs the hook, and returns its system calls in order.
fn system_calls(world: &World, executable: &str) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let hook = world.hook_in(STRACE, executable).env("TRACE", &trace);
    hook.run().unwrap().succeeded();
    let calls = fs::read_to_string(trace).unwrap();
    calls.lines().map(str::to_owned).collect()
}

/// The position of the first call after `start` that has the name and all of `parts`.
#[track_caller]
fn position(calls: &[String], start: usize, names: &[&str], parts: &[String]) -> usize {
    let is_wanted = |call: &String| {
        let mut words = call.split_whitespace();
        let name = words.nth(1).and_then(|call| call.split('(').next());
        names.iter().any(|wanted| name == Some(wanted)) && parts.iter().all(|part| call.contains(part))
    };
    let found = calls[start..].iter().position(is_wanted);
    let found = found.unwrap_or_else(|| panic!("no {names:?} with {parts:?} after {start}: {calls:#?}"));
    start + found + 1
}

const FLUSH: [&str; 2] = ["fsync", "fdatasync"];
const RENAME: [&str; 3] = ["rename", "renameat", "renameat2"];

/// The calls write, flush and rename the new file, and then flush the directory, in this order.
#[track_caller]
fn assert_durable(calls: &[String], path: &Path) {
    let directory = path.parent().unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    let new = format!("{}/.{name}.new", directory.display());
    let open = |path: &str| [format!("<{path}>")];
    let written = position(calls, 0, &["write"], &open(&new));
    let flushed = position(calls, written, &FLUSH, &open(&new));
    let renamed = position(calls, flushed, &RENAME, &[format!("{}\"", path.display())]);
    position(calls, renamed, &FLUSH, &open(directory.to_str().unwrap()));
    let first_rename = position(calls, 0, &RENAME, &[format!("{}\"", path.display())]);
    assert_eq!(first_rename, renamed, "renamed before it was flushed: {calls:#?}");
}

#[test]
fn the_record_is_flushed_before_and_after_it_gets_its_name() {
    let world = World::new();
    let calls = system_calls(&world, PREPARE_DEVICE);
    assert_durable(&calls, &world.record_file());
}

#[test]
fn the_export_is_flushed_before_and_after_it_gets_its_name() {
    let (line, file) = Line::to_file();
    let calls = system_calls(&line.world, INSTALL_DEVICE);
    assert_durable(&calls, &line.world.record_file());
    assert_durable(&calls, &file);
}

#[test]
fn an_export_that_an_earlier_run_wrote_is_flushed() {
    let (line, file) = Line::to_file();
    line.hook().run().unwrap().succeeded();
    // The earlier run may have been killed before it flushed the file.
    let calls = system_calls(&line.world, INSTALL_DEVICE);
    let open = |path: &Path| [format!("<{}>", path.display())];
    let flushed = position(&calls, 0, &FLUSH, &open(&file));
    position(&calls, flushed, &FLUSH, &open(file.parent().unwrap()));
}
