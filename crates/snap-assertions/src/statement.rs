//! Unsigned statements: headers and a body, and the JSON form that `snap sign` reads.

use std::fmt;

use miette::Diagnostic;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use thiserror::Error;

use crate::headers::{Headers, InvalidHeaderName, Value, is_header_name};

/// Unsigned headers and body.
///
/// The JSON form is that of `snap sign`: an object of headers, whose values are strings, lists or
/// maps; the member `body` is the body. Numbers, booleans and nulls are refused, as in snapd. So
/// are duplicate headers, of which snapd silently uses the last.
///
/// ```
/// use snap_assertions::Statement;
///
/// let statement = Statement::from_json(r#"{"type": "model", "series": "16", "body": "text"}"#)?;
/// assert_eq!(statement.headers.get_str("series"), Some("16"));
/// assert_eq!(statement.body, "text");
///
/// let error = Statement::from_json(r#"{"series": 16}"#).unwrap_err();
/// assert!(error.reason.contains("\"series\""));
/// # Ok::<(), snap_assertions::InvalidStatement>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    /// The headers, in any order.
    pub headers: Headers,
    /// The body, or the empty string.
    pub body: String,
}

/// The text is not the JSON form of a statement.
#[derive(Debug, Error, Diagnostic)]
#[error("the input is not a statement in JSON: {reason} (line {line}, column {column})")]
#[diagnostic(
    code("statement-invalid"),
    help("Write a JSON object of headers whose values are strings, lists or objects of strings")
)]
pub struct InvalidStatement {
    /// What the JSON parser reports, with the name of the header.
    pub reason: String,
    /// The line, counted from 1.
    pub line: usize,
    /// The column in the line, counted from 1.
    pub column: usize,
}

impl From<serde_json::Error> for InvalidStatement {
    fn from(error: serde_json::Error) -> Self {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        let place = format!(" at line {line} column {column}");
        Self {
            reason: text.strip_suffix(&place).unwrap_or(&text).to_owned(),
            line,
            column,
        }
    }
}

impl Statement {
    /// Reads the JSON form.
    ///
    /// serde can also read it, from a reader or from a stream of objects, and write it.
    ///
    /// # Errors
    /// If the text is not JSON, or if a value has a type that headers cannot have. The error names
    /// header, line and column.
    pub fn from_json(json: &str) -> Result<Self, InvalidStatement> {
        Ok(serde_json::from_str(json)?)
    }
}

impl<'de> Deserialize<'de> for Statement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(StatementVisitor)
    }
}

impl Serialize for Statement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let body = (!self.body.is_empty()).then_some(("body", &self.body));
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.headers.iter() {
            map.serialize_entry(name, &Json(value))?;
        }
        if let Some((name, body)) = body {
            map.serialize_entry(name, body)?;
        }
        map.end()
    }
}

/// A value in its JSON form.
struct Json<'a>(&'a Value);

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::String(text) => serializer.serialize_str(text),
            Value::List(items) => serializer.collect_seq(items.iter().map(Json)),
            Value::Map(entries) => {
                serializer.collect_map(entries.iter().map(|(name, value)| (name, Json(value))))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct StatementVisitor;

impl<'de> Visitor<'de> for StatementVisitor {
    type Value = Statement;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HeadersVisitor.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Statement, A::Error> {
        let mut headers = HeadersVisitor.visit_map(map)?;
        match headers.remove("body") {
            None => Ok(Statement {
                headers,
                body: String::new(),
            }),
            Some(Value::String(body)) => Ok(Statement { headers, body }),
            Some(_) => Err(de::Error::custom("header \"body\" is not a string")),
        }
    }
}

struct HeadersVisitor;

impl<'de> Visitor<'de> for HeadersVisitor {
    type Value = Headers;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of headers")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
        let mut headers = Headers::new();
        let mut seen = std::collections::HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            if !is_header_name(&name) {
                return Err(de::Error::custom(InvalidHeaderName(name)));
            }
            if !seen.insert(name.clone()) {
                return Err(de::Error::custom(format!("duplicate header {name:?}")));
            }
            let value = map
                .next_value()
                .map_err(|error| de::Error::custom(format!("header {name:?}: {error}")))?;
            headers.push(name, value);
        }
        Ok(headers)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, or a list or map of strings (write numbers and booleans in quotes)")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_string<E: de::Error>(self, text: String) -> Result<Value, E> {
        Ok(Value::String(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        HeadersVisitor.visit_map(map).map(Value::Map)
    }
}
