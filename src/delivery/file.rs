//! An export in a file: whole or not at all, on the medium, and never over another device's.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Advice, OFlags, fadvise};
use serde_json::Value;

use super::{DeliveryError, Parcel};

/// Far above any export.
const LARGEST: u64 = 256 * 1024;
/// Bytes; file systems take 255, of which the extensions and a dot need some.
const LONGEST_NAME: usize = 200;

/// The file's name on a volume: the hardware id, with a percent sign and two hexadecimal digits for each byte that is no
/// letter, digit, dash, dot or underscore, so that two ids never share a name.
pub(super) fn name(parcel: &Parcel<'_>) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let mut name = String::new();
    for (position, byte) in parcel.hardware_id.bytes().enumerate() {
        match plain(byte) && (position > 0 || byte != b'.') {
            true => name.push(char::from(byte)),
            false => name.push_str(&format!("%{byte:02X}")),
        }
    }
    if name.len() > LONGEST_NAME {
        name.truncate(LONGEST_NAME - 65);
        name.push('~');
        name.push_str(&super::digest_of(parcel.hardware_id));
    }
    name + ".json"
}

/// Writes the export to `path`.
///
/// # Errors
/// [`DeliveryError`]; what stood there is still whole.
pub(super) fn put(path: &Path, parcel: &Parcel<'_>) -> Result<(), DeliveryError> {
    let unwritable = |error: io::Error| DeliveryError::unwritable(path, &error);
    let content = parcel.document.as_bytes();
    match standing(path).map_err(unwritable)? {
        Some(standing) if standing == content => {}
        Some(standing) if !is_of(parcel, &standing) => {
            let file = path.to_owned();
            return Err(DeliveryError::Foreign { file });
        }
        _ => replace(path, content).map_err(unwritable)?,
    }
    match lasts(path, content).map_err(unwritable)? {
        true => Ok(()),
        false => Err(DeliveryError::NotKept {
            file: path.to_owned(),
        }),
    }
}

/// What the file holds that is there already, as far as an export could reach.
fn standing(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match open(path) {
        Ok(file) => read(&file).map(Some),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens what is neither a link nor, for long, a pipe: the medium may have been prepared by anyone.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("something that is no file has its name")),
    }
}

fn read(file: &File) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.take(LARGEST).read_to_end(&mut content)?;
    Ok(content)
}

/// Whether it is an older export of this device. An empty file is nobody's: some file systems leave one where the power
/// was cut.
fn is_of(parcel: &Parcel<'_>, content: &[u8]) -> bool {
    let key = serde_json::from_slice(content)
        .ok()
        .and_then(|export: Value| export.get("hardware-id-key").cloned());
    content.is_empty() || key.as_ref().and_then(Value::as_str) == Some(parcel.key)
}

fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = beside(path);
    let written = write_synced(&new, content).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        // What is left of it is no export, and the medium may be full.
        let _ = fs::remove_file(&new);
    }
    written
}

/// The name that the file has while it is written; `sign` takes no such file for an export.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.new"))
}

fn write_synced(path: &Path, content: &[u8]) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::create_new(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Has the system write everything out, and looks at what the medium then holds.
fn lasts(path: &Path, content: &[u8]) -> io::Result<bool> {
    let file = open(path)?;
    file.sync_all()?;
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()?;
    // Otherwise it would be read from memory.
    fadvise(&file, 0, None, Advice::DontNeed)?;
    Ok(read(&file)? == content)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parcel(hardware_id: &str) -> Parcel<'_> {
        Parcel {
            hardware_id,
            key: "KEY",
            document: "{\n  \"hardware-id-key\": \"KEY\"\n}\n",
            line: "",
        }
    }

    #[test]
    fn names_are_safe_and_tell_ids_apart() {
        for (id, file) in [
            ("SN-0001", "SN-0001.json"),
            ("A/B C", "A%2FB%20C.json"),
            ("A%2FB", "A%252FB.json"),
            ("..", "%2E..json"),
            (".hidden", "%2Ehidden.json"),
            ("Ü", "%C3%9C.json"),
        ] {
            assert_eq!(name(&parcel(id)), file);
        }
        let long = ["a".repeat(300), "a".repeat(301)];
        let names = [name(&parcel(&long[0])), name(&parcel(&long[1]))];
        assert_ne!(names[0], names[1]);
        assert!(names[0].len() <= LONGEST_NAME + 5, "{names:?}");
    }

    #[test]
    fn only_nothing_and_its_own_export_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let own = "{\"hardware-id-key\": \"KEY\", \"timestamp\": \"2026-01-01T00:00:00Z\"}";
        for older in [None, Some(""), Some(own), Some(parcel("a").document)] {
            let _ = older.map(|older| fs::write(&path, older).unwrap());
            put(&path, &parcel("a")).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), parcel("a").document);
        }
        for other in ["{\"hardware-id-key\": \"OTHER\"}", "{}", "notes", "\n"] {
            fs::write(&path, other).unwrap();
            let error = put(&path, &parcel("a")).unwrap_err();
            assert!(matches!(error, DeliveryError::Foreign { .. }), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), other);
        }
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let [path, elsewhere] = ["a.json", "elsewhere"].map(|name| folder.path().join(name));
        fs::write(&elsewhere, "").unwrap();
        let link = |at: &Path| std::os::unix::fs::symlink(&elsewhere, at).unwrap();
        link(&beside(&path));
        put(&path, &parcel("a")).unwrap();
        fs::remove_file(&path).unwrap();
        link(&path);
        put(&path, &parcel("a")).unwrap_err();
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "");
    }
}
