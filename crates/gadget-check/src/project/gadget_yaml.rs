//! gadget.yaml of a project: where it is, and the connections of the plugs.

use std::collections::BTreeSet;

use serde_json::Value;

use super::plan::Plan;
use super::source::{GADGET_YAML, Part, Project};
use super::yaml_lines::{Changes, YamlLines};
use super::yaml_value::Yaml;
use crate::finding::FindingKind as _;
use crate::findings::{InterfaceFinding, MetadataFinding, ProjectFinding};
use crate::snap::gadget_yaml::GadgetYaml;
use crate::snap::tree::MAX_YAML;
use crate::snap::yaml;

const SNAP_ID: &str = "SNAP-ID";

/// A gadget.yaml that can be read.
pub(super) struct GadgetFile {
    path: String,
    yaml: GadgetYaml,
}

/// The files that become gadget.yaml, one for each architecture. snapcraft copies that of the
/// project's directory, which a part can write there; then the sources of the part count.
pub(super) fn read(project: &Project, plan: &mut Plan) -> Vec<GadgetFile> {
    let paths = paths(project, plan);
    let mut files = Vec::new();
    for path in paths {
        match yaml::read(&project.tree, &path) {
            Ok(yaml) => files.push(GadgetFile { path, yaml }),
            Err(problem) => plan
                .findings
                .push(MetadataFinding::BadGadgetYaml { problem }.at(path)),
        }
    }
    files
}

fn paths(project: &Project, plan: &mut Plan) -> BTreeSet<String> {
    let makes = |part: &Part<'_>| part.has_in_script(GADGET_YAML);
    let sources: BTreeSet<String> = project
        .parts()
        .filter(makes)
        .flat_map(|part| in_source(project, part))
        .collect();
    match project.tree.is_file(GADGET_YAML) {
        _ if !sources.is_empty() => sources,
        true => BTreeSet::from([GADGET_YAML.to_owned()]),
        false => {
            let maker = project.parts().find(makes);
            plan.findings.push(match maker {
                Some(part) => {
                    let place = format!("{}, parts.{}", project.file, part.name);
                    ProjectFinding::GadgetYamlUnread.at(place)
                }
                None => MetadataFinding::NoGadgetYaml.at(GADGET_YAML),
            });
            sources
        }
    }
}

/// `gadget.yaml`, `gadget-ARCHITECTURE.yaml` and the like in the directory of a part's source.
fn in_source(project: &Project, part: Part<'_>) -> Vec<String> {
    let Some(directory) = part.directory() else {
        return Vec::new();
    };
    // gadget.yaml in the directory of the project is what the part writes.
    let is_root = directory.as_os_str().is_empty();
    let is_source = |name: &String| {
        name.starts_with("gadget") && name.ends_with(".yaml") && !(is_root && name == GADGET_YAML)
    };
    let names = match is_root {
        true => project.tree.names("."),
        false => project.tree.names(&directory),
    };
    let paths = names.into_iter().filter(is_source);
    paths
        .map(|name| directory.join(name).to_string_lossy().into_owned())
        .collect()
}

/// Returns true if a file has options of the gadget itself.
pub(super) fn has_defaults(files: &[GadgetFile]) -> bool {
    files
        .iter()
        .any(|file| file.yaml.defaults_of_gadgets().next().is_some())
}

/// Checks that the connections have an entry for each plug that is not connected automatically.
pub(super) fn check(
    project: &Project,
    files: &[GadgetFile],
    plan: &mut Plan,
    needed: &BTreeSet<&'static str>,
) {
    for file in files {
        connections(project, file, plan, needed);
    }
}

fn connections(project: &Project, file: &GadgetFile, plan: &mut Plan, needed: &BTreeSet<&'static str>) {
    let mut ids: BTreeSet<&str> = BTreeSet::new();
    let mut missing = needed.clone();
    let plugs = project.snap.plugs();
    for (number, connection) in file.yaml.connections.iter().enumerate() {
        match connection.ends() {
            Ok((plug, _)) => {
                let interface = plugs.get(plug.name).copied().unwrap_or(plug.name);
                if needed.contains(interface) && plug.snap_id != "system" {
                    ids.insert(plug.snap_id);
                    missing.remove(interface);
                }
            }
            Err(problem) => {
                let place = format!("{}, connections[{number}]", file.path);
                plan.findings
                    .push(InterfaceFinding::BadConnection { problem }.at(place));
                // The entry is probably the one that is meant to connect the plug.
                return;
            }
        }
    }
    ids.extend(file.yaml.defaults_of_gadgets().map(|(snap_id, _)| snap_id));
    let snap_id = match ids.len() {
        1 => ids.first().copied().unwrap_or(SNAP_ID),
        _ => SNAP_ID,
    };
    add(project, file, plan, snap_id, &missing);
}

fn add(project: &Project, file: &GadgetFile, plan: &mut Plan, snap_id: &str, plugs: &BTreeSet<&'static str>) {
    for plug in plugs {
        let finding = InterfaceFinding::NotConnected {
            plug: (*plug).to_owned(),
            interface: (*plug).to_owned(),
            gadget: project.snap.name.clone(),
        };
        plan.findings
            .push(finding.at(format!("{}, connections", file.path)));
    }
    let entry = |plug: &&str| Yaml::map([("plug", Yaml::Scalar(format!("{snap_id}:{plug}")))]);
    let mut changes = Changes::default();
    changes.add(&["connections"], Yaml::List(plugs.iter().map(entry).collect()));
    let content = project.tree.read(&file.path, MAX_YAML).unwrap_or_default();
    let text = String::from_utf8_lossy(&content);
    let value: Value = yaml::read(&project.tree, &file.path).unwrap_or_default();
    plan.edits
        .extend(YamlLines::new(&file.path, &text).edits(&value, &changes));
}
