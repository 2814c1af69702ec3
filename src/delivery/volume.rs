//! Where the volume with a label is mounted.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{major, minor};

use super::DeliveryError;

const BY_LABEL: &str = "/dev/disk/by-label";
const MOUNTS: &str = "/proc/self/mountinfo";
/// Where snap-confine keeps a second view of the host.
const HOST: &str = "/var/lib/snapd/hostfs";

/// The folder in which the volume is mounted, writable where there is a choice.
///
/// # Errors
/// [`DeliveryError::NoVolume`], [`DeliveryError::NotMounted`], [`DeliveryError::Mounts`].
pub(super) fn find(label: &str) -> Result<PathBuf, DeliveryError> {
    let link = Path::new(BY_LABEL).join(udev_name(label));
    let Ok(node) = fs::canonicalize(&link) else {
        return Err(DeliveryError::NoVolume {
            label: label.to_owned(),
            link,
            there: labels(),
        });
    };
    let table = fs::read(MOUNTS).map_err(|reason| DeliveryError::Mounts {
        file: MOUNTS.into(),
        reason,
    })?;
    let table = String::from_utf8_lossy(&table);
    let numbers = numbers(&node);
    let is_volume = |mount: &Mount| {
        // btrfs counts devices of its own, so that only the name of the node tells.
        numbers.as_deref() == Some(mount.numbers)
            || fs::canonicalize(&mount.source).is_ok_and(|path| path == node)
    };
    let mut found = visible_mounts(&table).into_iter().filter(is_volume);
    let first = found.next();
    let writable = first.iter().cloned().chain(found).find(|mount| mount.writable);
    match writable.or(first) {
        Some(mount) => Ok(mount.point),
        None => Err(DeliveryError::NotMounted {
            label: label.to_owned(),
            node,
        }),
    }
}

/// The device's numbers as the table of mounts has them.
fn numbers(node: &Path) -> Option<String> {
    let metadata = fs::metadata(node).ok()?;
    let device = metadata.rdev();
    metadata
        .file_type()
        .is_block_device()
        .then(|| format!("{}:{}", major(device), minor(device)))
}

/// The labels that there are, as udev writes them.
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

/// The name that udev gives a link for a label: what is no ASCII letter or digit, none of a few signs and no other
/// character beyond ASCII becomes `\x` and two hexadecimal digits (systemd's encode_devnode_name).
fn udev_name(label: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "#+-.:=@_".contains(c) || !c.is_ascii();
    label.chars().fold(String::new(), |name, c| match plain(c) {
        true => name + c.encode_utf8(&mut [0; 4]),
        false => format!("{name}\\x{:02x}", u32::from(c)),
    })
}

/// A line of the table of mounts (proc(5), /proc/pid/mountinfo).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount<'a> {
    numbers: &'a str,
    point: PathBuf,
    source: PathBuf,
    writable: bool,
}

/// The mounts of whole file systems that no later one covers.
fn visible_mounts(table: &str) -> Vec<Mount<'_>> {
    let mut mounts: Vec<Mount<'_>> = Vec::new();
    for (root, mount) in table.lines().filter_map(parse) {
        mounts.retain(|earlier| earlier.point != mount.point);
        if root == "/" && !mount.point.starts_with(HOST) {
            mounts.push(mount);
        }
    }
    mounts
}

/// What part of its file system is mounted, and the mount.
fn parse(line: &str) -> Option<(&str, Mount<'_>)> {
    let (mount, system) = line.split_once(" - ")?;
    let mut fields = mount.split(' ').skip(2);
    let (numbers, root, point, options) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    let mut system = system.split(' ').skip(1);
    let (source, system_options) = (system.next()?, system.next()?);
    let writable = [options, system_options]
        .iter()
        .all(|options| options.split(',').any(|option| option == "rw"));
    let mount = Mount {
        numbers,
        point: unescaped(point),
        source: unescaped(source),
        writable,
    };
    Some((root, mount))
}

/// The kernel writes a space, tab, line feed, backslash or number sign as `\` and three octal digits.
fn unescaped(field: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = field.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if first == b'\\' => {
                bytes.push(byte);
                rest = &after[3..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    OsString::from_vec(bytes).into()
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

    #[test]
    fn the_table_of_mounts_is_read() {
        let table = "\
            21 27 8:1 / /boot rw,nosuid master:1 shared:2 - vfat /dev/sda1 rw,errors=remount-ro\n\
            22 27 8:2 / /media/my\\040stick ro - ext4 /dev/sda2 rw\n\
            23 27 8:2 / /covered rw - ext4 /dev/sda2 rw\n\
            24 27 0:44 / /covered rw - tmpfs none rw\n\
            25 27 8:2 /part /mnt rw - ext4 /dev/sda2 rw\n\
            26 27 8:2 / /var/lib/snapd/hostfs/media rw - ext4 /dev/sda2 rw\n\
            27 27 8:3 / /three rw - ext4 /dev/s\\134da3 ro\n\
            nonsense\n";
        let mount = |numbers, point: &str, source: &str, writable| Mount {
            numbers,
            point: point.into(),
            source: source.into(),
            writable,
        };
        let expected = [
            mount("8:1", "/boot", "/dev/sda1", true),
            mount("8:2", "/media/my stick", "/dev/sda2", false),
            mount("0:44", "/covered", "none", true),
            mount("8:3", "/three", "/dev/s\\da3", false),
        ];
        assert_eq!(visible_mounts(table), expected);
    }
}
