//! Where signed assertions go: a stream to stdout or to a file, or a file for each device.

use std::fs;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::ensure;
use snap_assertions::{Assertion, Encoder};
use tempfile::{NamedTempFile, TempDir};

use crate::explain::Explain as _;
use crate::output::{new_file, put_in_place};

/// Longer hardware ids are no names for files.
const LONGEST_NAME: usize = 100;

/// The assertions so far. Unless [`Self::finish`] is reached nothing of them is left, but on stdout.
pub(crate) enum Signed {
    Stdout(Encoder<BufWriter<io::Stdout>>),
    File {
        encoder: Encoder<BufWriter<NamedTempFile>>,
        file: PathBuf,
    },
    Folder {
        new: TempDir,
        folder: PathBuf,
    },
}

impl Signed {
    pub(crate) fn create(file: Option<&Path>, folder: Option<&Path>) -> anyhow::Result<Self> {
        match (file, folder) {
            (Some(file), _) => {
                ensure!(
                    fs::metadata(file).map_or(true, |metadata| metadata.is_file()),
                    "{} is no plain file, which the assertions could replace. Leave --output out to write to \
                     stdout",
                    file.display()
                );
                let new = new_file(file).explain(unwritable(file), NEXT)?;
                Ok(Signed::File {
                    encoder: Encoder::new(BufWriter::new(new)),
                    file: file.to_owned(),
                })
            }
            (None, Some(folder)) => {
                let new = fs::create_dir_all(folder).and_then(|()| {
                    // Inside, so that the files can be renamed into their places.
                    tempfile::Builder::new().prefix(".signing-").tempdir_in(folder)
                });
                Ok(Signed::Folder {
                    new: new.explain(unwritable(folder), NEXT)?,
                    folder: folder.to_owned(),
                })
            }
            (None, None) => Ok(Signed::Stdout(Encoder::new(BufWriter::new(io::stdout())))),
        }
    }

    pub(crate) fn write(&mut self, assertion: &Assertion) -> anyhow::Result<()> {
        match self {
            Signed::Stdout(encoder) => encoder.write(assertion).explain(STDOUT, "Check where it leads"),
            Signed::File { encoder, file } => encoder.write(assertion).explain(unwritable(file), NEXT),
            Signed::Folder { new, folder } => {
                fs::write(new.path().join(file_name(assertion)), assertion.to_string())
                    .explain(unwritable(folder), NEXT)
            }
        }
    }

    /// What is left of the output where signing does not come to its end.
    pub(crate) fn remains(&self) -> &'static str {
        match self {
            Signed::Stdout(_) => "What was written to stdout is incomplete: discard it, and run it again",
            Signed::File { .. } | Signed::Folder { .. } => "Nothing was written; run it again",
        }
    }

    /// Puts the result in its place.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        match self {
            Signed::Stdout(encoder) => encoder
                .into_inner()
                .flush()
                .explain(STDOUT, "Check where it leads"),
            Signed::File { encoder, file } => {
                let new = encoder
                    .into_inner()
                    .into_inner()
                    .map_err(io::IntoInnerError::into_error);
                new.and_then(|new| put_in_place(new, &file))
                    .explain(unwritable(&file), NEXT)
            }
            Signed::Folder { new, folder } => move_files(&new, &folder).explain(unwritable(&folder), NEXT),
        }
    }
}

const STDOUT: &str = "stdout cannot be written";
const NEXT: &str = "Check that it can be, and that the disk has room";

fn unwritable(path: &Path) -> String {
    format!("{} cannot be written", path.display())
}

fn move_files(new: &TempDir, folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(new.path())? {
        let entry = entry?;
        fs::rename(entry.path(), folder.join(entry.file_name()))?;
    }
    Ok(())
}

/// The hardware id where it can be a file's name, else the digest of the key; both are unique in a batch.
fn file_name(assertion: &Assertion) -> String {
    let id = assertion.header("hardware-id").unwrap_or_default();
    let plain = id.len() <= LONGEST_NAME
        && id.starts_with(|first: char| first.is_ascii_alphanumeric())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    match plain {
        true => format!("{id}.assert"),
        false => format!(
            "key-{}.assert",
            assertion.header("hardware-id-key-sha3-384").unwrap_or_default()
        ),
    }
}
