//! The device's serial number for the header `hardware-id`, from the configured source.

mod placeholder;

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use failure::Diagnostic;
use files::FileError;
use identity_key::is_hardware_id;
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
    #[error(
        "the hardware id ({source_name}) is `{value}`, a vendor's placeholder for a missing serial number"
    )]
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
    /// The value contains characters that are not printable ASCII, such as a no-break space or a
    /// letter that only looks like a Latin one.
    #[error("the hardware id ({source_name}) is `{value}`, which is not printable ASCII")]
    #[diagnostic(
        code("hardware-id-not-ascii"),
        help("Set `hardware-id` to another source, or to a value of printable ASCII characters")
    )]
    NotAscii {
        /// The source.
        source_name: &'static str,
        /// The value, with escapes for the other characters.
        value: String,
    },
    /// A value of the user's own begins or ends with a space.
    #[error("the hardware id ({0}) begins or ends with a space")]
    #[diagnostic(code("hardware-id-outer-space"), help("Remove the space from `hardware-id`"))]
    OuterSpace(&'static str),
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
    /// [`HardwareIdError`] if the value is empty or a placeholder, contains other than printable
    /// ASCII characters, or begins or ends with a space.
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
        let content =
            files::read(&root.join(path), LARGEST).map_err(|problem| HardwareIdError::Unreadable {
                source_name: self.name(),
                problem,
            })?;
        // Firmware without a value can give any bytes, such as 0xFF in all places.
        let content = String::from_utf8_lossy(&content);
        // sysfs ends a value with a line feed, the device tree with a NUL. Firmware fills fields
        // with spaces.
        let value = content.trim_end_matches(['\n', '\0']);
        self.checked(value.trim_matches(' '))
    }

    fn checked(&self, value: &str) -> Result<String, HardwareIdError> {
        let source_name = self.name();
        match value {
            _ if value.trim_matches(' ').is_empty() => Err(HardwareIdError::Empty(source_name)),
            _ if value.contains(char::is_control) => Err(HardwareIdError::ControlCharacter(source_name)),
            _ if is_placeholder(value) => Err(HardwareIdError::Placeholder {
                source_name,
                value: shortened(value),
            }),
            _ if !value.is_ascii() => Err(HardwareIdError::NotAscii {
                source_name,
                value: shortened(value).escape_default().to_string(),
            }),
            _ if !is_hardware_id(value) => Err(HardwareIdError::OuterSpace(source_name)),
            _ => Ok(value.to_owned()),
        }
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

    /// The sources, with the file and the end of its content.
    const SOURCES: [(&str, &str, &str); 3] = [
        ("dmi:product_serial", "sys/class/dmi/id/product_serial", "\n"),
        ("dmi:board_serial", "sys/class/dmi/id/board_serial", "  \n"),
        ("device-tree", "proc/device-tree/serial-number", "\0"),
    ];

    #[test]
    fn a_placeholder_is_refused_from_each_source() {
        for value in include_str!("../../tests/data/hardware-ids-refused.txt").lines() {
            for (source, file, end) in SOURCES {
                let error = read(source, file, format!("{value}{end}").as_bytes()).unwrap_err();
                assert!(matches!(error, HardwareIdError::Placeholder { .. }), "{error}");
            }
            let error = read(value, "unused", b"").unwrap_err();
            assert!(matches!(error, HardwareIdError::Placeholder { .. }), "{error}");
        }
        // 0xFF is not UTF-8, and "ÿ" in Latin-1.
        let error = read(SOURCES[0].0, SOURCES[0].1, &[0xff; 8]).unwrap_err();
        assert!(matches!(error, HardwareIdError::Placeholder { .. }), "{error}");
    }

    #[test]
    fn a_real_serial_number_is_taken_from_each_source() {
        for value in include_str!("../../tests/data/hardware-ids-accepted.txt").lines() {
            for (source, file, end) in SOURCES {
                assert_eq!(
                    read(source, file, format!("{value}{end}").as_bytes()).unwrap(),
                    value
                );
            }
            assert_eq!(read(value, "unused", b"").unwrap(), value);
        }
    }

    #[test]
    fn unusable_values_are_refused() {
        let read = |content| read("device-tree", "proc/device-tree/serial-number", content).unwrap_err();
        assert!(matches!(read(b"\n"), HardwareIdError::Empty(_)));
        assert!(matches!(read(b" \0"), HardwareIdError::Empty(_)));
        for content in [b"a\x07b", b"a\x00b", b"\x1b[m", b"ab\t"] {
            assert!(matches!(read(content), HardwareIdError::ControlCharacter(_)));
        }
        // A Cyrillic letter, a no-break space, a zero-width space, an override of the direction.
        for text in [
            "S\u{41d}-1",
            "SN\u{a0}1",
            "SN\u{200b}1",
            "SN\u{202e}1",
            "SN-1\u{a0}",
            "SN-\u{e9}",
        ] {
            assert!(
                matches!(read(text.as_bytes()), HardwareIdError::NotAscii { value, .. } if value.is_ascii())
            );
        }
        assert!(matches!(read(b"QX-\xe97"), HardwareIdError::NotAscii { .. }));
        for literal in [" SN-1", "SN-1 "] {
            let error = super::tests::read(literal, "unused", b"").unwrap_err();
            assert!(matches!(error, HardwareIdError::OuterSpace(_)), "{error}");
        }
        let missing = super::tests::read("device-tree", "unused", b"").unwrap_err();
        assert!(matches!(missing, HardwareIdError::Unreadable { problem, .. } if problem.is_not_found()));
        for source in ["dmi:chassis_serial", ""] {
            assert!(source.parse::<HardwareIdSource>().is_err());
        }
    }
}
