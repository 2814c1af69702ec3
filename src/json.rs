//! JSON objects with their members in a fixed order.
//!
//! A map of serde_json sorts its members by name; record and export keep the order of their formats.

use serde_json::Value;

/// A JSON object on several lines, indented by two spaces, with a line feed at the end.
pub(crate) fn document(members: &[(&str, Value)]) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("  \"{name}\": {value}"))
        .collect();
    format!("{{\n{}\n}}\n", members.join(",\n"))
}

/// A JSON object on one line, without a line feed.
pub(crate) fn line(members: &[(&str, Value)]) -> String {
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_are_json_and_keep_the_order() {
        let members = [("b", json!("ü \" \\ \n \u{7f}")), ("a", json!(1))];
        assert_eq!(line(&members), "{\"b\":\"ü \\\" \\\\ \\n \u{7f}\",\"a\":1}");
        let value: Value = serde_json::from_str(&line(&members)).unwrap();
        assert_eq!(value, json!({"a": 1, "b": "ü \" \\ \n \u{7f}"}));
        assert_eq!(document(&members[1..]), "{\n  \"a\": 1\n}\n");
    }
}
