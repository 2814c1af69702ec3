//! YAML that is written: values in their order, as block mappings with short lists in brackets.

use std::collections::BTreeSet;

use serde_json::Value;

/// The longest list that is written in brackets, in characters.
const MAX_FLOW: usize = 60;
const INDENT: usize = 2;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Yaml {
    /// A scalar as it is written, with quotation marks if it needs them.
    Scalar(String),
    List(Vec<Yaml>),
    Map(Vec<(String, Yaml)>),
}

impl Yaml {
    pub(super) fn text(text: &str) -> Self {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./$-".contains(&byte);
        // YAML 1.1 reads these as booleans or null.
        let special = ["true", "false", "yes", "no", "on", "off", "y", "n", "null", "~"];
        let is_plain = text.starts_with(|first: char| first.is_ascii_alphabetic() || "$/".contains(first))
            && text.bytes().all(plain)
            && !special.contains(&text.to_ascii_lowercase().as_str());
        Yaml::Scalar(match is_plain || text == "." {
            true => text.to_owned(),
            false => format!("'{}'", text.replace('\'', "''")),
        })
    }

    pub(super) fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Yaml::List(texts.into_iter().map(Yaml::text).collect())
    }

    pub(super) fn map<'a>(entries: impl IntoIterator<Item = (&'a str, Yaml)>) -> Self {
        let entries = entries.into_iter();
        Yaml::Map(entries.map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// Adds a value below the mapping at a path.
    pub(super) fn insert(&mut self, path: &[&str], value: Yaml) {
        let value = path
            .iter()
            .rev()
            .fold(value, |value, key| Yaml::map([(*key, value)]));
        self.merge(value);
    }

    /// Adds the entries of another mapping, or the items of another list. Another kind of value is
    /// replaced.
    pub(super) fn merge(&mut self, other: Yaml) {
        match (self, other) {
            (Yaml::Map(entries), Yaml::Map(others)) => {
                for (key, value) in others {
                    match entries.iter_mut().find(|(name, _)| *name == key) {
                        Some((_, entry)) => entry.merge(value),
                        None => entries.push((key, value)),
                    }
                }
            }
            (Yaml::List(items), Yaml::List(others)) => items.extend(others),
            (this, other) => *this = other,
        }
    }

    /// Removes the entries of a mapping, or the items of a list, with these names.
    pub(super) fn remove(&mut self, names: &BTreeSet<String>) {
        match self {
            Yaml::Map(entries) => entries.retain(|(key, _)| !names.contains(key)),
            Yaml::List(items) => items.retain(|item| match item {
                Yaml::Scalar(text) => !names.contains(text.trim_matches(['\'', '"'])),
                _ => true,
            }),
            Yaml::Scalar(_) => {}
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Yaml::Map(entries) => entries.is_empty(),
            Yaml::List(items) => items.is_empty(),
            Yaml::Scalar(text) => text.is_empty(),
        }
    }

    /// The lines of the entries or items, at this indentation.
    pub(super) fn lines(&self, indent: usize) -> Vec<String> {
        match self {
            Yaml::Map(entries) => entries
                .iter()
                .flat_map(|(key, value)| entry(key, value, indent))
                .collect(),
            Yaml::List(items) => items.iter().flat_map(|value| item(value, indent)).collect(),
            Yaml::Scalar(text) => vec![format!("{:indent$}{text}", "")],
        }
    }

    /// The value on the line of its key, if it is short.
    fn flow(&self) -> Option<String> {
        match self {
            Yaml::Scalar(text) => Some(text.clone()),
            Yaml::Map(entries) => entries.is_empty().then(|| "{}".to_owned()),
            Yaml::List(items) => {
                let scalars: Option<Vec<&str>> = items
                    .iter()
                    .map(|item| match item {
                        Yaml::Scalar(text) => Some(text.as_str()),
                        _ => None,
                    })
                    .collect();
                let text = format!("[{}]", scalars?.join(", "));
                (text.len() <= MAX_FLOW).then_some(text)
            }
        }
    }
}

/// The lines of one entry of a mapping.
pub(super) fn entry(key: &str, value: &Yaml, indent: usize) -> Vec<String> {
    match value.flow() {
        Some(text) => vec![format!("{:indent$}{key}: {text}", "").trim_end().to_owned()],
        None => {
            let key = format!("{:indent$}{key}:", "");
            [vec![key], value.lines(indent + INDENT)].concat()
        }
    }
}

fn item(value: &Yaml, indent: usize) -> Vec<String> {
    let mut lines = value.lines(indent + INDENT);
    if let Some(first) = lines.first_mut() {
        first.replace_range(indent..=indent, "-");
    }
    lines
}

impl From<&Value> for Yaml {
    fn from(value: &Value) -> Self {
        match value {
            Value::Object(entries) => {
                Yaml::map(entries.iter().map(|(key, value)| (key.as_str(), value.into())))
            }
            Value::Array(items) => Yaml::List(items.iter().map(Yaml::from).collect()),
            Value::String(text) => Yaml::text(text),
            Value::Null => Yaml::Scalar(String::new()),
            other => Yaml::Scalar(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_in_blocks() {
        let mut yaml = Yaml::map([("plugin", Yaml::text("rust"))]);
        yaml.insert(&["a", "b"], Yaml::list(["tpm", "x y"]));
        yaml.insert(
            &["a", "c"],
            Yaml::List(vec![Yaml::map([("plug", Yaml::text("1:tpm"))])]),
        );
        yaml.insert(&["a", "b"], Yaml::list(["."]));
        let expected = "plugin: rust\na:\n  b: [tpm, 'x y', .]\n  c:\n    - plug: '1:tpm'";
        assert_eq!(yaml.lines(0).join("\n"), expected);
        assert_eq!(
            serde_saphyr::from_str::<Value>(expected).unwrap()["a"]["b"][2],
            "."
        );
    }
}
