//! A snapcraft project in a temporary directory, and the tool that checks it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) struct Project {
    directory: TempDir,
}

impl Project {
    /// A project with these files: path and content.
    pub(crate) fn new<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let project = Project {
            directory: tempfile::tempdir().unwrap(),
        };
        for (path, text) in files {
            project.write(path, text);
        }
        project
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap()
    }

    /// Replaces a string that the file must contain.
    pub(crate) fn edit(&self, path: &str, from: &str, to: &str) {
        let text = self.read(path);
        assert!(text.contains(from), "`{from}` is not in {path}:\n{text}");
        self.write(path, &text.replace(from, to));
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_hardware-identity"))
            .arg("check-gadget")
            .args(arguments)
            .arg("--project")
            .arg(self.root())
            .output()
            .unwrap()
    }

    pub(crate) fn check(&self) -> Checked {
        let output = self.run(&["--json"]);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        let checked = Checked {
            report: serde_json::from_slice(&output.stdout).unwrap(),
        };
        let status = i32::from(checked.report["errors"] != 0);
        assert_eq!(output.status.code(), Some(status), "{:#}", checked.report);
        checked
    }

    /// Applies the lines of a report, as an author does.
    pub(crate) fn apply(&self, checked: &Checked) {
        let edits = checked.report["lines"].as_array().unwrap();
        // The line numbers are those before any change.
        for edit in edits.iter().rev() {
            let file = edit["file"].as_str().unwrap();
            let is_new = !self.path(file).exists();
            assert_eq!(edit["new"], is_new, "{edit:#}");
            let text = match is_new {
                true => String::new(),
                false => self.read(file),
            };
            let mut lines: Vec<&str> = text.lines().collect();
            let number = |key: &str| usize::try_from(edit[key].as_u64().unwrap()).unwrap();
            let after = number("after");
            lines.splice(
                after..after + number("remove"),
                edit["lines"].as_str().unwrap().lines(),
            );
            self.write(file, &(lines.join("\n") + "\n"));
        }
    }

    /// Replaces the placeholders of printed lines.
    pub(crate) fn fill_in(&self) {
        for path in self.files() {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let filled = text
                .replace("SNAP-ID:", "Tq4mZ8bWc1RkX7vYp2LhN9sDf5GjE0aU:")
                .replace("REPOSITORY", "https://git.example/hardware-identity.git");
            if filled != text {
                fs::write(path, filled).unwrap();
            }
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        let (mut files, mut directories) = (Vec::new(), vec![self.root().to_owned()]);
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => directories.push(path),
                    false => files.push(path),
                }
            }
        }
        files
    }
}

/// The JSON object that the tool printed.
pub(crate) struct Checked {
    pub(crate) report: Value,
}

impl Checked {
    /// Severity, code and place of each finding, sorted.
    pub(crate) fn findings(&self) -> Vec<String> {
        let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
        let findings = self.report["findings"].as_array().unwrap();
        let mut findings: Vec<String> = findings
            .iter()
            .map(|finding| {
                ["severity", "code", "where"]
                    .map(|key| text(finding, key))
                    .join(" ")
            })
            .collect();
        findings.sort();
        findings
    }

    /// The codes, sorted, each once.
    pub(crate) fn codes(&self) -> Vec<&str> {
        let findings = self.report["findings"].as_array().unwrap();
        let mut codes: Vec<&str> = findings.iter().map(|f| f["code"].as_str().unwrap()).collect();
        codes.sort_unstable();
        codes.dedup();
        codes
    }

    /// The lines for a file, joined.
    pub(crate) fn lines(&self, file: &str) -> String {
        let edits = self.report["lines"].as_array().unwrap();
        let edits = edits.iter().filter(|edit| edit["file"] == file);
        edits.map(|edit| edit["lines"].as_str().unwrap()).collect()
    }

    /// Asserts that there are no findings and no lines to add.
    pub(crate) fn is_clean(&self) {
        assert_eq!(self.findings(), [""; 0], "{:#}", self.report);
        assert_eq!(
            self.report["lines"].as_array().unwrap().len(),
            0,
            "{:#}",
            self.report
        );
    }
}
