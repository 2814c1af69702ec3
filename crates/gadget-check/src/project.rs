//! A snapcraft project before it is packed: what it lacks for a hardware identity, and the lines to
//! add.

mod base;
mod edit;
mod gadget_yaml;
mod hooks;
mod part;
mod plan;
mod plugs;
mod settings;
mod source;
mod yaml_lines;
mod yaml_value;

use std::path::Path;

use serde_json::{Value, json};

use crate::error::GadgetError;
use crate::finding::GadgetFinding;
use crate::report::GadgetReport;
use edit::ProjectEdit;
use plan::Plan;
use source::Project;

pub(crate) use source::SOURCES;

/// The findings in a snapcraft project, and the lines that correct them.
#[derive(Clone, Debug)]
pub struct ProjectReport {
    report: GadgetReport,
    base: String,
    edits: Vec<ProjectEdit>,
}

/// Checks a snapcraft project: the directory that has snapcraft.yaml or snap/snapcraft.yaml.
///
/// Nothing is built or run, and nothing outside of the directory is read.
///
/// # Errors
/// [`GadgetError`] if the directory cannot be read, or is not a snapcraft project.
pub fn check_project(path: &Path) -> Result<ProjectReport, GadgetError> {
    let project = match Project::read(path)? {
        Ok(project) => project,
        Err(findings) => return Ok(ProjectReport::of_findings(findings)),
    };
    let packages = match base::packages(&project) {
        Ok(packages) => packages,
        Err(findings) => return Ok(ProjectReport::of_findings(findings)),
    };
    let mut plan = Plan::default();
    base::check(&project, &mut plan);
    part::check(&project, packages, &mut plan);
    hooks::check(&project, &mut plan);
    let gadget_files = gadget_yaml::read(&project, &mut plan);
    let has_defaults = gadget_yaml::has_defaults(&gadget_files);
    let settings = settings::check(&project, has_defaults, &mut plan);
    plugs::check(&project, settings.as_ref(), &mut plan);
    let needed = plugs::not_automatic(&project, settings.as_ref());
    gadget_yaml::check(&project, &gadget_files, &mut plan, &needed);
    let (findings, edits) = plan.finish(&project);
    Ok(ProjectReport {
        report: GadgetReport::new(findings),
        base: project.snap.base.clone(),
        edits,
    })
}

impl ProjectReport {
    fn of_findings(findings: Vec<GadgetFinding>) -> Self {
        ProjectReport {
            report: GadgetReport::new(findings),
            base: String::new(),
            edits: Vec::new(),
        }
    }

    /// Returns true if a finding is an error.
    pub fn has_errors(&self) -> bool {
        self.report.has_errors()
    }

    /// The report as a JSON object with `findings`, `errors`, `warnings` and `lines`.
    pub fn to_json(&self) -> Value {
        let mut json = self.report.to_json();
        json["lines"] = json!(self.edits);
        json
    }

    /// The report as text for a terminal: the findings, then the lines to add.
    pub fn to_text(&self) -> String {
        let text = self.report.to_text();
        if self.edits.is_empty() {
            return text;
        }
        let notes = edit::placeholders(&self.edits);
        // A file name or a line of the project can contain escape sequences for the terminal.
        let lines = edit::text(&self.edits).replace(|c: char| c.is_control() && c != '\n', " ");
        format!(
            "{text}\nLines to add for {}. The line numbers are those before any change{notes}\n{lines}",
            self.base
        )
    }
}
