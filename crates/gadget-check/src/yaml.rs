//! YAML from a snap: limited in size, depth and aliases, and errors of one line.

use std::path::Path;

use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde_saphyr::Error;

use crate::tree::{LARGEST_TEXT, Tree};

/// Reads a file of the snap.
///
/// # Errors
/// What is wrong with it, with the line where there is one.
pub(crate) fn read<T: DeserializeOwned>(tree: &Tree, path: impl AsRef<Path>) -> Result<T, String> {
    let content = tree
        .read(path, LARGEST_TEXT)
        .map_err(|error| format!("it cannot be read: {error}"))?;
    serde_saphyr::from_slice(&content).map_err(|error| explain(&error))
}

fn explain(error: &Error) -> String {
    let problem = match error.without_snippet() {
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("the key {key} stands twice"),
        other => other.to_string(),
    };
    let first = problem.lines().next().unwrap_or_default();
    // The place is said in front.
    let problem = first.split(" at line ").next().unwrap_or(first);
    match error.location() {
        Some(location) => format!("line {}: {problem}", location.line()),
        None => problem.to_owned(),
    }
}

/// An empty value (`hooks:` and nothing after it) is as good as none.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}
