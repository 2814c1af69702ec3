//! The setting `factory.export`.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use failure::Diagnostic;
use thiserror::Error;

use crate::quote::shortened;

const CONSOLE: &str = "/dev/console";

/// The target of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportTarget {
    /// `volume:LABEL`: a file named after the hardware id on the mounted volume with this label.
    Volume(String),
    /// `console` (`/dev/console`) or `console:/dev/NAME`: a terminal or serial port.
    Console(PathBuf),
    /// `file:/ABSOLUTE/PATH`: this file.
    File(PathBuf),
}

/// The value is not a target of an export.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
#[error("`{0}` is not a target of an export")]
#[diagnostic(
    code("export-target-invalid"),
    help("Use volume:LABEL, console, console:/dev/NAME or file:/ABSOLUTE/PATH")
)]
pub struct InvalidTarget(String);

impl FromStr for ExportTarget {
    type Err = InvalidTarget;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        let (kind, rest) = match value.split_once(':') {
            Some((kind, rest)) => (kind, Some(rest)),
            None => (value, None),
        };
        let is_printable = !value.contains(char::is_control);
        match (kind, rest) {
            ("volume", Some(label)) if is_printable && !label.is_empty() => {
                Ok(ExportTarget::Volume(label.to_owned()))
            }
            ("console", None) => Ok(ExportTarget::Console(CONSOLE.into())),
            ("console", Some(path)) if is_printable && is_file_path(path) && path.starts_with("/dev/") => {
                Ok(ExportTarget::Console(path.into()))
            }
            ("file", Some(path)) if is_printable && is_file_path(path) => Ok(ExportTarget::File(path.into())),
            _ => Err(InvalidTarget(shortened(value))),
        }
    }
}

/// Returns true if it is an absolute path that can be the path of a file.
fn is_file_path(path: &str) -> bool {
    path.starts_with('/') && !path.ends_with('/') && Path::new(path).file_name().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_parsed() {
        for (value, target) in [
            ("volume:FACTORY", ExportTarget::Volume("FACTORY".to_owned())),
            (
                "volume:my: stick/1",
                ExportTarget::Volume("my: stick/1".to_owned()),
            ),
            ("console", ExportTarget::Console("/dev/console".into())),
            ("console:/dev/ttyS0", ExportTarget::Console("/dev/ttyS0".into())),
            ("file:/run/a b", ExportTarget::File("/run/a b".into())),
        ] {
            assert_eq!(value.parse(), Ok(target), "{value}");
        }
        for value in [
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
            assert!(value.parse::<ExportTarget>().is_err(), "{value}");
        }
    }
}
