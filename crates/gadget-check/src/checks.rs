//! The checks, one file per topic. A check takes the gadget and returns findings.

pub(crate) mod connections;
mod hooks;
pub(crate) mod metadata;
pub(crate) mod plugs;
mod programs;
mod settings;

use crate::finding::GadgetFinding;
use crate::gadget::Gadget;

/// Runs all checks.
pub(crate) fn run(gadget: &Gadget<'_>) -> Vec<GadgetFinding> {
    let checks = [
        hooks::check,
        plugs::check,
        connections::check,
        programs::check,
        settings::check,
        metadata::check,
    ];
    checks.into_iter().flat_map(|check| check(gadget)).collect()
}
