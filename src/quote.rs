//! Values quoted in messages.

use identity_key::is_unreadable;

/// The start of a value, for a message: snapd keeps only the last 10 KiB of a hook's output.
/// Characters that a reader cannot see are shown as `\u{…}`.
pub(crate) fn shortened(value: &str) -> String {
    const LONGEST: usize = 100;
    let mut text = String::new();
    for (position, character) in value.chars().enumerate() {
        match character {
            _ if position == LONGEST => {
                text.push('…');
                break;
            }
            _ if is_unreadable(character) => text.extend(character.escape_unicode()),
            _ => text.push(character),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn a_quoted_value_is_short_and_readable() {
        assert_eq!(shortened("Müller 1"), "Müller 1");
        assert_eq!(shortened("a\u{202e}b\u{1b}"), "a\\u{202e}b\\u{1b}");
        assert_eq!(shortened(&"ü".repeat(100)), "ü".repeat(100));
        assert_eq!(shortened(&"ü".repeat(101)), "ü".repeat(100) + "…");
    }
}
