//! Regular expressions of Go, in which snapd reads the constraints of an account-key.
//!
//! Go's syntax (RE2, <https://github.com/google/re2/wiki/Syntax>) and that of the `regex` crate
//! differ in both directions, and some expressions mean different things in the two. So this module
//! has a parser of its own that follows Go's `regexp/syntax/parse.go`, and the engine of the
//! `regex` crate matches what it has parsed.
//!
//! Releases of Go differ in a few points, and snapd is built with several of them:
//!
//! - `(?<name>…)` is accepted, which Go 1.22 introduced.
//! - The names of Unicode classes are those up to Go 1.24. `\p{C}` is refused: since Go 1.25 it
//!   includes unassigned code points.
//! - The members of Unicode classes are those of the `regex` crate's version of Unicode.
//!
//! Two differences are left. Nesting and size have lower limits. And Go (seen in 1.19) confuses a
//! letter with the same letter without regard to case if two alternatives start with them: there
//! `Aa*|[Aa]` does not match `a`.

mod class;
mod escape;
mod node;

use class::Class;
use escape::escape;
use node::{MAX_REPEAT, Node};
use regex_automata::meta::Regex;
use regex_syntax::hir::{Dot, Hir, Look};

/// The largest size of a compiled expression in bytes: above that of all letters, repeated as often
/// as Go allows (`\p{L}{1000}`). Go has a limit of 128 MiB for its own form.
const SIZE_LIMIT: usize = 64 * 1024 * 1024;

/// The most ends of ranges in the classes of an expression, as in Go (`maxRunes`). Each `\pL` has 1300
/// in three bytes of text, before anything is compiled.
const MAX_RUNES: usize = 128 * 1024 * 1024 / 4;
const TOO_LARGE: &str = "expression too large";

/// A compiled regular expression of Go.
#[derive(Clone, Debug)]
pub(crate) struct GoRegex(Regex);

impl GoRegex {
    /// Compiles `pattern`. The error says what is wrong, in the words of Go.
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        let hir = Parser::new(pattern).parse()?;
        let config = Regex::config().nfa_size_limit(Some(SIZE_LIMIT));
        match Regex::builder().configure(config).build_from_hir(&hir) {
            Ok(regex) => Ok(Self(regex)),
            Err(error) if error.size_limit().is_some() => Err(TOO_LARGE.to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Returns true if the expression matches any part of `text`.
    pub(crate) fn is_match(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

/// Returns true if `text` has no character with a meaning in a regular expression of Go (Go's
/// `regexp.QuoteMeta` does not change it).
pub(crate) fn is_literal(text: &str) -> bool {
    !text.contains(|c| r"\.+*?()|[]{}^$".contains(c))
}

/// The flags of an expression. The one for greediness has no effect on what matches.
#[derive(Clone, Copy, Default)]
struct Flags {
    ignore_case: bool,
    multi_line: bool,
    dot_matches_line_feed: bool,
}

/// A group that is being read, or the expression itself.
#[derive(Default)]
struct Group {
    /// The alternatives before the last `|`.
    alternatives: Vec<Node>,
    sequence: Vec<Node>,
    /// The flags to restore at the end of the group.
    outer_flags: Flags,
    captures: bool,
}

impl Group {
    fn end_alternative(&mut self) -> Result<(), String> {
        let sequence = std::mem::take(&mut self.sequence);
        self.alternatives.push(Node::concat(sequence)?);
        Ok(())
    }

    fn finish(mut self) -> Result<Node, String> {
        self.end_alternative()?;
        let node = Node::alternation(self.alternatives)?;
        if self.captures { node.captured() } else { Ok(node) }
    }
}

/// The parser. Groups are on a stack of its own, so that deep nesting cannot overflow that of the
/// thread.
struct Parser<'p> {
    rest: &'p str,
    flags: Flags,
    outer: Vec<Group>,
    group: Group,
    /// The token before was a repetition operator.
    after_repetition: bool,
    /// The ends of the ranges in all classes so far.
    runes: usize,
}

impl<'p> Parser<'p> {
    fn new(pattern: &'p str) -> Self {
        Self {
            rest: pattern,
            flags: Flags::default(),
            outer: Vec::new(),
            group: Group::default(),
            after_repetition: false,
            runes: 0,
        }
    }

    fn parse(mut self) -> Result<Hir, String> {
        while let Some(first) = self.rest.chars().next() {
            let after_repetition = std::mem::take(&mut self.after_repetition);
            match first {
                '*' | '+' | '?' => {
                    let min = u32::from(first == '+');
                    let max = (first == '?').then_some(1);
                    self.rest = self.rest.get(1..).unwrap_or_default();
                    self.repeat(min, max, false, after_repetition)?;
                }
                '{' => self.braces(after_repetition)?,
                _ => self.token(first)?,
            }
        }
        if !self.outer.is_empty() {
            return Err("missing closing )".to_owned());
        }
        Ok(self.group.finish()?.into_hir())
    }

    /// Reads a token that is not a repetition operator.
    fn token(&mut self, first: char) -> Result<(), String> {
        if let Some(rest) = self.rest.strip_prefix("(?") {
            return self.flags_or_group(rest);
        }
        match first {
            '[' => {
                let (class, rest) = Class::bracketed(self.rest, self.flags.ignore_case)?;
                self.rest = rest;
                return self.push_class(class);
            }
            '\\' => return self.backslash(),
            _ => self.rest = self.rest.get(first.len_utf8()..).unwrap_or_default(),
        }
        match first {
            '(' => self.open_group(self.flags, true),
            '|' => return self.group.end_alternative(),
            ')' => return self.close_group(),
            '^' if self.flags.multi_line => self.push(Hir::look(Look::StartLF)),
            '^' => self.push(Hir::look(Look::Start)),
            '$' if self.flags.multi_line => self.push(Hir::look(Look::EndLF)),
            '$' => self.push(Hir::look(Look::End)),
            '.' if self.flags.dot_matches_line_feed => self.push(Hir::dot(Dot::AnyChar)),
            '.' => self.push(Hir::dot(Dot::AnyCharExceptLF)),
            literal => self.push_literal(Some(literal)),
        }
        Ok(())
    }

    fn push(&mut self, hir: Hir) {
        self.group.sequence.push(Node::leaf(hir));
    }

    fn push_class(&mut self, class: Class) -> Result<(), String> {
        self.runes = self.runes.saturating_add(class.runes());
        if self.runes > MAX_RUNES {
            return Err(TOO_LARGE.to_owned());
        }
        self.push(class.into());
        Ok(())
    }

    /// Adds a character; `None` for a surrogate, which no text contains.
    fn push_literal(&mut self, literal: Option<char>) {
        let hir = literal.map(|literal| Class::folded(literal..=literal, self.flags.ignore_case).into());
        self.push(hir.unwrap_or_else(Hir::fail));
    }

    fn backslash(&mut self) -> Result<(), String> {
        let after = self.rest.get(2..);
        let look = match self.rest.as_bytes().get(1) {
            Some(b'A') => Look::Start,
            Some(b'z') => Look::End,
            Some(b'b') => Look::WordAscii,
            Some(b'B') => Look::WordAsciiNegate,
            Some(b'Q') => {
                self.quoted(after.unwrap_or_default());
                return Ok(());
            }
            _ => return self.escaped(),
        };
        self.push(Hir::look(look));
        self.rest = after.unwrap_or_default();
        Ok(())
    }

    fn escaped(&mut self) -> Result<(), String> {
        if let Some((class, rest)) = Class::escaped(self.rest, self.flags.ignore_case)? {
            self.rest = rest;
            return self.push_class(class);
        }
        let (literal, rest) = escape(self.rest)?;
        self.push_literal(char::from_u32(literal));
        self.rest = rest;
        Ok(())
    }

    /// Reads literals up to `\E` or the end.
    fn quoted(&mut self, text: &'p str) {
        let (literals, rest) = text.split_once(r"\E").unwrap_or((text, ""));
        for literal in literals.chars() {
            self.push_literal(Some(literal));
        }
        self.rest = rest;
    }

    fn open_group(&mut self, flags: Flags, captures: bool) {
        let group = Group {
            outer_flags: self.flags,
            captures,
            ..Group::default()
        };
        self.flags = flags;
        self.outer.push(std::mem::replace(&mut self.group, group));
    }

    fn close_group(&mut self) -> Result<(), String> {
        let outer = self.outer.pop().ok_or("unexpected )")?;
        let group = std::mem::replace(&mut self.group, outer);
        self.flags = group.outer_flags;
        self.group.sequence.push(group.finish()?);
        Ok(())
    }

    /// Reads what follows `(?`: the name of a group, or flags.
    fn flags_or_group(&mut self, text: &'p str) -> Result<(), String> {
        if let Some(named) = text.strip_prefix("P<").or_else(|| text.strip_prefix('<')) {
            let (name, rest) = named.split_once('>').ok_or("invalid named capture")?;
            if name.is_empty() || !name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric()) {
                return Err(format!("invalid named capture {name:?}"));
            }
            self.open_group(self.flags, true);
            self.rest = rest;
            return Ok(());
        }
        let mut flags = self.flags;
        // `(?-)` and `(?i-)` are wrong, `(?)` is not.
        let (mut value, mut lacks_flag) = (true, false);
        for (index, flag) in text.char_indices() {
            match flag {
                'i' => flags.ignore_case = value,
                'm' => flags.multi_line = value,
                's' => flags.dot_matches_line_feed = value,
                'U' => {}
                '-' if value => (value, lacks_flag) = (false, true),
                ':' | ')' if !lacks_flag => {
                    self.rest = text.get(index + 1..).unwrap_or_default();
                    match flag {
                        ':' => self.open_group(flags, false),
                        _ => self.flags = flags,
                    }
                    return Ok(());
                }
                _ => break,
            }
            lacks_flag = lacks_flag && flag == '-';
        }
        Err("invalid or unsupported Perl syntax after (?".to_owned())
    }

    /// Reads `{min}`, `{min,}` or `{min,max}`. A brace with anything else is a literal.
    fn braces(&mut self, after_repetition: bool) -> Result<(), String> {
        let Some(((min, max), rest)) = counts(self.rest) else {
            self.push_literal(Some('{'));
            self.rest = self.rest.get(1..).unwrap_or_default();
            return Ok(());
        };
        let in_order = max.is_none_or(|max| min <= max);
        if !in_order || min.max(max.unwrap_or_default()) > MAX_REPEAT {
            return Err("invalid repeat count".to_owned());
        }
        self.rest = rest;
        self.repeat(min, max, true, after_repetition)
    }

    /// Repeats the last node. A `?` after the operator has no effect on what matches.
    fn repeat(
        &mut self,
        min: u32,
        max: Option<u32>,
        counted: bool,
        after_repetition: bool,
    ) -> Result<(), String> {
        self.rest = self.rest.strip_prefix('?').unwrap_or(self.rest);
        if after_repetition {
            return Err("invalid nested repetition operator".to_owned());
        }
        let missing = "missing argument to repetition operator";
        let node = self.group.sequence.pop().ok_or(missing)?;
        self.group.sequence.push(node.repeated(min, max, counted)?);
        self.after_repetition = true;
        Ok(())
    }
}

/// The counts of a repetition in braces, and what follows them.
fn counts(text: &str) -> Option<((u32, Option<u32>), &str)> {
    let (min, rest) = count(text.strip_prefix('{')?)?;
    if let Some(rest) = rest.strip_prefix('}') {
        return Some(((min, Some(min)), rest));
    }
    let rest = rest.strip_prefix(',')?;
    if let Some(rest) = rest.strip_prefix('}') {
        return Some(((min, None), rest));
    }
    let (max, rest) = count(rest)?;
    Some(((min, Some(max)), rest.strip_prefix('}')?))
}

/// A decimal number without leading zeros. Every number above the limit is the same: too large.
fn count(text: &str) -> Option<(u32, &str)> {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = text.strip_suffix(rest).filter(|digits| !digits.is_empty())?;
    if digits.len() > 1 && digits.starts_with('0') {
        return None;
    }
    Some((digits.parse().unwrap_or(u32::MAX), rest))
}

#[cfg(test)]
mod tests;
