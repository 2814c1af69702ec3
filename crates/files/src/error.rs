//! File errors: cause and advice.

use std::io;
use std::path::PathBuf;

use miette::Diagnostic;
use thiserror::Error;

/// Why a file cannot be read or written.
#[derive(Debug, Error, Diagnostic)]
pub enum FileError {
    /// It cannot be opened or read.
    #[error("cannot read {}: {reason}", path.display())]
    #[diagnostic(
        code("file-unreadable"),
        help("Check the path and the permissions of the file")
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// It is a directory, a FIFO, a socket or a device.
    #[error("cannot read {}: not a regular file", path.display())]
    #[diagnostic(code("file-not-regular"), help("Name a regular file"))]
    NotRegular {
        /// What was named.
        path: PathBuf,
    },
    /// It has more bytes than the caller reads.
    #[error("cannot read {}: larger than {limit} bytes", path.display())]
    #[diagnostic(code("file-too-large"), help("Check that this is the right file"))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
    /// It is not UTF-8 text.
    #[error("cannot read {}: not UTF-8 text", path.display())]
    #[diagnostic(code("file-not-utf8"), help("Check that this is the right file"))]
    NotUtf8 {
        /// The file.
        path: PathBuf,
    },
    /// It holds a secret, and others than its owner can read or write it.
    #[error("others than its owner can read or write {} (mode {mode:04o})", path.display())]
    #[diagnostic(code("file-exposed"), help("Run `chmod 600 {}`", path.display()))]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It cannot be written or flushed.
    #[error("cannot write {}: {reason}", path.display())]
    #[diagnostic(
        code("file-unwritable"),
        help("Check that its directory exists, can be written and has room")
    )]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// Another program holds the lock on its new content.
    #[error("cannot write {}: another program is writing it", path.display())]
    #[diagnostic(
        code("file-busy"),
        help("Try again when it has ended; `fuser {}` shows it", new.display())
    )]
    Busy {
        /// The file.
        path: PathBuf,
        /// The file beside it that the other program has locked.
        new: PathBuf,
    },
}

impl FileError {
    /// Returns true if the file does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, FileError::Unreadable { reason, .. } if reason.kind() == io::ErrorKind::NotFound)
    }
}
