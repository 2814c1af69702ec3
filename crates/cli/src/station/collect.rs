//! The messages of a device in files, for a later `sign --require-proof`.

use std::fs;
use std::path::Path;

use files::FileError;

use crate::output::MODE;
use crate::signed_output::file_stem;

/// The ends of the names of the other messages. A device whose hardware id has one must not replace
/// the files of another.
const ENDS: [&str; 3] = [".evidence", ".challenge", ".answer"];

/// All messages of a proven device, as JSON.
pub(super) struct DeviceFiles {
    /// The name of the export without its end.
    pub(super) stem: String,
    pub(super) export: String,
    pub(super) evidence: String,
    pub(super) challenge: String,
    pub(super) answer: String,
}

impl DeviceFiles {
    /// The name for the files of a device.
    pub(super) fn stem(hardware_id: &str, key_digest: &str) -> String {
        let is_of_message = ENDS.iter().any(|end| hardware_id.ends_with(end));
        // Without a hardware id the name is that of the key.
        file_stem(if is_of_message { "" } else { hardware_id }, key_digest)
    }

    /// Writes the files durably, the export last: an export that is there has all its messages.
    pub(super) fn write(&self, directory: &Path) -> Result<(), FileError> {
        fs::create_dir_all(directory).map_err(|reason| FileError::Unwritable {
            path: directory.to_owned(),
            reason,
        })?;
        for (end, json) in [
            ("evidence.json", &self.evidence),
            ("challenge.json", &self.challenge),
            ("answer.json", &self.answer),
            ("json", &self.export),
        ] {
            let file = directory.join(format!("{}.{end}", self.stem));
            files::write(&file, json.as_bytes(), MODE)?;
        }
        Ok(())
    }
}
