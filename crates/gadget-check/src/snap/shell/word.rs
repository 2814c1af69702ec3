//! A word of a command.

use tree_sitter::Node;

/// Replaces a part whose value is not known before the script runs, such as `$(…)`.
pub(crate) const UNKNOWN: char = '…';

/// A word without its quotes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Word {
    text: String,
    parts: Vec<Part>,
}

/// A part of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Text(String),
    /// The name in `$NAME`, or all between the braces of `${NAME:-OTHER}`.
    Variable(String),
    /// The source of a substitution, such as `$(date)`.
    Substitution(String),
}

impl Word {
    /// The word, with variables as they are written and `…` for substitutions.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Reads a word, a string or a concatenation of them from the tree.
    pub(crate) fn read(node: Node<'_>, source: &str) -> Self {
        let mut word = Word::default();
        word.add(node, source);
        word
    }

    fn add(&mut self, node: Node<'_>, source: &str) {
        let text = source.get(node.byte_range()).unwrap_or_default();
        match node.kind() {
            "concatenation" | "command_name" => self.add_children(node, source),
            "string" => self.add_string(node, source),
            "raw_string" => self.add_text(strip(text, "'", "'")),
            "ansi_c_string" => self.add_text(&unescape_ansi(strip(text, "$'", "'"))),
            "translated_string" => self.add_children(node, source),
            "simple_expansion" | "expansion" => self.add_variable(text),
            "command_substitution" | "process_substitution" | "arithmetic_expansion" => {
                self.add_substitution(text);
            }
            _ => self.add_text(&unescape(text)),
        }
    }

    fn add_children(&mut self, node: Node<'_>, source: &str) {
        let mut cursor = node.walk();
        for child in node.named_children(&mut cursor) {
            self.add(child, source);
        }
    }

    /// The parts between the quotes, with the text between two expansions.
    fn add_string(&mut self, node: Node<'_>, source: &str) {
        let mut position = node.start_byte() + 1;
        let end = node.end_byte().saturating_sub(1);
        let mut cursor = node.walk();
        for child in node.named_children(&mut cursor) {
            if child.kind() == "string_content" {
                continue;
            }
            let before = source.get(position..child.start_byte());
            self.add_text(&unescape_quoted(before.unwrap_or_default()));
            self.add(child, source);
            position = child.end_byte();
        }
        self.add_text(&unescape_quoted(source.get(position..end).unwrap_or_default()));
    }

    fn add_text(&mut self, text: &str) {
        self.text += text;
        match self.parts.last_mut() {
            Some(Part::Text(last)) => last.push_str(text),
            _ if text.is_empty() => {}
            _ => self.parts.push(Part::Text(text.to_owned())),
        }
    }

    fn add_variable(&mut self, text: &str) {
        self.text += text;
        let name = strip(text.strip_prefix('$').unwrap_or(text), "{", "}");
        self.parts.push(Part::Variable(name.to_owned()));
    }

    fn add_substitution(&mut self, text: &str) {
        self.text.push(UNKNOWN);
        self.parts.push(Part::Substitution(text.to_owned()));
    }
}

fn strip<'a>(text: &'a str, before: &str, after: &str) -> &'a str {
    let text = text.strip_prefix(before).unwrap_or(text);
    text.strip_suffix(after).unwrap_or(text)
}

/// Outside of quotes a backslash quotes any character, and joins lines.
fn unescape(text: &str) -> String {
    unescape_if(text, |_| true)
}

/// In double quotes a backslash quotes these alone (POSIX, Shell Command Language, 2.2.3).
fn unescape_quoted(text: &str) -> String {
    unescape_if(text, |character| "$`\"\\\n".contains(character))
}

fn unescape_if(text: &str, quotes: fn(char) -> bool) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match characters.peek() {
            Some('\n') if character == '\\' => drop(characters.next()),
            Some(&next) if character == '\\' && quotes(next) => {
                plain.push(next);
                characters.next();
            }
            _ => plain.push(character),
        }
    }
    plain
}

fn unescape_ansi(text: &str) -> String {
    text.replace("\\n", "\n")
        .replace("\\t", "\t")
        .replace("\\'", "'")
        .replace("\\\\", "\\")
}
