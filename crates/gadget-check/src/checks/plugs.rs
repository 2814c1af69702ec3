//! Plugs and slots: those that the programs need, and interfaces that snapd does not know.

use std::path::Path;

use hardware_identity::config::{ProposedSerial, Settings};
use hardware_identity::factory::ExportTarget;
use hardware_identity::hardware_id::HardwareIdSource;
use hardware_identity::identity::KeyBackend;

use super::token;
use crate::facts::interfaces;
use crate::finding::{FindingKind as _, GadgetFinding};
use crate::findings::InterfaceFinding;
use crate::gadget::Gadget;
use crate::snap::snap_yaml::{self, Runnable};
use crate::trace::{Call, Trace};

const TOOL: &str = "hardware-identity";

pub(crate) fn check(gadget: &Gadget<'_>) -> Vec<GadgetFinding> {
    let mut findings = Vec::new();
    for name in ["prepare-device", "prepare-serial-request", "install-device"] {
        let trace = gadget.hooks.get(name);
        if trace.is_some_and(|trace| uses_key(gadget, trace)) {
            let hook = gadget.snap.hook(name);
            findings.extend(missing(
                gadget,
                ("hook", name),
                &hook,
                &needs(gadget.settings.as_ref(), name),
            ));
        }
    }
    for (name, app) in gadget.snap.apps() {
        let is_tool = |path: &str| path.rsplit('/').next() == Some(TOOL);
        if app.commands().any(is_tool) {
            let missing = missing(gadget, ("app", name), app, &needs(gadget.settings.as_ref(), TOOL));
            findings.extend(missing.into_iter().map(|finding| finding.warning_if(true)));
        }
    }
    let plugs = gadget.snap.plugs().into_iter().map(|plug| ("plugs", plug));
    let slots = gadget.snap.slots().into_iter().map(|slot| ("slots", slot));
    let connectors = plugs.chain(slots);
    findings.extend(
        connectors.filter_map(|(kind, (name, interface))| unknown_interface(gadget, kind, name, interface)),
    );
    findings
}

/// Returns true if a hook uses the identity key, or may use it. An author's own hook can leave it to
/// others, or have its key elsewhere.
pub(super) fn uses_key(gadget: &Gadget<'_>, trace: &Trace) -> bool {
    let is_tool = |call: &Call| {
        call.program
            .rsplit('/')
            .next()
            .is_some_and(|name| name.starts_with("tpm2"))
    };
    (!trace.gaps.is_empty() && trace.mentions("tpm"))
        || trace.programs.iter().any(|program| gadget.uses_tpm(program))
        || trace.calls.iter().any(is_tool)
        || trace.mentions("/dev/tpm")
}

/// The interfaces that a program needs with these settings; docs/hooks.md lists them.
pub(crate) fn needs(settings: Option<&Settings>, program: &str) -> Vec<&'static str> {
    let Some(settings) = settings else {
        return vec!["tpm"];
    };
    let keeper = match settings.key_backend {
        KeyBackend::Tpm => Some("tpm"),
        KeyBackend::Pkcs11 => token::interface_of(settings),
        KeyBackend::Software => None,
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
    keeper
        .into_iter()
        .chain(observes.then_some("hardware-observe"))
        .chain(exports)
        .collect()
}

/// Returns true for a source in sysfs or /proc/device-tree, which hardware-observe gives access to.
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
    (kind, name): (&'static str, &str),
    runnable: &Runnable,
    needs: &[&'static str],
) -> Vec<GadgetFinding> {
    let interfaces = gadget.snap.interfaces_of(runnable);
    let missing = needs.iter().filter(|interface| !interfaces.contains(*interface));
    let finding = |interface: &&'static str| {
        InterfaceFinding::MissingPlug {
            kind,
            name: name.to_owned(),
            interface,
        }
        .at(format!("{}, {kind}s.{name}.plugs", snap_yaml::FILE))
    };
    missing.map(finding).collect()
}

fn unknown_interface(gadget: &Gadget<'_>, kind: &str, name: &str, interface: &str) -> Option<GadgetFinding> {
    if interfaces::is_known(interface) {
        return None;
    }
    let release = interfaces::release();
    let finding = InterfaceFinding::Unknown {
        interface: interface.to_owned(),
        suggestion: interfaces::suggestion(interface),
        major: release.0,
        minor: release.1,
    };
    // A newer snapd can know the interface.
    let requires_newer = gadget
        .snap
        .required_snapd()
        .is_some_and(|required| required > release);
    let place = format!("{}, {kind}.{name}", snap_yaml::FILE);
    Some(finding.at(place).warning_if(requires_newer))
}
