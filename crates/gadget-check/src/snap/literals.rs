//! The string literals of a script in Python, Perl or another language.
//!
//! What such a script does cannot be read without an interpreter. Its commands mostly are literals:
//! `["snapctl", "unset", "registration.body"]`, or one string for a shell.

/// Literals that only commas, spaces and brackets separate, in the order of the text.
pub(crate) type Group = Vec<String>;

/// Reads the groups of literals. `#` begins a comment, three quotes a long literal, and `qw(` the
/// words of Perl.
pub(crate) fn groups(text: &str) -> Vec<Group> {
    let mut groups = vec![Group::new()];
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let after = &rest[character.len_utf8()..];
        rest = match character {
            '#' => after.split_once('\n').map_or("", |(_, next)| next),
            '"' | '\'' | '`' => {
                let (literal, next) = literal(rest, character);
                if let Some(group) = groups.last_mut() {
                    group.push(literal);
                }
                next
            }
            'q' if rest.starts_with("qw(") => {
                let (words, next) = after.split_once(')').unwrap_or((after, ""));
                let words = words.trim_start_matches("w(").split_ascii_whitespace();
                groups.push(words.map(str::to_owned).collect());
                next
            }
            ',' | '[' | '(' => after,
            _ if character.is_whitespace() => after,
            _ => {
                if groups.last().is_some_and(|group| !group.is_empty()) {
                    groups.push(Group::new());
                }
                after
            }
        };
    }
    groups.retain(|group| !group.is_empty());
    groups
}

/// The literal that `text` begins with, and the text after it.
fn literal(text: &str, quote: char) -> (String, &str) {
    let long: String = std::iter::repeat_n(quote, 3).collect();
    let delimiter = match text.starts_with(&long) {
        true => long.as_str(),
        false => &long[..1],
    };
    let mut literal = String::new();
    let mut rest = &text[delimiter.len()..];
    while let Some(character) = rest.chars().next() {
        if let Some(next) = rest.strip_prefix(delimiter) {
            return (literal, next);
        }
        rest = &rest[character.len_utf8()..];
        match character {
            '\\' => {
                let escaped = rest.chars().next();
                literal.extend(escaped.map(|escaped| match escaped {
                    'n' => '\n',
                    't' => '\t',
                    other => other,
                }));
                rest = &rest[escaped.map_or(0, char::len_utf8)..];
            }
            // Only a long literal has line feeds; without its end, the rest of the line is not a literal.
            '\n' if delimiter.len() == 1 => return (literal, rest),
            other => literal.push(other),
        }
    }
    (literal, rest)
}

#[cfg(test)]
mod tests {
    use super::groups;

    #[test]
    fn literals_of_one_call_are_a_group() {
        let python = "import subprocess # \"no\"\n\
            subprocess.run([\"snapctl\", 'unset',\n  \"registration.body\"], check=True)\n\
            os.system('snapctl set a=\"b\"'); x = \"\"\"long\n\"text\"\" \"\"\"\n";
        assert_eq!(
            groups(python),
            [
                vec!["snapctl", "unset", "registration.body"],
                vec!["snapctl set a=\"b\""],
                vec!["long\n\"text\"\" "],
            ]
        );
    }

    #[test]
    fn escapes_and_open_literals_end() {
        assert_eq!(groups(r#"system("a\"b\\", 'c')"#), [["a\"b\\", "c"]]);
        assert_eq!(groups("x = 'it\ny = 'z'"), [["it"], ["z"]]);
        assert_eq!(groups("'\\"), [[""]]);
        assert_eq!(groups("é = \"ü\\é\""), [["üé"]]);
        assert_eq!(groups("system(qw(a b), 'c');"), [vec!["a", "b", "c"]]);
        assert_eq!(groups("qw("), [[""; 0]; 0]);
        assert!(groups("").is_empty());
    }
}
