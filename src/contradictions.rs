//! Settings that parse, and that a hook would stop at nevertheless.

use crate::config::Settings;
use crate::export;
use crate::serial;

/// What does not go together, as far as the settings alone tell: the cause, and what to do.
pub fn contradictions(settings: &Settings) -> Vec<String> {
    let hardware_id = settings
        .hardware_id
        .as_ref()
        .map_or(Ok(()), |source| source.check());
    if let Err(error) = hardware_id {
        return vec![error.to_string()];
    }
    let serial = serial::check(settings).err().map(|error| error.to_string());
    let export = export::on_factory_boot(settings)
        .err()
        .map(|error| error.to_string());
    serial.into_iter().chain(export).collect()
}
