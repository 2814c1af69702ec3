//! Whether the hooks may reach what they need, and whether snapd knows the interfaces.

use std::path::Path;

use hardware_identity::config::ProposedSerial;
use hardware_identity::factory::ExportTarget;
use hardware_identity::hardware_id::HardwareIdSource;

use crate::Gadget;
use crate::assumes::assumed;
use crate::finding::Finding;
use crate::interfaces::{INTERFACES, READ_FROM};
use crate::similar::are_similar;
use crate::snap_yaml::{self, Runnable};

const TOOL: &str = "hardware-identity";

pub(crate) fn check(gadget: &Gadget<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for name in ["prepare-device", "prepare-serial-request", "install-device"] {
        if gadget.has_hook(name) {
            let hook = gadget.snap.hook(name);
            let needs = needs(gadget, name);
            findings.extend(missing(gadget, ("hook", name), &hook, &needs));
        }
    }
    for (name, app) in gadget.snap.apps() {
        let is_tool = |path: &str| path.rsplit('/').next() == Some(TOOL);
        if app.commands().any(is_tool) {
            let missing = missing(gadget, ("app", name), app, &needs(gadget, TOOL));
            findings.extend(missing.into_iter().map(Finding::warning));
        }
    }
    let plugs = gadget.snap.plugs().into_iter().map(|plug| ("plugs", plug));
    let slots = gadget.snap.slots().into_iter().map(|slot| ("slots", slot));
    findings.extend(
        plugs
            .chain(slots)
            .filter_map(|(kind, (name, interface))| unknown_interface(gadget, kind, name, interface)),
    );
    findings
}

/// The interfaces that a program needs with these settings, as docs/hooks.md has them.
fn needs(gadget: &Gadget<'_>, program: &str) -> Vec<&'static str> {
    let Some(settings) = &gadget.settings else {
        return vec!["tpm"];
    };
    let reads_hardware_id = match program {
        "prepare-device" => settings.proposed_serial == Some(ProposedSerial::HardwareId),
        "prepare-serial-request" => false,
        _ => true,
    };
    let observes = reads_hardware_id && is_of_system(settings.hardware_id.as_ref());
    let exports = match (program, &settings.factory.export) {
        ("install-device", Some(ExportTarget::Volume(_))) => Some("mount-observe"),
        ("install-device", Some(ExportTarget::Console(path))) if path != Path::new("/dev/console") => {
            Some("serial-port")
        }
        _ => None,
    };
    ["tpm"]
        .into_iter()
        .chain(observes.then_some("hardware-observe"))
        .chain(exports)
        .collect()
}

/// sysfs' serial numbers and /proc/device-tree are both of hardware-observe.
fn is_of_system(source: Option<&HardwareIdSource>) -> bool {
    matches!(
        source,
        Some(
            HardwareIdSource::DmiProductSerial
                | HardwareIdSource::DmiBoardSerial
                | HardwareIdSource::DeviceTree
        )
    )
}

fn missing(
    gadget: &Gadget<'_>,
    (kind, name): (&str, &str),
    runnable: &Runnable,
    needs: &[&str],
) -> Vec<Finding> {
    let interfaces = gadget.snap.interfaces_of(runnable);
    let missing = needs.iter().filter(|interface| !interfaces.contains(*interface));
    missing
        .map(|interface| {
            Finding::error(
                "missing-plug",
                format!("{}, {kind}s.{name}.plugs", snap_yaml::FILE),
                format!("the {kind} {name} has no plug {interface}"),
                match *interface {
                    "tpm" => "without it AppArmor keeps /dev/tpmrm0 from it",
                    "hardware-observe" => {
                        "without it AppArmor keeps the serial number from it that the setting hardware-id asks for"
                    }
                    _ => "without it AppArmor keeps from it what the setting factory.export asks for",
                },
                format!(
                    "Add `plugs: [{interface}]` to {kind}s.{name}. A plug that some hook or app lists belongs to \
                     those alone that list it; one that stands at the top alone belongs to all"
                ),
            )
        })
        .collect()
}

fn unknown_interface(gadget: &Gadget<'_>, kind: &str, name: &str, interface: &str) -> Option<Finding> {
    if INTERFACES.contains(&interface) {
        return None;
    }
    let mend = match INTERFACES.iter().find(|known| are_similar(interface, known)) {
        Some(known) => format!("Correct it: {known}"),
        None => "Correct or remove it (`snap interface` lists those that snapd knows)".to_owned(),
    };
    let (major, minor) = READ_FROM;
    // A newer snapd may know it.
    let newer = assumed(&gadget.snap.assumes).is_some_and(|assumed| assumed > READ_FROM);
    Some(
        Finding::error(
            "unknown-interface",
            format!("{}, {kind}.{name}", snap_yaml::FILE),
            format!("snapd {major}.{minor} knows no interface {interface}"),
            "snapd ignores a plug or slot of an interface that it does not know",
            mend,
        )
        .warning_if(newer),
    )
}
