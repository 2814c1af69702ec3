//! docs/gadget-authors.md: its snippets, and its table of packages.
//!
//! A snippet with a path after its language is a file: `TREE/PATH`. The files of one tree are a
//! project.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::project::Project;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn page() -> String {
    fs::read_to_string(Path::new(ROOT).join("docs/gadget-authors.md")).unwrap()
}

struct Snippet {
    language: String,
    /// Empty if the snippet is not a file.
    path: String,
    text: String,
}

fn snippets() -> Vec<Snippet> {
    let page = page();
    let mut snippets = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(fence) = line.trim_start().strip_prefix("```") else {
            continue;
        };
        let indent = line.len() - line.trim_start().len();
        let (language, path) = fence.split_once(' ').unwrap_or((fence, ""));
        let text = lines.by_ref().take_while(|line| line.trim() != "```");
        let text = text.map(|line| line.get(indent..).unwrap_or_default().to_owned() + "\n");
        snippets.push(Snippet {
            language: language.to_owned(),
            path: path.to_owned(),
            text: text.collect(),
        });
    }
    snippets
}

/// The text of the snippet with this path.
pub(crate) fn snippet(path: &str) -> String {
    let snippet = snippets().into_iter().find(|snippet| snippet.path == path);
    snippet.unwrap_or_else(|| panic!("the page has no {path}")).text
}

/// The project of a tree, with files in place of the boot loader.
pub(crate) fn project(tree: &str) -> Project {
    let project = Project::new([
        ("boot/grub.conf", ""),
        ("boot/grub.efi", "grub"),
        ("boot/shim.efi", "shim"),
    ]);
    for snippet in snippets() {
        if let Some(path) = snippet.path.strip_prefix(&format!("{tree}/")) {
            project.write(path, &snippet.text);
        }
    }
    project
}

/// The second project, with gadget.yaml of its part: the volumes of the first, without connections.
pub(crate) fn with_own_hooks() -> Project {
    let project = project("own-hooks");
    let volumes = snippet("plain/gadget.yaml");
    let (volumes, _) = volumes.split_once("\nconnections:").unwrap();
    project.write("gadget/gadget-amd64.yaml", &format!("{volumes}\n"));
    project
}

#[test]
fn snippets_are_files_or_commands() {
    let snippets = snippets();
    assert!(snippets.len() >= 10, "{}", snippets.len());
    for snippet in &snippets {
        let Snippet { language, path, text } = snippet;
        match language.as_str() {
            "sh" => {
                let output = Command::new("sh").args(["-n", "-c", text]).output().unwrap();
                assert!(output.status.success(), "{text}\n{output:?}");
            }
            "yaml" => {
                serde_saphyr::from_str::<Value>(text).unwrap();
                assert_ne!(path, "", "{text}");
            }
            "toml" => assert_ne!(path, "", "{text}"),
            "text" => {}
            // What a terminal shows.
            _ => assert!(language.is_empty() && text.starts_with("$ "), "{language} {text}"),
        }
    }
}

#[test]
fn its_commands_exist() {
    for snippet in snippets().iter().filter(|snippet| snippet.language == "sh") {
        let text = snippet.text.replace("\\\n", " ").replace("&&", "\n");
        for line in text.lines().map(|line| line.trim_end_matches('&')) {
            let mut words = line.split_whitespace();
            let program = words.next().unwrap_or_default();
            if ["hardware-identity", "testbed", "model-service"].contains(&program) {
                let help = Command::new(crate::onboarding::program(program))
                    .args([words.next().unwrap(), "--help"])
                    .output()
                    .unwrap();
                assert!(help.status.success(), "{line}");
                let help = String::from_utf8(help.stdout).unwrap();
                let flags = words.filter(|word| word.starts_with("--"));
                flags.for_each(|flag| assert!(help.contains(flag), "{line}"));
            }
        }
    }
}

#[test]
fn the_plain_gadget_needs_no_further_lines() {
    project("plain").check().is_clean();
}

#[test]
fn the_printed_lines_are_those_of_the_page() {
    let project = with_own_hooks();
    let output = project.run(&[]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    let (_, lines) = text.split_once("\n\n").unwrap();
    assert_eq!(lines, snippet("own-hooks.lines"));
    project.apply(&project.check());
    for path in ["snap/hooks/configure", "snap/hooks/prepare-device"] {
        assert_eq!(project.read(path), snippet(&format!("own-hooks.after/{path}")));
    }
}

#[test]
fn the_packages_are_those_of_the_data() {
    let data = Path::new(ROOT).join("crates/gadget-check/data/tpm2-tss.yaml");
    let data: Value = serde_saphyr::from_str(&fs::read_to_string(data).unwrap()).unwrap();
    let bases: Vec<&Value> = data["bases"].as_array().unwrap().iter().collect();
    let supported: Vec<&&Value> = bases.iter().filter(|base| base["packages"].is_object()).collect();
    let mut rows: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for base in &supported {
        for (library, package) in base["packages"].as_object().unwrap() {
            rows.entry(library).or_default().push(package.as_str().unwrap());
        }
    }
    let names: Vec<&str> = supported
        .iter()
        .map(|base| base["name"].as_str().unwrap())
        .collect();
    let mut table = format!(
        "| library | {} |\n|---|{}\n",
        names.join(" | "),
        "---|".repeat(names.len())
    );
    for (library, packages) in rows {
        table += &format!("| `{library}` | `{}` |\n", packages.join("` | `"));
    }
    assert!(page().contains(&table), "{table}");
    let unsupported = bases.iter().filter(|base| !base["packages"].is_object());
    for base in unsupported {
        let [name, ubuntu, version] = ["name", "ubuntu", "version"].map(|key| base[key].as_str().unwrap());
        let words: Vec<String> = page().split_whitespace().map(str::to_owned).collect();
        let sentence = format!("**{name} is not supported.** Ubuntu {ubuntu} has tpm2-tss {version},");
        assert!(words.join(" ").contains(&sentence), "{sentence}");
    }
}
