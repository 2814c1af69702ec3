//! The station's ledger: an append-only file of JSON lines, one for each assertion that was signed.
//!
//! The crate `ledger-chain` has its chain.

mod command;
mod error;

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use ledger_chain::{Head, Link, MAX_LINE, sha256};
use serde::Serialize;
use serde_json::value::RawValue;

pub(crate) use command::{LedgerArguments, run};
pub(crate) use error::LedgerError;

use crate::lock::lock;
use crate::recorded_output::SignedExport;

/// Permission bits of a new ledger.
const MODE: u32 = 0o600;
/// The kind of the station's lines.
const KIND: &str = "signed";
/// The start of each line, up to its number.
const START: &[u8] = b"{\"sequence\":";

/// A ledger that this process alone writes while it has the lock.
pub(crate) struct Ledger {
    path: PathBuf,
    file: File,
    /// In bytes, when it was locked.
    length: u64,
    head: Head,
}

/// The lock of a ledger, which others get when this is dropped.
pub(crate) struct LedgerLock(File);

impl Drop for LedgerLock {
    fn drop(&mut self) {
        // If this fails, others wait until this process ends.
        let _ = self.0.unlock();
    }
}

/// What a line records.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Line<'a> {
    sequence: u64,
    previous: &'a str,
    /// RFC 3339.
    time: &'a str,
    kind: &'static str,
    hardware_id: &'a str,
    #[serde(rename = "hardware-id-key-sha3-384")]
    key_digest: &'a str,
    revision: u64,
    #[serde(rename = "sign-key-sha3-384")]
    sign_key: &'a str,
    assertion_sha256: &'a str,
    /// How the key was proven to live in a TPM; absent if no proof was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<&'a RawValue>,
}

impl Ledger {
    /// Opens and locks the ledger, and waits up to `wait` for another program that has it; creates it if
    /// it does not exist. Reads its last two lines only.
    ///
    /// # Errors
    /// If another process keeps it open, or if it does not end with a complete line of a ledger.
    pub(crate) fn open(path: &Path, wait: Duration) -> Result<Self, LedgerError> {
        let (ledger, incomplete) = Ledger::open_any(path, wait)?;
        match incomplete.is_empty() {
            true => Ok(ledger),
            false => Err(LedgerError::Incomplete(path.to_owned())),
        }
    }

    /// As [`Ledger::open`], but removes the start of a next line, which a power cut can leave. The caller
    /// has what was to be recorded: nobody was given an assertion whose line is incomplete.
    pub(crate) fn repair(path: &Path, wait: Duration) -> Result<Self, LedgerError> {
        let (mut ledger, incomplete) = Ledger::open_any(path, wait)?;
        let start = start_of_line(&ledger.head);
        if !(incomplete.starts_with(&start) || start.starts_with(&incomplete)) {
            return Err(LedgerError::Incomplete(path.to_owned()));
        }
        if !incomplete.is_empty() {
            let length = ledger.length - incomplete.len() as u64;
            let cut = ledger.file.set_len(length).and_then(|()| ledger.file.sync_data());
            cut.map_err(|reason| ledger.failed(reason))?;
            ledger.length = length;
        }
        Ok(ledger)
    }

    /// The ledger, and what is after its last complete line.
    fn open_any(path: &Path, wait: Duration) -> Result<(Self, Vec<u8>), LedgerError> {
        let mut ledger = Ledger {
            path: path.to_owned(),
            file: files::open_to_append(path, MODE)?,
            length: 0,
            head: Head::default(),
        };
        ledger.wait(wait)?;
        let incomplete = ledger.read_end()?;
        Ok((ledger, incomplete))
    }

    fn wait(&self, wait: Duration) -> Result<(), LedgerError> {
        match lock(&self.file, wait) {
            Ok(true) => Ok(()),
            Ok(false) => Err(LedgerError::Busy(self.path.clone())),
            Err(reason) => Err(self.failed(reason)),
        }
    }

    /// Finds the length and the head. Returns what is after the last complete line.
    fn read_end(&mut self) -> Result<Vec<u8>, LedgerError> {
        let (end, length) = read_end(&self.file).map_err(|reason| self.failed(reason))?;
        let (head, incomplete) = head_of(&self.path, &end, end.len() as u64 == length)?;
        (self.length, self.head) = (length, head);
        Ok(incomplete.to_vec())
    }

    /// Lets others use the ledger until it is locked again.
    pub(crate) fn unlock(&self) -> Result<(), LedgerError> {
        self.file.unlock().map_err(|reason| self.failed(reason))
    }

    /// Locks the ledger again, and waits up to `wait` for another program that has it.
    ///
    /// # Errors
    /// As those of [`Ledger::open`], and if another file has the name.
    pub(crate) fn lock(&mut self, wait: Duration) -> Result<LedgerLock, LedgerError> {
        let file = self.file.try_clone().map_err(|reason| self.failed(reason))?;
        self.wait(wait)?;
        let locked = LedgerLock(file);
        if !self.is_named().map_err(|reason| self.failed(reason))? {
            return Err(LedgerError::Changed(self.path.clone()));
        }
        match self.read_end()?.is_empty() {
            true => Ok(locked),
            false => Err(LedgerError::Incomplete(self.path.clone())),
        }
    }

    /// The length in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns an error if `output` is the ledger, which it would replace.
    pub(crate) fn refuse_as_output(&self, output: Option<&Path>) -> Result<(), LedgerError> {
        let Some(metadata) = output.and_then(|output| fs::metadata(output).ok()) else {
            return Ok(());
        };
        let ledger = self.file.metadata().map_err(|reason| self.failed(reason))?;
        match (metadata.dev(), metadata.ino()) == (ledger.dev(), ledger.ino()) {
            true => Err(LedgerError::IsOutput(self.path.clone())),
            false => Ok(()),
        }
    }

    /// Appends a line for each assertion. They are on the disk when this returns.
    ///
    /// # Errors
    /// If the file cannot be written; what was written is removed again if possible. If another
    /// program has changed or replaced the file, which the lock does not prevent.
    pub(crate) fn append(&mut self, assertions: &[SignedExport]) -> Result<(), LedgerError> {
        if !self.is_unchanged().map_err(|reason| self.failed(reason))? {
            return Err(LedgerError::Changed(self.path.clone()));
        }
        let (lines, head) = self.lines(assertions).map_err(|reason| self.failed(reason))?;
        let written = self.file.write_all(&lines).and_then(|()| self.file.sync_data());
        if let Err(reason) = written {
            // The next run refuses an incomplete line.
            let _ = self.file.set_len(self.length);
            return Err(self.failed(reason));
        }
        self.length += lines.len() as u64;
        self.head = head;
        Ok(())
    }

    fn is_unchanged(&self) -> io::Result<bool> {
        Ok(self.is_named()? && self.file.metadata()?.len() == self.length)
    }

    /// Returns true if the open file still has its name.
    fn is_named(&self) -> io::Result<bool> {
        let (named, opened) = (fs::metadata(&self.path)?, self.file.metadata()?);
        Ok((named.dev(), named.ino()) == (opened.dev(), opened.ino()))
    }

    fn lines(&self, assertions: &[SignedExport]) -> io::Result<(Vec<u8>, Head)> {
        let time = Timestamp::now().to_string();
        let (mut lines, mut head) = (Vec::new(), self.head.clone());
        for SignedExport { assertion, proof } in assertions {
            let header = |name| assertion.header(name).unwrap_or_default();
            let sequence = head.sequence + 1;
            let line = serde_json::to_vec(&Line {
                sequence,
                previous: &head.hash,
                time: &time,
                kind: KIND,
                hardware_id: header("hardware-id"),
                key_digest: header("hardware-id-key-sha3-384"),
                revision: assertion.revision(),
                sign_key: assertion.sign_key_id(),
                assertion_sha256: &sha256(assertion.to_string().as_bytes()),
                proof: proof.as_deref(),
            })?;
            head = head.after(&line);
            lines.extend_from_slice(&line);
            lines.push(b'\n');
        }
        Ok((lines, head))
    }

    fn failed(&self, reason: io::Error) -> LedgerError {
        failed(&self.path, reason)
    }
}

fn failed(path: &Path, reason: io::Error) -> LedgerError {
    LedgerError::Failed {
        path: path.to_owned(),
        reason,
    }
}

/// The end of the file, with room for two lines, and the length of the file.
fn read_end(mut file: &File) -> io::Result<(Vec<u8>, u64)> {
    let length = file.metadata()?.len();
    let start = length.saturating_sub(2 * (MAX_LINE + 1) + 1);
    let mut end = Vec::new();
    file.seek(SeekFrom::Start(start))?;
    file.take(length - start).read_to_end(&mut end)?;
    Ok((end, length))
}

/// The start of the line after `head`, up to its time.
fn start_of_line(head: &Head) -> Vec<u8> {
    let sequence = head.sequence + 1;
    let previous = &head.hash;
    format!("{{\"sequence\":{sequence},\"previous\":\"{previous}\",\"time\":\"").into_bytes()
}

/// The head of a ledger with this end, which is the whole file if `is_whole`, and what is after its last
/// complete line.
fn head_of<'a>(path: &Path, end: &'a [u8], is_whole: bool) -> Result<(Head, &'a [u8]), LedgerError> {
    let mut lines = end.rsplit(|&byte| byte == b'\n');
    let incomplete = lines.next().unwrap_or_default();
    let foreign = |reason: String| LedgerError::Foreign {
        path: path.to_owned(),
        reason,
    };
    let head = match lines.next() {
        Some(last) => {
            let link = Link::read(last).map_err(|error| foreign(error.to_string()))?;
            if link.kind != KIND {
                return Err(foreign(format!("its last line has the kind {:?}", link.kind)));
            }
            let before = lines.next().filter(|_| is_whole || lines.next().is_some());
            check_end(path, &link, before, is_whole)?;
            link.head(last)
        }
        None if incomplete.starts_with(START) || START.starts_with(incomplete) => Head::default(),
        None => return Err(foreign("it does not start like one".to_owned())),
    };
    Ok((head, incomplete))
}

/// Checks that the last line follows the one before, or is the first.
fn check_end(path: &Path, last: &Link, before: Option<&[u8]>, is_whole: bool) -> Result<(), LedgerError> {
    let expected = match before {
        Some(before) => Link::read(before).ok().map(|link| link.head(before)),
        None if is_whole => Some(Head::default()),
        None => None,
    };
    match expected.is_some_and(|head| last.follows(&head)) {
        true => Ok(()),
        false => Err(LedgerError::BrokenEnd(path.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASSERTION: &[u8] =
        include_bytes!("../../../snap-assertions/tests/vectors/hardware-identity-p256.assert");

    fn append(ledger: &mut Ledger) {
        let assertion = snap_assertions::decode(ASSERTION).unwrap();
        let proof = None;
        ledger.append(&[SignedExport { assertion, proof }]).unwrap();
    }

    #[test]
    fn two_programs_share_a_ledger_in_turns() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger");
        let mut first = Ledger::open(&path, Duration::ZERO).unwrap();
        let second = Ledger::open(&path, Duration::ZERO).err();
        assert!(matches!(second, Some(LedgerError::Busy(_))));
        first.unlock().unwrap();
        let mut second = Ledger::open(&path, Duration::ZERO).unwrap();
        second.unlock().unwrap();
        for _ in 0..3 {
            let locked = first.lock(Duration::ZERO).unwrap();
            let busy = second.lock(Duration::ZERO).err();
            assert!(matches!(busy, Some(LedgerError::Busy(_))));
            append(&mut first);
            drop(locked);
            let _locked = second.lock(Duration::ZERO).unwrap();
            append(&mut second);
        }
        let mut reader = ledger_chain::ChainReader::default();
        reader.read(&path, |_| Ok(())).unwrap();
        assert_eq!(reader.into_head().sequence, 6);
        fs::rename(&path, directory.path().join("other")).unwrap();
        fs::write(&path, "").unwrap();
        assert!(matches!(
            first.lock(Duration::ZERO).err(),
            Some(LedgerError::Changed(_))
        ));
    }

    #[test]
    fn the_start_of_a_line_is_removed_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger");
        append(&mut Ledger::open(&path, Duration::ZERO).unwrap());
        let first = fs::read(&path).unwrap();
        append(&mut Ledger::open(&path, Duration::ZERO).unwrap());
        let both = fs::read(&path).unwrap();
        for (start, whole) in [(&[][..], &first), (&first, &both)] {
            let ends = (start.len() + 1..whole.len() - 1).step_by(29);
            for end in ends.chain([whole.len() - 1]) {
                fs::write(&path, &whole[..end]).unwrap();
                let refused = Ledger::open(&path, Duration::ZERO).err();
                assert!(matches!(refused, Some(LedgerError::Incomplete(_))), "{end}");
                Ledger::repair(&path, Duration::ZERO).unwrap();
                assert_eq!(fs::read(&path).unwrap(), start, "{end}");
            }
        }
        for other in [&b"\0\0\0"[..], b"{\"sequence\":3,", &first[..first.len() - 1]] {
            let text = [&first, other].concat();
            fs::write(&path, &text).unwrap();
            let refused = Ledger::repair(&path, Duration::ZERO).err();
            assert!(matches!(refused, Some(LedgerError::Incomplete(_))));
            assert_eq!(fs::read(&path).unwrap(), text);
        }
    }
}
