//! The device's serial number for the header `hardware-id`, from where the settings say.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use thiserror::Error;

/// What vendors leave in a serial number field that nobody filled, in lower case, without spaces and
/// punctuation.
const PLACEHOLDERS: [&str; 29] = [
    "123456",
    "1234567",
    "12345678",
    "123456789",
    "0123456789",
    "1234567890",
    "assettag",
    "baseboardserialnumber",
    "chassisserialnumber",
    "default",
    "defaultstring",
    "empty",
    "invalid",
    "na",
    "noassettag",
    "none",
    "notapplicable",
    "notavailable",
    "notset",
    "notspecified",
    "null",
    "oem",
    "serial",
    "serialnumber",
    "systemserialnumber",
    "tbd",
    "tobefilledbyoem",
    "undefined",
    "unknown",
];

/// Where the hardware id comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HardwareIdSource {
    /// `dmi:product_serial`: the system's serial number in SMBIOS.
    DmiProductSerial,
    /// `dmi:board_serial`: the main board's serial number in SMBIOS.
    DmiBoardSerial,
    /// `device-tree`: the property `serial-number` of the device tree's root.
    DeviceTree,
    /// `key-digest`: the digest of the identity key itself.
    KeyDigest,
    /// Anything else: the value itself.
    Literal(String),
}

/// Why there is no hardware id.
#[derive(Debug, Error)]
pub enum HardwareIdError {
    /// The file that holds it cannot be read.
    #[error(
        "the hardware id ({from}) cannot be read from {}: {reason}. Connect the plug hardware-observe, or \
         choose another source with the setting `hardware-id`: dmi:product_serial, dmi:board_serial, \
         device-tree, key-digest, or a value of your own", path.display()
    )]
    Unreadable {
        /// The setting.
        from: String,
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// The value stands in for a missing one.
    #[error(
        "the hardware id ({from}) is \"{value}\", which vendors put on every device where a serial number is \
         missing. Choose another source with the setting `hardware-id`: dmi:product_serial, \
         dmi:board_serial, device-tree, key-digest, or a value of your own"
    )]
    Placeholder {
        /// The setting, or the flag.
        from: String,
        /// The value found.
        value: String,
    },
    /// Empty, not UTF-8, or with control characters.
    #[error(
        "the hardware id ({from}) {problem}. Correct the value, or choose another source with the setting \
         `hardware-id`: dmi:product_serial, dmi:board_serial, device-tree, key-digest, or a value of your \
         own"
    )]
    Unusable {
        /// The setting, or the flag.
        from: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

impl HardwareIdSource {
    /// Reads the hardware id. `key_digest` is the digest of the identity key in the form in use.
    ///
    /// # Errors
    /// Where there is none, or only a vendor's placeholder.
    pub fn read(&self, key_digest: &str) -> Result<String, HardwareIdError> {
        self.read_below(Path::new("/"), key_digest)
    }

    /// What can be known without the device: whether a value of one's own can be a hardware id.
    ///
    /// # Errors
    /// Where it is empty, has control characters, or is a placeholder.
    pub fn check(&self) -> Result<(), HardwareIdError> {
        match self {
            HardwareIdSource::Literal(value) => checked(self, value).map(drop),
            _ => Ok(()),
        }
    }

    fn read_below(&self, root: &Path, key_digest: &str) -> Result<String, HardwareIdError> {
        let path = match self {
            HardwareIdSource::KeyDigest => return Ok(key_digest.to_owned()),
            HardwareIdSource::Literal(value) => return checked(self, value),
            HardwareIdSource::DmiProductSerial => "sys/class/dmi/id/product_serial",
            HardwareIdSource::DmiBoardSerial => "sys/class/dmi/id/board_serial",
            HardwareIdSource::DeviceTree => "proc/device-tree/serial-number",
        };
        let path = root.join(path);
        let bytes = fs::read(&path).map_err(|reason| HardwareIdError::Unreadable {
            from: self.to_string(),
            path,
            reason,
        })?;
        let text = String::from_utf8(bytes).map_err(|_| HardwareIdError::Unusable {
            from: self.to_string(),
            problem: "is not UTF-8",
        })?;
        // sysfs ends a value with a line feed, the device tree with a NUL.
        checked(self, text.trim_end_matches(['\n', '\0']))
    }
}

impl FromStr for HardwareIdSource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "dmi:product_serial" => Ok(HardwareIdSource::DmiProductSerial),
            "dmi:board_serial" => Ok(HardwareIdSource::DmiBoardSerial),
            "device-tree" => Ok(HardwareIdSource::DeviceTree),
            "key-digest" => Ok(HardwareIdSource::KeyDigest),
            "" => Err("the hardware id is empty".to_owned()),
            other if other.starts_with("dmi:") => Err(format!(
                "`{other}` is no source of a hardware id: expected dmi:product_serial, dmi:board_serial, \
                 device-tree, key-digest, or a value of your own"
            )),
            other => Ok(HardwareIdSource::Literal(other.to_owned())),
        }
    }
}

impl fmt::Display for HardwareIdSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HardwareIdSource::DmiProductSerial => "dmi:product_serial",
            HardwareIdSource::DmiBoardSerial => "dmi:board_serial",
            HardwareIdSource::DeviceTree => "device-tree",
            HardwareIdSource::KeyDigest => "key-digest",
            HardwareIdSource::Literal(_) => "given value",
        })
    }
}

fn checked(source: &HardwareIdSource, value: &str) -> Result<String, HardwareIdError> {
    let value = value.trim();
    let unusable = |problem| HardwareIdError::Unusable {
        from: source.to_string(),
        problem,
    };
    if value.is_empty() {
        return Err(unusable("is empty"));
    }
    if value.chars().any(char::is_control) {
        return Err(unusable("has control characters in it"));
    }
    if is_placeholder(value) {
        return Err(HardwareIdError::Placeholder {
            from: source.to_string(),
            value: value.to_owned(),
        });
    }
    Ok(value.to_owned())
}

fn is_placeholder(value: &str) -> bool {
    let bare: String = value
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    let repeated = matches!(bare.chars().next(), None | Some('0' | 'f' | 'x'))
        && bare.chars().all(|c| bare.starts_with(c));
    repeated || PLACEHOLDERS.contains(&bare.as_str())
}

#[cfg(test)]
mod tests {
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
    fn placeholders_are_refused() {
        for value in [
            "To be filled by O.E.M.",
            "to be filled by o.e.m",
            "None",
            "Default string",
            "0000-0000",
            "0",
            "Not Specified",
            "N/A",
            "System Serial Number",
            "xxxxxxx",
            "........",
            "FFFF",
            "123456789",
        ] {
            let error = read(
                "dmi:board_serial",
                "sys/class/dmi/id/board_serial",
                value.as_bytes(),
            )
            .unwrap_err();
            assert!(
                matches!(error, HardwareIdError::Placeholder { .. }),
                "{value}: {error}"
            );
            assert!(error.to_string().contains("`hardware-id`"));
            assert!(read(value, "unused", b"").is_err(), "{value} given literally");
        }
        for value in ["0001", "F00F", "NONE-77", "1234567891"] {
            assert_eq!(read(value, "unused", b"").unwrap(), value);
        }
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let error = read("device-tree", "unused", b"").unwrap_err().to_string();
        assert!(error.contains("proc/device-tree/serial-number"), "{error}");
        for (content, problem) in [(&b"\n"[..], "empty"), (b"a\x07b", "control"), (b"\xff", "UTF-8")] {
            let error = read("device-tree", "proc/device-tree/serial-number", content).unwrap_err();
            assert!(error.to_string().contains(problem), "{error}");
        }
        assert!("dmi:chassis_serial".parse::<HardwareIdSource>().is_err());
    }
}
