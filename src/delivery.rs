//! Taking an export to where the factory line picks it up.

mod console;
mod error;
mod file;
mod volume;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use console::{Console, EXPORT_LIMIT, FAILURE_LIMIT};
pub use error::DeliveryError;

use identity_key::Hash;

const CONSOLE: &str = "/dev/console";
const ALLOWED: &str = "volume:LABEL, console, console:/dev/NAME, file:/ABSOLUTE/PATH";

/// Where an export goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// `volume:LABEL`: a file named after the hardware id, on the mounted volume with this label.
    Volume(String),
    /// `console` or `console:/dev/NAME`: a terminal or serial port.
    Console(PathBuf),
    /// `file:/ABSOLUTE/PATH`: this file.
    File(PathBuf),
}

/// An export on its way.
#[derive(Clone, Copy, Debug)]
pub struct Parcel<'a> {
    /// What the line knows the device by.
    pub hardware_id: &'a str,
    /// The header `hardware-id-key`, by which an older export is known to be this device's.
    pub key: &'a str,
    /// The JSON as a file holds it.
    pub document: &'a str,
    /// The same JSON on one line.
    pub line: &'a str,
}

impl Target {
    /// Delivers the export. It is on the medium when this returns, and was read back where that is possible.
    ///
    /// # Errors
    /// [`DeliveryError`]; an older export is still whole, and nothing half-done has the name of an export.
    pub fn deliver(&self, parcel: &Parcel<'_>) -> Result<(), DeliveryError> {
        match self {
            Target::Volume(label) => {
                let folder = volume::find(label)?;
                file::put(&folder.join(file::name(parcel)), parcel)
            }
            Target::Console(device) => Console::open(device, EXPORT_LIMIT)?.put(parcel),
            Target::File(path) => file::put(path, parcel),
        }
    }

    /// Tells whoever waits at the console for an export that there is none, if it can be told.
    pub fn say_failure(&self, message: &str) {
        if let Target::Console(device) = self {
            let _ = Console::open(device, FAILURE_LIMIT).and_then(|console| console.say_failure(message));
        }
    }
}

/// SHA-256, in hexadecimal digits.
fn digest_of(text: &str) -> String {
    hex::encode(Hash::Sha256.digest(text.as_bytes()))
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, rest) = match text.split_once(':') {
            Some((kind, rest)) => (kind, Some(rest)),
            None => (text, None),
        };
        let is_plain = !text.contains(char::is_control);
        match (kind, rest) {
            ("volume", Some(label)) if is_plain && !label.is_empty() => Ok(Target::Volume(label.to_owned())),
            ("console", None) => Ok(Target::Console(CONSOLE.into())),
            ("console", Some(device)) if is_plain && names_file(device) && device.starts_with("/dev/") => {
                Ok(Target::Console(device.into()))
            }
            ("file", Some(path)) if is_plain && names_file(path) => Ok(Target::File(path.into())),
            _ => Err(format!(
                "`{}` is not allowed; allowed: {ALLOWED}",
                text.chars().take(100).collect::<String>()
            )),
        }
    }
}

/// Whether it is the absolute path of something that can be a file.
fn names_file(path: &str) -> bool {
    path.starts_with('/') && !path.ends_with('/') && Path::new(path).file_name().is_some()
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Volume(label) => write!(f, "volume:{label}"),
            Target::Console(device) => write!(f, "console:{}", device.display()),
            Target::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read() {
        for (text, target) in [
            ("volume:FACTORY", Target::Volume("FACTORY".to_owned())),
            ("volume:my: stick/1", Target::Volume("my: stick/1".to_owned())),
            ("console", Target::Console("/dev/console".into())),
            ("console:/dev/ttyS0", Target::Console("/dev/ttyS0".into())),
            ("file:/run/a b", Target::File("/run/a b".into())),
        ] {
            assert_eq!(text.parse(), Ok(target), "{text}");
        }
        for text in [
            "",
            "volume",
            "volume:",
            "volume:a\nb",
            "usb:X",
            "console:",
            "console:ttyS0",
            "console:/tmp/x",
            "console:/dev/",
            "file",
            "file:",
            "file:export.json",
            "file:/",
            "file:/a/",
            "file:/a/..",
            "Console",
        ] {
            let problem = text.parse::<Target>().unwrap_err();
            assert!(problem.contains(ALLOWED), "{text}: {problem}");
        }
    }
}
