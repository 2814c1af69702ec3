//! The header syntax: lines of `name: value`, indented texts, lists and maps.
//!
//! What is accepted and refused follows snapd's decoder. Each level of nesting indents by two spaces; a text
//! of several lines stands four spaces deeper than the line that introduces it.

use std::collections::HashSet;

use crate::error::SyntaxError;
use crate::headers::{Headers, Value, is_header_name};

/// Indentation of list items and map entries against the line that introduces them.
const NESTED: usize = 2;
/// Indentation of a text of several lines against the line that introduces it.
const TEXT: usize = 4;

/// An error and the line it stands on, counted from 0.
pub(crate) type Located = (usize, SyntaxError);

/// Parses the header part of an assertion.
pub(crate) fn parse_headers(head: &str) -> Result<Headers, Located> {
    let lines: Vec<&str> = head.split('\n').collect();
    let mut parser = Parser { lines, next: 0 };
    parser.entries(0, |_| true)
}

struct Parser<'a> {
    lines: Vec<&'a str>,
    /// The line to be read next.
    next: usize,
}

impl<'a> Parser<'a> {
    /// Reads entries `name: value` that start at column `indent`, as long as `belongs` says that the line is
    /// one.
    fn entries(&mut self, indent: usize, belongs: impl Fn(&str) -> bool) -> Result<Headers, Located> {
        let mut headers = Headers::new();
        let mut seen = HashSet::new();
        while let Some(&line) = self.lines.get(self.next).filter(|line| belongs(line)) {
            let at = self.next;
            let entry = line.get(indent..).unwrap_or_default();
            let Some((name, _)) = entry.split_once(':') else {
                return Err((at, SyntaxError::MissingColon(entry.to_owned())));
            };
            if !is_header_name(name) {
                return Err((at, SyntaxError::InvalidName(name.to_owned())));
            }
            if !seen.insert(name) {
                return Err((at, SyntaxError::Repeated(name.to_owned())));
            }
            // The values of a map nest against its keys, those of the headers against column 0.
            let value = self.value(line, indent + name.len() + 1, indent)?;
            headers.push(name.to_owned(), value);
        }
        Ok(headers)
    }

    /// Reads the value that follows the first `intro` bytes of `line`, the current one.
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

    /// The current line without its indentation, if it has at least that much.
    fn current(&self, indent: usize) -> Option<&'a str> {
        let line = self.lines.get(self.next)?;
        let (margin, rest) = line.split_at_checked(indent)?;
        margin.bytes().all(|byte| byte == b' ').then_some(rest)
    }
}
