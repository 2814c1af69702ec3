//! The linter for gadget snaps with a hardware identity.
//!
//! [`check`] finds what `snap pack` accepts and what fails on the device. A [`GadgetReport`] has
//! the findings; each [`GadgetFinding`] has a stable code, which docs/check-gadget.md lists.
//!
//! - `snap/` reads the files of a snap, and `gadget.rs` is what the checks see of it;
//! - `trace.rs` follows what the hooks and apps run, through all scripts;
//! - `checks/` has one file for each topic;
//! - `project/` checks a snapcraft project, and finds the lines to add;
//! - `findings/` declares the codes and texts of all findings;
//! - `facts/` has the facts about snapd and the bases, from the files in `data/`.
#![forbid(unsafe_code)]

mod checks;
mod error;
mod facts;
mod finding;
mod findings;
mod gadget;
mod project;
mod report;
mod snap;
mod trace;

use std::path::Path;

use gadget::Gadget;
use snap::snap_yaml;
use snap::tree::Tree;

pub use error::GadgetError;
pub use finding::{GadgetFinding, Severity};
pub use project::{ProjectReport, check_project};
pub use report::GadgetReport;
pub use snap::squashfs::SquashfsError;

/// Checks a gadget snap: a .snap, or a directory with meta/snap.yaml.
///
/// A .snap is unpacked with unsquashfs into a temporary directory. Nothing outside of the snap is
/// read, wherever its symbolic links lead, and nothing in it is run.
///
/// # Errors
/// [`GadgetError`] if there is nothing to check: the path cannot be read or unpacked, or is a
/// snapcraft project. Problems of the gadget are findings, not errors.
pub fn check(path: &Path) -> Result<GadgetReport, GadgetError> {
    let tree = Tree::open(path)?;
    if is_project(&tree) {
        return Err(GadgetError::SnapcraftProject {
            path: path.to_owned(),
        });
    }
    let findings = match Gadget::read(&tree) {
        Ok((gadget, mut findings)) => {
            findings.extend(checks::run(&gadget));
            findings
        }
        Err(findings) => findings,
    };
    Ok(GadgetReport::new(findings))
}

fn is_project(tree: &Tree) -> bool {
    !tree.is_file(snap_yaml::FILE) && project::SOURCES.iter().any(|(file, _)| tree.is_file(file))
}

/// Follows a script of this interpreter in the snap of a directory. For the fuzz targets.
#[cfg(feature = "fuzzing")]
pub fn follow_script(snap: &Path, interpreter: &str, script: &[u8]) {
    let Ok(tree) = Tree::open(snap) else { return };
    let Ok(yaml) = snap::yaml::read(&tree, snap_yaml::FILE) else {
        return;
    };
    let contents = snap::content::Contents::of(&tree);
    let trace = trace::Trace::of_text((&tree, &contents, &yaml), interpreter, script);
    let _ = (trace.sets("a.b"), trace.unsets("a.b"), trace.mentions("a"));
}
