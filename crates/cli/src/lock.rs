//! Locks of files that one program writes at a time.

use std::fs::{File, TryLockError};
use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// Locks a file, and waits up to `wait` for another program that has it. Returns false if that one keeps
/// it.
pub(crate) fn lock(file: &File, wait: Duration) -> io::Result<bool> {
    let end = Instant::now() + wait;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if Instant::now() < end => thread::sleep(PAUSE),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(reason)) => return Err(reason),
        }
    }
}
