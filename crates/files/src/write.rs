//! Replacing a file as a whole, durably.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::io::{Errno, FdFlags, fcntl_setfd};

use crate::FileError;

/// The longest wait for another program that writes the same file. Writing takes milliseconds; a
/// program that was stopped holds its lock for ever.
pub const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// The pause between attempts to lock the file.
const PAUSE: Duration = Duration::from_millis(20);

/// A file that takes the place of `path` when it is complete. Dropped before, it is removed.
///
/// It is written beside `path` as `.NAME.new`. The name is fixed, so that a killed program leaves at
/// most one such file, and the next run uses it again. A lock keeps two programs from writing the
/// same one.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    path: PathBuf,
    new: PathBuf,
    committed: bool,
}

impl NewFile {
    /// Creates the file beside `path` with the permission bits `mode`. Waits up to ten seconds for
    /// another program that is writing it.
    ///
    /// # Errors
    /// [`FileError::Busy`] if the other program does not finish, and [`FileError::Unwritable`].
    pub fn create(path: &Path, mode: u32) -> Result<Self, FileError> {
        Self::create_waiting(path, mode, LONGEST_WAIT)
    }

    /// As [`NewFile::create`], but waits up to `limit` for the other program.
    ///
    /// # Errors
    /// As [`NewFile::create`].
    pub fn create_waiting(path: &Path, mode: u32, limit: Duration) -> Result<Self, FileError> {
        let new = beside(path);
        let opened = open_locked(&new, mode, Instant::now() + limit);
        let file = opened.map_err(|reason| unwritable(path, reason))?;
        let Some(file) = file else {
            let path = path.to_owned();
            return Err(FileError::Busy { path, new });
        };
        Ok(NewFile {
            file,
            path: path.to_owned(),
            new,
            committed: false,
        })
    }

    /// Lets the processes that this one starts hold the lock too, until the last of them has ended.
    ///
    /// # Errors
    /// [`FileError::Unwritable`].
    pub fn share_lock(&self) -> Result<(), FileError> {
        fcntl_setfd(&self.file, FdFlags::empty()).map_err(|reason| unwritable(&self.path, reason.into()))
    }

    /// Flushes the content to the disk, gives it the name of `path`, and flushes the directory.
    ///
    /// # Errors
    /// [`FileError::Unwritable`]; what was at `path` is still whole.
    pub fn commit(mut self) -> Result<(), FileError> {
        let renamed = self
            .file
            .sync_all()
            .and_then(|()| fs::rename(&self.new, &self.path));
        self.committed = renamed.is_ok();
        renamed
            .and_then(|()| sync_directory(directory_of(&self.path)))
            .map_err(|reason| unwritable(&self.path, reason))
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.committed {
            // Incomplete, and the disk may be full.
            let _ = fs::remove_file(&self.new);
        }
    }
}

/// Replaces the file at `path` by one with this content and these permission bits.
///
/// When this returns, the content is on the disk under its name.
///
/// # Errors
/// [`FileError::Busy`] and [`FileError::Unwritable`]; what was at `path` is still whole.
pub fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), FileError> {
    let mut new = NewFile::create(path, mode)?;
    new.write_all(content)
        .map_err(|reason| unwritable(path, reason))?;
    new.commit()
}

/// Writes a file that does not exist yet and flushes its content, but not its name: for files in a
/// temporary directory that the caller renames together, before [`sync_directory`].
///
/// # Errors
/// [`FileError::Unwritable`].
pub fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<(), FileError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()))
        .map_err(|reason| unwritable(path, reason))
}

/// Writes a regular file that the same command can make again: in place, and without a flush. After a
/// crash it may have a part of either content. A new one gets the permission bits `mode`.
///
/// # Errors
/// [`FileError::Unwritable`] and, for a link too, [`FileError::NotRegular`].
pub fn overwrite(path: &Path, content: &[u8], mode: u32) -> Result<(), FileError> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
    let not_regular = || FileError::NotRegular {
        path: path.to_owned(),
    };
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(mode)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .and_then(|file| Ok((file.metadata()?, file)));
    let (metadata, mut file) = opened.map_err(|reason| match reason.raw_os_error() {
        // open(2): O_NOFOLLOW and a link; O_NONBLOCK and a FIFO that nobody reads.
        Some(code)
            if [Errno::LOOP, Errno::NXIO]
                .map(Errno::raw_os_error)
                .contains(&code) =>
        {
            not_regular()
        }
        _ => unwritable(path, reason),
    })?;
    if !metadata.is_file() {
        return Err(not_regular());
    }
    let length = content.len() as u64;
    // Not truncated to nothing before: ext4 flushes such a file when it is closed.
    file.write_all(content)
        .and_then(|()| match metadata.len() > length {
            true => file.set_len(length),
            false => Ok(()),
        })
        .map_err(|reason| unwritable(path, reason))
}

/// Opens a regular file to read it and to append to it. Creates it with the permission bits `mode`,
/// durably, if it does not exist.
///
/// # Errors
/// [`FileError::Unwritable`] and [`FileError::NotRegular`].
pub fn open_to_append(path: &Path, mode: u32) -> Result<File, FileError> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(mode)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .and_then(|file| Ok((file.metadata()?, file)));
    let (metadata, file) = opened.map_err(|reason| unwritable(path, reason))?;
    if !metadata.is_file() {
        let path = path.to_owned();
        return Err(FileError::NotRegular { path });
    }
    sync_directory(directory_of(path)).map_err(|reason| unwritable(path, reason))?;
    Ok(file)
}

/// Flushes a directory, so that the names in it survive a power cut.
///
/// # Errors
/// Those of the system.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// The directory that `path` is in.
pub fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".new");
    path.with_file_name(name)
}

/// Opens the file and locks it; `None` if another program holds the lock until `deadline`.
fn open_locked(new: &Path, mode: u32, deadline: Instant) -> io::Result<Option<File>> {
    loop {
        remove_if_not_regular(new)?;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(mode)
            .custom_flags(flags.bits().cast_signed())
            .open(new)?;
        if !lock(&file, deadline)? {
            return Ok(None);
        }
        if !is_still_at(&file, new)? {
            // The program that held the lock has renamed or removed it.
            continue;
        }
        file.set_len(0)?;
        // An older file may have other bits, and the umask may have taken some.
        if file.metadata()?.mode() & 0o7777 != mode {
            set_mode(&file, mode)?;
        }
        return Ok(Some(file));
    }
}

/// Locks the file. Returns false if another program holds the lock until `deadline`.
fn lock(file: &File, deadline: Instant) -> io::Result<bool> {
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::Error(error)) if error.kind() != ErrorKind::Interrupted => return Err(error),
            Err(_) if Instant::now() >= deadline => return Ok(false),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// A medium may have been prepared by anyone: nothing is written through a link.
fn remove_if_not_regular(new: &Path) -> io::Result<()> {
    match fs::symlink_metadata(new) {
        Ok(metadata) if !metadata.is_file() => fs::remove_file(new),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn is_still_at(file: &File, path: &Path) -> io::Result<bool> {
    let opened = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (opened.dev(), opened.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// FAT has no permission bits and refuses to set them.
fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    match file.set_permissions(Permissions::from_mode(mode)) {
        Err(error) if error.kind() != ErrorKind::PermissionDenied => Err(error),
        _ => Ok(()),
    }
}

fn unwritable(path: &Path, reason: io::Error) -> FileError {
    FileError::Unwritable {
        path: path.to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for (content, mode) in [("older and longer", 0o600), ("new", 0o644)] {
            write(&path, content.as_bytes(), mode).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, mode);
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_new_file_replaces_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        write_new(&path, b"new", 0o644).unwrap();
        assert!(matches!(
            write_new(&path, b"newer", 0o644),
            Err(FileError::Unwritable { .. })
        ));
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    }

    #[test]
    fn a_regular_file_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for content in ["longer", "short"] {
            overwrite(&path, content.as_bytes(), 0o640).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        let [link, fifo] = ["link", "fifo"].map(|name| directory.path().join(name));
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        for other in [&link, &fifo] {
            let error = overwrite(other, b"other", 0o640).unwrap_err();
            assert!(matches!(error, FileError::NotRegular { .. }), "{error}");
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "short");
    }

    #[test]
    fn a_file_is_created_once_and_appended_to() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for line in ["one\n", "two\n"] {
            let mut file = open_to_append(&path, 0o600).unwrap();
            file.write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\n");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        let error = open_to_append(Path::new("/dev/null"), 0o600).unwrap_err();
        assert!(matches!(error, FileError::NotRegular { .. }), "{error}");
    }

    #[test]
    fn an_incomplete_file_is_removed_and_the_older_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        write(&path, b"older", 0o600).unwrap();
        let mut new = NewFile::create(&path, 0o600).unwrap();
        new.write_all(b"incomplete").unwrap();
        drop(new);
        assert_eq!(fs::read_to_string(&path).unwrap(), "older");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_a_killed_program_left_is_used_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        fs::write(beside(&path), "left by a killed program").unwrap();
        write(&path, b"new", 0o600).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let [path, other] = ["file", "other"].map(|name| directory.path().join(name));
        fs::write(&other, "other").unwrap();
        std::os::unix::fs::symlink(&other, beside(&path)).unwrap();
        write(&path, b"new", 0o600).unwrap();
        assert_eq!(fs::read_to_string(&other).unwrap(), "other");
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    }

    #[test]
    fn the_lock_of_another_writer_is_awaited_and_not_for_ever() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let other = NewFile::create(&path, 0o600).unwrap();
        thread::scope(|scope| {
            let (sender, ended) = mpsc::channel();
            let path = &path;
            scope.spawn(move || sender.send(NewFile::create_waiting(path, 0o600, PAUSE * 2)));
            // Dropped if the attempt does not end, so that the test does.
            let mut other = other;
            let outcome = ended.recv_timeout(Duration::from_secs(60)).unwrap();
            assert!(matches!(outcome, Err(FileError::Busy { .. })));

            other.write_all(b"of the other").unwrap();
            let waiting = scope.spawn(move || write(path, b"of the waiting", 0o600).unwrap());
            other.commit().unwrap();
            waiting.join().unwrap();
        });
        assert_eq!(fs::read_to_string(&path).unwrap(), "of the waiting");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn concurrent_writers_leave_one_whole_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let contents = [vec![b'a'; 100_000], vec![b'b'; 50_000]];
        thread::scope(|scope| {
            for content in contents.iter().cycle().take(8) {
                scope.spawn(|| write(&path, content, 0o600).unwrap());
            }
        });
        assert!(contents.contains(&fs::read(&path).unwrap()));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
