//! The plugs of the hooks, and the app for the tool.

use std::collections::BTreeSet;

use hardware_identity::config::Settings;

use super::hooks;
use super::plan::Plan;
use super::source::Project;
use super::yaml_value::Yaml;
use crate::checks::connections::NOT_AUTOMATIC;
use crate::checks::plugs::needs;
use crate::finding::FindingKind as _;
use crate::findings::ProjectFinding;

const TOOL: &str = "hardware-identity";

pub(super) fn check(project: &Project, settings: Option<&Settings>, plan: &mut Plan) {
    for name in ["install-device", "prepare-device", "prepare-serial-request"] {
        if !hooks::exists(project, name) {
            continue;
        }
        let hook = project.snap.hook(name);
        let present = project.snap.interfaces_of(&hook);
        let missing: Vec<&str> = needs(settings, name)
            .into_iter()
            .filter(|interface| !present.contains(interface))
            .collect();
        if missing.is_empty() {
            continue;
        }
        let finding = ProjectFinding::PlugsMissing {
            hook: name,
            plugs: missing.join(", "),
        };
        plan.findings
            .push(finding.at(format!("{}, hooks.{name}.plugs", project.file)));
        plan.snapcraft.add(&["hooks", name, "plugs"], Yaml::list(missing));
    }
    if !has_app(project) {
        plan.findings
            .push(ProjectFinding::AppMissing.at(format!("{}, apps", project.file)));
        let app = Yaml::map([
            ("command", Yaml::text("bin/hardware-identity")),
            ("plugs", Yaml::list(needs(settings, TOOL))),
        ]);
        plan.snapcraft.add(&["apps", TOOL], app);
    }
}

/// Returns true if an app runs the tool.
pub(super) fn has_app(project: &Project) -> bool {
    let is_tool = |path: &str| path.rsplit('/').next() == Some(TOOL);
    let mut apps = project.snap.apps();
    apps.any(|(_, app)| app.commands().any(is_tool))
}

/// The interfaces of all hooks and of the tool that snapd does not connect automatically.
pub(super) fn not_automatic(project: &Project, settings: Option<&Settings>) -> BTreeSet<&'static str> {
    let hooks = ["install-device", "prepare-device", "prepare-serial-request"];
    let programs = hooks.into_iter().filter(|name| hooks::exists(project, name));
    programs
        .chain([TOOL])
        .flat_map(|program| needs(settings, program))
        .filter(|interface| NOT_AUTOMATIC.contains(interface))
        .collect()
}
