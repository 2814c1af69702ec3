//! The files of a snap. Symbolic links are followed only within the snap's directory.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata, PermissionsExt as _};
use files::FileError;
use tempfile::TempDir;

use super::squashfs;
use crate::error::GadgetError;

/// Bytes; far above any program of a gadget. A debug build of a hook has 50 MB.
pub(crate) const MAX_PROGRAM: u64 = 512 << 20;
/// Bytes; far above any snap.yaml or gadget.yaml.
pub(crate) const MAX_YAML: u64 = 256 << 10;
/// The number of files in the index by name; further files are not in it.
const MAX_INDEXED: usize = 100_000;

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Missing,
    /// A symbolic link leads out of the snap or in a circle.
    Outside,
    File {
        executable: bool,
    },
    /// A directory, FIFO, socket or device.
    Other,
}

/// The directory with the files of a snap. Paths are relative to it.
#[derive(Debug)]
pub(crate) struct Tree {
    directory: Dir,
    root: PathBuf,
    /// Removed when dropped.
    _unpacked: Option<TempDir>,
}

impl Tree {
    /// Opens a directory, or unpacks a .snap.
    ///
    /// # Errors
    /// [`GadgetError::File`] and [`GadgetError::Squashfs`].
    pub(crate) fn open(path: &Path) -> Result<Self, GadgetError> {
        let metadata = fs::metadata(path).map_err(|reason| unreadable(path, reason))?;
        if metadata.is_dir() {
            return Tree::of_directory(path, None);
        }
        let unpacked = squashfs::unpack(path)?;
        let root = unpacked.path().join(squashfs::ROOT);
        Tree::of_directory(&root, Some(unpacked))
    }

    /// Opens a directory.
    ///
    /// # Errors
    /// [`GadgetError::File`], also if it is not a directory.
    pub(crate) fn open_directory(path: &Path) -> Result<Self, GadgetError> {
        Tree::of_directory(path, None)
    }

    fn of_directory(root: &Path, unpacked: Option<TempDir>) -> Result<Self, GadgetError> {
        let directory =
            Dir::open_ambient_dir(root, ambient_authority()).map_err(|reason| unreadable(root, reason))?;
        Ok(Tree {
            directory,
            root: root.to_owned(),
            _unpacked: unpacked,
        })
    }

    /// The path of the directory on this machine.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn entry(&self, path: impl AsRef<Path>) -> Entry {
        match self.directory.metadata(path) {
            Ok(metadata) => entry_of(&metadata),
            Err(error) if leads_out(&error) => Entry::Outside,
            Err(_) => Entry::Missing,
        }
    }

    /// Returns true if the path leads to a regular file of the snap.
    pub(crate) fn is_file(&self, path: impl AsRef<Path>) -> bool {
        matches!(self.entry(path), Entry::File { .. })
    }

    /// The names in a directory, sorted; empty if there is no such directory.
    pub(crate) fn names(&self, directory: impl AsRef<Path>) -> Vec<String> {
        let Ok(entries) = self.directory.read_dir(directory) else {
            return Vec::new();
        };
        let mut names: Vec<String> = entries
            .filter_map(Result::ok)
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// The path with all symbolic links resolved.
    pub(crate) fn canonical(&self, path: impl AsRef<Path>) -> Option<PathBuf> {
        self.directory.canonicalize(path).ok()
    }

    /// The content of a regular file of at most `limit` bytes.
    ///
    /// # Errors
    /// Also for a larger file, and for anything but a regular file.
    pub(crate) fn read(&self, path: impl AsRef<Path>, limit: u64) -> io::Result<Vec<u8>> {
        let path = path.as_ref();
        // Opening a FIFO would block.
        if !self.directory.metadata(path)?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        let mut content = Vec::new();
        self.directory
            .open(path)?
            .take(limit + 1)
            .read_to_end(&mut content)?;
        if content.len() as u64 > limit {
            return Err(io::Error::other(format!("larger than {limit} bytes")));
        }
        Ok(content)
    }

    /// One path for each name of a file in the snap.
    pub(crate) fn files_by_name(&self) -> BTreeMap<String, PathBuf> {
        let mut files = BTreeMap::new();
        let mut directories = vec![PathBuf::from(".")];
        while let Some(directory) = directories.pop() {
            for name in self.names(&directory) {
                let path = match directory == Path::new(".") {
                    true => PathBuf::from(&name),
                    false => directory.join(&name),
                };
                match self.directory.symlink_metadata(&path) {
                    Ok(metadata) if metadata.is_dir() => directories.push(path),
                    Ok(_) if files.len() < MAX_INDEXED => {
                        files.entry(name).or_insert(path);
                    }
                    _ => {}
                }
            }
        }
        files
    }
}

fn entry_of(metadata: &Metadata) -> Entry {
    match metadata.is_file() {
        true => Entry::File {
            executable: metadata.permissions().mode() & 0o111 != 0,
        },
        false => Entry::Other,
    }
}

/// Returns true if a symbolic link leads out of the directory or in a circle. The refusal of
/// cap-std has no error number of the system.
fn leads_out(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
        || (error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none())
}

fn unreadable(path: &Path, reason: io::Error) -> FileError {
    FileError::Unreadable {
        path: path.to_owned(),
        reason,
    }
}
