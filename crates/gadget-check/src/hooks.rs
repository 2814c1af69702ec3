//! Whether the hooks are there under names that snapd knows, and what a script in their place has to do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::Gadget;
use crate::content::{Content, Contents};
use crate::finding::Finding;
use crate::hook_names::{is_known, meant};
use crate::script::Script;
use crate::snap_yaml;
use crate::{HOOKS, gadget_yaml};

pub(crate) fn check(gadget: &Gadget<'_>) -> Vec<Finding> {
    let ignored = ignored_names(gadget);
    let mut findings: Vec<Finding> = ignored
        .iter()
        .map(|(name, place)| ignored_hook(name, place))
        .collect();
    findings.extend(
        gadget
            .snap
            .hook_names()
            .filter_map(|name| without_file(gadget, name)),
    );
    let meant: BTreeSet<&str> = ignored.keys().filter_map(|name| meant(name)).collect();
    let present = |name: &str| {
        gadget.has_hook(name)
            || gadget.snap.hook_names().any(|hook| hook == name)
            // Already said, with the right name.
            || meant.contains(name)
    };
    let required = [
        ("prepare-device", "it makes the hardware identity"),
        ("prepare-serial-request", "it signs the model service's nonce"),
    ];
    findings.extend(
        required
            .into_iter()
            .filter(|(name, _)| !present(name))
            .map(|(name, purpose)| missing_hook(name, purpose)),
    );
    if !present("configure") {
        findings.push(no_configure(gadget));
    }
    findings.extend(scripts(gadget));
    findings
}

/// Hooks in files or in snap.yaml whose names snapd does not know, and where they stand.
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

fn ignored_hook(name: &str, place: &str) -> Finding {
    let meant = meant(name);
    let why = match name {
        "prepare-serial" => {
            "some pages of documentation call the hook prepare-serial; snapd runs prepare-serial-request, and \
             ignores this one without a word: the device then asks for its serial without proving who it is"
        }
        _ => "snapd ignores hooks with other names without a word",
    };
    let mend = match meant {
        Some(meant) => format!("Rename it to {meant}"),
        None => format!("Remove it from {HOOKS}, or give it the name of a hook"),
    };
    Finding::error(
        "ignored-hook",
        place,
        format!("snapd knows no hook {name}"),
        why,
        mend,
    )
    .warning_if(meant.is_none())
}

fn without_file(gadget: &Gadget<'_>, name: &str) -> Option<Finding> {
    let absent = is_known(name) && !gadget.has_hook(name);
    absent.then(|| {
        Finding::error(
            "hook-without-file",
            format!("{}, hooks.{name}", snap_yaml::FILE),
            format!("there is no {HOOKS}/{name}"),
            "snapd runs the hook that is declared, and fails",
            format!("Put the program into {HOOKS}/{name} (mode 755), or remove the entry"),
        )
    })
}

fn missing_hook(name: &str, purpose: &str) -> Finding {
    Finding::error(
        "missing-hook",
        format!("{HOOKS}/{name}"),
        format!("there is no hook {name}"),
        format!("{purpose}; without it the device gets no serial for its hardware identity"),
        format!("Put this project's {name}, or a script that calls it, into {HOOKS} (mode 755)"),
    )
}

fn no_configure(gadget: &Gadget<'_>) -> Finding {
    let defaults = gadget.own_defaults().next();
    let why = match defaults {
        Some((snap_id, _)) => format!(
            "{} has defaults for it ({snap_id}): snapd then fails to install the gadget",
            gadget_yaml::FILE
        ),
        None => "`snap set` of this gadget fails, and it can have no gadget defaults".to_owned(),
    };
    Finding::error(
        "no-configure",
        format!("{HOOKS}/configure"),
        "there is no hook configure",
        why,
        format!("Put this project's configure, or an empty script, into {HOOKS} (mode 755)"),
    )
    .warning_if(defaults.is_none())
}

/// What snapd asks of the two hooks, where an author's own script stands in their place.
fn scripts(gadget: &Gadget<'_>) -> Vec<Finding> {
    let contents = Contents::of(gadget.tree);
    let own = |name: &str, finding: fn(&str, &Script) -> Option<Finding>| {
        let path = format!("{HOOKS}/{name}");
        match &*contents.get(Path::new(&path)) {
            Content::Script(script) if !script.mentions(name) => finding(&path, script),
            _ => None,
        }
    };
    [
        own("prepare-device", body_not_unset),
        own("prepare-serial-request", one_field_name),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn body_not_unset(path: &str, script: &Script) -> Option<Finding> {
    (!script.mentions("unset registration.body")).then(|| {
        Finding::error(
            "body-not-unset",
            path,
            "this script does not remove registration.body",
            "a body left from an attempt that failed makes snapd fail every later attempt before it asks the hook",
            "Begin with: snapctl unset registration.body; or call this project's prepare-device",
        )
        .warning()
    })
}

fn one_field_name(path: &str, script: &Script) -> Option<Finding> {
    let old = script.mentions("hardware-id-key-sha384");
    let new = script.mentions("hardware-id-key-sha3-384");
    (old != new).then(|| {
        Finding::error(
            "one-digest-name",
            path,
            "this script sets the key digest under one name",
            "snapd 2.74 to 2.77 look for hardware-id-key-sha384, later releases and the model service for \
             hardware-id-key-sha3-384",
            "Set both fields of registration.body to the same value; or call this project's \
             prepare-serial-request",
        )
        .warning()
    })
}
