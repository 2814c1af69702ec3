//! Plain scalars as snapd reads them.
//!
//! snapd reads gadget.yaml with gopkg.in/yaml.v2 (release 2.4) into values without a type. The rules
//! are those of `resolve` in its resolve.go, which mixes YAML 1.1 and 1.2, followed by
//! `NormalizeValue` of snapd's metautil, which refuses null. Timestamps stay strings (`scalar` in
//! decode.go), and sexagesimal numbers are not numbers.

/// The value of a plain scalar without a tag.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar {
    Text,
    Null,
    Bool(bool),
    Integer(i128),
    Float(f64),
}

impl Scalar {
    pub(crate) fn resolve(text: &str) -> Self {
        match text {
            "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
                return Scalar::Bool(true);
            }
            "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
                return Scalar::Bool(false);
            }
            "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
            ".nan" | ".NaN" | ".NAN" => return Scalar::Float(f64::NAN),
            ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Scalar::Float(f64::INFINITY),
            "-.inf" | "-.Inf" | "-.INF" => return Scalar::Float(f64::NEG_INFINITY),
            _ => {}
        }
        match text.as_bytes()[0] {
            b'.' => float(text),
            b'+' | b'-' | b'0'..=b'9' => {
                let plain = text.replace('_', "");
                integer(&plain).map_or_else(|| float(&plain), Scalar::Integer)
            }
            _ => Scalar::Text,
        }
    }

    /// The value as JSON, as a hook gets it from snapctl.
    pub(crate) fn to_json(&self, text: &str) -> String {
        match self {
            Scalar::Text => format!("\"{text}\""),
            Scalar::Null => "null, which it refuses".to_owned(),
            Scalar::Bool(value) => value.to_string(),
            Scalar::Integer(value) => value.to_string(),
            Scalar::Float(value) if value.is_finite() => serde_json::Number::from_f64(*value)
                .map_or_else(String::new, |number| trimmed(&number.to_string())),
            Scalar::Float(value) => format!("the number {value}, which it cannot store"),
        }
    }
}

/// JSON of Go has no fraction in whole numbers.
fn trimmed(number: &str) -> String {
    number.strip_suffix(".0").unwrap_or(number).to_owned()
}

/// `strconv.ParseInt` and `ParseUint` of Go with base 0: the prefix chooses the base.
fn integer(plain: &str) -> Option<i128> {
    let (sign, digits) = match plain.strip_prefix(['+', '-']) {
        Some(digits) => (if plain.starts_with('-') { -1 } else { 1 }, digits),
        None => (1, plain),
    };
    let lower = digits.to_ascii_lowercase();
    let (base, digits) = match (lower.get(..2), lower.strip_prefix('0')) {
        (Some("0x"), _) => (16, &lower[2..]),
        (Some("0o"), _) => (8, &lower[2..]),
        (Some("0b"), _) => (2, &lower[2..]),
        (_, Some(rest)) if !rest.is_empty() => (8, rest),
        _ => (10, lower.as_str()),
    };
    // `from_str_radix` accepts a second sign.
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let value = i128::from_str_radix(digits, base).ok().filter(|_| is_number)? * sign;
    (i128::from(i64::MIN)..=i128::from(u64::MAX))
        .contains(&value)
        .then_some(value)
}

/// Floating-point numbers have the form `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`.
fn float(plain: &str) -> Scalar {
    let is_of_number = |byte: u8| byte.is_ascii_digit() || b"+-.eE".contains(&byte);
    match plain.parse::<f64>() {
        Ok(value) if value.is_finite() && plain.bytes().all(is_of_number) => Scalar::Float(value),
        _ => Scalar::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_read_as_yaml_v2_does() {
        for (text, json) in [
            ("12_345", "12345"),
            ("0x1F", "31"),
            ("0o17", "15"),
            ("0123", "83"),
            ("0b11", "3"),
            ("08", "8"),
            ("+5", "5"),
            ("-0x10", "-16"),
            ("1.10", "1.1"),
            ("1e3", "1000"),
            (".5", "0.5"),
            ("yes", "true"),
            ("Off", "false"),
            ("y", "true"),
            ("1000000000000000000000000", "1e+24"),
            ("18446744073709551615", "18446744073709551615"),
            ("0", "0"),
            ("-7", "-7"),
        ] {
            assert_eq!(Scalar::resolve(text).to_json(text), json, "{text}");
        }
        for text in [
            "1:30",
            "2026-11-25",
            "2026-11-25T10:00:00Z",
            "0x",
            "_1",
            "1.2.3",
            "+-5",
            "--5",
            "yEs",
            "1a",
            "inf",
            "nan",
            "0xZ",
            "-",
            "+",
            ".",
            "a",
            "tRUE",
            "infinity",
        ] {
            assert_eq!(Scalar::resolve(text), Scalar::Text, "{text}");
        }
        for text in ["", "~", "null"] {
            assert_eq!(Scalar::resolve(text), Scalar::Null, "{text}");
        }
    }
}
