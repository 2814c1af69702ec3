//! The settings file of a project.

use std::path::{Path, PathBuf};

use hardware_identity::config::{self, Settings};

use super::edit::ProjectEdit;
use super::plan::Plan;
use super::source::{Part, Project};
use super::yaml_value::Yaml;
use crate::finding::FindingKind as _;
use crate::findings::{ProjectFinding, SettingsFinding};

/// The part, and the directory of the project that it puts into the snap.
const PART: &str = "hardware-identity-settings";
const DIRECTORY: &str = "hardware-identity";
/// The least that a device needs for its serial.
const CONTENT: &str = "\
[device-service]
url = 'https://serial.example/v1/'

[registration]
proposed-serial = 'key-digest'
";

/// Where the settings of the snap come from.
#[derive(Debug)]
enum Source {
    /// A file of the project, in this directory.
    File(PathBuf),
    /// Made by a part.
    Made,
    Missing,
}

fn source(project: &Project) -> Source {
    let file = |directory: PathBuf| {
        let file = directory.join(config::FILE);
        project.tree.is_file(&file).then_some(directory)
    };
    let mentions = |part: &Part<'_>| {
        part.has_in_script(config::FILE)
            || part.organize().any(|(_, to)| to == config::FILE)
            || part.list("prime").contains(&config::FILE)
            || part.list("stage").contains(&config::FILE)
    };
    let dumps = |part: &Part<'_>| part.text("plugin") == "dump";
    let sources = project.parts().filter(|part| dumps(part) || mentions(part));
    match sources.filter_map(|part| file(part.directory()?)).next() {
        Some(directory) => Source::File(directory),
        None if project.parts().any(|part| mentions(&part)) => Source::Made,
        None => Source::Missing,
    }
}

/// Reads the settings, which decide on the plugs. `None` if they are unknown.
///
/// `has_defaults`: gadget.yaml has options of the gadget, which can replace the file.
pub(super) fn check(project: &Project, has_defaults: bool, plan: &mut Plan) -> Option<Settings> {
    match source(project) {
        Source::File(directory) => read(project, &directory, plan),
        Source::Made => None,
        Source::Missing => {
            if !has_defaults {
                add(project, plan);
            }
            None
        }
    }
}

fn read(project: &Project, directory: &Path, plan: &mut Plan) -> Option<Settings> {
    // A symbolic link must not lead out of the project.
    let directory = project.tree.canonical(directory)?;
    let (settings, errors) = Settings::read(Some(&project.tree.root().join(&directory)), None, None);
    let path = directory.join(config::FILE);
    let bad = |problem: String| SettingsFinding::Bad { problem }.at(path.to_string_lossy());
    let is_right = errors.is_empty();
    plan.findings
        .extend(errors.into_iter().map(|error| bad(error.to_string())));
    is_right.then_some(settings)
}

fn add(project: &Project, plan: &mut Plan) {
    let path = format!("{DIRECTORY}/{}", config::FILE);
    plan.findings
        .push(ProjectFinding::SettingsMissing.at(format!("{}, parts", project.file)));
    let part = Yaml::map([("plugin", Yaml::text("dump")), ("source", Yaml::text(DIRECTORY))]);
    plan.snapcraft.add(&["parts", PART], part);
    if !project.tree.is_file(&path) {
        plan.edits.push(ProjectEdit::new_file(&path, CONTENT));
    }
}
