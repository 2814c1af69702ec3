//! Why an export could not be delivered.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use thiserror::Error;

/// Why an export could not be delivered.
#[derive(Debug, Error)]
pub enum DeliveryError {
    /// No volume has the label.
    #[error(
        "there is no volume with the label \"{label}\" ({} leads to no device; the labels there are: {there}). Plug it in before the \
         device is booted, or correct the setting `factory.export`", link.display()
    )]
    NoVolume {
        /// The label.
        label: String,
        /// Where udev would have put it.
        link: PathBuf,
        /// The labels that there are.
        there: String,
    },
    /// A volume has the label, and nobody mounted it.
    #[error(
        "the volume with the label \"{label}\" ({}) is not mounted. Have it mounted before this hook runs, or choose \
         another `factory.export`", node.display()
    )]
    NotMounted {
        /// The label.
        label: String,
        /// The device.
        node: PathBuf,
    },
    /// What is mounted is not to be seen.
    #[error(
        "what is mounted cannot be read from {}: {reason}. Connect the plug mount-observe, which `factory.export` needs \
         for a volume", file.display()
    )]
    Mounts {
        /// The table.
        file: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// The file cannot be written.
    #[error("the export cannot be written to {}: {problem}. {next}", file.display())]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problem: String,
        /// What to do.
        next: &'static str,
    },
    /// The name is taken.
    #[error(
        "{} is there already and is no export of this device; it is never overwritten. Find out which device it is \
         from: no two may have the same hardware id. Remove it if the TPM or the board of this device was replaced",
        file.display()
    )]
    Foreign {
        /// The file.
        file: PathBuf,
    },
    /// The medium does not keep what is written.
    #[error("{} does not hold what was written to it. Replace the medium", file.display())]
    NotKept {
        /// The file.
        file: PathBuf,
    },
    /// The console cannot be used.
    #[error("the export cannot be written to the console {}: {problem}. {next}", device.display())]
    Console {
        /// The device.
        device: PathBuf,
        /// What is wrong.
        problem: String,
        /// What to do.
        next: &'static str,
    },
}

impl DeliveryError {
    pub(super) fn unwritable(file: &Path, error: &io::Error) -> Self {
        let (problem, next) = explain(error);
        DeliveryError::Unwritable {
            file: file.to_owned(),
            problem,
            next,
        }
    }
}

/// What is wrong with a place for files, and what to do.
fn explain(error: &io::Error) -> (String, &'static str) {
    const BROKEN: [Errno; 3] = [Errno::IO, Errno::NODEV, Errno::NXIO];
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => (
            "no room is left there".to_owned(),
            "Make room, or use another volume",
        ),
        ErrorKind::ReadOnlyFilesystem => (
            "the file system is mounted read-only".to_owned(),
            "Have it mounted writable",
        ),
        ErrorKind::PermissionDenied => (
            error.to_string(),
            "Connect the plug that allows it: removable-media below /media, /run/media and /mnt, system-files elsewhere",
        ),
        ErrorKind::NotFound | ErrorKind::NotADirectory => (
            "its folder does not exist, or not any more".to_owned(),
            "Check that the volume is still there, or correct the setting `factory.export`",
        ),
        _ if error
            .raw_os_error()
            .is_some_and(|code| BROKEN.iter().any(|broken| broken.raw_os_error() == code)) =>
        {
            (
                format!("the volume is gone or broken ({error})"),
                "Plug it in again and boot the device again, or use another volume",
            )
        }
        _ => (error.to_string(), "Check the volume"),
    }
}
