//! Header values and the ordered map that holds them.

use crate::error::{HeaderError, HeaderProblem};

/// A header's value.
///
/// The format knows no numbers, booleans or nulls: `body-length: 12` is the string `12`.
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
    /// Text of one or more lines.
    String(String),
    /// An ordered list.
    List(Vec<Value>),
    /// A map; its keys follow the rule for header names.
    Map(Headers),
}

impl Value {
    /// The text of a string value.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The items of a list value.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entries of a map value.
    pub fn as_map(&self) -> Option<&Headers> {
        match self {
            Value::Map(entries) => Some(entries),
            _ => None,
        }
    }

    /// This value as it is read back after it was written: maps sorted, empty lists and maps left out; `None`
    /// if nothing is left of it.
    ///
    /// snapd leaves out an empty list or map. It writes the bare name of one that holds only such, which it
    /// then cannot read back; leaving that out too keeps what is written readable.
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
/// Names are unique and follow snapd's rule: lower case letters, digits and single dashes, starting with a
/// letter and not ending with a dash.
///
/// ```
/// use snap_assertions::Headers;
///
/// let mut headers = Headers::new();
/// headers.set("type", "model")?;
/// headers.set("series", "16")?;
/// assert_eq!(headers.get_str("series"), Some("16"));
/// assert!(headers.set("Not a name", "").is_err());
/// # Ok::<(), snap_assertions::HeaderError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    entries: Vec<(String, Value)>,
}

impl Headers {
    /// No headers.
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

    /// The value of the header `name` if there is one and it is a string.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_str)
    }

    /// Sets the header `name`: in its place if there is one already, else at the end.
    ///
    /// # Errors
    /// [`HeaderProblem::InvalidName`] if `name` is not a header name.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) -> Result<(), HeaderError> {
        if !is_header_name(name) {
            return Err(HeaderError::new(name, HeaderProblem::InvalidName));
        }
        let value = value.into();
        match self.entries.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.push(name.to_owned(), value),
        }
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

    /// Whether there are no headers.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds a header whose name the caller has checked to be well formed and new.
    pub(crate) fn push(&mut self, name: String, value: Value) {
        self.entries.push((name, value));
    }
}

/// snapd's rule for header names and map keys, `^[a-z](?:-?[a-z0-9])*$`.
pub(crate) fn is_header_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && is_dashed(name, |c| c.is_ascii_lowercase() || c.is_ascii_digit())
}

/// Whether `text` is made of runs of allowed characters joined by single dashes, `^A(?:-?A)*$` for the class
/// `A`.
pub(crate) fn is_dashed(text: &str, allowed: impl Fn(char) -> bool + Copy) -> bool {
    text.split('-')
        .all(|run| !run.is_empty() && run.chars().all(allowed))
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
    fn setting_again_keeps_the_place() {
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
