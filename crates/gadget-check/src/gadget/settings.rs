//! The settings of a gadget, read as the hooks read them.

use hardware_identity::config::{self, ConfigError, OPTION, Settings};
use serde_json::Value;

use crate::finding::{FindingKind as _, GadgetFinding};
use crate::findings::SettingsFinding;
use crate::snap::environment::Environment;
use crate::snap::snap_yaml::SnapYaml;
use crate::snap::tree::{Entry, Tree};
use crate::snap::{gadget_yaml, snap_yaml};

/// Reads the settings file, the gadget's defaults and the variable TCTI.
///
/// # Errors
/// A finding for each setting that does not parse.
pub(super) fn read(
    tree: &Tree,
    snap: &SnapYaml,
    defaults: &[(String, Value)],
) -> Result<Settings, Vec<GadgetFinding>> {
    let directory = match tree.entry(config::FILE) {
        Entry::Missing => None,
        Entry::File { .. } => Some(tree.root()),
        Entry::Outside | Entry::Other => {
            return Err(vec![bad(
                config::FILE,
                "not a regular file of the snap".to_owned(),
            )]);
        }
    };
    let environment = Environment::of(snap);
    let tcti = environment.get("TCTI").filter(|tcti| !tcti.is_empty());
    let (mut settings, mut errors) = Settings::read(directory, None, tcti);
    for (_, options) in defaults {
        if errors.is_empty() {
            (settings, errors) = Settings::read(directory, options.get(OPTION), tcti);
        }
    }
    match errors.is_empty() {
        true => Ok(settings),
        false => Err(errors.into_iter().map(of_error).collect()),
    }
}

fn of_error(error: ConfigError) -> GadgetFinding {
    match error {
        ConfigError::Line { line, problem, .. } => {
            bad(format!("{}, line {line}", config::FILE), problem.to_string())
        }
        ConfigError::Unreadable(error) => bad(config::FILE, error.to_string()),
        ConfigError::Option { option, problem } => bad(
            format!("{}, defaults: {option}", gadget_yaml::FILE),
            problem.to_string(),
        ),
        ConfigError::Variable(problem) => bad(
            format!("{}, environment.TCTI", snap_yaml::FILE),
            problem.to_string(),
        ),
    }
}

fn bad(place: impl Into<String>, problem: String) -> GadgetFinding {
    SettingsFinding::Bad { problem }.at(place)
}
