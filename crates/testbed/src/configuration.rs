//! The configuration of a snap: a tree of JSON values with dotted option names.
//!
//! Source of the rules: snapd's overlord/configstate/config (2.77). A null is the same as a missing
//! value. Setting a dotted name creates the objects above it, and fails if one of them is another
//! kind of value. Two differences from snapd do not matter here: numbers are kept by value, not by
//! their digits; and a commit sets a hook's changes again, name by name.

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The first base (core26) for which snapd also checks the names inside objects.
const FIRST_BASE_WITH_STRICT_NAMES: u32 = 26;

/// The options of one snap.
pub(crate) type Options = Map<String, Value>;

/// One option with its new value. A null unsets it.
pub(crate) type Change = (String, Value);

/// The view of one hook run, or of one call outside of a hook, with its changes.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Transaction {
    /// The configuration when the transaction began.
    pristine: Options,
    /// The changes since then, in order.
    changes: Vec<Change>,
}

impl Transaction {
    pub(crate) fn new(pristine: Options) -> Self {
        Transaction {
            pristine,
            changes: Vec::new(),
        }
    }

    /// The value of a dotted name; `None` if it is not set. An empty name returns all options.
    pub(crate) fn get(&self, name: &str) -> Result<Option<Value>> {
        let options = Value::Object(self.options());
        if name.is_empty() {
            return Ok((options != Value::Object(Map::new())).then_some(options));
        }
        let parts = parse_name(name)?;
        Ok(find(&options, name, &parts)?.cloned())
    }

    /// Sets a dotted name. A null unsets it. An error changes nothing.
    pub(crate) fn set(&mut self, base: &str, name: &str, value: Value) -> Result<()> {
        if has_strict_names(base) {
            check_names_inside(&value)?;
        }
        let parts = parse_name(name)?;
        // As in snapd, the name must be possible in the first configuration too, not only with the
        // changes.
        find(&Value::Object(self.pristine.clone()), name, &parts)?;
        find(&Value::Object(self.options()), name, &parts)?;
        self.changes.push((name.to_owned(), value));
        Ok(())
    }

    pub(crate) fn changes(self) -> Vec<Change> {
        self.changes
    }

    /// The configuration with the changes.
    pub(crate) fn options(&self) -> Options {
        applied(self.pristine.clone(), &self.changes)
    }
}

/// The configuration after the changes.
pub(crate) fn applied(mut options: Options, changes: &[Change]) -> Options {
    for (name, value) in changes {
        let parts: Vec<&str> = name.split('.').collect();
        patch(&mut options, &parts, value);
    }
    purge_nulls(&mut options);
    options
}

fn patch(options: &mut Options, parts: &[&str], value: &Value) {
    match parts {
        [] => {}
        [last] => {
            options.insert((*last).to_owned(), value.clone());
        }
        [first, rest @ ..] => {
            let entry = options.entry(*first).or_insert(Value::Null);
            if !entry.is_object() {
                *entry = Value::Object(Map::new());
            }
            if let Value::Object(inner) = entry {
                patch(inner, rest, value);
            }
        }
    }
}

/// Removes nulls from objects. Nulls in lists stay.
fn purge_nulls(options: &mut Options) {
    options.retain(|_, value| !value.is_null());
    for value in options.values_mut() {
        if let Value::Object(inner) = value {
            purge_nulls(inner);
        }
    }
}

/// The value at a path of names. Returns an error if a value on the path is not an object.
fn find<'a>(options: &'a Value, name: &str, parts: &[&str]) -> Result<Option<&'a Value>> {
    let mut here = options;
    for (depth, part) in parts.iter().enumerate() {
        let Value::Object(inner) = here else {
            let above: Vec<&str> = name.split('.').take(depth).collect();
            bail!("option {:?} is not a map", above.join("."));
        };
        match inner.get(*part) {
            Some(value) => here = value,
            None => return Ok(None),
        }
    }
    Ok(Some(here))
}

fn parse_name(name: &str) -> Result<Vec<&str>> {
    let parts: Vec<&str> = name.split('.').collect();
    for part in &parts {
        ensure!(is_valid_name(part), "{part:?} is not a valid option name");
    }
    Ok(parts)
}

/// Returns true if the name is groups of lower-case letters and digits, joined by single dashes,
/// with at least one letter.
fn is_valid_name(name: &str) -> bool {
    let is_group = |group: &str| {
        !group.is_empty()
            && group
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    name.split('-').all(is_group) && name.bytes().any(|b| b.is_ascii_lowercase())
}

fn check_names_inside(value: &Value) -> Result<()> {
    match value {
        Value::Object(inner) => {
            for (name, value) in inner {
                ensure!(is_valid_name(name), "{name:?} is not a valid option name");
                check_names_inside(value)?;
            }
        }
        Value::Array(values) => values.iter().try_for_each(check_names_inside)?,
        _ => {}
    }
    Ok(())
}

fn has_strict_names(base: &str) -> bool {
    let version = base.strip_prefix("core").and_then(|version| version.parse().ok());
    version.is_some_and(|version: u32| version >= FIRST_BASE_WITH_STRICT_NAMES)
}
