//! The files of a project that snapcraft reads.
//!
//! Source: canonical/snapcraft, `snapcraft/parts/yaml_utils.py` (the names of snapcraft.yaml and
//! the directory of the hooks) and `setup_assets.py` (the hooks and gadget.yaml).

use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::GadgetError;
use crate::finding::{FindingKind as _, GadgetFinding};
use crate::findings::{MetadataFinding, ProjectFinding};
use crate::snap::snap_yaml::SnapYaml;
use crate::snap::tree::{Entry, MAX_YAML, Tree};

/// snapcraft.yaml, in the order in which snapcraft looks for it, with the directory of the hooks.
pub(crate) const SOURCES: [(&str, &str); 4] = [
    ("snapcraft.yaml", "snap/hooks"),
    ("snap/snapcraft.yaml", "snap/hooks"),
    ("build-aux/snap/snapcraft.yaml", "build-aux/snap/hooks"),
    (".snapcraft.yaml", "snap/hooks"),
];

/// snapcraft copies it from the directory of the project, and from nowhere else.
pub(super) const GADGET_YAML: &str = "gadget.yaml";

/// Keys that snapcraft copies to snap.yaml as they are, as far as the checks use them.
const SNAP_KEYS: [&str; 9] = [
    "name",
    "type",
    "base",
    "assumes",
    "plugs",
    "slots",
    "apps",
    "hooks",
    "environment",
];

/// A project.
#[derive(Debug)]
pub(super) struct Project {
    pub(super) tree: Tree,
    /// The path of snapcraft.yaml.
    pub(super) file: &'static str,
    pub(super) text: String,
    pub(super) yaml: Value,
    /// What snapcraft will write to snap.yaml.
    pub(super) snap: SnapYaml,
    hooks_directory: &'static str,
}

/// A part of a project.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    pub(super) name: &'a str,
    values: &'a Value,
}

impl Project {
    /// Reads snapcraft.yaml.
    ///
    /// # Errors
    /// [`GadgetError`] if there is no project. The inner error has the finding after which nothing
    /// else can be checked.
    pub(super) fn read(path: &Path) -> Result<Result<Self, Vec<GadgetFinding>>, GadgetError> {
        let tree = Tree::open_directory(path)?;
        let source = SOURCES
            .into_iter()
            .find(|(file, _)| tree.entry(file) != Entry::Missing);
        let Some((file, hooks_directory)) = source else {
            return Err(GadgetError::NoProject {
                path: path.to_owned(),
            });
        };
        Ok(Self::parse(tree, file, hooks_directory))
    }

    fn parse(
        tree: Tree,
        file: &'static str,
        hooks_directory: &'static str,
    ) -> Result<Self, Vec<GadgetFinding>> {
        let bad = |problem: String| vec![ProjectFinding::BadYaml { problem }.at(file)];
        let content = tree
            .read(file, MAX_YAML)
            .map_err(|error| bad(format!("cannot read it: {error}")))?;
        let text = String::from_utf8(content).map_err(|_| bad("it is not UTF-8".to_owned()))?;
        let yaml: Value = crate::snap::yaml::read(&tree, file).map_err(bad)?;
        let mut keys = Map::new();
        for key in SNAP_KEYS {
            if let Some(value) = yaml.get(key) {
                keys.insert(key.to_owned(), value.clone());
            }
        }
        let snap: SnapYaml =
            serde_json::from_value(Value::Object(keys)).map_err(|error| bad(error.to_string()))?;
        match snap.kind.as_str() {
            "gadget" => Ok(Project {
                tree,
                file,
                text,
                yaml,
                snap,
                hooks_directory,
            }),
            _ => Err(vec![MetadataFinding::NotAGadget.at(format!("{file}, type"))]),
        }
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = Part<'_>> {
        let parts = self.yaml.get("parts").and_then(Value::as_object);
        parts
            .into_iter()
            .flatten()
            .map(|(name, values)| Part { name, values })
    }

    /// The architectures that the snap is built for: keys or `build-for` of `platforms`, or
    /// `build-for` (else `build-on`) of `architectures`.
    pub(super) fn architectures(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for (name, platform) in self
            .yaml
            .get("platforms")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            match platform.get("build-for") {
                Some(build_for) => texts(build_for, &mut names),
                None => names.push(name.as_str()),
            }
        }
        for entry in self
            .yaml
            .get("architectures")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            texts(
                entry.get("build-for").or(entry.get("build-on")).unwrap_or(entry),
                &mut names,
            );
        }
        names.retain(|name| *name != "all");
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The path of a hook of the project itself, which snapcraft puts over that of a part.
    pub(super) fn hook(&self, name: &str) -> Option<String> {
        let path = format!("{}/{name}", self.hooks_directory);
        self.tree.is_file(&path).then_some(path)
    }

    /// The names of the hooks of the project itself.
    pub(super) fn hook_names(&self) -> Vec<String> {
        self.tree.names(self.hooks_directory)
    }

    pub(super) fn hooks_directory(&self) -> &'static str {
        self.hooks_directory
    }
}

impl<'a> Part<'a> {
    pub(super) fn text(&self, key: &str) -> &'a str {
        self.values.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// All strings of a list, also those in the grammar of snapcraft (`- on amd64: […]`).
    pub(super) fn list(&self, key: &str) -> Vec<&'a str> {
        let mut list = Vec::new();
        if let Some(value) = self.values.get(key) {
            texts(value, &mut list);
        }
        list
    }

    /// The entries of `organize`: from, to.
    pub(super) fn organize(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let entries = self.values.get("organize").and_then(Value::as_object);
        let entries = entries.into_iter().flatten();
        entries.filter_map(|(from, to)| Some((from.as_str(), to.as_str()?)))
    }

    /// The scripts that replace or extend the steps of the part.
    pub(super) fn scripts(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        [
            "override-pull",
            "override-build",
            "override-stage",
            "override-prime",
        ]
        .into_iter()
        .filter_map(|key| self.values.get(key).and_then(Value::as_str))
    }

    /// Returns true if the part puts a hook of this name into snap/hooks.
    pub(super) fn provides_hook(&self, name: &str) -> bool {
        let in_directory = |script: &str| script.contains("snap/hooks") && script.contains(name);
        self.hook_target(name).is_some() || self.scripts().any(in_directory)
    }

    /// The entry of `organize` that moves the program `bin/NAME` to snap/hooks.
    pub(super) fn hook_target(&self, name: &str) -> Option<&'a str> {
        let target = format!("snap/hooks/{name}");
        let program = format!("bin/{name}");
        let moves = |(from, to): &(&str, &str)| {
            *to == target || (to.trim_end_matches('/') == "snap/hooks" && matches(from, &program))
        };
        self.organize().find(moves).map(|(from, _)| from)
    }

    /// Returns true if a script of the part has this text.
    pub(super) fn has_in_script(&self, text: &str) -> bool {
        self.scripts().any(|script| script.contains(text))
    }

    /// The directory of the project that is the source of the part, if it has such a source.
    pub(super) fn directory(&self) -> Option<PathBuf> {
        let source = self.text("source");
        let is_local = !source.is_empty() && !source.contains("://") && !source.starts_with("git@");
        // Without `./` at the beginning, as the paths are shown.
        let plain = |path: &Path| {
            path.components()
                .filter(|part| *part != Component::CurDir)
                .collect()
        };
        is_local.then(|| plain(Path::new(source)))
    }
}

/// Adds all strings in a value.
fn texts<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(entries) => entries.values().for_each(|value| texts(value, found)),
        _ => {}
    }
}

/// Returns true if a path matches a pattern with at most one `*`.
fn matches(pattern: &str, path: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == path,
        Some((start, end)) => {
            let rest = path.strip_prefix(start);
            rest.is_some_and(|rest| rest.ends_with(end) && !rest.contains('/'))
        }
    }
}
