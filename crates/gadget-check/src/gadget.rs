//! The gadget that the checks look at.

mod settings;

use std::collections::BTreeMap;

use hardware_identity::config::Settings;
use hardware_identity::identity::KeyBackend;
use serde_json::Value;

use crate::facts::bases::Base;
use crate::facts::hook_names;
use crate::finding::{FindingKind as _, GadgetFinding};
use crate::findings::MetadataFinding;
use crate::snap::HOOKS;
use crate::snap::content::{Content, Contents};
use crate::snap::gadget_yaml::{self, GadgetYaml};
use crate::snap::script::OURS;
use crate::snap::snap_yaml::{self, Runnable, SnapYaml};
use crate::snap::tree::{Entry, Tree};
use crate::snap::yaml;
use crate::trace::{Program, Role, Trace};

/// A gadget snap, with everything that more than one check uses.
pub(crate) struct Gadget<'a> {
    pub(crate) tree: &'a Tree,
    pub(crate) contents: Contents<'a>,
    pub(crate) snap: SnapYaml,
    /// `None` if the content of the base is unknown.
    pub(crate) base: Option<&'static Base>,
    /// `None` if the file is missing or does not parse.
    pub(crate) yaml: Option<GadgetYaml>,
    /// The options in gadget.yaml for the gadget itself, by snap-id.
    pub(crate) defaults: Vec<(String, Value)>,
    /// `None` if they do not parse.
    pub(crate) settings: Option<Settings>,
    /// The hooks that snapd runs, with what they run.
    pub(crate) hooks: BTreeMap<String, Trace>,
    /// What the apps run, by name of the app.
    pub(crate) apps: BTreeMap<String, Trace>,
}

impl<'a> Gadget<'a> {
    /// Reads the metadata and the settings, and returns the findings on the way.
    ///
    /// # Errors
    /// The finding after which nothing else can be checked.
    pub(crate) fn read(tree: &'a Tree) -> Result<(Self, Vec<GadgetFinding>), Vec<GadgetFinding>> {
        let snap = read_snap_yaml(tree)?;
        let mut findings = Vec::new();
        let yaml = read_gadget_yaml(tree).map_err(|bad| findings.extend(bad)).ok();
        let defaults: Vec<(String, Value)> = yaml
            .iter()
            .flat_map(GadgetYaml::defaults_of_gadgets)
            .map(|(snap_id, options)| (snap_id.to_owned(), options))
            .collect();
        let settings = settings::read(tree, &snap, &defaults)
            .map_err(|bad| findings.extend(bad))
            .ok();
        let contents = Contents::of(tree);
        let gadget = Gadget {
            tree,
            hooks: hooks(tree, &contents, &snap),
            apps: apps(tree, &contents, &snap),
            contents,
            base: Base::named(&snap.base),
            snap,
            yaml,
            defaults,
            settings,
        };
        Ok((gadget, findings))
    }

    /// Returns true if snapd finds a file for the hook.
    pub(crate) fn has_hook(&self, name: &str) -> bool {
        self.hooks.contains_key(name)
    }

    /// What the hooks and apps run.
    pub(crate) fn traces(&self) -> impl Iterator<Item = &Trace> {
        self.hooks.values().chain(self.apps.values())
    }

    /// Returns true if the program is a script, so that what it does is known.
    pub(crate) fn is_script(&self, program: &Program) -> bool {
        matches!(&*self.contents.get(&program.path), Content::Script(_))
    }

    /// Returns true for a program of this project, and for one that can make a key in the TPM.
    pub(crate) fn makes_identity(&self, program: &Program) -> bool {
        match &*self.contents.get(&program.path) {
            Content::Elf(elf) => {
                let mut needed = elf.needed.iter();
                OURS.contains(&program.name()) || needed.any(|library| library.starts_with("libtss2-"))
            }
            _ => false,
        }
    }

    /// Returns true if a program uses the TPM, or may use it.
    pub(crate) fn uses_tpm(&self, program: &Program) -> bool {
        self.makes_identity(program) || (OURS.contains(&program.name()) && !self.is_script(program))
    }

    /// The name of the TCTI, without its configuration; `None` if the key is not in a TPM.
    pub(crate) fn tcti_name(&self) -> Option<String> {
        let (tcti, backend) = match &self.settings {
            Some(settings) => (settings.tcti.clone(), settings.key_backend),
            None => Default::default(),
        };
        let tcti = tcti.to_string();
        let name = tcti.split(':').next().unwrap_or_default().to_owned();
        (backend == KeyBackend::Tpm).then_some(name)
    }

    /// The name of the base for a message.
    pub(crate) fn base_name(&self) -> String {
        match self.snap.base.as_str() {
            "" => "the base".to_owned(),
            name => name.to_owned(),
        }
    }

    /// Returns true if directories outside of the snap can hold libraries: from a layout or a
    /// content snap.
    pub(crate) fn has_other_libraries(&self) -> bool {
        self.snap.layout.is_some()
            || self
                .snap
                .plugs()
                .values()
                .any(|interface| *interface == "content")
    }
}

fn hooks(tree: &Tree, contents: &Contents<'_>, snap: &SnapYaml) -> BTreeMap<String, Trace> {
    let names = tree.names(HOOKS).into_iter();
    let follow = |name: String| {
        let (user, named_in) = (
            format!("hook {name}"),
            format!("{}, hooks.{name}", snap_yaml::FILE),
        );
        let path = format!("{HOOKS}/{name}");
        let trace = Trace::follow(
            (tree, contents, snap),
            &snap.hook(&name),
            (&user, &named_in),
            (Role::Hook, &[&path]),
        );
        (name, trace)
    };
    names
        .filter(|name| hook_names::is_known(name))
        .map(follow)
        .collect()
}

fn apps(tree: &Tree, contents: &Contents<'_>, snap: &SnapYaml) -> BTreeMap<String, Trace> {
    let follow = |(name, app): (&str, &Runnable)| {
        let (user, named_in) = (format!("app {name}"), format!("{}, apps.{name}", snap_yaml::FILE));
        let commands: Vec<&str> = app.commands().collect();
        let trace = Trace::follow(
            (tree, contents, snap),
            app,
            (&user, &named_in),
            (Role::Command, &commands),
        );
        (name.to_owned(), trace)
    };
    snap.apps().map(follow).collect()
}

fn read_snap_yaml(tree: &Tree) -> Result<SnapYaml, Vec<GadgetFinding>> {
    if tree.entry(snap_yaml::FILE) == Entry::Missing {
        return Err(vec![MetadataFinding::NoSnapYaml.at(snap_yaml::FILE)]);
    }
    let snap: SnapYaml = yaml::read(tree, snap_yaml::FILE)
        .map_err(|problem| vec![MetadataFinding::BadSnapYaml { problem }.at(snap_yaml::FILE)])?;
    match snap.kind.as_str() {
        "gadget" => Ok(snap),
        _ => Err(vec![
            MetadataFinding::NotAGadget.at(format!("{}, type", snap_yaml::FILE)),
        ]),
    }
}

fn read_gadget_yaml(tree: &Tree) -> Result<GadgetYaml, Vec<GadgetFinding>> {
    if tree.entry(gadget_yaml::FILE) == Entry::Missing {
        return Err(vec![MetadataFinding::NoGadgetYaml.at(gadget_yaml::FILE)]);
    }
    yaml::read(tree, gadget_yaml::FILE)
        .map_err(|problem| vec![MetadataFinding::BadGadgetYaml { problem }.at(gadget_yaml::FILE)])
}
