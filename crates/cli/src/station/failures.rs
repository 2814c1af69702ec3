//! The devices that were refused, in the file `failures.jsonl` of the batch: the last refusal of each.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use miette::Diagnostic;
use serde::{Deserialize, Serialize};

use super::clock::now;
use super::done::DoneDevices;
use super::error::LotError;
use super::journal::{Journal, read_lines};

/// The name of the file.
const FILE: &str = "failures.jsonl";
/// The most devices with a failure; then the oldest are forgotten. The file has at most twice as many
/// lines.
const MOST_DEVICES: usize = 1000;
/// The longest strings that are kept, in characters. The device chooses them.
const LONGEST_ID: usize = 200;
const LONGEST_CAUSE: usize = 500;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Failure {
    /// RFC 3339.
    pub(super) time: String,
    /// As the device gave it; empty if it gave none.
    pub(super) hardware_id: String,
    pub(super) code: String,
    pub(super) cause: String,
}

impl Failure {
    pub(super) fn new(hardware_id: &str, error: &dyn Diagnostic) -> Self {
        Failure {
            time: now(),
            hardware_id: cut(hardware_id, LONGEST_ID),
            code: failure::code(error),
            cause: cut(&error.to_string(), LONGEST_CAUSE),
        }
    }
}

/// The start of a string that a device chose, without characters that nobody can see.
fn cut(text: &str, longest: usize) -> String {
    let is_visible = |character: &char| {
        let is_escaped = character.escape_debug().len() > 1;
        !is_escaped || matches!(character, '"' | '\'' | '\\')
    };
    let shown = |character: char| if is_visible(&character) { character } else { ' ' };
    text.chars().take(longest).map(shown).collect()
}

/// The name of a device in messages; it chose the hardware id.
pub(super) fn device_name(hardware_id: &str) -> String {
    match hardware_id {
        "" => "a device without hardware id".to_owned(),
        id => cut(id, LONGEST_ID),
    }
}

/// The last refusal of each device.
#[derive(Debug, Default)]
struct LastFailures(HashMap<String, Failure>);

impl LastFailures {
    fn add(&mut self, failure: Failure) {
        let failures = &mut self.0;
        if failures.len() >= MOST_DEVICES && !failures.contains_key(&failure.hardware_id) {
            let oldest = failures.values().min_by(|one, other| one.time.cmp(&other.time));
            if let Some(oldest) = oldest.map(|oldest| oldest.hardware_id.clone()) {
                failures.remove(&oldest);
            }
        }
        failures.insert(failure.hardware_id.clone(), failure);
    }

    fn sorted(&self) -> Vec<Failure> {
        let mut failures: Vec<_> = self.0.values().cloned().collect();
        failures.sort_by(|one, other| (&one.time, &one.hardware_id).cmp(&(&other.time, &other.hardware_id)));
        failures
    }
}

/// Reads the devices whose last visit failed, the oldest failure first, while another program may be
/// writing.
pub(super) fn read_failures(batch: &Path, done: &DoneDevices) -> Result<Vec<Failure>, LotError> {
    let mut last = LastFailures::default();
    read_lines(&batch.join(FILE), |_, failure: Failure| last.add(failure))?;
    for device in done.all() {
        let id = &device.identity.hardware_id;
        if last.0.get(id).is_some_and(|failure| failure.time <= device.time) {
            last.0.remove(id);
        }
    }
    Ok(last.sorted())
}

/// The file, written by this process alone.
pub(super) struct Failures {
    path: PathBuf,
    journal: Journal,
    last: LastFailures,
    lines: usize,
}

impl Failures {
    pub(super) fn open(batch: &Path) -> Result<Self, LotError> {
        let path = batch.join(FILE);
        let (mut last, mut lines) = (LastFailures::default(), 0);
        let journal = Journal::open(&path, Duration::ZERO, |_, failure: Failure| {
            last.add(failure);
            lines += 1;
        })?;
        Ok(Failures {
            path,
            journal,
            last,
            lines,
        })
    }

    /// Records a refusal, durably.
    pub(super) fn record(&mut self, failure: Failure) -> Result<(), LotError> {
        if self.lines >= 2 * MOST_DEVICES {
            self.shorten()?;
        }
        self.journal.append(&failure)?;
        self.lines += 1;
        self.last.add(failure);
        Ok(())
    }

    /// Writes a new file with the last refusal of each device.
    fn shorten(&mut self) -> Result<(), LotError> {
        let mut text = Vec::new();
        for failure in &self.last.sorted() {
            // Strings can always be written.
            text.extend(serde_json::to_vec(failure).unwrap_or_default());
            text.push(b'\n');
        }
        files::write(&self.path, &text, 0o600)?;
        let batch = files::directory_of(&self.path).to_owned();
        *self = Failures::open(&batch)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn failure(number: usize) -> Failure {
        Failure {
            time: format!("2026-01-01T00:00:00.{number:09}Z"),
            hardware_id: format!("SN-{number}"),
            code: "answer-wrong".to_owned(),
            cause: "a cause".to_owned(),
        }
    }

    #[test]
    fn the_newest_failures_are_kept_in_a_small_file() {
        let directory = tempfile::tempdir().unwrap();
        let mut failures = Failures::open(directory.path()).unwrap();
        let all = 5 * MOST_DEVICES / 2;
        for number in 0..all {
            failures.record(failure(number)).unwrap();
        }
        drop(failures);
        let text = fs::read_to_string(directory.path().join(FILE)).unwrap();
        assert!(text.lines().count() <= 2 * MOST_DEVICES);
        let read = read_failures(directory.path(), &DoneDevices::default()).unwrap();
        let expected: Vec<_> = (all - MOST_DEVICES..all).map(failure).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn failures_stay_if_a_shorter_file_cannot_be_written() {
        let directory = tempfile::tempdir().unwrap();
        let mut failures = Failures::open(directory.path()).unwrap();
        for number in 0..2 * MOST_DEVICES {
            failures.record(failure(number)).unwrap();
        }
        // In the place of the file that is written first.
        let new = directory.path().join(format!(".{FILE}.new"));
        fs::create_dir(&new).unwrap();
        let last = 2 * MOST_DEVICES;
        assert!(failures.record(failure(last)).is_err());
        fs::remove_dir(new).unwrap();
        failures.record(failure(last)).unwrap();
        let read = read_failures(directory.path(), &DoneDevices::default()).unwrap();
        let expected: Vec<_> = (last + 1 - MOST_DEVICES..=last).map(failure).collect();
        assert_eq!(read, expected);
    }

    #[test]
    fn what_a_device_says_is_cut() {
        let error = LotError::Busy(PathBuf::from("x".repeat(1000)));
        let failure = Failure::new(&"\u{7}".repeat(1000), &error);
        assert_eq!(failure.hardware_id, " ".repeat(LONGEST_ID));
        assert_eq!(failure.cause.len(), LONGEST_CAUSE);
    }
}
