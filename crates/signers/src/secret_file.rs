//! Reading a file that holds a private key or a PIN.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use anyhow::{anyhow, bail};
use zeroize::Zeroizing;

/// An RSA-16384 key in PEM has less than 13 KiB.
const LARGEST: usize = 64 * 1024;
/// Readable or writable by the group, or by others. Entries of an access control list show in the group's bits.
const OTHERS_ACCESS: u32 = 0o066;

/// What stands in `file`; `what` names it in errors. Its bytes are wiped from memory when they are dropped.
///
/// # Errors
/// If it cannot be read, or if others than its owner can read or write it and `insecure` does not allow that.
pub(crate) fn read(file: &Path, what: &str, insecure: bool) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let shown = file.display();
    let unreadable =
        |error| anyhow!("{what} {shown} cannot be read: {error}. Check the path and who may read the file");
    let mut opened = File::open(file).map_err(unreadable)?;
    // Of the open file, so that nobody can put another one in its place in between.
    let mode = opened.metadata().map_err(unreadable)?.mode();
    if mode & OTHERS_ACCESS != 0 && !insecure {
        bail!(
            "{what} {shown} can be read or written by others than its owner (mode {:04o}). Run `chmod 600 {shown}`, \
             or say --insecure-key-permissions",
            mode & 0o7777
        );
    }
    // With room for all of it: a vector that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LARGEST + 64));
    let limit = LARGEST as u64 + 1;
    opened
        .by_ref()
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() > LARGEST {
        bail!("{what} {shown} is larger than 64 KiB. Check that it is the right file");
    }
    Ok(bytes)
}
