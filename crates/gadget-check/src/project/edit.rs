//! Lines to add to a file of a project, or to remove from it.

use std::fmt::Write as _;

use serde::Serialize;

/// Lines to insert at one place of a file, and lines to remove there.
///
/// All line numbers are those of the file as it is. To apply several edits to a file, begin with
/// the last one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ProjectEdit {
    /// The path of the file in the project.
    pub(super) file: String,
    /// The number of the line after which the edit begins; 0 for the beginning of the file.
    pub(super) after: usize,
    /// The number of lines after it that are removed.
    pub(super) remove: usize,
    /// The lines to insert in their place, each with a line feed.
    pub(super) lines: String,
    /// The line before the edit, without indentation. Empty at the end of a file and for a new
    /// file.
    pub(super) under: String,
    /// True if the file does not exist yet.
    pub(super) new: bool,
}

impl ProjectEdit {
    /// Lines for a file that does not exist yet.
    pub(super) fn new_file(file: &str, lines: &str) -> Self {
        ProjectEdit {
            file: file.to_owned(),
            after: 0,
            remove: 0,
            lines: lines.to_owned(),
            under: String::new(),
            new: true,
        }
    }

    /// The comment that says where the lines belong.
    fn header(&self) -> String {
        let ProjectEdit {
            file, after, remove, ..
        } = self;
        let place = match (self.new, self.under.as_str()) {
            (true, _) => return format!("# {file}: new file"),
            (false, "") => String::new(),
            (false, under) => format!(" ({under})"),
        };
        let removed = match remove {
            1 => format!("line {}", after + 1),
            _ => format!("lines {} to {}", after + 1, after + remove),
        };
        match (remove, self.lines.is_empty()) {
            (0, _) => format!("# {file}: insert after line {after}{place}"),
            (_, true) => format!("# {file}: remove {removed}"),
            (_, false) => format!("# {file}: replace {removed} with"),
        }
    }
}

/// The edits as text: a comment that says where the lines belong, then the lines.
pub(super) fn text(edits: &[ProjectEdit]) -> String {
    let mut text = String::new();
    for edit in edits {
        // Writing to a String does not fail.
        let _ = write!(text, "\n{}\n{}", edit.header(), edit.lines);
    }
    text
}

/// What the author replaces in the lines.
pub(super) fn placeholders(edits: &[ProjectEdit]) -> String {
    let placeholders = [
        ("REPOSITORY", "the address of the repository of hardware-identity"),
        (
            "SNAP-ID",
            "the snap-id of the gadget (`snap info --verbose GADGET`)",
        ),
        ("https://serial.example/v1/", "the URL of the model service"),
    ];
    let used = placeholders
        .into_iter()
        .filter(|(name, _)| edits.iter().any(|edit| edit.lines.contains(name)));
    let notes: String = used
        .map(|(name, meaning)| format!(".\nReplace {name} with {meaning}"))
        .collect();
    notes + "."
}
