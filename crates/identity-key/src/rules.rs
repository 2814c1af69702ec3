//! Rules for the headers that device and issuer both write: those of snapd, and those for values
//! that people read.

/// The regular expression that snapd checks account ids with, such as the header `issuer-id`
/// (snapd's package `asserts`).
pub const ACCOUNT_ID_PATTERN: &str = "^(?:[a-z0-9A-Z]{32}|[-a-z0-9]{2,28})$";

/// The regular expression that snapd checks the header `hardware-name` with (snapd's package
/// `asserts`).
pub const HARDWARE_NAME_PATTERN: &str = "^[a-zA-Z0-9](?:-?[a-zA-Z0-9])*$";

/// Returns true if `id` matches [`ACCOUNT_ID_PATTERN`].
pub fn is_account_id(id: &str) -> bool {
    let of_the_store = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let allowed = |byte: u8| byte == b'-' || byte.is_ascii_lowercase() || byte.is_ascii_digit();
    of_the_store || (2..=28).contains(&id.len()) && id.bytes().all(allowed)
}

/// Returns true if `name` matches [`HARDWARE_NAME_PATTERN`].
pub fn is_hardware_name(name: &str) -> bool {
    is_joined_by_single_dashes(name, |character| character.is_ascii_alphanumeric())
}

/// Returns true if `text` consists of allowed characters, with single dashes between them.
pub fn is_joined_by_single_dashes(text: &str, is_allowed: impl Fn(char) -> bool + Copy) -> bool {
    text.split('-')
        .all(|part| !part.is_empty() && part.chars().all(is_allowed))
}

/// Returns true if `id` can be a hardware id: printable ASCII characters, without a space at either
/// end.
///
/// Real serial numbers are ASCII. Any other character can be one that looks like it: a Cyrillic
/// letter, a no-break space, an invisible character.
pub fn is_hardware_id(id: &str) -> bool {
    let is_printable = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    !id.is_empty() && id.bytes().all(is_printable) && id.trim_ascii() == id
}

/// Returns true if `serial` can be the serial number of a device: a hardware id without a slash,
/// which snapd does not allow in the primary key of an assertion, and not a name of a directory
/// (`.`, `..`), as serials are parts of paths and URLs.
pub fn is_serial(serial: &str) -> bool {
    is_hardware_id(serial) && !serial.contains('/') && !matches!(serial, "." | "..")
}

/// Returns true if `name` can be the name of a manufacturer: characters of any script that a reader
/// can see ([`is_unreadable`]), without white space at either end.
pub fn is_manufacturer(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(is_unreadable) && name.trim() == name
}

/// Returns true if a reader cannot see the character, or if it changes how others are shown:
/// control characters, line and paragraph separators, and what Unicode calls default ignorable,
/// such as zero-width characters, the soft hyphen and bidirectional controls.
pub fn is_unreadable(character: char) -> bool {
    let is_invisible = matches!(character,
        // Default_Ignorable_Code_Point (Unicode Standard Annex 44).
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}'
        | '\u{FFF0}'..='\u{FFF8}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{E0FFF}'
        // Line and paragraph separator, the blank Braille pattern, interlinear annotation.
        | '\u{2028}'..='\u{2029}' | '\u{2800}' | '\u{FFF9}'..='\u{FFFB}'
    );
    is_invisible || character.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unreadable_characters_are_those_of_unicode() {
        let pattern = r"^[\p{Default_Ignorable_Code_Point}\p{Cc}\p{Zl}\p{Zp}\x{2800}\x{FFF9}-\x{FFFB}]$";
        let regex = regex::Regex::new(pattern).unwrap();
        for character in char::MIN..=char::MAX {
            let expected = regex.is_match(character.encode_utf8(&mut [0; 4]));
            assert_eq!(is_unreadable(character), expected, "{character:?}");
        }
    }

    #[test]
    fn headers_that_people_read_hide_nothing() {
        let hidden = [
            "",
            " ",
            " A",
            "A ",
            "A\u{7f}",
            "\u{1b}[2JA",
            "A\0",
            "A\nB",
            "A\tB",
            "A\u{85}B",
            "A\u{200b}B",
            "A\u{ad}B",
            "A\u{202e}B",
            "A\u{2066}B\u{2069}",
            "\u{feff}A",
            "A\u{e0041}",
            "A\u{2028}B",
            "\u{a0}A",
        ];
        for text in hidden {
            for accepts in [is_hardware_id, is_serial, is_manufacturer] {
                assert!(!accepts(text), "{text:?}");
            }
        }
        // Cyrillic, a no-break space, a full-width digit.
        for text in ["S\u{41d}-1", "SN\u{a0}1", "SN-\u{ff11}", "Müller & Söhne", "漢字"] {
            assert!(!is_hardware_id(text) && !is_serial(text), "{text:?}");
            assert!(is_manufacturer(text), "{text:?}");
        }
        for text in ["SN-1", "VMware-56 4d 12", "A=7 \"x\"", "<~>"] {
            assert!(
                is_hardware_id(text) && is_serial(text) && is_manufacturer(text),
                "{text:?}"
            );
        }
        for text in ["A/1", ".", ".."] {
            assert!(is_hardware_id(text) && !is_serial(text), "{text:?}");
        }
        assert!(is_serial("..."));
    }

    proptest::proptest! {
        #[test]
        fn matchers_do_what_their_patterns_say(
            text in "[a-c-]{0,6}|[a-zA-Z0-9._ä/\n-]{0,5}|[a-zA-Z0-9]{31,33}|[a-z0-9-]{27,33}"
        ) {
            for (pattern, matches) in [
                (ACCOUNT_ID_PATTERN, is_account_id as fn(&str) -> bool),
                (HARDWARE_NAME_PATTERN, is_hardware_name),
            ] {
                // As in Go, no line feed may follow at `$`.
                let regex = regex::Regex::new(pattern).unwrap();
                proptest::prop_assert_eq!(regex.is_match(&text), matches(&text), "{}", pattern);
            }
        }
    }
}
