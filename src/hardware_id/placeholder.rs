//! Placeholders that vendors put in place of a missing serial number.

/// Words, one on a line; `#` begins a comment.
const WORDS: &str = include_str!("placeholders.txt");

/// Characters that count up. Digits wrap around, as in `12345678901234567890`.
const ALPHABETS: [&[u8]; 3] = [b"0123456789", b"0123456789abcdef", b"abcdefghijklmnopqrstuvwxyz"];

/// A value counts from this length on: a device can have the number 1234.
const SHORTEST_COUNT: usize = 5;
/// The same after a word, as in `SN-123456`: the devices of a batch can reach SN-12345.
const SHORTEST_COUNT_AFTER_WORD: usize = 6;
/// The same after any letters, as in `ABC-12345678`.
const SHORTEST_COUNT_AFTER_LETTERS: usize = 8;
/// A value with one repeated character is a placeholder from this length on; `0`, `f` and `x` at
/// any.
const SHORTEST_REPETITION: usize = 4;
/// The same after a word: the first device of a batch can have the number SN-0000.
const SHORTEST_REPETITION_AFTER_WORD: usize = 8;

/// Bytes. No firmware field is as long, and the time to look for words grows with the length.
const LONGEST_WORDS: usize = 1024;

/// Returns true if `value` stands for a missing serial number: punctuation only, one character
/// repeated, a counting pattern, or words of `placeholders.txt` with nothing or one of these
/// patterns after them. Case, spaces and punctuation do not matter.
pub(super) fn is_placeholder(value: &str) -> bool {
    // No Unicode tables in the hooks: any character beyond ASCII counts as a letter.
    let is_letter_or_digit = |c: &char| c.is_ascii_alphanumeric() || !c.is_ascii();
    let bare: String = value.chars().filter(is_letter_or_digit).collect();
    let bare = bare.to_ascii_lowercase();
    let number = bare.trim_start_matches(|character: char| character.is_ascii_alphabetic());
    is_repeated_character(&bare)
        || is_count(bare.as_bytes(), SHORTEST_COUNT)
        || is_count(number.as_bytes(), SHORTEST_COUNT_AFTER_LETTERS)
        || consists_of_words(bare.as_bytes())
}

fn is_repeated_character(bare: &str) -> bool {
    let is_repeated = bare.chars().all(|character| bare.starts_with(character));
    is_repeated && (bare.chars().count() >= SHORTEST_REPETITION || !bare.starts_with(|c| !"0fx".contains(c)))
}

fn consists_of_words(bare: &[u8]) -> bool {
    if bare.len() > LONGEST_WORDS {
        return false;
    }
    // Whether the value up to a position consists of words.
    let mut is_end_of_word = vec![false; bare.len() + 1];
    is_end_of_word[0] = true;
    for start in 0..bare.len() {
        if !is_end_of_word[start] {
            continue;
        }
        let rest = &bare[start..];
        if start > 0 && is_pattern_after_word(rest) {
            return true;
        }
        for word in words().filter(|word| rest.starts_with(word)) {
            is_end_of_word[start + word.len()] = true;
        }
    }
    is_end_of_word[bare.len()]
}

fn words() -> impl Iterator<Item = &'static [u8]> {
    let lines = WORDS.lines();
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::as_bytes)
}

fn is_pattern_after_word(rest: &[u8]) -> bool {
    let is_repeated = rest.iter().all(|byte| *byte == rest[0]);
    is_count(rest, SHORTEST_COUNT_AFTER_WORD) || is_repeated && rest.len() >= SHORTEST_REPETITION_AFTER_WORD
}

/// Returns true if the characters count up from 0, 1 or a, or down from the last or to the first
/// character of an alphabet. Each can be there twice, as in `00112233`.
fn is_count(bare: &[u8], shortest: usize) -> bool {
    if bare.len() < shortest {
        return false;
    }
    let halved = || -> Option<Vec<u8>> {
        let pairs = bare.chunks(2);
        pairs
            .map(|pair| (pair.len() == 2 && pair[0] == pair[1]).then_some(pair[0]))
            .collect()
    };
    let counts = |bytes: &[u8]| {
        let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
        ALPHABETS.iter().any(|alphabet| {
            let last = alphabet[alphabet.len() - 1];
            counts_up(bytes, alphabet) && b"01a".contains(&bytes[0])
                || counts_up(&reversed, alphabet) && (b"01a".contains(&reversed[0]) || bytes[0] == last)
        })
    };
    counts(bare) || halved().is_some_and(|half| half.len() >= shortest && counts(&half))
}

fn counts_up(bytes: &[u8], alphabet: &[u8]) -> bool {
    let position = |byte: u8| alphabet.iter().position(|&character| character == byte);
    bytes
        .windows(2)
        .all(|pair| match (position(pair[0]), position(pair[1])) {
            (Some(first), Some(second)) => (first + 1) % alphabet.len() == second,
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: &str = include_str!("../../tests/data/hardware-ids-refused.txt");
    const ACCEPTED: &str = include_str!("../../tests/data/hardware-ids-accepted.txt");

    #[test]
    fn reported_placeholders_are_recognised() {
        for value in REFUSED.lines() {
            assert!(is_placeholder(value), "{value}");
        }
        for value in ACCEPTED.lines() {
            assert!(!is_placeholder(value), "{value}");
        }
    }

    #[test]
    fn words_are_bare_and_there_is_each_once() {
        let mut seen = std::collections::BTreeSet::new();
        for word in words() {
            assert!(word.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
            assert!(seen.insert(word), "{}", String::from_utf8_lossy(word));
        }
    }

    #[test]
    fn words_in_any_combination_are_placeholders() {
        for value in [
            "To be filled by O.E.M.",
            "TO BE FILLED BY THE MANUFACTURER",
            "Will be filled in later",
            "Please enter serial number",
            "To Be Defined",
            "N/A",
            "Not Provided",
            "Not Settable",
            "<Not Present>",
            "Type2 - Board Serial Number",
            "Chassis Asset Tag",
            "OEM_Serial",
            "INVALID",
            "BSN12345678901234567",
            "BSS-0123456789",
            "S/N: 00000000",
            "0x00000000",
            "123490EN400015",
            "FEFEFEFE-FEFE-FEFE-FEFE-FEFEFEFEFEFE",
            "0300020004000500 0006000700080009",
        ] {
            assert!(is_placeholder(value), "{value}");
        }
    }

    #[test]
    fn patterns_of_any_length_are_placeholders() {
        for alphabet in ALPHABETS {
            for length in SHORTEST_COUNT..70 {
                for start in [0, 1] {
                    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
                    let up: Vec<u8> = alphabet
                        .iter()
                        .cycle()
                        .skip(start)
                        .take(length)
                        .copied()
                        .collect();
                    let down: Vec<u8> = up.iter().rev().copied().collect();
                    let from_last: Vec<u8> = alphabet.iter().rev().cycle().take(length).copied().collect();
                    // Letters count from a.
                    if alphabet[start] == b'b' {
                        continue;
                    }
                    for value in [text(up), text(down), text(from_last)] {
                        assert!(is_placeholder(&value), "{value}");
                        assert!(is_placeholder(&value.to_uppercase()), "{value}");
                        if length >= SHORTEST_COUNT_AFTER_LETTERS && alphabet.len() == 10 {
                            assert!(is_placeholder(&format!("QW-{value}")), "{value}");
                        }
                    }
                }
            }
        }
        for character in "017afgxzZ*.-?ÿ\u{fffd}".chars() {
            let value = character.to_string().repeat(SHORTEST_REPETITION);
            assert!(is_placeholder(&value), "{value}");
        }
        for value in ["", "0", "ff", "x", "0000-0000", "00112233445566778899"] {
            assert!(is_placeholder(value), "{value}");
        }
    }

    #[test]
    fn numbers_of_devices_are_not_placeholders() {
        for value in [
            "1",
            "7",
            "10",
            "42",
            "1234",
            "0001",
            "00012",
            "23456",
            "123457",
            "1234567891",
            "0123456788",
            "SN-0000",
            "SN-0001",
            "SN-1234",
            "SN-12345",
            "A=7 \"x\"",
            "NONE-77",
            "F00F",
            "A1234567",
            "deadbeef",
            "BOX-1",
            "00:11:22:33:44:56",
            "12345678-1234-1234-1234-123456789abd",
            "2QWYlD8JB6zL8ykU5QeNojmol1k0saC3sN9O4iAYphoO",
        ] {
            assert!(!is_placeholder(value), "{value}");
        }
    }
}
