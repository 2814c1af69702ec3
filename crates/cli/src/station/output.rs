//! The assertions of a station that signs at once: a stream in one file, to which each is appended
//! durably.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use memchr::memmem;

use super::error::LotError;
use crate::lock::lock;
use crate::output::MODE;

/// The bytes that are searched at a time.
const CHUNK: u64 = 1 << 20;

/// The most attempts to append an assertion to a file that is taken away meanwhile.
const ATTEMPTS: usize = 10;

/// A file that no other station writes. Others may append to it, empty it, or take it away.
pub(super) struct AppendedOutput {
    path: PathBuf,
    /// Locked.
    file: File,
    /// In bytes, when it was last looked at.
    length: u64,
}

impl AppendedOutput {
    /// Opens and locks the file, or creates it. Waits up to `wait` for another station.
    pub(super) fn open(path: &Path, wait: Duration) -> Result<Self, LotError> {
        let mut output = AppendedOutput {
            path: path.to_owned(),
            file: files::open_to_append(path, MODE)?,
            length: 0,
        };
        match lock(&output.file, wait) {
            Ok(true) => output.measure().map_err(|reason| output.failed(reason))?,
            Ok(false) => return Err(LotError::OutputBusy(output.path)),
            Err(reason) => return Err(output.failed(reason)),
        }
        Ok(output)
    }

    /// The length in bytes of the file that has the name now.
    pub(super) fn length(&mut self) -> Result<u64, LotError> {
        self.follow()?;
        Ok(self.length)
    }

    /// Appends an assertion, unless it is there, to the file that had this length before. It is on the
    /// disk when this returns. A part of it, which a power cut or a full disk can leave, is removed.
    ///
    /// If the file was taken away meanwhile, the next one gets the assertion too; an import accepts it a
    /// second time.
    pub(super) fn add(&mut self, assertion: &str, length: u64) -> Result<(), LotError> {
        for _ in 0..ATTEMPTS {
            self.follow()?;
            self.try_add(assertion, length)
                .map_err(|reason| self.failed(reason))?;
            // Whoever takes the file away or empties it may have read it before the assertion was there.
            if self.is_named() && self.has_grown() {
                return Ok(());
            }
        }
        Err(self.failed(io::Error::other("another program takes it away all the time")))
    }

    fn try_add(&mut self, assertion: &str, length: u64) -> io::Result<()> {
        let text = after(length, assertion);
        match self.part_of(&text, length)? {
            Some(part) if part == text.len() as u64 => return self.file.sync_data(),
            Some(part) if part > 0 => {
                self.file.set_len(length)?;
                self.length = length;
            }
            Some(_) => {}
            // Others have appended, or have replaced the file.
            None if self.has(assertion)? => return self.file.sync_data(),
            None => {}
        }
        let (start, text) = (self.length, after(self.length, assertion));
        let written = self.file.write_all(text.as_bytes());
        if let Err(reason) = written.and_then(|()| self.file.sync_data()) {
            // The next attempt removes what stays, if nobody else has appended.
            let _ = self.measure();
            if self.part_of(&text, start).is_ok_and(|part| part.is_some()) {
                let _ = self.file.set_len(start);
            }
            return Err(reason);
        }
        self.length += text.len() as u64;
        Ok(())
    }

    /// The number of bytes after `length`, if they are the start of `text`.
    fn part_of(&mut self, text: &str, length: u64) -> io::Result<Option<u64>> {
        let Some(part) = self.length.checked_sub(length) else {
            return Ok(None);
        };
        if part > text.len() as u64 {
            return Ok(None);
        }
        let mut found = Vec::new();
        self.file.seek(SeekFrom::Start(length))?;
        (&self.file).take(part).read_to_end(&mut found)?;
        Ok(text.as_bytes().starts_with(&found).then_some(part))
    }

    /// Returns true if the assertion is anywhere in the file.
    fn has(&mut self, assertion: &str) -> io::Result<bool> {
        self.file.rewind()?;
        let (finder, mut chunk) = (memmem::Finder::new(assertion), Vec::new());
        while (&self.file).take(CHUNK).read_to_end(&mut chunk)? > 0 {
            if finder.find(&chunk).is_some() {
                return Ok(true);
            }
            // An assertion may begin in one chunk and end in the next.
            chunk.drain(..chunk.len().saturating_sub(assertion.len()));
        }
        Ok(false)
    }

    /// Opens the file that has the name now, if it is another one.
    fn follow(&mut self) -> Result<(), LotError> {
        match self.is_named() {
            // Its lock is kept: a second descriptor of this process would not get it.
            true => self.measure().map_err(|reason| self.failed(reason)),
            false => {
                *self = AppendedOutput::open(&self.path, Duration::ZERO)?;
                Ok(())
            }
        }
    }

    /// Returns true if the open file still has its name.
    fn is_named(&self) -> bool {
        let files = fs::metadata(&self.path).and_then(|named| Ok((named, self.file.metadata()?)));
        files.is_ok_and(|(named, opened)| (named.dev(), named.ino()) == (opened.dev(), opened.ino()))
    }

    /// Returns true if nobody has made the file shorter since it was looked at.
    fn has_grown(&self) -> bool {
        self.file
            .metadata()
            .is_ok_and(|metadata| metadata.len() >= self.length)
    }

    fn measure(&mut self) -> io::Result<()> {
        self.length = self.file.metadata()?.len();
        Ok(())
    }

    fn failed(&self, reason: io::Error) -> LotError {
        LotError::Failed {
            path: self.path.clone(),
            reason,
        }
    }
}

/// An assertion with the line that separates it from others in a file of this length.
fn after(length: u64, assertion: &str) -> String {
    let separator = if length > 0 { "\n" } else { "" };
    format!("{separator}{assertion}")
}

#[cfg(test)]
mod tests {
    use std::hint;
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    const FIRST: &str = "first\n\nsignature\n";
    const LAST: &str = "last\n\nsignature\n";

    fn open(path: &Path) -> AppendedOutput {
        AppendedOutput::open(path, Duration::ZERO).unwrap()
    }

    fn add(output: &mut AppendedOutput, assertion: &str) {
        let length = output.length().unwrap();
        output.add(assertion, length).unwrap();
    }

    #[test]
    fn the_last_assertion_is_completed_wherever_the_last_process_stopped() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("output");
        let both = format!("{FIRST}\n{LAST}");
        for end in FIRST.len()..=both.len() {
            fs::write(&path, &both[..end]).unwrap();
            open(&path).add(LAST, FIRST.len() as u64).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), both, "{end}");
        }
        for end in 0..=FIRST.len() {
            fs::write(&path, &FIRST[..end]).unwrap();
            open(&path).add(FIRST, 0).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), FIRST, "{end}");
        }
        // The file was taken away. It gets the assertion, but not at each start.
        fs::remove_file(&path).unwrap();
        for _ in 0..2 {
            open(&path).add(LAST, 100).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), LAST);
        }
    }

    #[test]
    fn assertions_of_others_stay() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("output");
        let other = LAST.replace("last", "mine");
        for (length, before) in [(0, String::new()), (FIRST.len(), format!("{FIRST}\n"))] {
            // As long as the last assertion, shorter, and longer.
            for other in [&other, &other[..10], &format!("{other}\n{other}")] {
                let found = format!("{before}{other}");
                fs::write(&path, &found).unwrap();
                open(&path).add(LAST, length as u64).unwrap();
                assert_eq!(fs::read_to_string(&path).unwrap(), format!("{found}\n{LAST}"));
            }
        }
    }

    #[test]
    fn an_assertion_is_found_across_chunks() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("output");
        let text = format!("{}{LAST}", "x".repeat(CHUNK as usize - 3));
        fs::write(&path, &text).unwrap();
        open(&path).add(LAST, 0).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), text.len() as u64);
    }

    #[test]
    fn the_output_may_be_taken_away() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("output");
        let mut output = open(&path);
        add(&mut output, "first\n");
        add(&mut output, "second\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "first\n\nsecond\n");
        let taken = directory.path().join("taken");
        fs::rename(&path, &taken).unwrap();
        assert_eq!(output.length().unwrap(), 0);
        // Between the look at the length and the assertion too.
        fs::remove_file(&path).unwrap();
        output.add("third\n", 0).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "third\n");
        assert_eq!(fs::read_to_string(taken).unwrap(), "first\n\nsecond\n");
    }

    #[test]
    fn the_output_may_change_in_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("output");
        let mut output = open(&path);
        add(&mut output, "first\n");
        fs::write(&path, "").unwrap();
        add(&mut output, "second\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "second\n");
        fs::write(&path, "second\n\nother\n").unwrap();
        add(&mut output, "third\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "second\n\nother\n\nthird\n");
    }

    #[test]
    fn whoever_takes_the_output_away_gets_each_assertion() {
        let directory = tempfile::tempdir().unwrap();
        let [path, taken] = ["output", "taken"].map(|name| directory.path().join(name));
        let mut output = open(&path);
        // One take for each assertion.
        let (take, takes) = mpsc::sync_channel::<u64>(0);
        let assertion = |number: u64| format!("assertion {number}.\n");
        let read = thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut read = String::new();
                for number in takes {
                    // At different moments.
                    (0..number % 50 * 500).for_each(|_| hint::spin_loop());
                    if fs::rename(&path, &taken).is_ok() {
                        read += &fs::read_to_string(&taken).unwrap();
                    }
                }
                read + &fs::read_to_string(&path).unwrap_or_default()
            });
            for number in 0..500 {
                take.send(number).unwrap();
                add(&mut output, &assertion(number));
            }
            drop(take);
            reader.join().unwrap()
        });
        for number in 0..500 {
            assert!(read.contains(&assertion(number)), "{number}");
        }
    }

    #[test]
    fn two_stations_do_not_share_an_output() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("output");
        let _first = open(&path);
        let second = AppendedOutput::open(&path, Duration::ZERO);
        assert!(matches!(second, Err(LotError::OutputBusy(_))));
    }
}
