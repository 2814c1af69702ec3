//! Reading and writing files, as every program of this project does it.
//!
//! - [`open`], [`open_no_follow`], [`read`] and [`read_text`] take regular files and descriptors of
//!   this process only, and never wait for a named FIFO or a terminal; [`read`] and [`read_text`]
//!   have a size limit.
//! - [`read_private`] also refuses a file that others than its owner can read or write.
//! - [`NewFile`] and [`write`](fn@write) replace a file as a whole: after a power cut the old or the new
//!   content is there, and what was reported as written is on the disk.
//! - [`open_to_append`] opens a log that only grows.
//! - [`overwrite`] writes a file that can be made again, without a flush.
//! - [`write_new`] writes one of many files that get their names together, later.
#![forbid(unsafe_code)]

mod error;
mod read;
mod write;

pub use error::FileError;
pub use read::{open, open_no_follow, read, read_private, read_text};
pub use write::{
    LONGEST_WAIT, NewFile, directory_of, open_to_append, overwrite, sync_directory, write, write_new,
};
