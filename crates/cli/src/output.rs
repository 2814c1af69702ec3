//! Writing a result: to stdout, or to a file that is written whole or not at all.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::NamedTempFile;

use crate::explain::Explain as _;

/// Writes `text` to `file`, or to stdout where there is none.
///
/// # Errors
/// Where it cannot be written; an older file is then still there.
pub(crate) fn write(file: Option<&Path>, text: &str) -> anyhow::Result<()> {
    match file {
        None => io::stdout()
            .write_all(text.as_bytes())
            .explain("stdout cannot be written", "Check where it leads"),
        Some(file) => write_file(file, text).explain(
            format_args!("{} cannot be written", file.display()),
            "Check that its folder exists and has room",
        ),
    }
}

fn write_file(file: &Path, text: &str) -> io::Result<()> {
    // What is no plain file (a terminal, /dev/stdout) cannot be replaced by one.
    if fs::metadata(file).is_ok_and(|metadata| !metadata.is_file()) {
        return fs::write(file, text);
    }
    let mut new = new_file(file)?;
    new.write_all(text.as_bytes())?;
    put_in_place(new, file)
}

/// A file beside `file`, which [`put_in_place`] renames to it; otherwise it is removed when dropped.
pub(crate) fn new_file(file: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new()
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(folder_of(file))
}

/// The folder that the file is in.
pub(crate) fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Makes a whole and lasting file of what was written.
pub(crate) fn put_in_place(new: NamedTempFile, file: &Path) -> io::Result<()> {
    new.as_file().sync_all()?;
    new.persist(file)?;
    // The line takes the medium out.
    File::open(folder_of(file))?.sync_all()
}
