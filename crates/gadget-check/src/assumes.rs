//! Whether a snapd that does not know the hooks refuses the gadget.

use crate::Gadget;
use crate::finding::Finding;
use crate::snap_yaml;

/// The first release that runs prepare-serial-request.
const NEEDED: (u32, u32) = (2, 74);

/// The release of snapd that `assumes:` asks for: the highest.
pub(crate) fn assumed(assumes: &[String]) -> Option<(u32, u32)> {
    assumes
        .iter()
        .filter_map(|assumed| {
            let mut numbers = assumed.strip_prefix("snapd")?.split('.').map(str::parse);
            Some((
                numbers.next()?.ok()?,
                numbers.next().and_then(Result::ok).unwrap_or(0),
            ))
        })
        .max()
}

pub(crate) fn check(gadget: &Gadget<'_>) -> Option<Finding> {
    let assumed = assumed(&gadget.snap.assumes);
    let what = match assumed {
        Some(assumed) if assumed >= NEEDED => return None,
        Some((major, minor)) => format!("it asks for snapd {major}.{minor} alone"),
        None => "it asks for no release of snapd".to_owned(),
    };
    Some(
        Finding::error(
            "old-assumes",
            format!("{}, assumes", snap_yaml::FILE),
            what,
            "snapd before 2.74 ignores prepare-serial-request and asks for a serial without proof; 2.73 was the \
             first to know the hardware-identity assertion; 2.74 to 2.77 look for the digest's older name, which \
             this project's hook sets as well",
            "Add `assumes: [snapd2.74]`",
        )
        .warning(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_release_counts() {
        let of = |list: &[&str]| assumed(&list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["snapd2.61", "command-chain", "snapd2.74.1"]), Some((2, 74)));
        assert_eq!(of(&["snapd3"]), Some((3, 0)));
        assert_eq!(of(&["snapdx", "snap-env"]), None);
    }
}
