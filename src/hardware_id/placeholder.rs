//! Placeholders that vendors put in place of a missing serial number.

/// The values that vendors leave in an unused serial number field, in lower case, without spaces and
/// punctuation.
const PLACEHOLDERS: [&str; 29] = [
    "123456",
    "1234567",
    "12345678",
    "123456789",
    "0123456789",
    "1234567890",
    "assettag",
    "baseboardserialnumber",
    "chassisserialnumber",
    "default",
    "defaultstring",
    "empty",
    "invalid",
    "na",
    "noassettag",
    "none",
    "notapplicable",
    "notavailable",
    "notset",
    "notspecified",
    "null",
    "oem",
    "serial",
    "serialnumber",
    "systemserialnumber",
    "tbd",
    "tobefilledbyoem",
    "undefined",
    "unknown",
];

/// Returns true if `value` stands for a missing serial number: one of [`PLACEHOLDERS`], or only
/// punctuation, or one of `0`, `f` and `x` repeated.
pub(super) fn is_placeholder(value: &str) -> bool {
    let bare: String = value
        .chars()
        .filter(|c| c.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect();
    let repeated = matches!(bare.chars().next(), None | Some('0' | 'f' | 'x'))
        && bare.chars().all(|c| bare.starts_with(c));
    repeated || PLACEHOLDERS.contains(&bare.as_str())
}

#[cfg(test)]
mod tests {
    use super::is_placeholder;

    #[test]
    fn placeholders_are_recognised() {
        for value in [
            "To be filled by O.E.M.",
            "to be filled by o.e.m",
            "None",
            "Default string",
            "0000-0000",
            "0",
            "Not Specified",
            "N/A",
            "System Serial Number",
            "xxxxxxx",
            "........",
            "FFFF",
            "123456789",
        ] {
            assert!(is_placeholder(value), "{value}");
        }
        for value in ["0001", "F00F", "NONE-77", "1234567891"] {
            assert!(!is_placeholder(value), "{value}");
        }
    }
}
