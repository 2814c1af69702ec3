//! The files of a snap. Nothing outside of its folder is ever read, wherever its symbolic links lead.

use std::collections::BTreeMap;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, Metadata, PermissionsExt as _};
use tempfile::TempDir;

use crate::explain::Explain as _;

use crate::squashfs;

/// Far above any program of a gadget; a debug build of a hook has 50 MB.
pub(crate) const LARGEST_PROGRAM: u64 = 512 << 20;
/// Far above any snap.yaml or gadget.yaml.
pub(crate) const LARGEST_TEXT: u64 = 256 << 10;
/// Where a folder has more, files are not looked for by name alone.
const MOST_FILES: usize = 100_000;

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Missing,
    /// A symbolic link on the way leads out of the snap, or round in circles.
    Outside,
    File {
        executable: bool,
    },
    /// A folder, or a thing that is neither folder nor file.
    Other,
}

/// A folder with a snap's files. Paths are relative to it.
#[derive(Debug)]
pub(crate) struct Tree {
    dir: Dir,
    root: PathBuf,
    /// Removed when dropped.
    _unpacked: Option<TempDir>,
}

impl Tree {
    /// Opens a folder, or unpacks a .snap.
    ///
    /// # Errors
    /// What it is instead, and what to do.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let metadata = std::fs::metadata(path).explain(
            path.display(),
            "Give a .snap, or a folder with meta/snap.yaml in it",
        )?;
        if metadata.is_dir() {
            return Tree::folder(path, None);
        }
        let unpacked = squashfs::unpack(path)?;
        let root = unpacked.path().join(squashfs::ROOT);
        Tree::folder(&root, Some(unpacked))
    }

    fn folder(root: &Path, unpacked: Option<TempDir>) -> anyhow::Result<Self> {
        let dir = Dir::open_ambient_dir(root, ambient_authority()).explain(
            format_args!("{} cannot be opened", root.display()),
            "Check its permissions",
        )?;
        Ok(Tree {
            dir,
            root: root.to_owned(),
            _unpacked: unpacked,
        })
    }

    /// Its path on this machine.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn entry(&self, path: impl AsRef<Path>) -> Entry {
        match self.dir.metadata(path) {
            Ok(metadata) => entry_of(&metadata),
            Err(error) if leads_out(&error) => Entry::Outside,
            Err(_) => Entry::Missing,
        }
    }

    pub(crate) fn is_file(&self, path: impl AsRef<Path>) -> bool {
        matches!(self.entry(path), Entry::File { .. })
    }

    /// The names in a folder, sorted; none where there is no such folder.
    pub(crate) fn names(&self, folder: impl AsRef<Path>) -> Vec<String> {
        let Ok(entries) = self.dir.read_dir(folder) else {
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
        self.dir.canonicalize(path).ok()
    }

    /// The content of a file of at most `largest` bytes.
    pub(crate) fn read(&self, path: impl AsRef<Path>, largest: u64) -> io::Result<Vec<u8>> {
        let path = path.as_ref();
        // Opening a pipe would wait for its other end.
        if !self.dir.metadata(path)?.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        let mut content = Vec::new();
        self.dir.open(path)?.take(largest + 1).read_to_end(&mut content)?;
        if content.len() as u64 > largest {
            return Err(io::Error::other(format!("it is larger than {largest} bytes")));
        }
        Ok(content)
    }

    /// Where files stand, by their names.
    pub(crate) fn files_by_name(&self) -> BTreeMap<String, PathBuf> {
        let mut files = BTreeMap::new();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            for name in self.names(if folder.as_os_str().is_empty() {
                Path::new(".")
            } else {
                &folder
            }) {
                let path = folder.join(&name);
                match self.dir.symlink_metadata(&path) {
                    Ok(metadata) if metadata.is_dir() => folders.push(path),
                    Ok(_) if files.len() < MOST_FILES => {
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

/// cap-std's own refusal has no number of the system.
fn leads_out(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
        || (error.kind() == io::ErrorKind::PermissionDenied && error.raw_os_error().is_none())
}
