//! Header values and the ordered map that holds them.

use identity_key::is_joined_by_single_dashes;
use miette::Diagnostic;
use thiserror::Error;

/// The value of a header.
///
/// The format has no numbers, booleans or nulls: `body-length: 12` is the string `12`.
///
/// ```
/// use snap_assertions::Value;
///
/// let assertion = snap_assertions::decode(include_bytes!("../tests/vectors/model.assert"))?;
/// let snaps = assertion.headers().get("snaps").and_then(Value::as_list).unwrap_or_default();
/// let names = snaps.iter().filter_map(|snap| snap.as_map()?.get_str("name"));
/// assert_eq!(names.collect::<Vec<_>>(), ["pc", "pc-kernel", "core24"]);
/// # Ok::<(), snap_assertions::DecodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A string of one or more lines.
    String(String),
    /// An ordered list.
    List(Vec<Value>),
    /// A map, whose keys follow the rule for header names.
    Map(Headers),
}

impl Value {
    /// The string, if the value is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The items, if the value is a list.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entries, if the value is a map.
    pub fn as_map(&self) -> Option<&Headers> {
        match self {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// The value as a decoder reads it after it was written: maps sorted, without empty lists and
    /// maps. `None` if nothing remains.
    ///
    /// snapd leaves out an empty list or map. Of a list or map with only such items it writes the
    /// bare name, which it then cannot read. This function leaves out those too.
    pub(crate) fn canonical(&self) -> Option<Value> {
        match self {
            Value::String(text) => Some(Value::String(text.clone())),
            Value::List(items) => {
                let items: Vec<_> = items.iter().filter_map(Value::canonical).collect();
                (!items.is_empty()).then_some(Value::List(items))
            }
            Value::Map(entries) => {
                let entry = |(name, value): (&str, &Value)| Some((name.to_owned(), value.canonical()?));
                let mut entries: Vec<_> = entries.iter().filter_map(entry).collect();
                entries.sort_by(|(one, _), (other, _)| one.cmp(other));
                (!entries.is_empty()).then_some(Value::Map(Headers { entries }))
            }
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::String(text)
    }
}

/// Headers in the order in which they were read or set.
///
/// Names are unique and follow snapd's rule: lower case letters, digits and single dashes; a letter
/// first, no dash last.
///
/// ```
/// use snap_assertions::Headers;
///
/// let mut headers = Headers::new();
/// headers.set("type", "model")?;
/// headers.set("series", "16")?;
/// assert_eq!(headers.get_str("series"), Some("16"));
/// assert!(headers.set("Not a name", "").is_err());
/// # Ok::<(), snap_assertions::InvalidHeaderName>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    entries: Vec<(String, Value)>,
}

/// A name that is not a header name.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
#[error("{0:?} is not a header name")]
#[diagnostic(
    code("header-name-invalid"),
    help("Use lower case letters, digits and single dashes, with a letter first")
)]
pub struct InvalidHeaderName(pub String);

impl Headers {
    /// Empty headers.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value of the header `name`.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.entries
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value)
    }

    /// The value of the header `name`, if it is a string.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    /// Sets the header `name`. An existing header keeps its place; a new one is added at the end.
    ///
    /// # Errors
    /// [`InvalidHeaderName`] if `name` is not a header name.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) -> Result<(), InvalidHeaderName> {
        if !is_header_name(name) {
            return Err(InvalidHeaderName(name.to_owned()));
        }
        self.replace(name, value.into());
        Ok(())
    }

    /// Removes the header `name` and returns its value.
    pub fn remove(&mut self, name: &str) -> Option<Value> {
        let index = self.entries.iter().position(|(known, _)| known == name)?;
        Some(self.entries.remove(index).1)
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The number of headers.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns true if there are no headers.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Sets a header whose name is known to be valid.
    pub(crate) fn replace(&mut self, name: &str, value: Value) {
        match self.entries.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.push(name.to_owned(), value),
        }
    }

    /// Adds a header. The caller has checked that the name is valid and new.
    pub(crate) fn push(&mut self, name: String, value: Value) {
        self.entries.push((name, value));
    }
}

/// Returns true if `name` is a header name or map key by snapd's rule, `^[a-z](?:-?[a-z0-9])*$`.
pub(crate) fn is_header_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && is_joined_by_single_dashes(name, |c| c.is_ascii_lowercase() || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_names() {
        for name in ["a", "a1", "hardware-id-key-sha3-384", "a-1"] {
            assert!(is_header_name(name), "{name}");
        }
        for name in ["", "-a", "a-", "a--b", "1a", "A", "a_b", "a b", "ä"] {
            assert!(!is_header_name(name), "{name}");
        }
    }

    #[test]
    fn a_header_that_is_set_again_keeps_its_place() {
        let mut headers = Headers::new();
        for name in ["b", "a", "c"] {
            headers.set(name, "1").unwrap();
        }
        headers.set("a", "2").unwrap();
        let all: Vec<_> = headers.iter().map(|(n, v)| (n, v.as_str())).collect();
        assert_eq!(all, [("b", Some("1")), ("a", Some("2")), ("c", Some("1"))]);
        assert_eq!(headers.remove("b"), Some("1".into()));
        assert_eq!(headers.len(), 2);
    }
}
