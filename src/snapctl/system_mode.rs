//! `snapctl system-mode`: the mode in which the device was booted.

use super::{SnapctlError, call};

/// The mode in which the device was booted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemMode {
    /// `run`, `install`, `recover` or `factory-reset`.
    pub mode: String,
    /// True if the image is flagged for use in a factory. Anybody can build such an image.
    pub factory: bool,
}

/// Asks snapd for the mode in which the device was booted.
///
/// # Errors
/// [`SnapctlError`].
pub fn system_mode() -> Result<SystemMode, SnapctlError> {
    let (command, output) = call(&["system-mode"])?;
    parse(&String::from_utf8_lossy(&output)).ok_or_else(|| SnapctlError::UnexpectedOutput {
        command,
        problem: "it has no line `system-mode:`".to_owned(),
    })
}

/// snapd writes YAML. This reads two scalars at the top level and ignores other lines.
fn parse(yaml: &str) -> Option<SystemMode> {
    let scalar = |name: &str| {
        yaml.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.trim().trim_matches(['"', '\'']))
    };
    Some(SystemMode {
        mode: scalar("system-mode").filter(|mode| !mode.is_empty())?.to_owned(),
        factory: scalar("factory") == Some("true"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mode_and_factory_flag_are_read() {
        for (yaml, mode, factory) in [
            ("system-mode: run\nseed-loaded: true\n", "run", false),
            (
                "system-mode: install\nseed-loaded: true\nfactory: true\nstorage-encrypted: managed\n",
                "install",
                true,
            ),
            (
                "factory: false\nsystem-mode: 'factory-reset'\r\n",
                "factory-reset",
                false,
            ),
            (
                "later:\n  factory: true\n  system-mode: run\nsystem-mode: \"install\"\n",
                "install",
                false,
            ),
        ] {
            let found = parse(yaml).unwrap();
            assert_eq!((found.mode.as_str(), found.factory), (mode, factory), "{yaml}");
        }
        for yaml in [
            "",
            "seed-loaded: true\n",
            "system-mode:\n",
            "  system-mode: run\n",
            "run\n",
        ] {
            assert_eq!(parse(yaml), None, "{yaml}");
        }
    }
}
