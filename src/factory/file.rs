//! Delivery to a file: the whole export or evidence, or nothing, on the medium, and never in place of another
//! device's export.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustix::fs::{Advice, fadvise};
use serde_json::Value;

use super::{DeliveryError, hex_digest};
use crate::evidence::EvidenceMessage;
use crate::export::Export;

/// Bytes. Far above any export.
const LARGEST: u64 = 256 * 1024;
/// Bytes. File systems allow 255; the extensions and a dot need some of them.
const LONGEST_NAME: usize = 200;
/// Anybody may read an export; it is public data.
const MODE: u32 = 0o644;

/// The name of the file on a volume: the hardware id and `.json`. A percent sign and two
/// hexadecimal digits stand for each byte that is not a letter, digit, dash, dot or underscore, so
/// that two ids never have the same name.
pub(super) fn name(hardware_id: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let mut name = String::new();
    for (position, byte) in hardware_id.bytes().enumerate() {
        match is_plain(byte) && (position > 0 || byte != b'.') {
            true => name.push(char::from(byte)),
            false => name.push_str(&format!("%{byte:02X}")),
        }
    }
    if name.len() > LONGEST_NAME {
        name.truncate(LONGEST_NAME - 65);
        name.push('~');
        name.push_str(&hex_digest(hardware_id));
    }
    name + ".json"
}

/// What is written to a file, and the member by which a later run knows what an earlier one wrote.
struct Document<'a> {
    content: String,
    /// Name and value.
    owner: (&'a str, &'a str),
}

/// Writes the evidence beside `path` if there is any, and then the export to `path`. Reads both back.
///
/// # Errors
/// [`DeliveryError`]; an earlier file of the same name is still whole.
pub(super) fn deliver_both(
    path: &Path,
    export: &Export,
    evidence: Option<&EvidenceMessage>,
) -> Result<(), DeliveryError> {
    if let Some(evidence) = evidence {
        let document = Document {
            content: evidence.document(),
            owner: ("key-name", &evidence.key_name()),
        };
        deliver(&path.with_extension("evidence.json"), &document)?;
    }
    deliver(path, &Document::of_export(export))
}

fn deliver(path: &Path, document: &Document<'_>) -> Result<(), DeliveryError> {
    let content = document.content.as_bytes();
    match existing(path)? {
        Some(existing) if existing == content => flush(path)?,
        Some(existing) if !document.may_replace(&existing) => {
            return Err(DeliveryError::OtherDevice(path.to_owned()));
        }
        _ => files::write(path, content, MODE).map_err(|error| DeliveryError::from_file(path, error))?,
    }
    match read_from_medium(path)? == content {
        true => Ok(()),
        false => Err(DeliveryError::NotStored(path.to_owned())),
    }
}

impl<'a> Document<'a> {
    fn of_export(export: &'a Export) -> Self {
        Document {
            content: export.document(),
            owner: ("hardware-id-key", export.hardware_id_key()),
        }
    }

    /// Returns true if the content is older and of this device. An empty file belongs to no device:
    /// some file systems leave one after a power cut.
    fn may_replace(&self, content: &[u8]) -> bool {
        let (name, value) = self.owner;
        let older = serde_json::from_slice::<Value>(content).ok();
        let owner = older.as_ref().and_then(|older| older.get(name)?.as_str());
        content.is_empty() || owner == Some(value)
    }
}

/// The content of a file at `path`, up to the size of an export.
fn existing(path: &Path) -> Result<Option<Vec<u8>>, DeliveryError> {
    match files::open_no_follow(path) {
        Ok(file) => read(&file)
            .map(Some)
            .map_err(|error| DeliveryError::from_io(path, error)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(DeliveryError::from_file(path, error)),
    }
}

/// Flushes a file that an earlier run wrote. That run may have been killed before it did so.
fn flush(path: &Path) -> Result<(), DeliveryError> {
    let file = files::open_no_follow(path).map_err(|error| DeliveryError::from_file(path, error))?;
    file.sync_all()
        .and_then(|()| files::sync_directory(files::directory_of(path)))
        .map_err(|error| DeliveryError::from_io(path, error))
}

/// Reads the file, which must be flushed, from the medium and not from memory.
fn read_from_medium(path: &Path) -> Result<Vec<u8>, DeliveryError> {
    let file = files::open_no_follow(path).map_err(|error| DeliveryError::from_file(path, error))?;
    fadvise(&file, 0, None, Advice::DontNeed)
        .map_err(io::Error::from)
        .and_then(|()| read(&file))
        .map_err(|error| DeliveryError::from_io(path, error))
}

fn read(file: &File) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.take(LARGEST).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn export() -> Export {
        Export::sample("a", "KEY")
    }

    #[test]
    fn names_are_safe_and_differ_for_different_ids() {
        for (id, file) in [
            ("SN-0001", "SN-0001.json"),
            ("A/B C", "A%2FB%20C.json"),
            ("A%2FB", "A%252FB.json"),
            ("..", "%2E..json"),
            (".hidden", "%2Ehidden.json"),
            ("Ü", "%C3%9C.json"),
        ] {
            assert_eq!(name(id), file);
        }
        let names = [name(&"a".repeat(300)), name(&"a".repeat(301))];
        assert_ne!(names[0], names[1]);
        assert!(names[0].len() <= LONGEST_NAME + 5, "{names:?}");
    }

    #[test]
    fn only_an_export_of_this_device_is_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.json");
        let content = export().document();
        let older = content.replace("a-box", "b-box");
        for earlier in [None, Some(""), Some(&older), Some(&content)] {
            let _ = earlier.map(|earlier| fs::write(&path, earlier).unwrap());
            deliver_both(&path, &export(), None).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        for other in ["{\"hardware-id-key\": \"OTHER\"}", "{}", "notes", "\n"] {
            fs::write(&path, other).unwrap();
            let error = deliver_both(&path, &export(), None).unwrap_err();
            assert!(matches!(error, DeliveryError::OtherDevice(_)), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), other);
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn no_link_is_followed() {
        let directory = tempfile::tempdir().unwrap();
        let [path, new, other] = ["a.json", ".a.json.new", "other"].map(|name| directory.path().join(name));
        fs::write(&other, "").unwrap();
        symlink(&other, &new).unwrap();
        deliver_both(&path, &export(), None).unwrap();
        fs::remove_file(&path).unwrap();
        symlink(&other, &path).unwrap();
        let error = deliver_both(&path, &export(), None).unwrap_err();
        assert!(matches!(error, DeliveryError::NotRegular(_)), "{error}");
        assert_eq!(fs::read_to_string(&other).unwrap(), "");
    }
}
