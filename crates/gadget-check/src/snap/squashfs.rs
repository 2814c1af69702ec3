//! Unpacking a .snap with unsquashfs.
//!
//! unsquashfs reads every compression of snaps (the free libraries leave out lzo), and snapd
//! depends on it. The .snap is not trusted: its files are listed and limited before they are
//! unpacked.

use std::io::{self, BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use files::FileError;
use miette::Diagnostic;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;
use thiserror::Error;

const PROGRAM: &str = "unsquashfs";
/// The subdirectory of the temporary directory that holds the files.
pub(crate) const ROOT: &str = "snap";

/// Bytes of all files; the reference gadgets have less than 50 MiB.
const MAX_BYTES: u64 = 1 << 30;
const MAX_FILES: u64 = 100_000;
/// Seconds of CPU time, far above what xz needs for [`MAX_BYTES`].
const MAX_SECONDS: u64 = 300;
/// Bytes of a line of the listing; a path has at most 4096.
const MAX_LINE: u64 = 64 << 10;

/// The superblock: Documentation/filesystems/squashfs.rst and fs/squashfs/squashfs_fs.h of Linux.
const SUPERBLOCK: usize = 96;
const MAGIC: &[u8] = b"hsqs";
/// Offset and size of `inodes` and of `bytes_used` in the superblock, little-endian.
const INODES: (usize, usize) = (4, 4);
const BYTES_USED: (usize, usize) = (40, 8);

/// Why a .snap cannot be unpacked.
#[derive(Debug, Error, Diagnostic)]
pub enum SquashfsError {
    /// The file cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    /// The file has no squashfs superblock.
    #[error("{} is not a snap: it has no squashfs superblock", path.display())]
    #[diagnostic(code("not-a-snap"), help("Name a .snap, or a directory with meta/snap.yaml"))]
    NotASnap {
        /// The file.
        path: PathBuf,
    },
    /// The snap has more files than the check accepts.
    #[error("{} holds {files} files, more than {MAX_FILES}", path.display())]
    #[diagnostic(
        code("snap-too-large"),
        help("Check that it is a gadget, or unpack it and check the directory")
    )]
    TooManyFiles {
        /// The .snap.
        path: PathBuf,
        /// Its number of files.
        files: u64,
    },
    /// The files of the snap have more bytes than the check accepts.
    #[error("the files in {} have more than {MAX_BYTES} bytes", path.display())]
    #[diagnostic(
        code("snap-too-large"),
        help("Check that it is a gadget, or unpack it and check the directory")
    )]
    TooManyBytes {
        /// The .snap.
        path: PathBuf,
    },
    /// The snap holds a device, FIFO or socket, which a snap must not.
    #[error("{} holds a device, FIFO or socket: {entry}", path.display())]
    #[diagnostic(
        code("snap-special-file"),
        help("Remove the special file and pack the snap again")
    )]
    SpecialFile {
        /// The .snap.
        path: PathBuf,
        /// The path of the special file in the snap.
        entry: String,
    },
    /// The .snap is shorter than its superblock says.
    #[error("{} is truncated: it has {length} of {used} bytes", path.display())]
    #[diagnostic(code("snap-damaged"), help("Pack or copy the snap again"))]
    Truncated {
        /// The .snap.
        path: PathBuf,
        /// The bytes that it has.
        length: u64,
        /// The bytes that the superblock promises.
        used: u64,
    },
    /// unsquashfs refuses the .snap.
    #[error("cannot unpack {}: {reason}", path.display())]
    #[diagnostic(code("snap-damaged"), help("Pack or copy the snap again"))]
    Damaged {
        /// The .snap.
        path: PathBuf,
        /// The first line that unsquashfs printed.
        reason: String,
    },
    /// unsquashfs is not installed.
    #[error("the program unsquashfs, which unpacks a .snap, is not installed")]
    #[diagnostic(code("unsquashfs-missing"), help("Run `apt-get install squashfs-tools`"))]
    UnsquashfsMissing,
    /// unsquashfs cannot be run.
    #[error("cannot run unsquashfs: {reason}")]
    #[diagnostic(
        code("unsquashfs-failed"),
        help("Check that `unsquashfs -version` works, and repeat the check")
    )]
    UnsquashfsFailed {
        /// What the system said.
        reason: io::Error,
    },
    /// There is no temporary directory.
    #[error("cannot make a temporary directory: {reason}")]
    #[diagnostic(
        code("no-temporary-directory"),
        help("Set TMPDIR to a directory that you can write to")
    )]
    NoTemporaryDirectory {
        /// What the system said.
        reason: io::Error,
    },
}

impl SquashfsError {
    fn failed(reason: io::Error) -> Self {
        match reason.kind() {
            io::ErrorKind::NotFound => SquashfsError::UnsquashfsMissing,
            _ => SquashfsError::UnsquashfsFailed { reason },
        }
    }
}

/// Unpacks a .snap into the subdirectory [`ROOT`] of a temporary directory.
pub(crate) fn unpack(snap: &Path) -> Result<TempDir, SquashfsError> {
    check_superblock(snap)?;
    let _limits = Limits::set()?;
    check_listing(snap)?;
    let directory = tempfile::tempdir().map_err(|reason| SquashfsError::NoTemporaryDirectory { reason })?;
    let output = unsquashfs()
        .arg("-dest")
        .arg(directory.path().join(ROOT))
        .arg(absolute(snap)?)
        .stdout(Stdio::null())
        .output()
        .map_err(SquashfsError::failed)?;
    match output.status.success() {
        true => Ok(directory),
        false => Err(damaged(snap, &String::from_utf8_lossy(&output.stderr))),
    }
}

fn check_superblock(snap: &Path) -> Result<(), SquashfsError> {
    let file = files::open(snap)?;
    let unreadable = |reason| FileError::Unreadable {
        path: snap.to_owned(),
        reason,
    };
    let length = file.metadata().map_err(unreadable)?.len();
    let mut block = Vec::new();
    file.take(SUPERBLOCK as u64)
        .read_to_end(&mut block)
        .map_err(unreadable)?;
    let path = snap.to_owned();
    if block.len() != SUPERBLOCK || !block.starts_with(MAGIC) {
        return Err(SquashfsError::NotASnap { path });
    }
    let number = |(at, size): (usize, usize)| {
        let bytes = block[at..at + size].iter().rev();
        bytes.fold(0, |number, &byte| number << 8 | u64::from(byte))
    };
    let (files, used) = (number(INODES), number(BYTES_USED));
    if files > MAX_FILES {
        return Err(SquashfsError::TooManyFiles { path, files });
    }
    if used > length {
        return Err(SquashfsError::Truncated { path, length, used });
    }
    Ok(())
}

/// Checks sizes and kinds of the files before anything is written.
fn check_listing(snap: &Path) -> Result<(), SquashfsError> {
    let mut child = unsquashfs()
        .arg("-lln")
        .arg(absolute(snap)?)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(SquashfsError::failed)?;
    let listed = match child.stdout.take() {
        Some(output) => check_lines(snap, BufReader::new(output)),
        None => Ok(()),
    };
    if listed.is_err() {
        // It blocks until its output is read.
        let _ = child.kill();
    }
    let status = child.wait().map_err(SquashfsError::failed)?;
    listed?;
    match status.success() {
        true => Ok(()),
        false => Err(damaged(snap, "cannot list its files")),
    }
}

/// Reads lines such as
/// `-rwxr-xr-x 0/0   4711 2026-01-31 12:00 squashfs-root/meta/hooks/configure`.
/// A name with a line feed makes lines that are not entries; they can only add to the sum.
fn check_lines(snap: &Path, mut lines: impl BufRead) -> Result<(), SquashfsError> {
    let mut sum: u64 = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let length = lines
            .by_ref()
            .take(MAX_LINE)
            .read_until(b'\n', &mut line)
            .map_err(SquashfsError::failed)?;
        if length == 0 {
            return Ok(());
        }
        sum = sum.saturating_add(size_of_entry(snap, &String::from_utf8_lossy(&line))?);
        if sum > MAX_BYTES {
            return Err(SquashfsError::TooManyBytes {
                path: snap.to_owned(),
            });
        }
    }
}

/// The bytes of the file in a line of the listing; 0 if the line is not an entry.
fn size_of_entry(snap: &Path, line: &str) -> Result<u64, SquashfsError> {
    let mut columns = line.split_ascii_whitespace();
    let (Some(mode), Some(owner), Some(size)) = (columns.next(), columns.next(), columns.next()) else {
        return Ok(0);
    };
    if mode.len() != 10 || !owner.contains('/') {
        return Ok(0);
    }
    match mode.starts_with(['-', 'd', 'l']) {
        true => Ok(size.parse().unwrap_or(0)),
        false => Err(SquashfsError::SpecialFile {
            path: snap.to_owned(),
            entry: columns.last().unwrap_or_default().to_owned(),
        }),
    }
}

fn unsquashfs() -> Command {
    let mut command = Command::new(PROGRAM);
    command
        .args(["-no-progress", "-no-xattrs", "-processors", "1"])
        .stdin(Stdio::null());
    command
}

/// A path that cannot be taken for an option.
fn absolute(snap: &Path) -> Result<PathBuf, FileError> {
    std::path::absolute(snap).map_err(|reason| FileError::Unreadable {
        path: snap.to_owned(),
        reason,
    })
}

fn damaged(snap: &Path, output: &str) -> SquashfsError {
    let first = output.lines().find(|line| !line.trim().is_empty());
    SquashfsError::Damaged {
        path: snap.to_owned(),
        reason: first.unwrap_or("unsquashfs failed").to_owned(),
    }
}

/// Limits that unsquashfs inherits: the size of a file and the CPU time. Restores the old limits
/// when dropped.
struct Limits {
    old: [(Resource, Rlimit); 2],
}

impl Limits {
    fn set() -> Result<Self, SquashfsError> {
        let limits = [(Resource::Fsize, MAX_BYTES), (Resource::Cpu, MAX_SECONDS)];
        let old = limits.map(|(resource, _)| (resource, getrlimit(resource)));
        for (resource, limit) in limits {
            let maximum = getrlimit(resource).maximum;
            let current = Some(maximum.map_or(limit, |maximum| maximum.min(limit)));
            setrlimit(resource, Rlimit { current, maximum })
                .map_err(|error| SquashfsError::UnsquashfsFailed { reason: error.into() })?;
        }
        Ok(Limits { old })
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        for (resource, limit) in &self.old {
            // A soft limit below the hard one can always be restored.
            let _ = setrlimit(*resource, *limit);
        }
    }
}
