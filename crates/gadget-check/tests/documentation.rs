//! docs/check-gadget.md lists every finding of the sources, and no other.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The default severity of each code in src/findings.
fn declared() -> BTreeMap<String, &'static str> {
    let mut declared = BTreeMap::new();
    for file in fs::read_dir(Path::new(ROOT).join("src/findings")).unwrap() {
        let source = fs::read_to_string(file.unwrap().path()).unwrap();
        for attribute in source.split("#[diagnostic(").skip(1) {
            let (_, rest) = attribute.split_once("code(\"").unwrap();
            let (code, rest) = rest.split_once('"').unwrap();
            let severity = rest.trim_start_matches(')').split("help(").next().unwrap();
            let severity = match severity {
                severity if severity.contains("severity(Warning)") => "warning",
                severity if severity.contains("severity(Advice)") => "info",
                _ => "error",
            };
            let former = declared.insert(code.to_owned(), severity);
            assert!(former.is_none_or(|former| former == severity), "{code}");
        }
    }
    declared
}

/// The severities of each code in the table of the page: `error`, `warning`, `info` or `error or
/// warning`.
fn documented() -> BTreeMap<String, String> {
    let page = fs::read_to_string(Path::new(ROOT).join("../../docs/check-gadget.md")).unwrap();
    let mut documented = BTreeMap::new();
    let (_, findings) = page.split_once("\n## Findings\n").unwrap();
    for row in findings.lines().filter_map(|line| line.strip_prefix("| `")) {
        let (code, rest) = row.split_once("` | ").unwrap();
        let (severity, _) = rest.split_once(" | ").unwrap();
        let former = documented.insert(code.to_owned(), severity.to_owned());
        assert!(former.is_none(), "{code} has two rows");
    }
    documented
}

#[test]
fn every_code_has_a_row_and_every_row_a_code() {
    let (declared, documented) = (declared(), documented());
    assert!(
        declared.keys().eq(documented.keys()),
        "{declared:#?} {documented:#?}"
    );
    for (code, severity) in declared {
        let row = &documented[&code];
        assert!(row.contains(severity), "{code}: {row}");
    }
}
