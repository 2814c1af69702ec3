//! The base of the gadget, and the snapd that it requires.

use crate::facts::bases;
use crate::finding::{FindingKind as _, GadgetFinding};
use crate::findings::MetadataFinding;
use crate::gadget::Gadget;
use crate::snap::snap_yaml::{self, SnapYaml};

/// The first release of snapd that runs prepare-serial-request.
const NEEDED_SNAPD: (u32, u32) = (2, 74);

pub(crate) fn check(gadget: &Gadget<'_>) -> Vec<GadgetFinding> {
    let assumes = assumes(&gadget.snap, snap_yaml::FILE);
    assumes.into_iter().chain(base(gadget)).collect()
}

/// The release of snapd that the snap requires. `file` is snap.yaml or snapcraft.yaml.
pub(crate) fn assumes(snap: &SnapYaml, file: &str) -> Option<GadgetFinding> {
    let finding = match snap.required_snapd() {
        Some(required) if required >= NEEDED_SNAPD => return None,
        Some((major, minor)) => MetadataFinding::OldAssumes { major, minor },
        None => MetadataFinding::NoAssumes,
    };
    Some(finding.at(format!("{file}, assumes")))
}

fn base(gadget: &Gadget<'_>) -> Option<GadgetFinding> {
    let known = bases::names();
    let finding = match (gadget.base, gadget.snap.base.as_str()) {
        (Some(_), _) => return None,
        (None, "") => MetadataFinding::NoBase { known },
        (None, base) => MetadataFinding::UnknownBase {
            base: base.to_owned(),
            known,
        },
    };
    Some(finding.at(format!("{}, base", snap_yaml::FILE)))
}
