//! The header syntax: lines of `name: value`, multi-line strings, lists and maps.
//!
//! The parser accepts and refuses what snapd's decoder does. Each level of nesting is indented by
//! two spaces; a multi-line string by four, relative to the line that introduces it.

use std::collections::BTreeSet;

use miette::Diagnostic;
use thiserror::Error;

use crate::headers::{Headers, InvalidHeaderName, Value, is_header_name};

/// Indentation of list items and map entries, relative to the line that introduces them.
const NESTED: usize = 2;
/// Indentation of a multi-line string, relative to the line that introduces it.
const TEXT: usize = 4;

/// A line that breaks the header syntax.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
#[non_exhaustive]
pub enum SyntaxError {
    /// A line has no colon.
    #[error("the line {0:?} has no ':' after a header name")]
    #[diagnostic(
        code("header-colon-missing"),
        help("Check that the input is an assertion and that nobody edited it")
    )]
    MissingColon(String),
    /// A name has characters that a header name must not have.
    #[error(transparent)]
    #[diagnostic(transparent)]
    InvalidName(#[from] InvalidHeaderName),
    /// The value follows the colon or dash without a space.
    #[error("the line {0:?} has no space before the value")]
    #[diagnostic(
        code("header-space-missing"),
        help("Write one space between the colon or dash and the value")
    )]
    MissingSpace(String),
    /// No indented line follows a line that introduces a value of several lines.
    #[error("the line {name:?} has no value")]
    #[diagnostic(
        code("header-value-missing"),
        help("Indent the lines of the value by {indent} spaces")
    )]
    MissingValue {
        /// The line that introduces the value.
        name: String,
        /// The indentation that a multi-line string has here.
        indent: usize,
    },
    /// A name occurs twice among the headers, or in one map.
    #[error("duplicate header {0:?}")]
    #[diagnostic(code("header-duplicate"), help("Remove one of the two headers"))]
    Repeated(String),
}

/// An error and its line, counted from 0.
pub(crate) type Located = (usize, SyntaxError);

/// Parses the header part of an assertion.
pub(crate) fn parse_headers(head: &str) -> Result<Headers, Located> {
    let lines: Vec<&str> = head.split('\n').collect();
    let mut parser = Parser { lines, next: 0 };
    parser.entries(0, |_| true)
}

struct Parser<'a> {
    lines: Vec<&'a str>,
    /// The index of the next line.
    next: usize,
}

impl<'a> Parser<'a> {
    /// Reads entries `name: value` that start at column `indent`, as long as `belongs` returns true
    /// for the line.
    fn entries(&mut self, indent: usize, belongs: impl Fn(&str) -> bool) -> Result<Headers, Located> {
        let mut headers = Headers::new();
        // Faster than hashing: an assertion has few headers.
        let mut seen = BTreeSet::new();
        while let Some(&line) = self.lines.get(self.next).filter(|line| belongs(line)) {
            let at = self.next;
            let entry = line.get(indent..).unwrap_or_default();
            let Some((name, _)) = entry.split_once(':') else {
                return Err((at, SyntaxError::MissingColon(entry.to_owned())));
            };
            if !is_header_name(name) {
                return Err((at, InvalidHeaderName(name.to_owned()).into()));
            }
            if !seen.insert(name) {
                return Err((at, SyntaxError::Repeated(name.to_owned())));
            }
            // The values of a map are indented relative to its keys, those of headers to column 0.
            let value = self.value(line, indent + name.len() + 1, indent)?;
            headers.push(name.to_owned(), value);
        }
        Ok(headers)
    }

    /// Reads the value that follows the first `intro` bytes of `line`, the current line.
    fn value(&mut self, line: &'a str, intro: usize, base: usize) -> Result<Value, Located> {
        let at = self.next;
        self.next += 1;
        let rest = line.get(intro..).unwrap_or_default();
        if let Some(text) = rest.strip_prefix(' ') {
            return Ok(Value::String(text.to_owned()));
        }
        if !rest.is_empty() {
            return Err((at, SyntaxError::MissingSpace(line.to_owned())));
        }
        let nested = self.current(base + NESTED);
        match nested.and_then(|text| text.chars().next()) {
            Some('-') => self.list(base),
            Some(first) if first != ' ' => {
                let prefix = " ".repeat(base + NESTED);
                self.entries(base + NESTED, |line| line.starts_with(&prefix))
                    .map(Value::Map)
            }
            _ => self.text(line, base + TEXT),
        }
    }

    fn list(&mut self, base: usize) -> Result<Value, Located> {
        let mut items = Vec::new();
        let prefix = " ".repeat(base + NESTED) + "-";
        while let Some(&line) = self.lines.get(self.next).filter(|line| line.starts_with(&prefix)) {
            items.push(self.value(line, prefix.len(), base + NESTED)?);
        }
        Ok(Value::List(items))
    }

    fn text(&mut self, intro: &str, indent: usize) -> Result<Value, Located> {
        let Some(first) = self.current(indent) else {
            let name = intro.to_owned();
            return Err((self.next - 1, SyntaxError::MissingValue { name, indent }));
        };
        let mut text = first.to_owned();
        self.next += 1;
        while let Some(line) = self.current(indent) {
            text.push('\n');
            text.push_str(line);
            self.next += 1;
        }
        Ok(Value::String(text))
    }

    /// The current line without its first `indent` columns, if those are spaces.
    fn current(&self, indent: usize) -> Option<&'a str> {
        let line = self.lines.get(self.next)?;
        let (margin, rest) = line.split_at_checked(indent)?;
        margin.bytes().all(|byte| byte == b' ').then_some(rest)
    }
}
