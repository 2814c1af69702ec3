//! Whether gadget.yaml connects the plugs.
//!
//! snapd applies `connections:` while it seeds a device and in a remodel, to snaps whose snap-id stands in an
//! entry. A gadget that no store has signed has no snap-id, and none of the entries count for it. Nothing in a snap
//! says which snap-id it has, so that what is found here is often a warning.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::Finding;
use crate::gadget_yaml::{self, End};
use crate::{Gadget, snap_yaml};

/// What snapd connects for no snap by itself (deny-auto-connection in its base declaration).
const NOT_AUTOMATIC: [&str; 3] = ["tpm", "hardware-observe", "mount-observe"];

pub(crate) fn check(gadget: &Gadget<'_>) -> Vec<Finding> {
    let Some(yaml) = &gadget.yaml else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    let mut ends = Vec::new();
    for (number, connection) in yaml.connections.iter().enumerate() {
        match connection.ends() {
            Ok(both) => ends.push((number, both)),
            Err(problem) => findings.push(bad_connection(number, problem)),
        }
    }
    let own = own_snap_id(gadget, &ends);
    for (number, (plug, slot)) in &ends {
        if Some(plug.snap_id) == own {
            findings.extend(unknown_end(*number, plug, "plug", &gadget.snap.plugs()));
        }
        if Some(slot.snap_id) == own {
            findings.extend(unknown_end(*number, slot, "slot", &gadget.snap.slots()));
        }
    }
    // An entry that is wrong has been reported.
    if findings.is_empty() {
        findings.extend(not_connected(gadget, &ends, own));
    }
    findings
}

type Ends<'a> = (usize, (End<'a>, End<'a>));

/// The plugs that only gadget.yaml or a store connects: name and interface.
fn own_plugs<'a>(gadget: &'a Gadget<'_>) -> impl Iterator<Item = (&'a str, &'a str)> {
    let plugs = gadget.snap.plugs().into_iter();
    plugs.filter(|(_, interface)| NOT_AUTOMATIC.contains(interface))
}

/// The gadget's own snap-id, if there is one that is the key of its defaults or has all entries for its plugs.
fn own_snap_id<'a>(gadget: &'a Gadget<'_>, ends: &[Ends<'a>]) -> Option<&'a str> {
    let names: BTreeSet<&str> = own_plugs(gadget).map(|(name, _)| name).collect();
    let in_connections = ends
        .iter()
        .map(|(_, (plug, _))| plug)
        .filter(|plug| plug.snap_id != "system" && names.contains(plug.name))
        .map(|plug| plug.snap_id);
    let in_defaults = gadget.own_defaults().map(|(snap_id, _)| snap_id);
    let candidates: BTreeSet<&str> = in_connections.chain(in_defaults).collect();
    match candidates.len() {
        1 => candidates.first().copied(),
        _ => None,
    }
}

fn bad_connection(number: usize, problem: String) -> Finding {
    Finding::error(
        "bad-connection",
        place(number),
        problem,
        "snapd refuses the file, or never finds a snap that the entry is for",
        "Write `plug: SNAP-ID:tpm` with the gadget's own snap-id, which the store gave it (`snap info --verbose \
         GADGET`), not its name; without `slot:` it is the system's slot of the same name",
    )
}

fn unknown_end(number: usize, end: &End<'_>, kind: &str, known: &BTreeMap<&str, &str>) -> Option<Finding> {
    (!known.contains_key(end.name)).then(|| {
        Finding::error(
            "unknown-connection",
            place(number),
            format!("the gadget has no {kind} {}", end.name),
            "snapd passes over the entry",
            format!("Correct the name, or add the {kind} to {}", snap_yaml::FILE),
        )
    })
}

fn not_connected(gadget: &Gadget<'_>, ends: &[Ends<'_>], own: Option<&str>) -> Vec<Finding> {
    let connected = |name: &str, interface: &str| {
        ends.iter().any(|(_, (plug, slot))| {
            plug.name == name
                && own.is_none_or(|own| plug.snap_id == own)
                && plug.snap_id != "system"
                && *slot
                    == End {
                        snap_id: "system",
                        name: interface,
                    }
        })
    };
    own_plugs(gadget)
        .filter(|(name, interface)| !connected(name, interface))
        .map(|(name, interface)| {
            Finding::error(
                "not-connected",
                format!("{}, connections", gadget_yaml::FILE),
                format!("no entry connects the plug {name} to system:{interface}"),
                "snapd connects it by itself only with an entry here or a snap-declaration of the store; until \
                 then the hooks fail with permission denied",
                format!(
                    "Add `- plug: SNAP-ID:{name}` and `slot: system:{interface}`, with the gadget's own snap-id \
                     (`snap info --verbose GADGET`). A gadget that no store has signed has none, and snapd passes \
                     over all entries: there, `snap connect {}:{name}` by hand",
                    gadget.snap.name
                ),
            )
            .warning()
        })
        .collect()
}

fn place(number: usize) -> String {
    format!("{}, connections[{number}]", gadget_yaml::FILE)
}
