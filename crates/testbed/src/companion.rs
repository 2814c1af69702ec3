//! Where the testbed's own programs are.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

/// The path of one of this crate's binaries. Cargo puts it beside the running program, or above it where the running
/// program is a test.
pub(crate) fn find(name: &str) -> Result<PathBuf> {
    let program =
        env::current_exe().context("cannot tell where the running program is; is /proc mounted?")?;
    let mut folder = program.parent().unwrap_or(&program).to_owned();
    if folder.ends_with("deps") {
        folder.pop();
    }
    let path = folder.join(name);
    ensure!(
        path.exists(),
        "{} is not there; run cargo build --package testbed, with the same profile",
        path.display()
    );
    Ok(path)
}
