//! snapd's rules for identifiers. Each has the regular expression that stands in snapd and a matcher that
//! does the same.

use crate::error::HeaderError;
use crate::fields::{Fields, Rule};
use crate::headers::is_dashed;

pub(super) const ACCOUNT_ID: Rule = Rule {
    pattern: "^(?:[a-z0-9A-Z]{32}|[-a-z0-9]{2,28})$",
    matches: |id| {
        let nice = |c: char| c == '-' || c.is_ascii_lowercase() || c.is_ascii_digit();
        SNAP_ID.allows(id) || (2..=28).contains(&id.len()) && id.chars().all(nice)
    },
};

pub(super) const SNAP_ID: Rule = Rule {
    pattern: "^[a-z0-9A-Z]{32}$",
    matches: |id| id.len() == 32 && id.chars().all(|c| c.is_ascii_alphanumeric()),
};

pub(super) const MODEL_NAME: Rule = Rule {
    pattern: "^[a-zA-Z0-9](?:-?[a-zA-Z0-9])*$",
    matches: |name| is_dashed(name, |c| c.is_ascii_alphanumeric()),
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
    matches: |name| is_dashed(name, |c| c.is_ascii_lowercase() || c.is_ascii_digit()),
};

/// A distribution's ID as os-release has it.
pub(super) const DISTRIBUTION: Rule = Rule {
    pattern: "^[a-z0-9._-]*$",
    matches: |id| {
        id.chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
    },
};

/// Whether snapd takes `text` as an account id, such as the header `issuer-id`.
pub fn is_account_id(text: &str) -> bool {
    ACCOUNT_ID.allows(text)
}

/// Whether snapd takes `text` as the header `hardware-name` of a hardware identity.
pub fn is_hardware_name(text: &str) -> bool {
    MODEL_NAME.allows(text)
}

/// Runs of lower case letters and digits joined by single dashes, with one letter at least.
fn is_name(name: &str) -> bool {
    is_dashed(name, |c| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.contains(|c: char| c.is_ascii_lowercase())
}

/// The header `model`, which may have no upper case letters though its pattern would allow them.
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

    /// Every rule but the one whose pattern says more than a regular expression can.
    const RULES: [Rule; 7] = [
        ACCOUNT_ID,
        SNAP_ID,
        MODEL_NAME,
        KEY_NAME,
        SNAP_MODE,
        VALIDATION_SET_NAME,
        DISTRIBUTION,
    ];

    proptest::proptest! {
        #[test]
        fn matchers_do_what_their_patterns_say(
            text in "[a-c-]{0,6}|[a-zA-Z0-9._ä/\n-]{0,5}|[a-zA-Z0-9]{31,33}|[a-z0-9-]{27,33}"
        ) {
            for rule in RULES {
                // As in Go, and unlike Rust's default for `$`, no line feed may follow.
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
