//! The paths of the testbed's own programs.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

/// The path of one of this crate's binaries. It is in the directory of the running program, or in
/// the parent directory if the running program is a test.
pub(crate) fn find(name: &str) -> Result<PathBuf> {
    let program = env::current_exe().context("cannot read the path of the running program; mount /proc")?;
    let mut directory = program.parent().unwrap_or(&program).to_owned();
    if directory.ends_with("deps") {
        directory.pop();
    }
    let path = directory.join(name);
    ensure!(
        path.exists(),
        "{} does not exist; run cargo build --package testbed with the same profile",
        path.display()
    );
    Ok(path)
}
