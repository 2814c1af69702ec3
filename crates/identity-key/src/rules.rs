//! snapd's rules for the headers that device and issuer both write.

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

#[cfg(test)]
mod tests {
    use super::*;

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
