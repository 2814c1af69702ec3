//! snapd's rules for identifiers: regular expressions and equivalent functions.

use identity_key::{
    ACCOUNT_ID_PATTERN, HARDWARE_NAME_PATTERN, is_account_id, is_hardware_name, is_joined_by_single_dashes,
};

use crate::fields::{Fields, HeaderError, Rule};

pub(super) const ACCOUNT_ID: Rule = Rule {
    pattern: ACCOUNT_ID_PATTERN,
    matches: is_account_id,
};

pub(super) const HARDWARE_NAME: Rule = Rule {
    pattern: HARDWARE_NAME_PATTERN,
    matches: is_hardware_name,
};

pub(super) const SNAP_ID: Rule = Rule {
    pattern: "^[a-z0-9A-Z]{32}$",
    matches: |id| id.len() == 32 && id.chars().all(|c| c.is_ascii_alphanumeric()),
};

pub(super) const KEY_NAME: Rule = Rule {
    pattern: "^(?:[a-z0-9]+-?)*[a-z](?:-?[a-z0-9])*$",
    matches: is_name,
};

pub(super) const SNAP_NAME: Rule = Rule {
    pattern: "^(?:[a-z0-9]+-?)*[a-z](?:-?[a-z0-9])*$ with 2 to 40 characters",
    matches: |name| (2..=40).contains(&name.len()) && is_name(name),
};

pub(super) const SNAP_MODE: Rule = Rule {
    pattern: "^[a-z][-a-z]+$",
    matches: |mode| {
        let allowed = |c: char| c == '-' || c.is_ascii_lowercase();
        mode.len() > 1 && !mode.starts_with('-') && mode.chars().all(allowed)
    },
};

pub(super) const VALIDATION_SET_NAME: Rule = Rule {
    pattern: "^[a-z0-9](?:-?[a-z0-9])*$",
    matches: |name| is_joined_by_single_dashes(name, |c| c.is_ascii_lowercase() || c.is_ascii_digit()),
};

/// The ID of a distribution, as in os-release.
pub(super) const DISTRIBUTION: Rule = Rule {
    pattern: "^[a-z0-9._-]*$",
    matches: |id| {
        id.chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
    },
};

/// Returns true if `name` consists of lower case letters and digits, with single dashes between
/// them and at least one letter.
fn is_name(name: &str) -> bool {
    is_joined_by_single_dashes(name, |c| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.contains(|c: char| c.is_ascii_lowercase())
}

/// The header `model`. snapd refuses upper case letters in it, although its pattern allows them.
pub(super) fn model_name<'a>(fields: Fields<'a>) -> Result<&'a str, HeaderError> {
    const LOWER_CASE: Rule = Rule {
        pattern: "^[a-z0-9](?:-?[a-z0-9])*$",
        matches: VALIDATION_SET_NAME.matches,
    };
    fields.matching("model", LOWER_CASE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules whose pattern is a regular expression; that of [`SNAP_NAME`] is not.
    const RULES: [Rule; 5] = [SNAP_ID, KEY_NAME, SNAP_MODE, VALIDATION_SET_NAME, DISTRIBUTION];

    proptest::proptest! {
        #[test]
        fn matchers_do_what_their_patterns_say(
            text in "[a-c-]{0,6}|[a-zA-Z0-9._ä/\n-]{0,5}|[a-zA-Z0-9]{31,33}|[a-z0-9-]{27,33}"
        ) {
            for rule in RULES {
                // As in Go, no line feed may follow at `$`.
                let regex = regex::Regex::new(rule.pattern).unwrap();
                proptest::prop_assert_eq!(regex.is_match(&text), rule.allows(&text), "{}", rule.pattern);
            }
        }
    }

    #[test]
    fn snap_names_have_a_length() {
        for name in ["pc", "a1", "pc-kernel", &"a".repeat(40)] {
            assert!(SNAP_NAME.allows(name), "{name}");
        }
        for name in ["", "a", "12", "-a", "a-", "a--b", "Pc", &"a".repeat(41)] {
            assert!(!SNAP_NAME.allows(name), "{name}");
        }
    }
}
