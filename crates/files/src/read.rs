//! Reading regular files.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::FileError;

/// Read or write permission for the group or for others. The mask of an access control list shows
/// in the group's bits.
const ACCESS_OF_OTHERS: u32 = 0o066;

/// Opens a regular file for reading, or a descriptor of this process.
///
/// Does not wait for the other end of a FIFO, and makes no terminal the controlling one. A path that
/// names an open descriptor of this process (`/dev/stdin`, `/dev/fd/N`, `/proc/self/fd/N`) may also
/// be a pipe: bash passes such paths for `<(COMMAND)`.
///
/// # Errors
/// [`FileError::Unreadable`] and [`FileError::NotRegular`].
pub fn open(path: &Path) -> Result<File, FileError> {
    open_with(path, OFlags::empty())
}

/// Opens a regular file for reading, as [`open`], but not through a symbolic link at `path`.
///
/// # Errors
/// [`FileError::Unreadable`] and, for a link too, [`FileError::NotRegular`].
pub fn open_no_follow(path: &Path) -> Result<File, FileError> {
    open_with(path, OFlags::NOFOLLOW)
}

fn open_with(path: &Path, further: OFlags) -> Result<File, FileError> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | further;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .and_then(|file| Ok((file.metadata()?, file)));
    let not_regular = || FileError::NotRegular {
        path: path.to_owned(),
    };
    let (metadata, file) = opened.map_err(|reason| match reason.raw_os_error() {
        // open(2): the error of O_NOFOLLOW for a link.
        Some(code) if code == Errno::LOOP.raw_os_error() => not_regular(),
        _ => unreadable(path, reason),
    })?;
    if metadata.is_file() {
        return Ok(file);
    }
    if !is_own_descriptor(path) || metadata.is_dir() {
        return Err(not_regular());
    }
    // Reads wait for the program at the other end.
    fcntl_getfl(&file)
        .and_then(|flags| fcntl_setfl(&file, flags - OFlags::NONBLOCK))
        .map_err(|reason| unreadable(path, reason.into()))?;
    Ok(file)
}

/// Returns true if the path names a descriptor that this process has open.
fn is_own_descriptor(path: &Path) -> bool {
    let directory = path.parent().unwrap_or(path);
    path == Path::new("/dev/stdin") || ["/dev/fd", "/proc/self/fd"].map(Path::new).contains(&directory)
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// [`FileError::Unreadable`], [`FileError::NotRegular`] and [`FileError::TooLarge`].
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>, FileError> {
    let file = open(path)?;
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    // One byte more, so that the end of the file is found without growing.
    let room = usize::try_from(length.min(limit)).unwrap_or(0).saturating_add(1);
    let mut content = Vec::with_capacity(room);
    read_into(&file, path, limit, &mut content)?;
    Ok(content)
}

/// Reads a regular file of at most `limit` bytes that holds UTF-8 text.
///
/// # Errors
/// As [`read`], and [`FileError::NotUtf8`].
pub fn read_text(path: &Path, limit: u64) -> Result<String, FileError> {
    String::from_utf8(read(path, limit)?).map_err(|_| FileError::NotUtf8 {
        path: path.to_owned(),
    })
}

/// Reads a file that holds a secret, of at most `limit` bytes. The bytes are wiped from memory when
/// they are dropped.
///
/// The permissions are those of the open file, so that nobody can exchange the file between the
/// check and the reading. `allow_exposed` accepts a file that others can read or write.
///
/// # Errors
/// As [`read`], and [`FileError::Exposed`].
pub fn read_private(path: &Path, limit: u64, allow_exposed: bool) -> Result<Zeroizing<Vec<u8>>, FileError> {
    let file = open(path)?;
    let mode = file.metadata().map_err(|reason| unreadable(path, reason))?.mode() & 0o7777;
    if mode & ACCESS_OF_OTHERS != 0 && !allow_exposed {
        return Err(FileError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    // With room for all of it: a vector that grows leaves copies in memory.
    let room = usize::try_from(limit).unwrap_or(0).saturating_add(64);
    let mut content = Zeroizing::new(Vec::with_capacity(room));
    read_into(&file, path, limit, &mut content)?;
    Ok(content)
}

fn read_into(file: &File, path: &Path, limit: u64, content: &mut Vec<u8>) -> Result<(), FileError> {
    let length = file
        .take(limit.saturating_add(1))
        .read_to_end(content)
        .map_err(|reason| unreadable(path, reason))?;
    match length as u64 > limit {
        true => Err(FileError::TooLarge {
            path: path.to_owned(),
            limit,
        }),
        false => Ok(()),
    }
}

fn unreadable(path: &Path, reason: io::Error) -> FileError {
    FileError::Unreadable {
        path: path.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::PermissionsExt as _;
    use std::thread;
    use std::time::Duration;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "four").unwrap();
        assert_eq!(read_text(&path, 4).unwrap(), "four");
        assert!(matches!(
            read(&path, 3),
            Err(FileError::TooLarge { limit: 3, .. })
        ));
        fs::write(&path, [0xff]).unwrap();
        assert!(matches!(read_text(&path, 4), Err(FileError::NotUtf8 { .. })));
        assert!(
            read(&directory.path().join("none"), 4)
                .unwrap_err()
                .is_not_found()
        );
    }

    #[test]
    fn only_a_regular_file_is_opened_and_a_fifo_does_not_block() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        for path in [fifo.as_path(), directory.path(), Path::new("/dev/null")] {
            assert!(
                matches!(open(path), Err(FileError::NotRegular { .. })),
                "{path:?}"
            );
        }
    }

    #[test]
    fn a_descriptor_of_this_process_may_be_a_pipe() {
        let (reader, mut writer) = io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
        let input = thread::spawn(move || read_private(Path::new(&path), 10, false));
        // The reader waits for a slow writer.
        thread::sleep(Duration::from_millis(50));
        writer.write_all(b"piped").unwrap();
        drop(writer);
        assert_eq!(**input.join().unwrap().unwrap(), *b"piped");
        assert!(matches!(
            open(Path::new("/proc/self/fd")),
            Err(FileError::NotRegular { .. })
        ));
    }

    #[test]
    fn a_link_is_followed_unless_it_must_not_be() {
        let directory = tempfile::tempdir().unwrap();
        let [file, link] = ["file", "link"].map(|name| directory.path().join(name));
        fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        open(&link).unwrap();
        open_no_follow(&file).unwrap();
        let error = open_no_follow(&link).unwrap_err();
        assert!(matches!(error, FileError::NotRegular { .. }), "{error}");
    }

    #[test]
    fn a_private_file_belongs_to_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        fs::write(&path, "secret").unwrap();
        for (mode, allowed) in [(0o600, true), (0o400, true), (0o640, false), (0o602, false)] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(read_private(&path, 10, false).is_ok(), allowed, "{mode:o}");
            assert_eq!(**read_private(&path, 10, true).unwrap(), *b"secret");
        }
    }
}
