//! Values in gadget.yaml: scalars that snapd reads as another value, and placeholders of snap-ids.

use std::collections::BTreeSet;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle};

use crate::finding::{FindingKind as _, GadgetFinding};
use crate::findings::ValueFinding;
use crate::gadget::Gadget;
use crate::snap::gadget_yaml;
use crate::snap::go_yaml::Scalar;
use crate::snap::tree::MAX_YAML;

/// The number of findings of one kind; more do not help.
const MAX_FINDINGS: usize = 20;

/// Words that a snap-id, which is random, does not contain.
const PLACEHOLDERS: [&str; 9] = [
    "yoursnap",
    "your32",
    "snapid",
    "snap-id",
    "example",
    "placeholder",
    "changeme",
    "replaceme",
    "gadgetid",
];
/// The number of equal characters in a row. In a random snap-id four in a row are rare, one in
/// 6,000; seven do not happen.
const MAX_EQUAL: usize = 6;

pub(crate) fn check(gadget: &Gadget<'_>) -> Vec<GadgetFinding> {
    // Without it there is a finding already.
    let Some(yaml) = &gadget.yaml else {
        return Vec::new();
    };
    let mut findings = yaml_values(gadget);
    let snap_ids: BTreeSet<&str> = yaml.snap_ids().collect();
    let placeholders = snap_ids.into_iter().filter(|snap_id| is_placeholder(snap_id));
    findings.extend(placeholders.take(MAX_FINDINGS).map(|snap_id| {
        ValueFinding::PlaceholderSnapId {
            snap_id: snap_id.to_owned(),
            gadget: gadget.snap.name.clone(),
        }
        .at(gadget_yaml::FILE)
    }));
    findings
}

fn is_placeholder(snap_id: &str) -> bool {
    let lower = snap_id.to_ascii_lowercase();
    let bytes = lower.as_bytes();
    let repeats = bytes
        .windows(MAX_EQUAL + 1)
        .any(|window| window.iter().all(|byte| *byte == window[0]));
    snap_id != "system" && (repeats || PLACEHOLDERS.iter().any(|word| lower.contains(word)))
}

/// The values below `defaults:` whose text is not the value that snapd reads.
fn yaml_values(gadget: &Gadget<'_>) -> Vec<GadgetFinding> {
    let Ok(content) = gadget.tree.read(gadget_yaml::FILE, MAX_YAML) else {
        return Vec::new();
    };
    let text = String::from_utf8_lossy(&content);
    let values = plain_values(&text).into_iter();
    let findings = values.filter_map(|(path, written, line)| {
        let scalar = Scalar::resolve(&written);
        let read = scalar.to_json(&written);
        let is_boolean = matches!(scalar, Scalar::Bool(value) if value.to_string() == written.to_lowercase());
        let is_same = read == written || scalar == Scalar::Text || is_boolean;
        let finding = ValueFinding::Yaml { written, read, line };
        (!is_same).then(|| finding.at(format!("{}, {path}", gadget_yaml::FILE)))
    });
    findings.take(MAX_FINDINGS).collect()
}

/// A mapping or sequence that is being read.
enum Level {
    /// The key, once it is read.
    Mapping(Option<String>),
    Sequence,
}

/// The plain scalars below `defaults:` that are values: their keys, text and line.
fn plain_values(text: &str) -> Vec<(String, String, usize)> {
    let mut values = Vec::new();
    let mut levels: Vec<Level> = Vec::new();
    for next in Parser::new_from_str(text) {
        // The file was parsed before: an error here would be one of this reader.
        let Ok((event, span)) = next else { break };
        let is_key = matches!(levels.last(), Some(Level::Mapping(None)));
        match event {
            Event::Scalar(key, ..) if is_key => {
                levels.pop();
                levels.push(Level::Mapping(Some(key.into_owned())));
                continue;
            }
            Event::Scalar(value, ScalarStyle::Plain, _, None) => {
                let path = path_of(&levels);
                if path.starts_with("defaults.") {
                    values.push((path, value.into_owned(), span.start.line()));
                }
            }
            Event::MappingStart(..) => {
                levels.push(Level::Mapping(None));
                continue;
            }
            Event::SequenceStart(..) => {
                levels.push(Level::Sequence);
                continue;
            }
            Event::MappingEnd | Event::SequenceEnd => drop(levels.pop()),
            Event::Scalar(..) | Event::Alias(..) => {}
            _ => continue,
        }
        // The value of a key is complete.
        if let Some(Level::Mapping(key)) = levels.last_mut() {
            *key = None;
        }
    }
    values
}

fn path_of(levels: &[Level]) -> String {
    let keys = levels.iter().filter_map(|level| match level {
        Level::Mapping(key) => key.as_deref(),
        Level::Sequence => None,
    });
    keys.collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_values_of_defaults_are_found() {
        let yaml = "volumes: {a: {size: 0x10}}\ndefaults:\n  id: &x\n    a: 0x1\n    b: '0x2'\n    c: [1_0, \"no\"]\n    \
                    d:\n      e: !!str 0x3\n      f: yes # g\n  other: *x\nconnections: [{plug: 0x4}]\n";
        let values = plain_values(yaml);
        let values: Vec<_> = values
            .iter()
            .map(|(path, text, line)| (path.as_str(), text.as_str(), *line))
            .collect();
        assert_eq!(
            values,
            [
                ("defaults.id.a", "0x1", 4),
                ("defaults.id.c", "1_0", 6),
                ("defaults.id.d.f", "yes", 9)
            ]
        );
    }

    #[test]
    fn placeholders_are_recognised() {
        for snap_id in [
            "YOUR32CHARACTERSNAPIDGOESHERE123",
            "XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX",
            "ExampleSnapId0000000000000000000",
            "00000000000000000000000000000000",
            "MyGadgetIdPlaceholder12345678901",
        ] {
            assert!(is_placeholder(snap_id), "{snap_id}");
        }
        for snap_id in [
            "abcdefghijklmnopqrstuvwxyzABCDEF",
            "99T7MUlRhtI3U0QFgl5mXXESAiSwt776",
            "UqFziVZDHLSyO3TqSWgNBoAdHbLI4dAH",
            "system",
        ] {
            assert!(!is_placeholder(snap_id), "{snap_id}");
        }
    }
}
