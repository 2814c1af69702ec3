//! An export on a terminal or serial port, between lines that a program at the other end can find.

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

use super::{DeliveryError, Parcel, digest_of};

const BEGIN: &str = "-----BEGIN HARDWARE IDENTITY EXPORT-----";
const END: &str = "-----END HARDWARE IDENTITY EXPORT";
const FAILED: &str = "-----HARDWARE IDENTITY FAILED-----";
/// An export has one or two KiB: two seconds at 9600 baud. A terminal that takes nothing for so long was stopped.
pub(super) const EXPORT_LIMIT: Duration = Duration::from_secs(60);
/// A failure is told if that is quickly done: it may be the console's own.
pub(super) const FAILURE_LIMIT: Duration = Duration::from_secs(5);

/// A terminal or serial port.
#[derive(Debug)]
pub(super) struct Console {
    file: File,
    device: PathBuf,
    limit: Duration,
    deadline: Instant,
}

impl Console {
    /// Opens it, without waiting for a modem and without making it this program's own. `limit` counts from here.
    ///
    /// # Errors
    /// Where it cannot be opened, or is no terminal.
    pub(super) fn open(device: &Path, limit: Duration) -> Result<Self, DeliveryError> {
        let flags = OFlags::NOCTTY | OFlags::NONBLOCK;
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(flags.bits().cast_signed())
            .open(device)
            .map_err(|error| failed(device, &error, limit))?;
        if !isatty(&file) {
            return Err(DeliveryError::Console {
                device: device.to_owned(),
                problem: "it is no terminal or serial port".to_owned(),
                next: "Correct the setting `factory.export`",
            });
        }
        Ok(Console {
            file,
            device: device.to_owned(),
            limit,
            deadline: Instant::now() + limit,
        })
    }

    /// Writes the export and waits until it has left the device.
    ///
    /// # Errors
    /// Where that does not happen in time.
    pub(super) fn put(&self, parcel: &Parcel<'_>) -> Result<(), DeliveryError> {
        let digest = digest_of(parcel.line);
        // Whatever was on the line before, the first marker begins one.
        self.write(&format!(
            "\n{BEGIN}\n{}\n{END} sha256={digest}-----\n",
            parcel.line
        ))
    }

    /// Writes why there is no export, for whoever waits for one.
    ///
    /// # Errors
    /// As for an export.
    pub(super) fn say_failure(&self, message: &str) -> Result<(), DeliveryError> {
        let message = message.replace(char::is_control, " ");
        self.write(&format!("\n{FAILED}\n{message}\n"))
    }

    fn write(&self, text: &str) -> Result<(), DeliveryError> {
        self.write_all(text.as_bytes())
            .and_then(|()| self.drain())
            .map_err(|error| failed(&self.device, &error, self.limit))
    }

    fn write_all(&self, mut rest: &[u8]) -> io::Result<()> {
        while !rest.is_empty() {
            self.wait()?;
            match (&self.file).write(rest) {
                Ok(length) => rest = &rest[length..],
                Err(error) if [ErrorKind::WouldBlock, ErrorKind::Interrupted].contains(&error.kind()) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until it takes something.
    fn wait(&self) -> io::Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let limit = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&self.file, PollFlags::OUT)], Some(&limit)) {
            Ok(0) => Err(ErrorKind::TimedOut.into()),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits until everything has left the device. A line that was stopped lets no one wait for a limited time.
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

fn failed(device: &Path, error: &io::Error, limit: Duration) -> DeliveryError {
    let (problem, next) = match error.kind() {
        ErrorKind::TimedOut => (
            format!("it took nothing for {} s", limit.as_secs()),
            "Check the cable, and that nothing at the other end has stopped it (Ctrl-S)",
        ),
        ErrorKind::PermissionDenied => (
            error.to_string(),
            "Use the console of the kernel, /dev/console, which needs no plug, or connect the plug serial-port",
        ),
        _ => (
            error.to_string(),
            "Check the cable and the kernel's parameter console=, or correct the setting `factory.export`",
        ),
    };
    DeliveryError::Console {
        device: device.to_owned(),
        problem,
        next,
    }
}
