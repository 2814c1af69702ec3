//! The device's serial number for the header `hardware-id`, from the configured source.

mod placeholder;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use failure::Diagnostic;
use files::FileError;
use thiserror::Error;

use crate::quote::shortened;
use placeholder::is_placeholder;

/// Bytes. Far above any serial number.
const LARGEST: u64 = 64 * 1024;

/// The source of the hardware id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HardwareIdSource {
    /// `dmi:product_serial`: the system's serial number in SMBIOS.
    DmiProductSerial,
    /// `dmi:board_serial`: the main board's serial number in SMBIOS.
    DmiBoardSerial,
    /// `device-tree`: the property `serial-number` of the device tree's root.
    DeviceTree,
    /// `key-digest`: the digest of the identity key.
    KeyDigest,
    /// Any other value: the hardware id itself.
    Literal(String),
}

/// Why a hardware id cannot be read or used.
#[derive(Debug, Error, Diagnostic)]
pub enum HardwareIdError {
    /// The file that holds it cannot be read.
    #[error("cannot read the hardware id ({source_name}): {problem}")]
    #[diagnostic(
        code("hardware-id-unreadable"),
        help("Connect the plug hardware-observe, or set `hardware-id` to another source")
    )]
    Unreadable {
        /// The source.
        source_name: &'static str,
        /// The failure to read the file.
        problem: FileError,
    },
    /// The value is one that vendors put in place of a missing serial number.
    #[error("the hardware id ({source_name}) is `{value}`, a vendor's placeholder for a missing serial number")]
    #[diagnostic(
        code("hardware-id-placeholder"),
        help(
            "Set `hardware-id` to another source: dmi:product_serial, dmi:board_serial, device-tree, \
             key-digest, or a value of your own"
        )
    )]
    Placeholder {
        /// The source.
        source_name: &'static str,
        /// The value.
        value: String,
    },
    /// The value is empty.
    #[error("the hardware id ({0}) is empty")]
    #[diagnostic(
        code("hardware-id-empty"),
        help("Set `hardware-id` to another source, or to a value of your own")
    )]
    Empty(&'static str),
    /// The value contains control characters.
    #[error("the hardware id ({0}) contains control characters")]
    #[diagnostic(
        code("hardware-id-control-character"),
        help("Set `hardware-id` to another source, or correct its value")
    )]
    ControlCharacter(&'static str),
}

/// The name is not that of a source.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
#[error("`{0}` is not a source of a hardware id")]
#[diagnostic(
    code("hardware-id-source-unknown"),
    help("Use dmi:product_serial, dmi:board_serial, device-tree, key-digest, or a value of your own")
)]
pub struct UnknownSource(String);

impl HardwareIdSource {
    /// Reads the hardware id. `key_digest` is the digest of the identity key in the form in use.
    ///
    /// # Errors
    /// [`HardwareIdError`].
    pub fn read(&self, key_digest: &str) -> Result<String, HardwareIdError> {
        self.read_below(Path::new("/"), key_digest)
    }

    /// Checks what is known without the device: a value of the user's own.
    ///
    /// # Errors
    /// [`HardwareIdError`] if the value is empty, contains control characters, or is a placeholder.
    pub fn check(&self) -> Result<(), HardwareIdError> {
        match self {
            HardwareIdSource::Literal(value) => self.checked(value).map(drop),
            _ => Ok(()),
        }
    }

    fn read_below(&self, root: &Path, key_digest: &str) -> Result<String, HardwareIdError> {
        let path = match self {
            HardwareIdSource::KeyDigest => return Ok(key_digest.to_owned()),
            HardwareIdSource::Literal(value) => return self.checked(value),
            HardwareIdSource::DmiProductSerial => "sys/class/dmi/id/product_serial",
            HardwareIdSource::DmiBoardSerial => "sys/class/dmi/id/board_serial",
            HardwareIdSource::DeviceTree => "proc/device-tree/serial-number",
        };
        let content = files::read_text(&root.join(path), LARGEST).map_err(|problem| {
            HardwareIdError::Unreadable {
                source_name: self.name(),
                problem,
            }
        })?;
        // sysfs ends a value with a line feed, the device tree with a NUL.
        self.checked(content.trim_end_matches(['\n', '\0']))
    }

    fn checked(&self, value: &str) -> Result<String, HardwareIdError> {
        let value = value.trim();
        if value.is_empty() {
            return Err(HardwareIdError::Empty(self.name()));
        }
        if value.chars().any(char::is_control) {
            return Err(HardwareIdError::ControlCharacter(self.name()));
        }
        if is_placeholder(value) {
            return Err(HardwareIdError::Placeholder {
                source_name: self.name(),
                value: value.to_owned(),
            });
        }
        Ok(value.to_owned())
    }

    fn name(&self) -> &'static str {
        match self {
            HardwareIdSource::DmiProductSerial => "dmi:product_serial",
            HardwareIdSource::DmiBoardSerial => "dmi:board_serial",
            HardwareIdSource::DeviceTree => "device-tree",
            HardwareIdSource::KeyDigest => "key-digest",
            HardwareIdSource::Literal(_) => "value of your own",
        }
    }
}

impl FromStr for HardwareIdSource {
    type Err = UnknownSource;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        match value {
            "dmi:product_serial" => Ok(HardwareIdSource::DmiProductSerial),
            "dmi:board_serial" => Ok(HardwareIdSource::DmiBoardSerial),
            "device-tree" => Ok(HardwareIdSource::DeviceTree),
            "key-digest" => Ok(HardwareIdSource::KeyDigest),
            other if other.is_empty() || other.starts_with("dmi:") => Err(UnknownSource(shortened(other))),
            other => Ok(HardwareIdSource::Literal(other.to_owned())),
        }
    }
}

impl fmt::Display for HardwareIdSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(source: &str, file: &str, content: &[u8]) -> Result<String, HardwareIdError> {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        source
            .parse::<HardwareIdSource>()
            .unwrap()
            .read_below(root.path(), "digest")
    }

    #[test]
    fn each_source_is_read_from_its_file() {
        for (source, file, content) in [
            (
                "dmi:product_serial",
                "sys/class/dmi/id/product_serial",
                "AB-12 3\n",
            ),
            ("dmi:board_serial", "sys/class/dmi/id/board_serial", "AB-12 3 \n"),
            ("device-tree", "proc/device-tree/serial-number", "AB-12 3\0"),
            ("AB-12 3", "unused", ""),
        ] {
            assert_eq!(read(source, file, content.as_bytes()).unwrap(), "AB-12 3");
        }
        assert_eq!(read("key-digest", "unused", b"").unwrap(), "digest");
    }

    #[test]
    fn a_placeholder_is_refused_from_each_source() {
        let file = "sys/class/dmi/id/board_serial";
        for error in [
            read("dmi:board_serial", file, b"Default string\n").unwrap_err(),
            read("Default string", "unused", b"").unwrap_err(),
        ] {
            assert!(matches!(error, HardwareIdError::Placeholder { .. }), "{error}");
        }
    }

    #[test]
    fn unusable_values_are_refused() {
        let read = |content| read("device-tree", "proc/device-tree/serial-number", content).unwrap_err();
        assert!(matches!(read(b"\n"), HardwareIdError::Empty(_)));
        assert!(matches!(read(b"a\x07b"), HardwareIdError::ControlCharacter(_)));
        assert!(matches!(read(b"\xff"), HardwareIdError::Unreadable { .. }));
        let missing = super::tests::read("device-tree", "unused", b"").unwrap_err();
        assert!(matches!(missing, HardwareIdError::Unreadable { problem, .. } if problem.is_not_found()));
        for source in ["dmi:chassis_serial", ""] {
            assert!(source.parse::<HardwareIdSource>().is_err());
        }
    }
}
