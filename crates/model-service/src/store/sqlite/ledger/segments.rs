//! The files of the ledger: the one that is written, and older ones beside it.
//!
//! `NAME.jsonl` is written. The older ones are `NAME.SEQUENCE.jsonl`, with the sequence of their
//! first line in twelve digits, so that their names sort in the order of the lines.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use ledger_chain::{Head, Link};

use super::error::LedgerError;
use super::failed;
use super::line::MAX_LINE;

/// The end of a file.
#[derive(Debug, Default)]
pub(super) struct End {
    /// Without the line end.
    pub(super) last_line: Option<Vec<u8>>,
    /// The length of the complete lines, in bytes.
    pub(super) complete: u64,
}

/// Reads the end of a file; one that does not exist has no lines.
pub(super) fn read_end(path: &Path) -> Result<End, LedgerError> {
    let Some((mut file, length)) = open(path)? else {
        return Ok(End::default());
    };
    // Room for an incomplete line, and for a complete one with both line ends.
    let start = length.saturating_sub(2 * MAX_LINE as u64 + 2);
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(start))
        .and_then(|_| file.take(length - start).read_to_end(&mut bytes))
        .map_err(|reason| failed(path, &reason))?;
    let Some(last) = bytes.iter().rposition(|byte| *byte == b'\n') else {
        return match start {
            0 => Ok(End::default()),
            _ => Err(damaged_end(path)),
        };
    };
    let lines = bytes.get(..last).unwrap_or_default();
    let before = lines.iter().rposition(|byte| *byte == b'\n');
    if before.is_none() && start > 0 {
        return Err(damaged_end(path));
    }
    let line = lines.get(before.map_or(0, |before| before + 1)..);
    Ok(End {
        last_line: line.map(<[u8]>::to_vec),
        complete: start + last as u64 + 1,
    })
}

fn damaged_end(path: &Path) -> LedgerError {
    LedgerError::Line {
        path: path.to_owned(),
        line: "the last line".to_owned(),
        reason: "it is too long".to_owned(),
    }
}

fn open(path: &Path) -> Result<Option<(File, u64)>, LedgerError> {
    let file = match files::open(path) {
        Ok(file) => file,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(failed(path, &io::Error::other(error))),
    };
    match file.metadata() {
        Ok(metadata) => Ok(Some((file, metadata.len()))),
        Err(reason) => Err(failed(path, &reason)),
    }
}

/// Older files, in the order of their lines.
pub(super) fn rotated(path: &Path) -> Result<Vec<PathBuf>, LedgerError> {
    let mut found = Vec::new();
    let entries = fs::read_dir(files::directory_of(path)).map_err(|reason| failed(path, &reason))?;
    for entry in entries {
        let other = entry.map_err(|reason| failed(path, &reason))?.path();
        if first_sequence(path, &other).is_some() {
            found.push(other);
        }
    }
    found.sort();
    Ok(found)
}

/// The sequence in the name of an older file of the ledger at `path`.
fn first_sequence(path: &Path, other: &Path) -> Option<u64> {
    let (stem, extension) = (path.file_stem()?.to_str()?, path.extension().unwrap_or_default());
    let middle = other
        .file_stem()?
        .to_str()?
        .strip_prefix(stem)?
        .strip_prefix('.')?;
    let digits = middle.len() == 12 && middle.bytes().all(|byte| byte.is_ascii_digit());
    match digits && other.extension().unwrap_or_default() == extension {
        true => middle.parse().ok(),
        false => None,
    }
}

/// All files from the last one on whose first line is `sequence` or an earlier one, and the head
/// before that line. All files, and the head before the first line of a ledger, if none begins
/// like that.
pub(super) fn from(path: &Path, sequence: u64) -> Result<(Vec<PathBuf>, Head), LedgerError> {
    let mut files = all(path)?;
    let found = files.iter().enumerate().rev().find_map(|(index, file)| {
        if first_sequence(path, file).is_some_and(|first| first > sequence) {
            return None;
        }
        let link = first_link(file).ok().filter(|link| link.sequence <= sequence)?;
        let head = Head {
            sequence: link.sequence.saturating_sub(1),
            hash: link.previous,
        };
        Some((index, head))
    });
    Ok(match found {
        Some((index, head)) => (files.split_off(index), head),
        None => (files, Head::default()),
    })
}

/// All files, in the order of their lines.
pub(super) fn all(path: &Path) -> Result<Vec<PathBuf>, LedgerError> {
    let mut files = rotated(path)?;
    files.push(path.to_owned());
    Ok(files)
}

/// The place in the chain of the first line of a file.
fn first_link(file: &Path) -> io::Result<Link> {
    let mut line = Vec::new();
    BufReader::new(
        files::open(file)
            .map_err(io::Error::other)?
            .take(MAX_LINE as u64 + 1),
    )
    .read_until(b'\n', &mut line)?;
    Ok(serde_json::from_slice(&line)?)
}

/// Gives the file that was written the name of an older one.
pub(super) fn rotate(path: &Path) -> io::Result<()> {
    let link = first_link(path)?;
    let stem = path.file_stem().and_then(|stem| stem.to_str());
    let stem = stem.ok_or_else(|| io::Error::other("the name is not UTF-8 text"))?;
    let mut name = format!("{stem}.{:012}", link.sequence);
    if let Some(extension) = path.extension().and_then(|extension| extension.to_str()) {
        name.push('.');
        name.push_str(extension);
    }
    let older = path.with_file_name(name);
    match fs::metadata(&older) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error),
        Ok(_) => return Err(io::Error::other(format!("{} exists", older.display()))),
    }
    fs::rename(path, older)?;
    files::sync_directory(files::directory_of(path))
}
