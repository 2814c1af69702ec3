//! The checks, one file per topic. A check takes the gadget and returns findings.

pub(crate) mod connections;
mod hooks;
pub(crate) mod metadata;
pub(crate) mod plugs;
mod programs;
mod scripts;
mod settings;
mod token;
mod values;

use crate::finding::GadgetFinding;
use crate::gadget::Gadget;

/// Runs all checks.
pub(crate) fn run(gadget: &Gadget<'_>) -> Vec<GadgetFinding> {
    let checks = [
        hooks::check,
        plugs::check,
        connections::check,
        programs::check,
        scripts::check,
        settings::check,
        token::check,
        values::check,
        metadata::check,
    ];
    checks.into_iter().flat_map(|check| check(gadget)).collect()
}
