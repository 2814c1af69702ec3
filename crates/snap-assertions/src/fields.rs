//! Checks of single headers that several types share. Each error names its header.

mod error;
mod time;

pub use error::{HeaderError, HeaderProblem};

use jiff::Timestamp;

use crate::headers::{Headers, Value};
use time::parse_time;

/// A map of values and its path, for errors: empty for the headers themselves, `snaps[2]` for an
/// entry of a list.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a> {
    map: &'a Headers,
    path: &'a str,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(headers: &'a Headers) -> Self {
        Self {
            map: headers,
            path: "",
        }
    }

    pub(crate) fn nested(map: &'a Headers, path: &'a str) -> Self {
        Self { map, path }
    }

    /// An error about the field `name`.
    pub(crate) fn error(&self, name: &str, problem: impl Into<HeaderProblem>) -> HeaderError {
        HeaderError::new(self.path_of(name), problem.into())
    }

    /// The path of the field `name`.
    pub(crate) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name)
    }

    pub(crate) fn forbidden(&self, name: &str, why: &'static str) -> Result<(), HeaderError> {
        match self.get(name) {
            Some(_) => Err(self.error(name, HeaderProblem::NotAllowed(why))),
            None => Ok(()),
        }
    }

    /// An optional string, which may be empty.
    pub(crate) fn optional_str(&self, name: &str) -> Result<Option<&'a str>, HeaderError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.error(name, HeaderProblem::MustBe("a string"))),
        }
    }

    /// A required string that is not empty.
    pub(crate) fn str(&self, name: &str) -> Result<&'a str, HeaderError> {
        match self.optional_str(name)? {
            None => Err(self.error(name, HeaderProblem::Missing)),
            Some("") => Err(self.error(name, HeaderProblem::Empty)),
            Some(text) => Ok(text),
        }
    }

    /// A string that satisfies `rule`.
    pub(crate) fn matching(&self, name: &str, rule: Rule) -> Result<&'a str, HeaderError> {
        let value = self.str(name)?;
        if rule.allows(value) {
            return Ok(value);
        }
        Err(self.error(name, rule.broken_by(value)))
    }

    /// A required string without slashes.
    pub(crate) fn primary_key(&self, name: &str) -> Result<&'a str, HeaderError> {
        let value = self.str(name)?;
        if value.contains('/') {
            return Err(self.error(name, HeaderProblem::Slash));
        }
        Ok(value)
    }

    /// A number that is not negative; 0 if the field is missing.
    pub(crate) fn number(&self, name: &str) -> Result<u64, HeaderError> {
        let text = match self.get(name) {
            None => return Ok(0),
            Some(Value::String(text)) => text,
            Some(_) => return Err(self.error(name, HeaderProblem::MustBe("a decimal number"))),
        };
        parse_number(text).map_err(|problem| self.error(name, problem))
    }

    /// An optional string that is empty or one of the values in `allowed`, separated by `|`.
    pub(crate) fn optional_choice(
        &self,
        name: &str,
        allowed: &'static str,
    ) -> Result<Option<&'a str>, HeaderError> {
        let value = self.optional_str(name)?.filter(|value| !value.is_empty());
        match value {
            Some(value) if !allowed.split('|').any(|choice| choice == value) => {
                let value = value.to_owned();
                Err(self.error(name, HeaderProblem::NotOneOf { value, allowed }))
            }
            value => Ok(value),
        }
    }

    pub(crate) fn bool(&self, name: &str) -> Result<bool, HeaderError> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::String(text)) if text == "true" => Ok(true),
            Some(Value::String(text)) if text == "false" => Ok(false),
            Some(_) => Err(self.error(name, HeaderProblem::MustBe("\"true\" or \"false\""))),
        }
    }

    pub(crate) fn optional_list(&self, name: &str) -> Result<Option<&'a [Value]>, HeaderError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::List(items)) => Ok(Some(items)),
            Some(_) => Err(self.error(name, HeaderProblem::MustBe("a list"))),
        }
    }

    /// A list of strings that all satisfy `rule`; empty if the field is missing.
    pub(crate) fn strings(&self, name: &str, rule: Option<Rule>) -> Result<Vec<&'a str>, HeaderError> {
        let wrong = || self.error(name, HeaderProblem::MustBe("a list of strings"));
        let items = self.optional_list(name).map_err(|_| wrong())?;
        let mut strings = Vec::new();
        for (index, item) in items.unwrap_or_default().iter().enumerate() {
            let text = item.as_str().ok_or_else(wrong)?;
            if let Some(rule) = rule.filter(|rule| !rule.allows(text)) {
                return Err(self.error(&format!("{name}[{index}]"), rule.broken_by(text)));
            }
            strings.push(text);
        }
        Ok(strings)
    }

    pub(crate) fn timestamp(&self, name: &str) -> Result<Timestamp, HeaderError> {
        let text = self.str(name)?;
        parse_time(text).ok_or_else(|| self.error(name, HeaderProblem::NotTimestamp(text.to_owned())))
    }

    pub(crate) fn optional_timestamp(&self, name: &str) -> Result<Option<Timestamp>, HeaderError> {
        match self.optional_str(name)? {
            None => Ok(None),
            Some(text) => match parse_time(text) {
                Some(time) => Ok(Some(time)),
                None => Err(self.error(name, HeaderProblem::NotTimestamp(text.to_owned()))),
            },
        }
    }
}

/// A rule for the characters of a value: the regular expression of snapd, and a function with the
/// same result.
#[derive(Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) pattern: &'static str,
    pub(crate) matches: fn(&str) -> bool,
}

impl Rule {
    pub(crate) fn allows(&self, value: &str) -> bool {
        (self.matches)(value)
    }

    pub(crate) fn broken_by(&self, value: &str) -> HeaderProblem {
        HeaderProblem::Pattern {
            value: value.to_owned(),
            pattern: self.pattern,
        }
    }
}

/// Reads a number as Go's `strconv.Atoi` does, with an optional sign, but without the leading zeros
/// that snapd refuses.
pub(crate) fn parse_number(text: &str) -> Result<u64, HeaderProblem> {
    let owned = || text.to_owned();
    let number: i64 = text.parse().map_err(|error: std::num::ParseIntError| {
        use std::num::IntErrorKind::{NegOverflow, PosOverflow};
        match error.kind() {
            PosOverflow | NegOverflow => HeaderProblem::OutOfRange(owned()),
            _ => HeaderProblem::NotInteger(owned()),
        }
    })?;
    if text.starts_with('0') && text != "0" {
        return Err(HeaderProblem::LeadingZeros(owned()));
    }
    u64::try_from(number).map_err(|_| HeaderProblem::OutOfRange(owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (text, number) in [("0", 0), ("12", 12), ("+7", 7), ("-0", 0)] {
            assert_eq!(parse_number(text), Ok(number), "{text}");
        }
        for text in ["", " 1", "1 ", "1_0", "0x1", "a", "1.0", "٣"] {
            let found = parse_number(text);
            assert!(matches!(found, Err(HeaderProblem::NotInteger(_))), "{text}");
        }
        for text in ["-1", "9223372036854775808"] {
            let found = parse_number(text);
            assert!(matches!(found, Err(HeaderProblem::OutOfRange(_))), "{text}");
        }
        for text in ["00", "007"] {
            let found = parse_number(text);
            assert!(matches!(found, Err(HeaderProblem::LeadingZeros(_))), "{text}");
        }
    }
}
