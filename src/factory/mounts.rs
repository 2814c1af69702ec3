//! The kernel's table of mounts.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

/// The directory where snap-confine keeps a second view of the host.
const HOST: &str = "/var/lib/snapd/hostfs";

/// A line of the table of mounts (proc(5), /proc/pid/mountinfo).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount<'a> {
    /// Major and minor number of the device.
    pub(super) numbers: &'a str,
    /// The directory.
    pub(super) point: PathBuf,
    /// What is mounted, as a rule the path of the device.
    pub(super) source: PathBuf,
    pub(super) writable: bool,
}

/// The mounts of whole file systems that no later mount covers.
pub(super) fn visible_mounts(table: &str) -> Vec<Mount<'_>> {
    let mut mounts: Vec<Mount<'_>> = Vec::new();
    for (root, mount) in table.lines().filter_map(parse) {
        mounts.retain(|earlier| earlier.point != mount.point);
        if root == "/" && !mount.point.starts_with(HOST) {
            mounts.push(mount);
        }
    }
    mounts
}

/// The part of its file system that is mounted, and the mount.
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

/// A path in the table, in which the kernel writes a space, tab, line feed, backslash or number sign
/// as `\` and three octal digits.
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
