//! Unpacking a .snap with unsquashfs: it reads every compression that snaps have (libraries of a free licence
//! leave out lzo), and snapd depends on it.
//!
//! The file is not trusted: what it would unpack is listed and limited first.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;

use crate::explain::Explain as _;

const PROGRAM: &str = "unsquashfs";
/// The folder below the temporary one that holds the files.
pub(crate) const ROOT: &str = "snap";

/// Bytes of all files; the reference gadgets have less than 50 MiB.
const MOST_BYTES: u64 = 1 << 30;
const MOST_FILES: u32 = 100_000;
/// Seconds of computing, far above what xz needs for [`MOST_BYTES`].
const MOST_SECONDS: u64 = 300;

/// The superblock, as in the kernel's Documentation/filesystems/squashfs.rst and fs/squashfs/squashfs_fs.h.
const SUPERBLOCK: usize = 96;
const MAGIC: &[u8] = b"hsqs";

/// Unpacks into a temporary folder.
///
/// # Errors
/// Where it is no .snap, is damaged or too large, or unsquashfs is missing.
pub(crate) fn unpack(snap: &Path) -> anyhow::Result<TempDir> {
    check_superblock(snap)?;
    let _limits = Limits::set()?;
    check_listing(snap)?;
    let folder = tempfile::tempdir().explain("no temporary folder can be made", "Check TMPDIR")?;
    let output = unsquashfs()
        .arg("-dest")
        .arg(folder.path().join(ROOT))
        .arg(absolute(snap)?)
        .stdout(Stdio::null())
        .output()
        .map_err(not_started)?;
    if !output.status.success() {
        bail!(damaged(snap, &output.stderr));
    }
    Ok(folder)
}

fn check_superblock(snap: &Path) -> anyhow::Result<()> {
    let file = File::open(snap).explain(snap.display(), "Check its permissions")?;
    let length = file.metadata().map_or(0, |metadata| metadata.len());
    let mut block = Vec::new();
    file.take(SUPERBLOCK as u64)
        .read_to_end(&mut block)
        .explain(snap.display(), "Check its permissions")?;
    ensure!(
        block.len() == SUPERBLOCK && block.starts_with(MAGIC),
        "{} is not a snap: it does not begin as a squashfs does. Give a .snap, or a folder with meta/snap.yaml \
         in it",
        snap.display()
    );
    let number = |at: usize, size: usize| {
        let bytes = block[at..at + size].iter().rev();
        bytes.fold(0, |number, &byte| number << 8 | u64::from(byte))
    };
    let (files, used) = (number(4, 4), number(40, 8));
    ensure!(
        files <= MOST_FILES.into(),
        "{} holds {files} files; this check takes at most {MOST_FILES}. Check that it is a gadget",
        snap.display()
    );
    ensure!(
        used <= length,
        "{} is truncated: of {used} bytes there are {length}. Pack or copy it again",
        snap.display()
    );
    Ok(())
}

/// Refuses what is too large or no file of a snap, before anything is written.
fn check_listing(snap: &Path) -> anyhow::Result<()> {
    let mut child = unsquashfs()
        .arg("-lln")
        .arg(absolute(snap)?)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(not_started)?;
    let output = child.stdout.take().context("unsquashfs has no output")?;
    let listed = check_lines(snap, BufReader::new(output));
    if listed.is_err() {
        // It waits for its output to be read.
        let _ = child.kill();
    }
    let status = child.wait().explain("unsquashfs failed", "Run the check again")?;
    listed?;
    ensure!(status.success(), damaged(snap, b"its files cannot be listed"));
    Ok(())
}

/// Reads lines such as `-rwxr-xr-x 0/0   4711 2026-01-31 12:00 squashfs-root/meta/hooks/configure`. A name with
/// a line feed makes lines that are no entries; they can only add to the sum.
fn check_lines(snap: &Path, mut lines: impl io::BufRead) -> anyhow::Result<()> {
    let mut sum: u64 = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = lines
            .by_ref()
            .take(64 * 1024)
            .read_until(b'\n', &mut line)
            .explain("unsquashfs broke off", "Run the check again")?;
        if read == 0 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&line);
        let mut columns = text.split_ascii_whitespace();
        let (Some(mode), Some(owner), Some(size)) = (columns.next(), columns.next(), columns.next()) else {
            continue;
        };
        if mode.len() != 10 || !owner.contains('/') {
            continue;
        }
        ensure!(
            mode.starts_with(['-', 'd', 'l']),
            "{} holds a device, pipe or socket ({}), which snaps may not. Remove it and pack the snap again",
            snap.display(),
            columns.last().unwrap_or_default()
        );
        sum = sum.saturating_add(size.parse().unwrap_or(0));
        ensure!(
            sum <= MOST_BYTES,
            "the files in {} are larger than {MOST_BYTES} bytes in all. Check that it is a gadget, or unpack it \
             and give the folder",
            snap.display()
        );
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
fn absolute(snap: &Path) -> anyhow::Result<std::path::PathBuf> {
    std::path::absolute(snap).explain(snap.display(), "Give the whole path")
}

fn not_started(error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::NotFound => anyhow::anyhow!(
            "the program unsquashfs is missing, which unpacks a .snap. Install it: apt-get install \
             squashfs-tools"
        ),
        _ => anyhow::anyhow!("unsquashfs cannot be run: {error}. Check its permissions"),
    }
}

fn damaged(snap: &Path, stderr: &[u8]) -> String {
    let stderr = String::from_utf8_lossy(stderr);
    let first = stderr
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("unsquashfs gave up");
    format!(
        "{} cannot be unpacked: {first}. Pack or copy it again",
        snap.display()
    )
}

/// Limits that unsquashfs inherits: no file larger than all may be, and no endless computing. The old ones
/// return when this is dropped.
struct Limits {
    old: [(Resource, Rlimit); 2],
}

impl Limits {
    fn set() -> anyhow::Result<Self> {
        let limits = [(Resource::Fsize, MOST_BYTES), (Resource::Cpu, MOST_SECONDS)];
        let old = limits.map(|(resource, _)| (resource, getrlimit(resource)));
        for (resource, limit) in limits {
            let maximum = getrlimit(resource).maximum;
            let current = Some(maximum.map_or(limit, |maximum| maximum.min(limit)));
            setrlimit(resource, Rlimit { current, maximum })
                .explain("a limit for unsquashfs cannot be set", "Run the check again")?;
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
