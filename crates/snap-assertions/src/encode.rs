//! An encoder for streams of assertions, and for the headers of a statement in snapd's order.

use std::io::{self, Write};

use crate::assertion::{Assertion, Common};
use crate::headers::{Headers, Value};
use crate::statement::Statement;

/// The headers to which [`write_headers`] gives a fixed place.
const PLACED: [&str; 6] = [
    "type",
    "format",
    "authority-id",
    "revision",
    "body-length",
    "sign-key-sha3-384",
];

/// A writer of assertion streams, with an empty line between assertions.
///
/// ```
/// let assertion = snap_assertions::decode(include_bytes!("../tests/vectors/serial.assert"))?;
/// let mut encoder = snap_assertions::Encoder::new(Vec::new());
/// encoder.write(&assertion)?;
/// encoder.write(&assertion)?;
/// let stream = encoder.into_inner();
/// assert_eq!(snap_assertions::Decoder::new(&stream[..]).count(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Encoder<W> {
    writer: W,
    started: bool,
}

impl<W: Write> Encoder<W> {
    /// An encoder that writes to `writer`.
    pub fn new(writer: W) -> Self {
        Self {
            writer,
            started: false,
        }
    }

    /// Writes one assertion, as it was read or signed.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn write(&mut self, assertion: &Assertion) -> io::Result<()> {
        let separator = if self.started { "\n" } else { "" };
        self.started = true;
        write!(self.writer, "{separator}{assertion}")
    }

    /// The writer.
    pub fn into_inner(self) -> W {
        self.writer
    }
}

/// Writes the headers of `statement` in snapd's order. Returns the text, and the headers in that
/// order.
pub(crate) fn write_headers(statement: &Statement, common: &Common, sign_key_id: &str) -> (String, Headers) {
    let mut ordered = Headers::new();
    let mut add = |name: &str, value: Value| ordered.push(name.to_owned(), value);
    let given = &statement.headers;
    let kind = common.kind;
    let mut first = vec!["type"];
    first.extend((common.format > 0).then_some("format"));
    first.extend(kind.has_authority().then_some("authority-id"));
    first.extend((common.revision > 0).then_some("revision"));
    first.extend(kind.primary_key());
    for name in first {
        // snapd leaves out a primary key header with its default value.
        if let Some(value) = given
            .get(name)
            .filter(|value| value.as_str() != kind.default_of(name))
        {
            add(name, value.clone());
        }
    }
    let placed = |name| PLACED.contains(&name) || kind.primary_key().contains(&name);
    let mut others: Vec<_> = given.iter().filter(|(name, _)| !placed(name)).collect();
    others.sort_by_key(|(name, _)| *name);
    for (name, value) in others {
        if let Some(value) = value.canonical() {
            add(name, value);
        }
    }
    if !statement.body.is_empty() {
        add("body-length", statement.body.len().to_string().into());
    }
    add("sign-key-sha3-384", sign_key_id.into());

    let mut text = String::new();
    for (name, value) in ordered.iter() {
        write_entry(&mut text, &format!("{name}:"), value, 0);
    }
    // Each entry starts with a line feed.
    (text.split_off(1), ordered)
}

/// Writes a line feed, `intro` and the canonical `value`. Lists, maps and multi-line strings follow
/// on their own lines, indented relative to `indent`.
fn write_entry(text: &mut String, intro: &str, value: &Value, indent: usize) {
    text.push('\n');
    text.push_str(intro);
    match value {
        Value::String(line) if !line.contains('\n') => {
            text.push(' ');
            text.push_str(line);
        }
        Value::String(lines) => {
            let margin = format!("\n{:1$}", "", indent + 4);
            for line in lines.split('\n') {
                text.push_str(&margin);
                text.push_str(line);
            }
        }
        Value::List(items) => {
            let intro = format!("{:1$}-", "", indent + 2);
            for item in items {
                write_entry(text, &intro, item, indent + 2);
            }
        }
        Value::Map(entries) => {
            for (name, value) in entries.iter() {
                let intro = format!("{:1$}{name}:", "", indent + 2);
                write_entry(text, &intro, value, indent + 2);
            }
        }
    }
}
