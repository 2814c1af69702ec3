//! The part that builds the programs of the hardware identity.

use std::collections::BTreeSet;

use super::hooks::{HOOKS, is_shadowed};
use super::plan::Plan;
use super::plugs;
use super::source::{Part, Project};
use super::yaml_value::Yaml;
use crate::facts::tpm2_tss::{self, Packages};
use crate::finding::FindingKind as _;
use crate::findings::ProjectFinding;

pub(super) const NAME: &str = "hardware-identity";
const REPOSITORY: &str = "REPOSITORY";
/// The oldest Rust that builds the programs: `rust-version` of the workspace.
const RUST: &str = env!("CARGO_PKG_RUST_VERSION");
const BUILD_PACKAGES: [&str; 2] = ["libtss2-dev", "pkg-config"];
/// Directories of the sources: the hooks, and the tool.
const RUST_PATH: [&str; 2] = [".", "crates/cli"];

/// The part with the programs, by its name, source or hooks.
pub(super) fn of_programs(project: &Project) -> Option<Part<'_>> {
    let has_hook = |part: &Part<'_>| part.provides_hook("prepare-serial-request");
    let by_name = project.parts().find(|part| part.name == NAME);
    let by_source = || {
        project
            .parts()
            .find(|part| part.text("source").contains(NAME) && part.text("plugin") == "rust")
    };
    by_name
        .or_else(by_source)
        .or_else(|| project.parts().find(has_hook))
}

pub(super) fn check(project: &Project, packages: &Packages, plan: &mut Plan) {
    match of_programs(project) {
        Some(part) => {
            build(project, part, plan);
            stage_packages(project, part, packages, plan);
        }
        None => {
            plan.findings
                .push(ProjectFinding::PartMissing.at(format!("{}, parts", project.file)));
            plan.snapcraft.add(&["parts", NAME], whole(project, packages));
        }
    }
}

/// The whole part. Programs that a hook of the project calls stay in bin.
fn whole(project: &Project, packages: &Packages) -> Yaml {
    let mut part = Yaml::map([
        ("plugin", Yaml::text("rust")),
        ("source", Yaml::text(REPOSITORY)),
        ("source-type", Yaml::text("git")),
        ("rust-channel", Yaml::text(RUST)),
        ("rust-path", Yaml::list(RUST_PATH)),
        ("build-packages", Yaml::list(BUILD_PACKAGES)),
        ("stage-packages", Yaml::list(packages.names())),
    ]);
    for name in HOOKS.into_iter().filter(|name| !is_shadowed(project, name)) {
        part.insert(
            &["organize", &format!("bin/{name}")],
            Yaml::text(&format!("snap/hooks/{name}")),
        );
    }
    part
}

/// What the plugin rust needs. Other plugins are the author's own way.
fn build(project: &Project, part: Part<'_>, plan: &mut Plan) {
    let place = |key: &str| format!("{}, parts.{}.{key}", project.file, part.name);
    if part.text("source") == REPOSITORY {
        let finding = ProjectFinding::Placeholder {
            key: "source",
            placeholder: REPOSITORY,
        };
        plan.findings.push(finding.at(place("source")));
    }
    if part.text("plugin") != "rust" {
        return;
    }
    for (key, wanted) in [("build-packages", BUILD_PACKAGES), ("rust-path", RUST_PATH)] {
        let present = match part.list(key) {
            // The default of the plugin.
            list if list.is_empty() && key == "rust-path" => vec!["."],
            list => list,
        };
        let missing: Vec<&str> = wanted
            .into_iter()
            .filter(|name| !present.contains(name))
            .collect();
        if missing.is_empty() {
            continue;
        }
        let finding = ProjectFinding::PartIncomplete {
            key,
            missing: missing.join(", "),
        };
        // Only the app needs the tool.
        let is_optional = key == "rust-path" && missing == [RUST_PATH[1]] && !plugs::has_app(project);
        plan.findings.push(finding.at(place(key)).warning_if(is_optional));
        // A list replaces the default.
        let added = match part.list(key).is_empty() {
            true => wanted.to_vec(),
            false => missing,
        };
        plan.snapcraft.add(&["parts", part.name, key], Yaml::list(added));
    }
}

/// The packages of tpm2-tss: those that no part stages, and those of other bases.
fn stage_packages(project: &Project, part: Part<'_>, packages: &Packages, plan: &mut Plan) {
    let parts = project.parts();
    let staged: BTreeSet<&str> = parts.flat_map(|part| part.list("stage-packages")).collect();
    let missing: Vec<&str> = packages.names().filter(|name| !staged.contains(name)).collect();
    if !missing.is_empty() {
        let finding = ProjectFinding::PackagesMissing {
            packages: missing.join(", "),
            base: project.snap.base.clone(),
        };
        let path = ["parts", part.name, "stage-packages"];
        // Packages depend on each other, and snapcraft stages what they depend on.
        let some = missing.len() < packages.names().count();
        plan.findings.push(
            finding
                .at(format!("{}, {}", project.file, path.join(".")))
                .warning_if(some),
        );
        plan.snapcraft.add(&path, Yaml::list(missing));
    }
    for part in project.parts() {
        wrong_packages(project, part, packages, plan);
    }
}

fn wrong_packages(project: &Project, part: Part<'_>, packages: &Packages, plan: &mut Plan) {
    let is_wrong = |name: &&str| tpm2_tss::is_package(name) && !packages.names().any(|own| own == *name);
    let staged = part.list("stage-packages").into_iter();
    let wrong: Vec<&str> = staged.filter(is_wrong).collect();
    if wrong.is_empty() {
        return;
    }
    let finding = ProjectFinding::PackagesWrong {
        packages: wrong.join(", "),
        base: project.snap.base.clone(),
        ubuntu: packages.ubuntu.clone(),
    };
    let path = ["parts", part.name, "stage-packages"];
    plan.findings
        .push(finding.at(format!("{}, {}", project.file, path.join("."))));
    let names = wrong.into_iter().map(str::to_owned);
    plan.snapcraft.remove(&path, names, Yaml::List(Vec::new()));
}
