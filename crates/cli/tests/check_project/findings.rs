//! Each finding, and the lines for it.

use std::process::Command;

use serde_json::Value;

use crate::page;
use crate::project::Project;

/// The plain gadget of the page with one change.
fn changed(file: &str, from: &str, to: &str) -> Project {
    let project = page::project("plain");
    project.edit(file, from, to);
    project
}

const SOURCE: &str = "snap/snapcraft.yaml";

/// The findings of a project, which its lines must correct.
fn corrected(project: &Project) -> Vec<String> {
    let checked = project.check();
    project.apply(&checked);
    project.fill_in();
    project.check().is_clean();
    checked.findings()
}

#[test]
fn the_example_gadget_has_no_findings() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let output = Command::new(env!("CARGO_BIN_EXE_hardware-identity"))
        .args(["check-gadget", "--json", "--project", root])
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["findings"].as_array().map(Vec::len), Some(0), "{report:#}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_directory_without_snapcraft_yaml_is_refused() {
    let project = Project::new([("gadget.yaml", "")]);
    for arguments in [&[][..], &["--json"]] {
        let output = project.run(arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr.trim_end().ends_with("[no-snapcraft-yaml]"), "{stderr}");
        assert_eq!(output.stdout.is_empty(), arguments.is_empty());
    }
    // A snap and a project at once.
    assert_eq!(project.run(&["x.snap"]).status.code(), Some(2));
}

#[test]
fn what_cannot_be_read_is_one_finding_without_lines() {
    let cases = [
        (": : :", "error project-bad-yaml snap/snapcraft.yaml"),
        ("[1, 2]", "error not-a-gadget snap/snapcraft.yaml, type"),
        (
            "hooks: 1\ntype: gadget",
            "error project-bad-yaml snap/snapcraft.yaml",
        ),
        (
            "type: app\nbase: core24",
            "error not-a-gadget snap/snapcraft.yaml, type",
        ),
        (
            "type: gadget",
            "error project-base-unsupported snap/snapcraft.yaml, base",
        ),
        (
            "type: gadget\nbase: core20",
            "error project-base-unsupported snap/snapcraft.yaml, base",
        ),
        (
            "type: gadget\nbase: core99",
            "error project-base-unsupported snap/snapcraft.yaml, base",
        ),
    ];
    for (text, finding) in cases {
        let checked = Project::new([(SOURCE, text)]).check();
        assert_eq!(checked.findings(), [finding], "{text}");
        assert_eq!(checked.report["lines"].as_array().map(Vec::len), Some(0));
    }
}

#[test]
fn a_finding_of_snapcraft_yaml_is_corrected_by_its_lines() {
    let cases = [
        (
            "assumes: [snapd2.74]",
            "assumes: [snapd2.61]",
            "warning old-assumes snap/snapcraft.yaml, assumes",
        ),
        (
            "  prepare-device:\n    plugs: [tpm]\n",
            "",
            "error project-plugs-missing snap/snapcraft.yaml, hooks.prepare-device.plugs",
        ),
        (
            "  prepare-device:\n    plugs: [tpm]\n",
            "  prepare-device: {environment: {X: 'a: b'}}\n",
            "error project-plugs-missing snap/snapcraft.yaml, hooks.prepare-device.plugs",
        ),
        (
            "  install-device:\n    plugs: [tpm, hardware-observe]\n",
            "  install-device:\n    plugs:\n    - tpm\n",
            "error project-plugs-missing snap/snapcraft.yaml, hooks.install-device.plugs",
        ),
        (
            "    rust-path: [., crates/cli]\n",
            "",
            "error project-part-incomplete snap/snapcraft.yaml, parts.hardware-identity.rust-path",
        ),
        (
            "[libtss2-dev, pkg-config]",
            "[pkg-config] # to build",
            "error project-part-incomplete snap/snapcraft.yaml, parts.hardware-identity.build-packages",
        ),
        (
            "      - libtss2-tcti-device0t64\n",
            "",
            "warning project-packages-missing snap/snapcraft.yaml, parts.hardware-identity.stage-packages",
        ),
        (
            "      bin/prepare-device: snap/hooks/prepare-device\n",
            "",
            "error project-hook-missing snap/snapcraft.yaml, parts.hardware-identity.organize",
        ),
        (
            "      bin/configure: snap/hooks/configure\n",
            "",
            "warning project-hook-missing snap/snapcraft.yaml, parts.hardware-identity.organize",
        ),
        (
            "  hardware-identity:\n    command: bin/hardware-identity\n",
            "  other:\n    command: bin/other\n",
            "warning project-app-missing snap/snapcraft.yaml, apps",
        ),
        (
            "    plugin: dump\n    source: hardware-identity\n",
            "    plugin: nil\n",
            "warning project-settings-missing snap/snapcraft.yaml, parts",
        ),
        (
            "https://git.example/hardware-identity.git",
            "REPOSITORY",
            "error project-placeholder snap/snapcraft.yaml, parts.hardware-identity.source",
        ),
    ];
    for (from, to, finding) in cases {
        let project = changed(SOURCE, from, to);
        assert_eq!(corrected(&project), [finding], "{to}");
    }
}

#[test]
fn a_part_that_is_missing_is_added_with_all_that_belongs_to_it() {
    let project = page::project("plain");
    let source = project.read(SOURCE);
    let (before, rest) = source.split_once("  # (4)").unwrap();
    let (_, after) = rest.split_once("  # (5)").unwrap();
    project.write(SOURCE, &format!("{before}  # (5){after}"));
    assert_eq!(
        corrected(&project),
        ["error project-part-missing snap/snapcraft.yaml, parts"]
    );
}

#[test]
fn packages_of_another_base_are_replaced() {
    let project = changed(SOURCE, "base: core24", "base: core22");
    let findings = corrected(&project);
    assert_eq!(
        findings,
        [
            "error project-packages-missing snap/snapcraft.yaml, parts.hardware-identity.stage-packages",
            "error project-packages-wrong snap/snapcraft.yaml, parts.hardware-identity.stage-packages"
        ]
    );
    let source = project.read(SOURCE);
    assert!(
        !source.contains("t64") && source.contains("- libtss2-tcti-device0\n"),
        "{source}"
    );
    changed(SOURCE, "base: core24", "base: core26").check().is_clean();
}

#[test]
fn architectures_without_bindings_are_errors() {
    for (from, to, base) in [
        (
            "platforms:\n  amd64:\n",
            "platforms:\n  amd64:\n  riscv64:\n",
            "core24",
        ),
        (
            "platforms:\n  amd64:\n",
            "platforms:\n  pc: {build-on: [amd64], build-for: [riscv64]}\n",
            "core24",
        ),
        (
            "platforms:\n  amd64:\n",
            "architectures:\n  - build-on: amd64\n    build-for: [riscv64]\n  - armhf\n",
            "core22",
        ),
    ] {
        let project = changed(SOURCE, from, to);
        project.edit(SOURCE, "base: core24", &format!("base: {base}"));
        project.apply(&project.check());
        let key = to.split(':').next().unwrap();
        let finding = format!("error project-architecture-unsupported snap/snapcraft.yaml, {key}");
        assert_eq!(project.check().findings(), [finding], "{to}");
    }
}

#[test]
fn a_hook_under_a_wrong_name_is_found() {
    let project = page::project("plain");
    project.write("snap/hooks/prepare-serial", "#!/bin/sh\n");
    assert_eq!(
        project.check().findings(),
        ["error ignored-hook snap/hooks/prepare-serial"]
    );
}

/// The content of a hook, and the finding that it gives.
#[test]
fn a_hook_of_the_project_has_to_call_the_program() {
    let shadowed = "error shadowed-hook snap/hooks/prepare-device";
    let own = "warning shadowed-hook snap/hooks/prepare-device";
    let moved = "error moved-program snap/snapcraft.yaml, parts.hardware-identity.organize";
    let cases = [
        (
            "#!/bin/sh\necho prepare-device >$SNAP_COMMON/prepare-device.log\n",
            shadowed,
        ),
        ("#!/bin/sh\n# \"$SNAP/bin/prepare-device\"\nexit 0", shadowed),
        ("#!/usr/bin/env python3\nprint('bin/x')\n", shadowed),
        ("#!/bin/bash\nsnapctl unset registration.body\n", own),
        ("#!/bin/sh\nset -e\n\"$SNAP/bin/prepare-device\"\n", moved),
        ("#!/bin/sh\nexec ${SNAP}/bin/prepare-device\n", moved),
        (
            "#!/usr/bin/python3\nimport os\nos.execv(os.environ['SNAP'] + '/bin/prepare-device', ['x'])\n",
            moved,
        ),
    ];
    for (hook, finding) in cases {
        let project = page::project("plain");
        project.write("snap/hooks/prepare-device", hook);
        assert_eq!(corrected(&project), [finding], "{hook}");
        let source = project.read(SOURCE);
        assert!(!source.contains("bin/prepare-device"), "{source}");
        assert!(source.contains("bin/configure: snap/hooks/configure"), "{source}");
    }
}

#[test]
fn a_call_that_is_not_always_reached_is_found() {
    let project = page::project("plain");
    let hook = "#!/bin/sh\n[ -n \"$KEY\" ] || exit 0\n\"$SNAP/bin/prepare-device\"\n";
    project.write("snap/hooks/prepare-device", hook);
    project.edit(
        SOURCE,
        "      bin/prepare-device: snap/hooks/prepare-device\n",
        "",
    );
    let finding = "warning hook-bypassed snap/hooks/prepare-device";
    assert_eq!(project.check().findings(), [finding]);
    // A log file, or an argument, is not a call.
    for line in ["date >$SNAP/bin/prepare-device", "echo $SNAP/bin/prepare-device"] {
        project.write("snap/hooks/prepare-device", &format!("#!/bin/sh\n{line}\n"));
        assert_eq!(project.check().codes(), ["shadowed-hook"]);
    }
}

#[test]
fn the_call_is_where_it_is_reached_and_does_no_harm() {
    for (name, hook, expected) in [
        (
            "prepare-serial-request",
            "#!/bin/sh\nset -e\ndate\n",
            "#!/bin/sh\nset -e\ndate\n\"$SNAP/bin/prepare-serial-request\" || exit\n",
        ),
        (
            "prepare-serial-request",
            "#!/bin/sh\ntest -e x || exit 0\n",
            "#!/bin/sh\n\"$SNAP/bin/prepare-serial-request\" || exit\ntest -e x || exit 0\n",
        ),
        (
            "configure",
            "#!/bin/sh\ndate",
            "#!/bin/sh\n\"$SNAP/bin/configure\" || exit\ndate\n",
        ),
    ] {
        let project = page::project("plain");
        project.write(&format!("snap/hooks/{name}"), hook);
        corrected(&project);
        assert_eq!(project.read(&format!("snap/hooks/{name}")), expected);
    }
}

/// A program, or a script in a language that the tool writes no lines for.
#[test]
fn a_hook_in_another_language_gets_no_lines() {
    for hook in ["#!/usr/bin/perl\n1;\n", "\u{7f}ELF"] {
        let project = page::project("plain");
        project.write("snap/hooks/install-device", hook);
        let checked = project.check();
        assert_eq!(
            checked.findings(),
            ["warning shadowed-hook snap/hooks/install-device"]
        );
        assert_eq!(checked.lines("snap/hooks/install-device"), "");
    }
}

#[test]
fn a_pattern_of_organize_is_written_as_entries() {
    let project = page::project("plain");
    let source = project.read(SOURCE);
    let (before, rest) = source.split_once("      bin/configure:").unwrap();
    let (_, after) = rest.split_once("\n\n").unwrap();
    let pattern = "      bin/configure: snap/hooks/configure\n      bin/*-*e*: snap/hooks/\n\n";
    project.write(
        SOURCE,
        &format!("{before}{}{after}", pattern.replace("*-*e*", "*e")),
    );
    let findings = project.check().codes().join(" ");
    assert_eq!(
        findings, "project-hook-missing",
        "prepare-serial-request does not match"
    );
    project.write(
        SOURCE,
        &format!("{before}{}{after}", pattern.replace("*-*e*", "*")),
    );
    project.check().is_clean();
    project.write("snap/hooks/prepare-device", "#!/bin/sh\ntrue\n");
    assert_eq!(
        corrected(&project),
        ["error shadowed-hook snap/hooks/prepare-device"]
    );
    let source = project.read(SOURCE);
    assert!(
        source.contains("bin/prepare-serial-request: snap/hooks/prepare-serial-request"),
        "{source}"
    );
    assert!(!source.contains("bin/*"), "{source}");
}

#[test]
fn gadget_yaml_is_looked_for_where_snapcraft_does() {
    let project = page::project("plain");
    std::fs::rename(project.path("gadget.yaml"), project.path("boot/gadget.yaml")).unwrap();
    assert_eq!(project.check().findings(), ["error no-gadget-yaml gadget.yaml"]);
    // A part writes it, and what it wrote before is not its source.
    let part = "  gadget:\n    plugin: nil\n    source: ./boot\n    override-build: cp gadget.yaml \
                $CRAFT_PROJECT_DIR/gadget.yaml\n";
    project.edit(SOURCE, "parts:\n", &format!("parts:\n{part}"));
    project.write("gadget.yaml", "volumes: {}\n");
    project.check().is_clean();
    project.edit("boot/gadget.yaml", ":tpm", ":other");
    assert_eq!(
        corrected(&project),
        ["warning not-connected boot/gadget.yaml, connections"]
    );
    std::fs::remove_file(project.path("gadget.yaml")).unwrap();
    project.edit(
        SOURCE,
        "source: ./boot",
        "source: https://git.example/volumes.git",
    );
    let finding = "warning project-gadget-yaml-unread snap/snapcraft.yaml, parts.gadget";
    assert_eq!(project.check().findings(), [finding]);
    project.edit(
        SOURCE,
        "source: https://git.example/volumes.git",
        "source: ./boot",
    );
    project.write("boot/gadget.yaml", "a: [");
    assert_eq!(
        project.check().findings(),
        ["error bad-gadget-yaml boot/gadget.yaml"]
    );
}

#[test]
fn connections_get_the_snap_id_that_the_file_has() {
    let id = "Tq4mZ8bWc1RkX7vYp2LhN9sDf5GjE0aU";
    let project = changed("gadget.yaml", &format!("  - plug: {id}:tpm\n"), "");
    let checked = project.check();
    assert_eq!(checked.lines("gadget.yaml"), format!("  - plug: {id}:tpm\n"));
    corrected(&project);
    project.edit("gadget.yaml", &format!("{id}:tpm"), "SNAP-ID:tpm");
    assert_eq!(
        project.check().findings(),
        ["error bad-connection gadget.yaml, connections[0]"]
    );
    let project = changed("gadget.yaml", "connections:", "x-connections:");
    let defaults = format!("defaults:\n  {id}:\n    hardware-identity.tpm-wait: 90\n");
    project.write("gadget.yaml", &(project.read("gadget.yaml") + &defaults));
    assert_eq!(
        project.check().lines("gadget.yaml"),
        format!("connections:\n  - plug: {id}:hardware-observe\n  - plug: {id}:tpm\n")
    );
}

#[test]
fn settings_decide_on_the_plugs_and_are_checked() {
    let file = "hardware-identity/hardware-identity.toml";
    let project = changed(file, "'key-digest'", "'hardware-id'");
    let finding = "error project-plugs-missing snap/snapcraft.yaml, hooks.prepare-device.plugs";
    assert_eq!(corrected(&project), [finding]);
    let project = changed(file, "'key-digest'", "'random'");
    assert_eq!(project.check().codes(), ["bad-settings"]);
    // The defaults of the gadget can replace the file.
    let project = changed(SOURCE, "    source: hardware-identity\n", "    source: other\n");
    let defaults = "defaults:\n  Tq4mZ8bWc1RkX7vYp2LhN9sDf5GjE0aU:\n    hardware-identity.tpm-wait: 90\n";
    project.write("gadget.yaml", &(project.read("gadget.yaml") + defaults));
    project.check().is_clean();
}

#[test]
fn nothing_outside_of_the_project_is_read() {
    let outside = Project::new([("snapcraft.yaml", "type: gadget\nbase: core24\n")]);
    let project = Project::new([]);
    std::os::unix::fs::symlink(outside.path("snapcraft.yaml"), project.path("snapcraft.yaml")).unwrap();
    assert_eq!(project.check().codes(), ["project-bad-yaml"]);
    let project = page::project("plain");
    project.edit(SOURCE, "source: hardware-identity\n", "source: ../../../../etc\n");
    assert_eq!(project.check().codes(), ["project-settings-missing"]);
}
