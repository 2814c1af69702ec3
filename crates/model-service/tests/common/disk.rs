//! A small disk, which a test can fill.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{Bench, PROGRAM, Service, serve_by};

/// A service in a name space of its own, where the directory `name` of the bench is a disk of `size`
/// on which `before` has run. Returns the disk too.
pub fn on_a_small_disk(bench: &Bench, name: &str, size: &str, before: &str) -> (Service, PathBuf) {
    fs::create_dir(bench.path(name)).unwrap();
    let script =
        format!("mount -t tmpfs -o size={size} tmpfs \"$1\" && {before} exec \"$2\" serve --config \"$3\"");
    let service = serve_by(
        Command::new("unshare")
            .args(["-rm", "sh", "-c", &script, "sh"])
            .arg(bench.path(name))
            .arg(PROGRAM)
            .arg(bench.path("settings.toml")),
    );
    let root = PathBuf::from(format!("/proc/{}/root", service.child.id()));
    let disk = root.join(bench.path(name).strip_prefix("/").unwrap());
    (service, disk)
}
