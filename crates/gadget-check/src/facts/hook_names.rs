//! The hooks that snapd knows.

use std::sync::LazyLock;

use serde::Deserialize;

use super::similar::closest;

const DATA: &str = include_str!("../../data/hook-names.yaml");

static HOOKS: LazyLock<HookNames> = LazyLock::new(|| serde_saphyr::from_str(DATA).unwrap_or_default());

/// A name of this length that a hook's name begins with is taken for that hook.
const MIN_PREFIX: usize = 8;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct HookNames {
    names: Vec<String>,
    connection_prefixes: Vec<String>,
    view_prefixes: Vec<String>,
}

/// Returns true if snapd runs hooks of this name.
pub(crate) fn is_known(name: &str) -> bool {
    let rest_after = |prefixes: &[String]| {
        let rest = prefixes
            .iter()
            .find_map(|prefix| name.strip_prefix(prefix.as_str()));
        rest.filter(|rest| !rest.is_empty())
    };
    HOOKS.names.iter().any(|known| known == name)
        || rest_after(&HOOKS.view_prefixes).is_some()
        || rest_after(&HOOKS.connection_prefixes).is_some_and(|rest| {
            rest.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        })
}

/// The hook that an unknown name probably means.
pub(crate) fn suggestion(name: &str) -> Option<&'static str> {
    let plain = name.to_ascii_lowercase().replace(['_', ' ', '.'], "-");
    let plain = plain
        .trim_end_matches("-sh")
        .trim_end_matches("-py")
        .trim_end_matches("-hook");
    let is_prefix = |known: &&str| plain.len() >= MIN_PREFIX && known.starts_with(plain);
    let known = || HOOKS.names.iter().map(String::as_str);
    known().find(is_prefix).or_else(|| closest(plain, known()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_file_parses() {
        assert!(serde_saphyr::from_str::<HookNames>(DATA).is_ok());
    }

    #[test]
    fn known_names_are_those_of_snapd() {
        for name in [
            "configure",
            "connect-plug-tpm",
            "save-view-a.b",
            "prepare-slot-x-1",
        ] {
            assert!(is_known(name), "{name}");
        }
        for name in [
            "prepare-serial",
            "connect-plug-",
            "connect-plug-A",
            "Configure",
            "",
        ] {
            assert!(!is_known(name), "{name}");
        }
    }

    #[test]
    fn a_mistyped_name_has_a_suggestion() {
        for (name, hook) in [
            ("prepare-serial", "prepare-serial-request"),
            ("prepare_device", "prepare-device"),
            ("prepare-device.sh", "prepare-device"),
            ("Configure", "configure"),
            ("install-devcie", "install-device"),
            ("prepare-serial-requests", "prepare-serial-request"),
        ] {
            assert_eq!(suggestion(name), Some(hook), "{name}");
        }
        for name in ["README", "connect-plug-A", ".gitkeep", "prepare"] {
            assert_eq!(suggestion(name), None, "{name}");
        }
    }
}
