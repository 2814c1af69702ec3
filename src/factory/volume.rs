//! The mount point of the volume with a label.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{major, minor};

use super::VolumeError;
use super::mounts::{Mount, visible_mounts};

const BY_LABEL: &str = "/dev/disk/by-label";
const MOUNTS: &str = "/proc/self/mountinfo";

/// The directory at which the volume is mounted, a writable one if there are several.
///
/// # Errors
/// [`VolumeError`].
pub(super) fn find(label: &str) -> Result<PathBuf, VolumeError> {
    let link = Path::new(BY_LABEL).join(udev_name(label));
    let Ok(node) = fs::canonicalize(&link) else {
        return Err(VolumeError::Missing {
            label: label.to_owned(),
            link,
            found: labels(),
        });
    };
    // Not a regular file that could be opened with a check: a file of proc(5).
    let table = fs::read(MOUNTS).map_err(|reason| VolumeError::Mounts { file: MOUNTS, reason })?;
    let table = String::from_utf8_lossy(&table);
    let numbers = device_numbers(&node);
    let is_volume = |mount: &Mount| {
        // btrfs has device numbers of its own; only the name of the node identifies it.
        numbers.as_deref() == Some(mount.numbers)
            || fs::canonicalize(&mount.source).is_ok_and(|path| path == node)
    };
    let mut found = visible_mounts(&table).into_iter().filter(is_volume);
    let first = found.next();
    let writable = first.iter().cloned().chain(found).find(|mount| mount.writable);
    match writable.or(first) {
        Some(mount) => Ok(mount.point),
        None => Err(VolumeError::NotMounted {
            label: label.to_owned(),
            node,
        }),
    }
}

/// The numbers of a block device, as in the table of mounts.
fn device_numbers(node: &Path) -> Option<String> {
    let metadata = fs::metadata(node).ok()?;
    let device = metadata.rdev();
    metadata
        .file_type()
        .is_block_device()
        .then(|| format!("{}:{}", major(device), minor(device)))
}

/// The labels of the volumes that exist, as udev writes them.
fn labels() -> String {
    let mut names: Vec<String> = fs::read_dir(BY_LABEL)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .take(20)
        .collect();
    names.sort();
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(", "),
    }
}

/// The name that udev gives the link of a label. ASCII letters and digits, some signs and all other
/// characters beyond ASCII stay; each other becomes `\x` and two hexadecimal digits (systemd's
/// encode_devnode_name).
fn udev_name(label: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "#+-.:=@_".contains(c) || !c.is_ascii();
    label.chars().fold(String::new(), |name, c| match is_plain(c) {
        true => name + c.encode_utf8(&mut [0; 4]),
        false => format!("{name}\\x{:02x}", u32::from(c)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_written_as_udev_does() {
        for (label, name) in [
            ("FACTORY", "FACTORY"),
            ("my stick", "my\\x20stick"),
            ("a/b\\", "a\\x2fb\\x5c"),
            ("#+-.:=@_", "#+-.:=@_"),
            ("Fäb~", "Fäb\\x7e"),
        ] {
            assert_eq!(udev_name(label), name);
        }
    }
}
