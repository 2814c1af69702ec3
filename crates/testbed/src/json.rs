//! JSON as Go's encoder writes it: members sorted by name, and escapes for characters that are
//! special in HTML and JavaScript.

use anyhow::Result;
use serde_json::ser::{CompactFormatter, Formatter, PrettyFormatter};
use serde_json::{Serializer, Value};

/// JSON on one line, as snapd stores and sends it.
pub(crate) fn compact(value: &Value) -> Result<String> {
    encode(value, CompactFormatter)
}

/// JSON indented with tabs, as snapctl prints it.
pub(crate) fn indented(value: &Value) -> Result<String> {
    encode(value, PrettyFormatter::with_indent(b"\t"))
}

fn encode(value: &Value, formatter: impl Formatter) -> Result<String> {
    let mut bytes = Vec::new();
    serde::Serialize::serialize(
        &sorted(value),
        &mut Serializer::with_formatter(&mut bytes, formatter),
    )?;
    let mut json = String::from_utf8(bytes)?;
    // These characters can occur only in strings.
    for (character, escape) in [
        ('<', "\\u003c"),
        ('>', "\\u003e"),
        ('&', "\\u0026"),
        ('\u{2028}', "\\u2028"),
        ('\u{2029}', "\\u2029"),
    ] {
        json = json.replace(character, escape);
    }
    Ok(json)
}

/// The same value with the members of all its objects sorted by name.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members
                .iter()
                .map(|(name, value)| (name.clone(), sorted(value)))
                .collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(members.into_iter().collect())
        }
        Value::Array(values) => Value::Array(values.iter().map(sorted).collect()),
        other => other.clone(),
    }
}
