//! The constraints of an account-key: which assertions the key may sign.
//!
//! They are a list of alternatives. Each is a map with the entry `headers`, a map from header names
//! to what their values must match: a regular expression, another such map, a list of alternatives,
//! or `$MISSING`.

use crate::fields::{Fields, HeaderError, HeaderProblem};
use crate::go_regex::{GoRegex, is_literal};
use crate::headers::{Headers, Value};

const HEADER: &str = "constraints";

/// Alternatives, one of which must match.
#[derive(Clone, Debug)]
pub(super) struct Constraints(Vec<Matcher>);

#[derive(Clone, Debug)]
enum Matcher {
    Map(Vec<(String, Matcher)>),
    Any(Vec<Matcher>),
    Regex(GoRegex),
    Missing,
}

impl Constraints {
    /// Reads the header `constraints`, if it exists.
    pub(super) fn read(fields: Fields<'_>) -> Result<Option<Self>, HeaderError> {
        let wrong = |path: &str, what| fields.error(path, HeaderProblem::MustBe(what));
        let Some(value) = fields.get(HEADER) else {
            return Ok(None);
        };
        let list = value.as_list().filter(|list| !list.is_empty());
        let list = list.ok_or_else(|| wrong(HEADER, "a list of maps"))?;
        let mut alternatives = Vec::new();
        for (index, item) in list.iter().enumerate() {
            let path = format!("{HEADER}[{index}]");
            let item = item.as_map().ok_or_else(|| wrong(&path, "a map"))?;
            let path = path + ".headers";
            let headers = item
                .get("headers")
                .ok_or_else(|| fields.error(&path, HeaderProblem::Missing))?;
            let headers = headers.as_map().ok_or_else(|| wrong(&path, "a map"))?;
            check_type(headers, &path)?;
            alternatives.push(Matcher::map(headers, &path)?);
        }
        Ok(Some(Self(alternatives)))
    }

    /// Returns true if the key may sign an assertion with these headers.
    pub(super) fn allow(&self, headers: &Headers) -> bool {
        self.0.iter().any(|alternative| match alternative {
            Matcher::Map(entries) => matches_entries(entries, headers),
            _ => false,
        })
    }
}

/// Checks that an alternative names its type literally.
fn check_type(headers: &Headers, path: &str) -> Result<(), HeaderError> {
    let name = Fields::nested(headers, path).str("type")?;
    if is_literal(name) {
        return Ok(());
    }
    let problem = HeaderProblem::MustBe("the literal name of a type");
    Err(HeaderError::new(format!("{path}.type"), problem))
}

impl Matcher {
    fn map(entries: &Headers, path: &str) -> Result<Self, HeaderError> {
        let compiled = entries.iter().map(|(name, value)| {
            let matcher = Matcher::compile(value, &format!("{path}.{name}"), false)?;
            Ok((name.to_owned(), matcher))
        });
        Ok(Matcher::Map(compiled.collect::<Result<_, _>>()?))
    }

    fn compile(value: &Value, path: &str, in_list: bool) -> Result<Self, HeaderError> {
        let error = |problem| HeaderError::new(path, problem);
        match value {
            Value::Map(entries) => Matcher::map(entries, path),
            Value::List(_) if in_list => Err(error(HeaderProblem::NestedAlternatives)),
            Value::List(items) => {
                let compiled = items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| Matcher::compile(item, &format!("{path}[{index}]"), true));
                Ok(Matcher::Any(compiled.collect::<Result<_, _>>()?))
            }
            Value::String(text) if text == "$MISSING" => Ok(Matcher::Missing),
            Value::String(text) if text.starts_with('$') => {
                Err(error(HeaderProblem::UnsupportedConstraint(text.clone())))
            }
            Value::String(text) => {
                GoRegex::new(&format!("^({text})$"))
                    .map(Matcher::Regex)
                    .map_err(|reason| {
                        let value = text.clone();
                        error(HeaderProblem::NotRegex { value, reason })
                    })
            }
        }
    }

    fn matches(&self, value: &Value) -> bool {
        match (self, value) {
            (Matcher::Missing, _) => false,
            // Every item of a list must match.
            (_, Value::List(items)) => items.iter().all(|item| self.matches(item)),
            (Matcher::Map(entries), Value::Map(map)) => matches_entries(entries, map),
            (Matcher::Regex(regex), Value::String(text)) => regex.is_match(text),
            (Matcher::Any(alternatives), value) => {
                alternatives.iter().any(|alternative| alternative.matches(value))
            }
            _ => false,
        }
    }
}

fn matches_entries(entries: &[(String, Matcher)], map: &Headers) -> bool {
    entries.iter().all(|(name, matcher)| match map.get(name) {
        Some(value) => matcher.matches(value),
        // As in snapd, `$MISSING` has no effect in a list of alternatives.
        None => matches!(matcher, Matcher::Missing),
    })
}
