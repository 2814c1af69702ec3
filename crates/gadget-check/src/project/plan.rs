//! The findings in a project, and the lines that correct them.

use super::edit::ProjectEdit;
use super::source::Project;
use super::yaml_lines::{Changes, YamlLines};
use crate::finding::GadgetFinding;

#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) findings: Vec<GadgetFinding>,
    /// What changes in snapcraft.yaml.
    pub(super) snapcraft: Changes,
    /// Edits of other files.
    pub(super) edits: Vec<ProjectEdit>,
}

impl Plan {
    /// The findings, and the edits of all files.
    pub(super) fn finish(self, project: &Project) -> (Vec<GadgetFinding>, Vec<ProjectEdit>) {
        let mut edits = YamlLines::new(project.file, &project.text).edits(&project.yaml, &self.snapcraft);
        edits.extend(self.edits);
        (self.findings, edits)
    }
}
