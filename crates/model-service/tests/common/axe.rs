//! Deque's axe-core, which finds what people with disabilities cannot use on a page.
//!
//! It comes from the npm registry with `npm pack`, once for each target directory, and is compared
//! with a known SHA-256 at each use. It is not in the repository: it is larger than the page, and
//! under another license (MPL-2.0).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;

use super::webdriver::Browser;

const VERSION: &str = "4.14.1";
/// The SHA-256 of `axe.min.js` of this version.
const CHECKSUM: &str = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c";

/// Fails if axe-core finds a problem on the page that the browser shows.
#[track_caller]
pub fn finds_nothing(browser: &Browser, page: &str) {
    let run = "const done = arguments[arguments.length - 1];
        axe.run(document, { resultTypes: ['violations'] }).then(found => done(found.violations.map(rule =>
            rule.id + ': ' + rule.nodes.map(node => node.html + ' ' + node.failureSummary).join('\\n'))),
            error => done(['axe: ' + error]));";
    let findings = browser.run_async(&format!("{}\n{run}", source()));
    let findings: Vec<_> = findings
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(findings.is_empty(), "{page}:\n{}", findings.join("\n"));
}

fn source() -> &'static str {
    static SOURCE: OnceLock<String> = OnceLock::new();
    SOURCE.get_or_init(|| {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("axe-core-{VERSION}.min.js"));
        let source = fs::read_to_string(&file).unwrap_or_else(|_| fetch(&file));
        let checksum = digest(&SHA256, source.as_bytes());
        let checksum: String = checksum
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(checksum, CHECKSUM, "remove {} and try again", file.display());
        source
    })
}

/// Gets the file from the registry. Concurrent tests may do the same.
fn fetch(file: &Path) -> String {
    let directory = tempfile::tempdir_in(file.parent().unwrap()).unwrap();
    let package: PathBuf = directory.path().join(format!("axe-core-{VERSION}.tgz"));
    succeeds(
        Command::new("npm")
            .args(["pack", "--silent", "--pack-destination"])
            .arg(directory.path())
            .arg(format!("axe-core@{VERSION}"))
            .current_dir(directory.path()),
    );
    succeeds(
        Command::new("tar")
            .args(["-xzf"])
            .arg(&package)
            .args(["-C".as_ref(), directory.path()])
            .arg("package/axe.min.js"),
    );
    let unpacked = directory.path().join("package/axe.min.js");
    let source = fs::read_to_string(&unpacked).unwrap();
    fs::rename(unpacked, file).unwrap();
    source
}

fn succeeds(command: &mut Command) {
    let output = command.output().expect("npm and tar; see install-packages.sh");
    assert!(output.status.success(), "{command:?}: {output:?}");
}
