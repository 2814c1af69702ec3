//! Delivery errors: cause and advice.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use failure::Diagnostic;
use files::FileError;
use rustix::io::Errno;
use thiserror::Error;

/// Why an export was not delivered.
#[derive(Debug, Error, Diagnostic)]
pub enum DeliveryError {
    /// The volume cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Volume(#[from] VolumeError),
    /// The console cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Console(#[from] ConsoleError),
    /// The medium is full (ENOSPC, EDQUOT).
    #[error("cannot write the export to {}: no space left", .0.display())]
    #[diagnostic(code("export-no-space"), help("Make room, or use another volume"))]
    NoSpace(PathBuf),
    /// The file system is mounted read-only (EROFS).
    #[error("cannot write the export to {}: the file system is mounted read-only", .0.display())]
    #[diagnostic(code("export-read-only"), help("Mount it writable"))]
    ReadOnly(PathBuf),
    /// The hook may not write there (EACCES, EPERM).
    #[error("cannot write the export to {}: permission denied", .0.display())]
    #[diagnostic(
        code("export-permission-denied"),
        help(
            "Connect the plug that allows it: removable-media below /media, /run/media and /mnt, \
             system-files elsewhere"
        )
    )]
    PermissionDenied(PathBuf),
    /// The directory does not exist (ENOENT, ENOTDIR).
    #[error("cannot write the export to {}: its directory does not exist", .0.display())]
    #[diagnostic(
        code("export-directory-missing"),
        help("Check that the volume is still there, or correct the setting `factory.export`")
    )]
    DirectoryMissing(PathBuf),
    /// The medium was removed or fails (EIO, ENODEV, ENXIO).
    #[error("cannot write the export to {}: the volume is gone or broken ({reason})", file.display())]
    #[diagnostic(
        code("export-volume-broken"),
        help("Plug the volume in again and boot the device again, or use another volume")
    )]
    VolumeBroken {
        /// The file.
        file: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// The file cannot be written for another reason.
    #[error("cannot write the export to {}: {reason}", file.display())]
    #[diagnostic(code("export-unwritable"), help("Check the volume"))]
    Unwritable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// Another program is writing the export.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Busy(FileError),
    /// A link, a directory or a device has the name of the export.
    #[error("cannot write the export to {}: it exists and is not a regular file", .0.display())]
    #[diagnostic(
        code("export-not-regular"),
        help("Remove it, or correct the setting `factory.export`")
    )]
    NotRegular(PathBuf),
    /// A file with the name of the export exists that is not an export of this device.
    #[error("{} exists and is not an export of this device; it is never overwritten", .0.display())]
    #[diagnostic(
        code("export-of-other-device"),
        help(
            "Find out which device it is from: no two devices may have the same hardware id. Remove it \
             if the TPM or the board of this device was replaced"
        )
    )]
    OtherDevice(PathBuf),
    /// What was read back from the medium differs from what was written.
    #[error("{} does not hold what was written to it", .0.display())]
    #[diagnostic(code("export-not-stored"), help("Replace the medium"))]
    NotStored(PathBuf),
}

/// Why a volume cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub enum VolumeError {
    /// No volume has the label.
    #[error("no volume has the label `{label}`: {} leads to no device (labels found: {found})", link.display())]
    #[diagnostic(
        code("volume-missing"),
        help("Plug the volume in before the device boots, or correct the setting `factory.export`")
    )]
    Missing {
        /// The label.
        label: String,
        /// The link that udev makes for the label.
        link: PathBuf,
        /// The labels of the volumes that exist.
        found: String,
    },
    /// A volume has the label, and it is not mounted.
    #[error("the volume with the label `{label}` ({}) is not mounted", node.display())]
    #[diagnostic(
        code("volume-not-mounted"),
        help("Mount it before this hook runs, or choose another `factory.export`")
    )]
    NotMounted {
        /// The label.
        label: String,
        /// The device.
        node: PathBuf,
    },
    /// The table of mounts cannot be read.
    #[error("cannot read the table of mounts from {file}: {reason}")]
    #[diagnostic(
        code("mounts-unreadable"),
        help("Connect the plug mount-observe, which `factory.export` needs for a volume")
    )]
    Mounts {
        /// The table.
        file: &'static str,
        /// What the system said.
        reason: io::Error,
    },
}

/// Why a console cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub enum ConsoleError {
    /// It is not a terminal or serial port.
    #[error("cannot write to the console {}: it is not a terminal or serial port", .0.display())]
    #[diagnostic(code("console-not-a-terminal"), help("Correct the setting `factory.export`"))]
    NotTerminal(PathBuf),
    /// It did not take all data in time.
    #[error("cannot write to the console {}: it took no data for {seconds} s", device.display())]
    #[diagnostic(
        code("console-timeout"),
        help("Check the cable, and that the other end has not stopped the output (Ctrl-S)")
    )]
    Timeout {
        /// The device.
        device: PathBuf,
        /// The limit.
        seconds: u64,
    },
    /// The hook may not open it (EACCES, EPERM).
    #[error("cannot write to the console {}: permission denied", .0.display())]
    #[diagnostic(
        code("console-permission-denied"),
        help("Use the kernel's console, /dev/console, which needs no plug, or connect the plug serial-port")
    )]
    PermissionDenied(PathBuf),
    /// It cannot be opened or written for another reason.
    #[error("cannot write to the console {}: {reason}", device.display())]
    #[diagnostic(
        code("console-unusable"),
        help("Check the cable and the kernel parameter console=, or correct the setting `factory.export`")
    )]
    Unusable {
        /// The device.
        device: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
}

impl DeliveryError {
    /// The failure to open, write or flush `file`.
    pub(super) fn from_io(file: &Path, reason: io::Error) -> Self {
        const BROKEN: [Errno; 3] = [Errno::IO, Errno::NODEV, Errno::NXIO];
        let file = file.to_owned();
        match reason.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => DeliveryError::NoSpace(file),
            ErrorKind::ReadOnlyFilesystem => DeliveryError::ReadOnly(file),
            ErrorKind::PermissionDenied => DeliveryError::PermissionDenied(file),
            ErrorKind::NotFound | ErrorKind::NotADirectory => DeliveryError::DirectoryMissing(file),
            _ if BROKEN
                .iter()
                .any(|errno| Some(errno.raw_os_error()) == reason.raw_os_error()) =>
            {
                DeliveryError::VolumeBroken { file, reason }
            }
            _ => DeliveryError::Unwritable { file, reason },
        }
    }

    pub(super) fn from_file(file: &Path, error: FileError) -> Self {
        match error {
            FileError::Unreadable { reason, .. } | FileError::Unwritable { reason, .. } => {
                DeliveryError::from_io(file, reason)
            }
            busy @ FileError::Busy { .. } => DeliveryError::Busy(busy),
            FileError::NotRegular { .. } => DeliveryError::NotRegular(file.to_owned()),
            other => DeliveryError::Unwritable {
                file: file.to_owned(),
                reason: io::Error::other(other),
            },
        }
    }
}
