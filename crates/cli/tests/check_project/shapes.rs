//! Projects as authors write them: after the lines are applied, nothing is left to say.

use crate::project::Project;

const GADGET_YAML: &str = "volumes:\n  pc:\n    bootloader: grub\n";

/// snapcraft.yaml from the first line to `parts:`, for each base and architecture.
fn heads() -> Vec<String> {
    let mut heads = Vec::new();
    for base in ["core22", "core24", "core26"] {
        for architecture in ["amd64", "arm64", "armhf"] {
            let built_for = match base {
                "core22" => format!("architectures:\n  - build-on: amd64\n    build-for: {architecture}\n"),
                _ => format!("platforms:\n  {architecture}:\n    build-on: [amd64]\n"),
            };
            heads.push(format!(
                "name: g\nversion: '1'\ntype: gadget\nbase: {base}\n{built_for}"
            ));
        }
    }
    heads
}

/// Layouts of the rest of the file: block and flow style, items with and without indentation, keys
/// in quotation marks, comments, CRLF, no line feed at the end, the grammar of snapcraft.
const RESTS: [&str; 9] = [
    "parts:\n  boot:\n    plugin: dump\n    source: boot",
    "parts: {boot: {plugin: dump, source: boot}}\n",
    "# hooks:\nhooks:\n  # own\n  prepare-device:\n    environment:\n      KEY: ''\nparts:\n  boot:\n    plugin: nil\n",
    "hooks: {prepare-device: {environment: {KEY: 'a: #b'}}, configure: {}}\nparts:\n    boot:\n        plugin: nil\n",
    "\"assumes\":\n- snapd2.60.1\n- command-chain\n'hooks':\n  prepare-device:\nparts:\n  boot: {plugin: nil}\n",
    "assumes: # why\n    - snapd2.55\nplugs:\n  tpm-and-more:\n    interface: tpm\nparts:\n  x: {plugin: nil}\n",
    "hooks:\r\n  prepare-device:\r\n    plugs: [network]\r\nparts:\r\n  boot:\r\n    plugin: nil\r\n",
    "parts:\n  hardware-identity:\n    plugin: rust\n    source: https://git.example/hardware-identity\n    \
     stage-packages:\n    - on amd64:\n      - intel-microcode\n    override-build: |\n      craftctl default\n      \
     organize:\n\n\n# the end\n",
    "parts:\n  tpm:\n    source: https://git.example/hardware-identity\n    plugin: rust\n    organize: {bin/*: \
     snap/hooks/}\napps: {}\n",
];

const HOOKS: [&[(&str, &str)]; 3] = [
    &[],
    &[
        ("snap/hooks/configure", "#!/bin/sh\n"),
        ("snap/hooks/prepare-device", "#!/bin/sh -e\nexit 0\n"),
    ],
    &[
        ("snap/hooks/prepare-serial-request", "#!/bin/bash\ndate"),
        ("snap/hooks/install-device", "#!/usr/bin/env python3\nprint()\n"),
    ],
];

#[test]
fn nothing_is_left_after_the_lines() {
    for head in heads() {
        for rest in RESTS {
            for hooks in HOOKS {
                let files = [("snapcraft.yaml", format!("{head}{rest}"))];
                let project = Project::new(files.iter().map(|(path, text)| (*path, text.as_str())));
                project.write("gadget.yaml", GADGET_YAML);
                for (path, text) in hooks {
                    project.write(path, text);
                }
                let checked = project.check();
                assert_ne!(checked.findings(), [""; 0]);
                project.apply(&checked);
                project.fill_in();
                let again = project.check();
                let source = project.read("snapcraft.yaml");
                assert_eq!(
                    again.findings(),
                    [""; 0],
                    "{rest}\n---\n{source}\n{:#}",
                    again.report
                );
                assert_eq!(again.report["lines"].as_array().map(Vec::len), Some(0));
            }
        }
    }
}
