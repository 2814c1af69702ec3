//! The linter for gadget snaps with a hardware identity: `check(path)` returns a report.
//!
//! It finds what `snap pack` accepts and what fails on the device.
#![forbid(unsafe_code)]

mod assumes;
mod bases;
mod connections;
mod content;
mod elf;
mod environment;
mod explain;
mod finding;
mod gadget_yaml;
mod hook_names;
mod hooks;
mod interfaces;
mod libraries;
mod library_findings;
mod plugs;
mod program;
mod programs;
mod script;
mod settings;
mod similar;
mod snap_yaml;
mod squashfs;
mod tree;
mod yaml;

use std::path::Path;

use anyhow::ensure;
use hardware_identity::config::Settings;
use serde_json::Value;

use bases::Base;
use gadget_yaml::GadgetYaml;
use snap_yaml::SnapYaml;
use tree::{Entry, Tree};

pub use finding::{Finding, Report, Severity};

/// The folder of hooks in a snap.
const HOOKS: &str = "meta/hooks";

/// Checks a gadget snap: a `.snap`, or a directory with `meta/snap.yaml`.
///
/// # Errors
/// If it cannot be opened or is a snapcraft project.
pub fn check(path: &Path) -> anyhow::Result<Report> {
    let tree = Tree::open(path)?;
    ensure!(
        !is_project(&tree),
        "{} is a snapcraft project, not a snap. Check what comes of it: `snapcraft prime` and its folder prime, or \
         `snapcraft pack` and the .snap",
        path.display()
    );
    Ok(Report::new(inspect(&tree)))
}

fn is_project(tree: &Tree) -> bool {
    let sources = ["snap/snapcraft.yaml", "snapcraft.yaml", ".snapcraft.yaml"];
    !tree.is_file(snap_yaml::FILE) && sources.iter().any(|source| tree.is_file(source))
}

/// What the checks look at.
struct Gadget<'a> {
    tree: &'a Tree,
    snap: &'a SnapYaml,
    /// None where it is not known what the base has.
    base: Option<&'static Base>,
    /// None where it is missing or does not parse.
    yaml: Option<&'a GadgetYaml>,
    /// Options in gadget.yaml for the gadget itself, by snap-id.
    defaults: Vec<(&'a str, Value)>,
    /// None where they do not parse.
    settings: Option<Settings>,
    /// The hooks that snapd finds.
    hooks: Vec<String>,
}

impl Gadget<'_> {
    fn has_hook(&self, name: &str) -> bool {
        self.hooks.iter().any(|hook| hook == name)
    }

    fn own_defaults(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.defaults.iter().map(|(snap_id, options)| (*snap_id, options))
    }

    /// The name of the TCTI, without its configuration.
    fn tcti(&self) -> String {
        let tcti = self.settings.as_ref().map(|settings| settings.tcti.clone());
        let tcti = tcti.unwrap_or_default().to_string();
        tcti.split(':').next().unwrap_or_default().to_owned()
    }

    fn base_name(&self) -> &str {
        match self.snap.base.as_str() {
            "" => "the base",
            name => name,
        }
    }

    /// Whether folders that do not show in the snap can hold libraries.
    fn has_other_libraries(&self) -> bool {
        self.snap.layout.is_some()
            || self
                .snap
                .plugs()
                .values()
                .any(|interface| *interface == "content")
    }
}

fn inspect(tree: &Tree) -> Vec<Finding> {
    let snap = match read_snap_yaml(tree) {
        Ok(snap) => snap,
        Err(finding) => return vec![finding],
    };
    let (yaml, mut findings) = match read_gadget_yaml(tree) {
        Ok(yaml) => (Some(yaml), Vec::new()),
        Err(finding) => (None, vec![finding]),
    };
    let yaml = yaml.as_ref();
    let mut gadget = Gadget {
        tree,
        snap: &snap,
        base: Base::named(&snap.base),
        yaml,
        defaults: yaml.map_or_else(Vec::new, |yaml| yaml.defaults_of_gadgets().collect()),
        settings: None,
        hooks: tree
            .names(HOOKS)
            .into_iter()
            .filter(|name| hook_names::is_known(name))
            .collect(),
    };
    match settings::read(&gadget) {
        Ok(settings) => gadget.settings = Some(settings),
        Err(bad) => findings.extend(bad),
    }
    findings.extend(hooks::check(&gadget));
    findings.extend(plugs::check(&gadget));
    findings.extend(connections::check(&gadget));
    findings.extend(programs::check(&gadget));
    findings.extend(settings::check(&gadget));
    findings.extend(assumes::check(&gadget));
    findings.extend(unknown_base(&gadget));
    findings
}

fn read_snap_yaml(tree: &Tree) -> Result<SnapYaml, Finding> {
    if tree.entry(snap_yaml::FILE) == Entry::Missing {
        return Err(Finding::error(
            "no-snap-yaml",
            snap_yaml::FILE,
            "there is no such file",
            "it makes a snap of a folder",
            "Give a .snap, or the folder that becomes one: snapcraft's prime folder, or an unpacked snap",
        ));
    }
    let snap: SnapYaml = yaml::read(tree, snap_yaml::FILE).map_err(|problem| {
        Finding::error(
            "bad-snap-yaml",
            snap_yaml::FILE,
            problem,
            "nothing else can be checked, and snapd refuses the file or reads it otherwise than it is meant",
            "Correct it (in snapcraft.yaml, where snapcraft makes it)",
        )
    })?;
    if snap.kind != "gadget" {
        return Err(Finding::error(
            "not-a-gadget",
            format!("{}, type", snap_yaml::FILE),
            "the snap is not of type gadget",
            "snapd runs prepare-device and prepare-serial-request of the model's gadget alone",
            "Set `type: gadget`, or check the gadget",
        ));
    }
    Ok(snap)
}

fn read_gadget_yaml(tree: &Tree) -> Result<GadgetYaml, Finding> {
    if tree.entry(gadget_yaml::FILE) == Entry::Missing {
        return Err(Finding::error(
            "no-gadget-yaml",
            gadget_yaml::FILE,
            "there is no such file",
            "no image can be built with the gadget: it describes the volumes",
            "Put gadget.yaml beside snap.yaml (beside snapcraft.yaml, where snapcraft packs)",
        ));
    }
    yaml::read(tree, gadget_yaml::FILE).map_err(|problem| {
        Finding::error(
            "bad-gadget-yaml",
            gadget_yaml::FILE,
            problem,
            "snapd refuses the file or reads it otherwise than it is meant",
            "Correct it",
        )
    })
}

fn unknown_base(gadget: &Gadget<'_>) -> Option<Finding> {
    gadget.base.is_none().then(|| {
        let bases = bases::BASES.iter().map(|base| base.name).collect::<Vec<_>>();
        Finding::error(
            "unknown-base",
            format!("{}, base", snap_yaml::FILE),
            match gadget.snap.base.as_str() {
                "" => "it names no base".to_owned(),
                base => format!("it is not known what {base} has"),
            },
            "interpreters and libraries that are not in the snap cannot be checked, and a model takes a gadget \
             with its own base alone",
            format!("Use the model's base: {}", bases.join(", ")),
        )
        .warning()
    })
}
