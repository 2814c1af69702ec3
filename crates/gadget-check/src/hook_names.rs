//! The hooks that snapd knows.

use crate::similar::are_similar;

/// Read from snap/hooktypes.go of snapd 2.77.
const NAMES: [&str; 12] = [
    "prepare-device",
    "prepare-serial-request",
    "install-device",
    "configure",
    "default-configure",
    "install",
    "pre-refresh",
    "post-refresh",
    "remove",
    "check-health",
    "fde-setup",
    "gate-auto-refresh",
];
/// Followed by the name of a plug or slot.
const OF_CONNECTIONS: [&str; 8] = [
    "prepare-plug-",
    "prepare-slot-",
    "unprepare-plug-",
    "unprepare-slot-",
    "connect-plug-",
    "connect-slot-",
    "disconnect-plug-",
    "disconnect-slot-",
];
/// Followed by the name of a view of confdb.
const OF_VIEWS: [&str; 5] = [
    "change-view-",
    "save-view-",
    "query-view-",
    "load-view-",
    "observe-view-",
];

/// As long as this, the beginning of a name is taken for the whole.
const SHORTEST_BEGINNING: usize = 8;

pub(crate) fn is_known(name: &str) -> bool {
    let follows = |prefixes: &[&str]| {
        let rest = prefixes.iter().find_map(|prefix| name.strip_prefix(prefix));
        rest.filter(|rest| !rest.is_empty())
    };
    NAMES.contains(&name)
        || follows(&OF_VIEWS).is_some()
        || follows(&OF_CONNECTIONS).is_some_and(|rest| {
            rest.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        })
}

/// The hook that was meant by a name that snapd does not know.
pub(crate) fn meant(name: &str) -> Option<&'static str> {
    let plain = name.to_ascii_lowercase().replace(['_', ' ', '.'], "-");
    let plain = plain
        .trim_end_matches("-sh")
        .trim_end_matches("-py")
        .trim_end_matches("-hook");
    let begins = |known: &&&str| plain.len() >= SHORTEST_BEGINNING && known.starts_with(plain);
    let resembles = |known: &&&str| are_similar(plain, known);
    let all = || NAMES.iter();
    all().find(begins).or_else(|| all().find(resembles)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_was_meant_is_found() {
        for (name, hook) in [
            ("prepare-serial", "prepare-serial-request"),
            ("prepare_device", "prepare-device"),
            ("prepare-device.sh", "prepare-device"),
            ("Configure", "configure"),
            ("install-devcie", "install-device"),
            ("prepare-serial-requests", "prepare-serial-request"),
        ] {
            assert_eq!(meant(name), Some(hook), "{name}");
        }
        for name in ["README", "connect-plug-A", ".gitkeep", "prepare"] {
            assert_eq!(meant(name), None, "{name}");
        }
    }
}
