//! The hooks: files under the names that snapd knows, and the duties of a script in their place.

use std::collections::{BTreeMap, BTreeSet};

use crate::facts::hook_names::{is_known, suggestion};
use crate::finding::{FindingKind as _, GadgetFinding};
use crate::findings::HookFinding;
use crate::gadget::Gadget;
use crate::snap::content::Content;
use crate::snap::script::Script;
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
    findings.extend(duties(gadget, "prepare-device", unset_body));
    findings.extend(duties(gadget, "prepare-serial-request", digest_names));
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

/// The duties of an author's own script that does not call the hook of this project.
fn duties(
    gadget: &Gadget<'_>,
    name: &str,
    check: fn(&Script) -> Option<HookFinding>,
) -> Option<GadgetFinding> {
    let path = format!("{HOOKS}/{name}");
    match &*gadget.contents.get(&path) {
        Content::Script(script) if !script.mentions(name) => Some(check(script)?.at(path)),
        _ => None,
    }
}

fn unset_body(script: &Script) -> Option<HookFinding> {
    (!script.mentions("unset registration.body")).then_some(HookFinding::BodyNotUnset)
}

fn digest_names(script: &Script) -> Option<HookFinding> {
    let old = script.mentions("hardware-id-key-sha384");
    let new = script.mentions("hardware-id-key-sha3-384");
    (old != new).then_some(HookFinding::OneDigestName)
}
