//! The hardware ids that a lot is expected to have, in the file `expected.txt` of the batch.

use std::collections::HashSet;
use std::io;
use std::iter;
use std::path::Path;

use identity_key::is_hardware_id;

use super::error::LotError;

/// The name of the file.
const FILE: &str = "expected.txt";
/// The largest list in bytes: a million devices.
const LARGEST_LIST: u64 = 64 << 20;
/// The headings that a first line may have.
const HEADINGS: [&str; 3] = ["hardware-id", "hardware id", "hardware_id"];

/// The expected hardware ids, in the order of their list.
#[derive(Debug, Default)]
pub(super) struct ExpectedDevices {
    ids: Vec<String>,
    known: HashSet<String>,
}

impl ExpectedDevices {
    /// Keeps the list with the batch, whose lot must be locked.
    pub(super) fn keep(&self, batch: &Path) -> Result<(), LotError> {
        // With quotes, as a hardware id may have a comma or begin with `#`, and with a heading, as it
        // may be one.
        let mut writer = csv::WriterBuilder::new()
            .quote_style(csv::QuoteStyle::Always)
            .from_writer(Vec::new());
        let path = batch.join(FILE);
        let failed = |reason: io::Error| LotError::Failed {
            path: path.clone(),
            reason,
        };
        for id in iter::once(HEADINGS[0]).chain(self.ids.iter().map(String::as_str)) {
            writer.write_record([id]).map_err(|error| failed(error.into()))?;
        }
        let text = writer.into_inner().map_err(|error| failed(error.into_error()))?;
        Ok(files::write(&path, &text, 0o644)?)
    }

    /// The list that was kept with the batch.
    pub(super) fn kept(batch: &Path) -> Result<Option<Self>, LotError> {
        match ExpectedDevices::read(&batch.join(FILE)) {
            Err(LotError::File(error)) if error.is_not_found() => Ok(None),
            read => read.map(Some),
        }
    }

    /// Reads a list of lines or CSV.
    pub(super) fn read(path: &Path) -> Result<Self, LotError> {
        let text = files::read(path, LARGEST_LIST)?;
        let malformed = |reason| LotError::Expected {
            path: path.to_owned(),
            reason,
        };
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .comment(Some(b'#'))
            .trim(csv::Trim::All)
            .from_reader(text.as_slice());
        let mut expected = ExpectedDevices::default();
        for (number, record) in (1..).zip(reader.records()) {
            let record = record.map_err(|error| malformed(error.to_string()))?;
            let id = record.get(0).unwrap_or_default();
            let is_heading = number == 1 && HEADINGS.contains(&id.to_ascii_lowercase().as_str());
            if id.is_empty() || is_heading {
                continue;
            }
            if !is_hardware_id(id) {
                let line = record.position().map_or(number, csv::Position::line);
                return Err(malformed(format!(
                    "line {line} has {id:?}, which is not a hardware id"
                )));
            }
            if expected.known.insert(id.to_owned()) {
                expected.ids.push(id.to_owned());
            }
        }
        Ok(expected)
    }

    pub(super) fn has(&self, hardware_id: &str) -> bool {
        self.known.contains(hardware_id)
    }

    pub(super) fn all(&self) -> &[String] {
        &self.ids
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_list_is_lines_or_csv() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list");
        for text in [
            "SN-1\nSN-2\n\nSN-1\n",
            "Hardware-ID,MAC\r\nSN-1,00:01\r\n\"SN-2\"\r\n# SN-3\n",
        ] {
            fs::write(&path, text).unwrap();
            let expected = ExpectedDevices::read(&path).unwrap();
            assert_eq!(expected.all(), ["SN-1", "SN-2"], "{text}");
            assert!(expected.has("SN-2") && !expected.has("SN-3"));
            expected.keep(directory.path()).unwrap();
            let kept = ExpectedDevices::kept(directory.path()).unwrap().unwrap();
            assert_eq!(kept.all(), expected.all());
        }
        fs::write(&path, "SN-1\nSN\u{7}\n").unwrap();
        let refused = ExpectedDevices::read(&path);
        assert!(matches!(refused, Err(LotError::Expected { .. })));
    }

    #[test]
    fn every_hardware_id_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("list");
        fs::write(
            &path,
            "hardware-id\nhardware-id\n\"SN,1\"\n\"#SN-2\"\n\"a\"\"b\"\nSN 3\n",
        )
        .unwrap();
        let expected = ExpectedDevices::read(&path).unwrap();
        assert_eq!(expected.all(), ["hardware-id", "SN,1", "#SN-2", "a\"b", "SN 3"]);
        expected.keep(directory.path()).unwrap();
        let kept = ExpectedDevices::kept(directory.path()).unwrap().unwrap();
        assert_eq!(kept.all(), expected.all());
    }
}
