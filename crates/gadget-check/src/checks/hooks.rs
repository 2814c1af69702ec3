//! The hooks: files under the names that snapd knows, and the duties of a script in their place.

mod bypassed;

use std::collections::{BTreeMap, BTreeSet};

use crate::facts::hook_names::{is_known, suggestion};
use crate::finding::{FindingKind as _, GadgetFinding};
use crate::findings::HookFinding;
use crate::gadget::Gadget;
use crate::snap::{HOOKS, snap_yaml};

/// The hooks that every gadget with a hardware identity needs, and what each does.
const REQUIRED: [(&str, &str); 2] = [
    ("prepare-device", "makes the hardware identity"),
    ("prepare-serial-request", "signs the nonce of the model service"),
];

pub(crate) fn check(gadget: &Gadget<'_>) -> Vec<GadgetFinding> {
    let ignored = ignored_names(gadget);
    let mut findings: Vec<GadgetFinding> = ignored
        .iter()
        .map(|(name, place)| ignored_hook(name, place))
        .collect();
    let declared = gadget.snap.hook_names();
    findings.extend(declared.filter_map(|name| without_file(gadget, name)));
    let suggested: BTreeSet<&str> = ignored.keys().filter_map(|name| suggestion(name)).collect();
    let is_present = |name: &str| {
        gadget.has_hook(name)
            || gadget.snap.hook_names().any(|hook| hook == name)
            // A finding names the right name already.
            || suggested.contains(name)
    };
    let missing = REQUIRED.into_iter().filter(|(name, _)| !is_present(name));
    findings.extend(
        missing.map(|(name, purpose)| HookFinding::Missing { name, purpose }.at(format!("{HOOKS}/{name}"))),
    );
    if !is_present("configure") {
        findings.push(no_configure(gadget));
    }
    findings.extend(bypassed::check(gadget));
    findings.extend(duties(gadget));
    findings
}

/// Names of hooks, in files or in snap.yaml, that snapd does not know, with their places.
fn ignored_names(gadget: &Gadget<'_>) -> BTreeMap<String, String> {
    let declared = gadget
        .snap
        .hook_names()
        .map(|name| (name.to_owned(), format!("{}, hooks.{name}", snap_yaml::FILE)));
    let files = gadget
        .tree
        .names(HOOKS)
        .into_iter()
        .map(|name| (name.clone(), format!("{HOOKS}/{name}")));
    declared
        .chain(files)
        .filter(|(name, _)| !is_known(name))
        .collect()
}

fn ignored_hook(name: &str, place: &str) -> GadgetFinding {
    let suggestion = suggestion(name);
    let finding = HookFinding::Ignored {
        name: name.to_owned(),
        suggestion,
    };
    finding.at(place).warning_if(suggestion.is_none())
}

fn without_file(gadget: &Gadget<'_>, name: &str) -> Option<GadgetFinding> {
    let finding = HookFinding::WithoutFile {
        path: format!("{HOOKS}/{name}"),
    };
    let is_absent = is_known(name) && !gadget.has_hook(name);
    is_absent.then(|| finding.at(format!("{}, hooks.{name}", snap_yaml::FILE)))
}

fn no_configure(gadget: &Gadget<'_>) -> GadgetFinding {
    let defaults_of = gadget.defaults.first().map(|(snap_id, _)| snap_id.clone());
    let has_defaults = defaults_of.is_some();
    HookFinding::NoConfigure { defaults_of }
        .at(format!("{HOOKS}/configure"))
        .warning_if(!has_defaults)
}

/// The duties of an author's own scripts that do not call the hooks of this project.
fn duties(gadget: &Gadget<'_>) -> Vec<GadgetFinding> {
    let own = |name: &str| {
        let trace = gadget.hooks.get(name)?;
        // What an ELF file does cannot be read.
        let hands_over = trace
            .programs
            .iter()
            .any(|program| (program.takes_over || program.name() == name) && !gadget.is_script(program));
        (!hands_over).then(|| (trace, format!("{HOOKS}/{name}")))
    };
    let mut findings = Vec::new();
    if let Some((trace, path)) = own("prepare-device")
        && !trace.unsets("registration.body")
        // The finding about the hook has the same fix.
        && bypassed::of_prepare_device(gadget).is_none()
    {
        findings.push(HookFinding::BodyNotUnset.at(path));
    }
    if let Some((trace, path)) = own("prepare-serial-request") {
        let old = trace.mentions("hardware-id-key-sha384");
        let new = trace.mentions("hardware-id-key-sha3-384");
        if old != new {
            findings.push(HookFinding::OneDigestName.at(path));
        }
    }
    findings
}
