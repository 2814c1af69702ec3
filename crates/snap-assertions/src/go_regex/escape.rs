//! Escapes of single characters.

/// Reads the escape at the start of `text`, which starts with a backslash. Returns the code point,
/// which can be a surrogate, and what follows.
pub(super) fn escape(text: &str) -> Result<(u32, &str), String> {
    let mut characters = text.chars();
    characters.next();
    let first = characters
        .next()
        .ok_or("trailing backslash at end of expression")?;
    let rest = characters.as_str();
    let octal_follows = rest.starts_with(|c: char| c.is_digit(8));
    let found = match first {
        'a' => Some((7, rest)),
        'f' => Some((12, rest)),
        'n' => Some((10, rest)),
        'r' => Some((13, rest)),
        't' => Some((9, rest)),
        'v' => Some((11, rest)),
        'x' => hexadecimal(rest),
        '0' => Some(octal(0, rest)),
        // One digit would be a backreference.
        '1'..='7' if octal_follows => Some(octal(u32::from(first) - u32::from('0'), rest)),
        other if other.is_ascii() && !other.is_ascii_alphanumeric() => Some((other.into(), rest)),
        _ => None,
    };
    found.ok_or_else(|| format!(r"invalid escape sequence \{first}"))
}

/// Up to two octal digits after the first one, whose value is `value`.
fn octal(mut value: u32, mut text: &str) -> (u32, &str) {
    for _ in 0..2 {
        let Some(digit) = text.chars().next().and_then(|c| c.to_digit(8)) else {
            break;
        };
        value = value * 8 + digit;
        text = text.get(1..).unwrap_or_default();
    }
    (value, text)
}

/// Two hexadecimal digits, or any number of them in braces.
fn hexadecimal(text: &str) -> Option<(u32, &str)> {
    let (digits, rest) = match text.strip_prefix('{') {
        Some(braced) => braced.split_once('}')?,
        None => text.split_at_checked(2)?,
    };
    let digit = |sum: u32, c: char| {
        let sum = sum.checked_mul(16)?.checked_add(c.to_digit(16)?)?;
        (sum <= u32::from(char::MAX)).then_some(sum)
    };
    let value = digits.chars().try_fold(0, digit)?;
    (!digits.is_empty()).then_some((value, rest))
}
