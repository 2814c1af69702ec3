//! Delivery to a file: the whole export or nothing, on the medium, and never in place of another
//! device's export.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use rustix::fs::{Advice, fadvise};
use serde_json::Value;

use super::{DeliveryError, hex_digest};
use crate::export::Export;

/// Bytes. Far above any export.
const LARGEST: u64 = 256 * 1024;
/// Bytes. File systems allow 255; the extensions and a dot need some of them.
const LONGEST_NAME: usize = 200;
/// Anybody may read an export; it is public data.
const MODE: u32 = 0o644;

/// The name of the file on a volume: the hardware id and `.json`. A percent sign and two hexadecimal
/// digits stand for each byte that is not a letter, digit, dash, dot or underscore, so that two ids
/// never have the same name.
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

/// Writes the export to `path` and reads it back.
///
/// # Errors
/// [`DeliveryError`]; an earlier file at `path` is still whole.
pub(super) fn deliver(path: &Path, export: &Export) -> Result<(), DeliveryError> {
    let document = export.document();
    let content = document.as_bytes();
    match existing(path)? {
        Some(existing) if existing == content => flush(path)?,
        Some(existing) if !is_of(export, &existing) => {
            return Err(DeliveryError::OtherDevice(path.to_owned()));
        }
        _ => files::write(path, content, MODE).map_err(|error| DeliveryError::from_file(path, error))?,
    }
    match read_from_medium(path)? == content {
        true => Ok(()),
        false => Err(DeliveryError::NotStored(path.to_owned())),
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

/// Returns true if the content is an older export of this device. An empty file belongs to no
/// device: some file systems leave one after a power cut.
fn is_of(export: &Export, content: &[u8]) -> bool {
    let key = serde_json::from_slice(content)
        .ok()
        .and_then(|older: Value| older.get("hardware-id-key").cloned());
    content.is_empty() || key.as_ref().and_then(Value::as_str) == Some(export.hardware_id_key())
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
            deliver(&path, &export()).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        for other in ["{\"hardware-id-key\": \"OTHER\"}", "{}", "notes", "\n"] {
            fs::write(&path, other).unwrap();
            let error = deliver(&path, &export()).unwrap_err();
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
        deliver(&path, &export()).unwrap();
        fs::remove_file(&path).unwrap();
        symlink(&other, &path).unwrap();
        let error = deliver(&path, &export()).unwrap_err();
        assert!(matches!(error, DeliveryError::NotRegular(_)), "{error}");
        assert_eq!(fs::read_to_string(&other).unwrap(), "");
    }
}
