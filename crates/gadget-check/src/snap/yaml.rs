//! YAML files of a snap, with limits for size, depth and aliases, and errors of one line.

use std::path::Path;

use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde_saphyr::Error;

use super::tree::{MAX_YAML, Tree};

/// Reads a YAML file of the snap.
///
/// # Errors
/// The problem, with the line if it is known.
pub(crate) fn read<T: DeserializeOwned>(tree: &Tree, path: impl AsRef<Path>) -> Result<T, String> {
    let content = tree
        .read(path, MAX_YAML)
        .map_err(|error| format!("cannot read it: {error}"))?;
    serde_saphyr::from_slice(&content).map_err(|error| one_line(&error))
}

fn one_line(error: &Error) -> String {
    let problem = match error.without_snippet() {
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("duplicate key {key}"),
        other => other.to_string(),
    };
    let first = problem.lines().next().unwrap_or_default();
    // The line is put in front instead.
    let problem = first.split(" at line ").next().unwrap_or(first);
    match error.location() {
        Some(location) => format!("line {}: {problem}", location.line()),
        None => problem.to_owned(),
    }
}

/// Deserializes an empty value (`hooks:` with nothing after it) as the default.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
