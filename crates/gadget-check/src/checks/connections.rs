//! The connections of plugs in gadget.yaml.
//!
//! snapd applies `connections:` when it seeds a device and in a remodel, to snaps whose snap-id is
//! in an entry. A gadget that no store has signed has no snap-id, so no entry applies to it. No
//! file in a snap has the snap's own snap-id, so most findings here are warnings.

use std::collections::{BTreeMap, BTreeSet};

use super::token;
use crate::finding::{FindingKind as _, GadgetFinding};
use crate::findings::InterfaceFinding;
use crate::gadget::Gadget;
use crate::snap::gadget_yaml::{self, End};

/// Interfaces whose plugs snapd does not connect automatically (deny-auto-connection in its base
/// declaration).
pub(crate) const NOT_AUTOMATIC: [&str; 3] = ["tpm", "hardware-observe", "mount-observe"];

/// The number of an entry, its plug and its slot.
type Ends<'a> = (usize, (End<'a>, End<'a>));

pub(crate) fn check(gadget: &Gadget<'_>) -> Vec<GadgetFinding> {
    let Some(yaml) = &gadget.yaml else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    let mut ends = Vec::new();
    for (number, connection) in yaml.connections.iter().enumerate() {
        match connection.ends() {
            Ok(both) => ends.push((number, both)),
            Err(problem) => findings.push(InterfaceFinding::BadConnection { problem }.at(place(number))),
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
    // A wrong entry is probably the one that is meant to connect the plug.
    if findings.is_empty() {
        findings.extend(not_connected(gadget, &ends, own));
    }
    findings
}

/// The plugs that only gadget.yaml or a store connects: name and interface.
fn manual_plugs<'a>(gadget: &'a Gadget<'_>) -> impl Iterator<Item = (&'a str, &'a str)> {
    let plugs = gadget.snap.plugs().into_iter();
    // Another gadget may use `tee` for something else.
    let of_token = gadget.settings.as_ref().and_then(token::interface_of);
    plugs.filter(move |(_, interface)| NOT_AUTOMATIC.contains(interface) || of_token == Some(*interface))
}

/// The gadget's own snap-id: the only one in its defaults and in the entries for its plugs.
fn own_snap_id<'a>(gadget: &'a Gadget<'_>, ends: &[Ends<'a>]) -> Option<&'a str> {
    let names: BTreeSet<&str> = manual_plugs(gadget).map(|(name, _)| name).collect();
    let in_connections = ends
        .iter()
        .map(|(_, (plug, _))| plug)
        .filter(|plug| plug.snap_id != "system" && names.contains(plug.name))
        .map(|plug| plug.snap_id);
    let in_defaults = gadget.defaults.iter().map(|(snap_id, _)| snap_id.as_str());
    let candidates: BTreeSet<&str> = in_connections.chain(in_defaults).collect();
    match candidates.len() {
        1 => candidates.first().copied(),
        _ => None,
    }
}

fn unknown_end(
    number: usize,
    end: &End<'_>,
    kind: &'static str,
    known: &BTreeMap<&str, &str>,
) -> Option<GadgetFinding> {
    let finding = InterfaceFinding::UnknownConnection {
        kind,
        name: end.name.to_owned(),
    };
    (!known.contains_key(end.name)).then(|| finding.at(place(number)))
}

fn not_connected(gadget: &Gadget<'_>, ends: &[Ends<'_>], own: Option<&str>) -> Vec<GadgetFinding> {
    let is_connected = |name: &str, interface: &str| {
        let system_slot = End {
            snap_id: "system",
            name: interface,
        };
        ends.iter().any(|(_, (plug, slot))| {
            let is_own = own.is_none_or(|own| plug.snap_id == own) && plug.snap_id != "system";
            is_own && plug.name == name && *slot == system_slot
        })
    };
    manual_plugs(gadget)
        .filter(|(name, interface)| !is_connected(name, interface))
        .map(|(name, interface)| {
            InterfaceFinding::NotConnected {
                plug: name.to_owned(),
                interface: interface.to_owned(),
                gadget: gadget.snap.name.clone(),
            }
            .at(format!("{}, connections", gadget_yaml::FILE))
        })
        .collect()
}

fn place(number: usize) -> String {
    format!("{}, connections[{number}]", gadget_yaml::FILE)
}
