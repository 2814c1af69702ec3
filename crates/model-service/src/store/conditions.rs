//! Conditions of queries, which both backends understand.

use std::fmt::Write as _;

/// A value that a condition compares with.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Integer(i64),
    Text(String),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

/// Conditions that rows have to meet, and the values in them.
///
/// The parameters are `?1`, `?2` and so on. A `?` is nothing else in them, so that a backend can
/// write another character instead.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    sql: String,
    pub(super) values: Vec<Value>,
}

impl Conditions {
    /// Adds a condition.
    pub(super) fn add(&mut self, condition: &str) {
        if !self.sql.is_empty() {
            self.sql.push_str(" AND ");
        }
        let _ = write!(self.sql, "({condition})");
    }

    /// Adds a condition with a value, which is `{}` in it.
    pub(super) fn with(&mut self, condition: &str, value: impl Into<Value>) {
        let parameter = self.parameter(value);
        self.add(&condition.replace("{}", &parameter));
    }

    /// Adds a condition with a value, if there is one.
    pub(super) fn with_some(&mut self, condition: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.with(condition, value);
        }
    }

    /// Adds conditions that begin and end a range of times.
    pub(super) fn within(&mut self, column: &str, range: TimeRange) {
        self.with_some(&format!("{column} >= {{}}"), range.since);
        self.with_some(&format!("{column} < {{}}"), range.until);
    }

    /// Adds a value. Returns its parameter.
    pub(super) fn parameter(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("?{}", self.values.len())
    }

    /// The conditions, true if there are none.
    pub(super) fn sql(&self) -> &str {
        match self.sql.is_empty() {
            true => "1 = 1",
            false => &self.sql,
        }
    }
}

/// A range of times in seconds since the epoch.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TimeRange {
    /// The first second.
    pub(crate) since: Option<i64>,
    /// The second after the last one.
    pub(crate) until: Option<i64>,
}
