//! The base, the architectures and the snapd that a project requires.

use super::plan::Plan;
use super::source::Project;
use super::yaml_value::Yaml;
use crate::checks::metadata;
use crate::facts::tpm2_tss::{self, Packages};
use crate::finding::{FindingKind as _, GadgetFinding};
use crate::findings::ProjectFinding;

/// The packages for the base of the project.
///
/// # Errors
/// The finding that the base has none.
pub(super) fn packages(project: &Project) -> Result<&'static Packages, Vec<GadgetFinding>> {
    let base = project.snap.base.as_str();
    let packages = Packages::of_base(base);
    let reason = match packages {
        Some(packages) if packages.names().next().is_some() => return Ok(packages),
        Some(old) => format!(
            "Ubuntu {} has {}, and tss-esapi-sys requires {}",
            old.ubuntu,
            old.version,
            tpm2_tss::REQUIRED_VERSION
        ),
        None => "its packages are unknown".to_owned(),
    };
    let finding = ProjectFinding::BaseUnsupported {
        base: match base {
            "" => "(none)".to_owned(),
            base => base.to_owned(),
        },
        reason,
        supported: tpm2_tss::supported_bases(),
    };
    Err(vec![finding.at(format!("{}, base", project.file))])
}

pub(super) fn check(project: &Project, plan: &mut Plan) {
    let key = match project.yaml.get("architectures") {
        Some(_) => "architectures",
        None => "platforms",
    };
    let unsupported = project
        .architectures()
        .into_iter()
        .filter(|name| !tpm2_tss::has_architecture(name));
    plan.findings.extend(unsupported.map(|architecture| {
        ProjectFinding::ArchitectureUnsupported {
            architecture: architecture.to_owned(),
            supported: tpm2_tss::architectures(),
        }
        .at(format!("{}, {key}", project.file))
    }));
    if let Some(finding) = metadata::assumes(&project.snap, project.file) {
        plan.findings.push(finding);
        plan.snapcraft.add(&["assumes"], Yaml::list(["snapd2.74"]));
    }
}
