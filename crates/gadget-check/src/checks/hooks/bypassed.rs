//! Hooks that exist, but neither reach the program of this project nor do its task.
//!
//! In snapcraft a hook of the project replaces the hook of a part with the same name, so that an
//! author's own hook can silently take the place of ours.

use crate::finding::{FindingKind as _, GadgetFinding};
use crate::findings::HookFinding;
use crate::gadget::Gadget;
use crate::snap::HOOKS;
use crate::snap::script::OURS;
use crate::trace::{Exit, Program, Trace};

pub(super) fn check(gadget: &Gadget<'_>) -> Vec<GadgetFinding> {
    let hooks = [
        of_prepare_serial_request(gadget),
        of_prepare_device(gadget),
        of_install_device(gadget),
        of_configure(gadget),
    ];
    let exits = OURS.iter().filter_map(|hook| exits_first(gadget, hook));
    hooks.into_iter().flatten().chain(exits).collect()
}

/// A program that signs, or the script itself, has to set the body.
fn of_prepare_serial_request(gadget: &Gadget<'_>) -> Option<GadgetFinding> {
    let hook = "prepare-serial-request";
    let trace = gadget.hooks.get(hook)?;
    let does_task = trace.programs.iter().any(|program| !gadget.is_script(program))
        || trace.sets("registration.body")
        || may_run(trace, hook);
    (!does_task).then(|| bypassed(trace, hook))
}

/// Our prepare-serial-request needs what our prepare-device does. An author's own hooks can divide
/// their tasks in another way.
pub(super) fn of_prepare_device(gadget: &Gadget<'_>) -> Option<GadgetFinding> {
    let hook = "prepare-device";
    let trace = gadget.hooks.get(hook)?;
    let request = gadget.hooks.get("prepare-serial-request")?;
    let is_needed = ours(gadget, request, "prepare-serial-request").is_some();
    let does_task = ours(gadget, trace, hook).is_some()
        || trace
            .programs
            .iter()
            .any(|program| gadget.makes_identity(program))
        || may_run(trace, hook);
    (is_needed && !does_task).then(|| bypassed(trace, hook))
}

fn of_install_device(gadget: &Gadget<'_>) -> Option<GadgetFinding> {
    let hook = "install-device";
    let trace = gadget.hooks.get(hook)?;
    let exports = gadget
        .settings
        .as_ref()
        .is_some_and(|settings| settings.factory.export.is_some());
    let does_task = ours(gadget, trace, hook).is_some() || may_run(trace, hook);
    (exports && !does_task).then(|| bypassed(trace, hook))
}

/// Without it the settings are not validated when they are set; the other hooks still work.
fn of_configure(gadget: &Gadget<'_>) -> Option<GadgetFinding> {
    let hook = "configure";
    let trace = gadget.hooks.get(hook)?;
    let uses_ours = ["prepare-device", "prepare-serial-request"].iter().any(|hook| {
        let trace = gadget.hooks.get(*hook);
        trace.is_some_and(|trace| ours(gadget, trace, hook).is_some())
    });
    let does_task = ours(gadget, trace, hook).is_some() || may_run(trace, hook);
    (uses_ours && !does_task).then(|| bypassed(trace, hook).warning_if(true))
}

/// An `exit` that ends the hook before our program runs.
fn exits_first(gadget: &Gadget<'_>, hook: &'static str) -> Option<GadgetFinding> {
    let trace = gadget.hooks.get(hook)?;
    let Exit { script, line } = ours(gadget, trace, hook)?.after_exit.clone()?;
    let finding = HookFinding::ExitsFirst { hook, line };
    Some(finding.at(script).warning_if(true))
}

fn bypassed(trace: &Trace, hook: &'static str) -> GadgetFinding {
    let place = trace.end.as_ref().map(|exit| exit.script.clone());
    let end = trace.end.as_ref().map(|exit| exit.line);
    HookFinding::Bypassed { hook, end }.at(place.unwrap_or_else(|| format!("{HOOKS}/{hook}")))
}

/// The program of this project that a hook reaches. A program that is not in the snap counts: it is
/// reported as missing.
pub(super) fn ours<'a>(gadget: &Gadget<'_>, trace: &'a Trace, name: &str) -> Option<&'a Program> {
    let mut programs = trace.programs.iter();
    programs.find(|program| program.name() == name && !gadget.is_script(program))
}

/// Returns true if the program can be among what could not be followed.
fn may_run(trace: &Trace, program: &str) -> bool {
    trace.has_unknown_calls() || trace.names_in_other_language(program)
}
