//! Signed assertions as a stream on stdout or in a file, or as one file for each device.

use std::fs;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use files::{FileError, NewFile};
use snap_assertions::{Assertion, Encoder};
use tempfile::TempDir;

use crate::output::{MODE, OutputError, is_special, unwritable};

/// Longer hardware ids are not used as file names.
const LONGEST_NAME: usize = 100;
/// The start of a file name with the digest of a key.
const OF_KEY: &str = "key-";

/// The assertions so far. Without [`Self::finish`] nothing of them remains, except on stdout.
pub(crate) enum SignedOutput {
    Stdout(Encoder<BufWriter<io::Stdout>>),
    File {
        encoder: Encoder<BufWriter<NewFile>>,
        file: PathBuf,
    },
    Directory {
        new: TempDir,
        directory: PathBuf,
    },
}

impl SignedOutput {
    pub(crate) fn create(file: Option<&Path>, directory: Option<&Path>) -> Result<Self, OutputError> {
        match (file, directory) {
            (Some(file), _) if is_special(file) => {
                let path = file.to_owned();
                Err(FileError::NotRegular { path }.into())
            }
            (Some(file), _) => Ok(SignedOutput::File {
                encoder: Encoder::new(BufWriter::new(NewFile::create(file, MODE)?)),
                file: file.to_owned(),
            }),
            (None, Some(directory)) => {
                let new = fs::create_dir_all(directory).and_then(|()| {
                    // In the same file system, so that the files can be renamed.
                    tempfile::Builder::new().prefix(".signing-").tempdir_in(directory)
                });
                Ok(SignedOutput::Directory {
                    new: new.map_err(|reason| unwritable(directory, reason))?,
                    directory: directory.to_owned(),
                })
            }
            (None, None) => Ok(SignedOutput::Stdout(Encoder::new(BufWriter::new(io::stdout())))),
        }
    }

    pub(crate) fn write(&mut self, assertion: &Assertion) -> Result<(), OutputError> {
        match self {
            SignedOutput::Stdout(encoder) => encoder.write(assertion).map_err(OutputError::Stdout),
            SignedOutput::File { encoder, file } => encoder
                .write(assertion)
                .map_err(|reason| unwritable(file, reason)),
            SignedOutput::Directory { new, .. } => {
                let file = new.path().join(file_name(assertion));
                Ok(files::write_new(&file, assertion.to_string().as_bytes(), MODE)?)
            }
        }
    }

    /// Returns true if what was written cannot be taken back.
    pub(crate) fn is_stdout(&self) -> bool {
        matches!(self, SignedOutput::Stdout(_))
    }

    /// Gives the result its name, durably.
    pub(crate) fn finish(self) -> Result<(), OutputError> {
        match self {
            SignedOutput::Stdout(encoder) => encoder.into_inner().flush().map_err(OutputError::Stdout),
            SignedOutput::File { encoder, file } => {
                let new = encoder.into_inner().into_inner();
                let new = new.map_err(|error| unwritable(&file, error.into_error()))?;
                Ok(new.commit()?)
            }
            SignedOutput::Directory { new, directory } => {
                move_files(&new, &directory).map_err(|reason| unwritable(&directory, reason))
            }
        }
    }
}

/// Renames the files, whose content is flushed already, and flushes their names.
fn move_files(new: &TempDir, directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(new.path())? {
        let entry = entry?;
        fs::rename(entry.path(), directory.join(entry.file_name()))?;
    }
    files::sync_directory(directory)
}

fn file_name(assertion: &Assertion) -> String {
    let header = |name| assertion.header(name).unwrap_or_default();
    let stem = file_stem(header("hardware-id"), header("hardware-id-key-sha3-384"));
    format!("{stem}.assert")
}

/// The hardware id if it can be a file name, else the digest of the key; both are unique in a batch.
pub(crate) fn file_stem(id: &str, key_digest: &str) -> String {
    let is_file_name = id.len() <= LONGEST_NAME
        && id.starts_with(|first: char| first.is_ascii_alphanumeric())
        && !id.starts_with(OF_KEY)
        && id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    match is_file_name {
        true => id.to_owned(),
        false => format!("{OF_KEY}{key_digest}"),
    }
}
