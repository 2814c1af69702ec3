//! The interfaces that snapd knows.

use std::sync::LazyLock;

use serde::Deserialize;

use super::similar::closest;

const DATA: &str = include_str!("../../data/interfaces.yaml");

static INTERFACES: LazyLock<Interfaces> = LazyLock::new(|| serde_saphyr::from_str(DATA).unwrap_or_default());

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Interfaces {
    release: (u32, u32),
    interfaces: Vec<String>,
}

/// The release of snapd that the list is from.
pub(crate) fn release() -> (u32, u32) {
    INTERFACES.release
}

/// Returns true if snapd knows the interface.
pub(crate) fn is_known(name: &str) -> bool {
    INTERFACES.interfaces.iter().any(|known| known == name)
}

/// The interface that an unknown name probably means.
pub(crate) fn suggestion(name: &str) -> Option<&'static str> {
    closest(name, INTERFACES.interfaces.iter().map(String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_file_parses() {
        let interfaces: Interfaces = serde_saphyr::from_str(DATA).unwrap();
        assert!(interfaces.interfaces.is_sorted(), "sorted, as in snapd");
        assert!(is_known("tpm") && is_known("hardware-observe") && !is_known("tmp"));
        assert_eq!(suggestion("tmp"), Some("tpm"));
    }
}
