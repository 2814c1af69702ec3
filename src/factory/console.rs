//! Delivery to a terminal or serial port, between marker lines that the factory line looks for.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::termios::{isatty, tcdrain};

use super::{ConsoleError, hex_digest};

const FAILED: &str = "-----HARDWARE IDENTITY FAILED-----";
/// An export has one or two KiB: two seconds at 9600 baud. Evidence has at most 48 KiB: 50 s. A
/// terminal that takes no data for so long was stopped.
pub(super) const EXPORT_LIMIT: Duration = Duration::from_secs(60);
/// Short, because the failure that is announced may be the console's own.
pub(super) const FAILURE_LIMIT: Duration = Duration::from_secs(5);

/// An open terminal or serial port.
#[derive(Debug)]
pub(super) struct Console {
    file: File,
    device: PathBuf,
    limit: Duration,
    deadline: Instant,
}

impl Console {
    /// Opens it without waiting for a modem and without making it the controlling terminal. `limit`
    /// starts now and covers all later calls.
    ///
    /// # Errors
    /// [`ConsoleError`].
    pub(super) fn open(device: &Path, limit: Duration) -> Result<Self, ConsoleError> {
        let flags = OFlags::NOCTTY | OFlags::NONBLOCK;
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(flags.bits().cast_signed())
            .open(device)
            .map_err(|error| failed(device, error, limit))?;
        if !isatty(&file) {
            return Err(ConsoleError::NotTerminal(device.to_owned()));
        }
        Ok(Console {
            file,
            device: device.to_owned(),
            limit,
            deadline: Instant::now() + limit,
        })
    }

    /// Writes a line, such as the export, between markers with its name, and waits until it has left
    /// the device.
    ///
    /// # Errors
    /// [`ConsoleError`].
    pub(super) fn deliver(&self, name: &str, line: &str) -> Result<(), ConsoleError> {
        let digest = hex_digest(line);
        // The console may be in the middle of a line; a marker begins one.
        self.write(&format!(
            "\n-----BEGIN HARDWARE IDENTITY {name}-----\n{line}\n\
             -----END HARDWARE IDENTITY {name} sha256={digest}-----\n"
        ))
    }

    /// Writes why there is no export.
    ///
    /// # Errors
    /// [`ConsoleError`].
    pub(super) fn announce_failure(&self, message: &str) -> Result<(), ConsoleError> {
        self.write(&format!("\n{FAILED}\n{message}\n"))
    }

    fn write(&self, text: &str) -> Result<(), ConsoleError> {
        self.write_all(text.as_bytes())
            .and_then(|()| self.drain())
            .map_err(|error| failed(&self.device, error, self.limit))
    }

    fn write_all(&self, mut rest: &[u8]) -> io::Result<()> {
        while !rest.is_empty() {
            self.wait_until_writable()?;
            match (&self.file).write(rest) {
                Ok(length) => rest = &rest[length..],
                Err(error) if [ErrorKind::WouldBlock, ErrorKind::Interrupted].contains(&error.kind()) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn wait_until_writable(&self) -> io::Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let limit = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&self.file, PollFlags::OUT)], Some(&limit)) {
            Ok(0) => Err(ErrorKind::TimedOut.into()),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until all data has left the device. A thread does so, because tcdrain(3) has no time
    /// limit and never returns if the other end has stopped the output.
    fn drain(&self) -> io::Result<()> {
        let file = self.file.try_clone()?;
        let (drained, outcome) = mpsc::channel();
        thread::spawn(move || drained.send(tcdrain(&file)));
        let left = self.deadline.saturating_duration_since(Instant::now());
        match outcome.recv_timeout(left) {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(ErrorKind::TimedOut.into()),
        }
    }
}

fn failed(device: &Path, reason: io::Error, limit: Duration) -> ConsoleError {
    let device = device.to_owned();
    match reason.kind() {
        ErrorKind::TimedOut => ConsoleError::Timeout {
            device,
            seconds: limit.as_secs(),
        },
        ErrorKind::PermissionDenied => ConsoleError::PermissionDenied(device),
        _ => ConsoleError::Unusable { device, reason },
    }
}
