//! An unpacked gadget snap, and what snapd reads from its `meta/snap.yaml`.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use regex::{Captures, Regex};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

/// A gadget snap.
#[derive(Debug)]
pub(crate) struct GadgetSnap {
    pub(crate) directory: PathBuf,
    description: Description,
}

/// The part of snap.yaml that affects the run of a hook.
#[derive(Debug, Deserialize)]
struct Description {
    name: String,
    #[serde(default)]
    version: Option<Value>,
    #[serde(default)]
    base: String,
    #[serde(default)]
    environment: Variables,
    #[serde(default)]
    hooks: BTreeMap<String, Option<Hook>>,
}

#[derive(Debug, Default, Deserialize)]
struct Hook {
    #[serde(default)]
    environment: Variables,
    #[serde(default, rename = "command-chain")]
    command_chain: Vec<String>,
}

impl GadgetSnap {
    pub(crate) fn open(directory: &Path) -> Result<Self> {
        let directory = std::path::absolute(directory)
            .context("the gadget does not have a path. Give the directory of an unpacked gadget snap")?;
        let file = directory.join("meta/snap.yaml");
        let name = file.display();
        let text = fs::read_to_string(&file).with_context(|| {
            format!(
                "cannot read {name}. Give the directory of an unpacked gadget snap (unpack it with \
                 unsquashfs)"
            )
        })?;
        let description = serde_saphyr::from_str(&text)
            .with_context(|| format!("{name} is not a valid snap.yaml. Correct it"))?;
        Ok(GadgetSnap {
            directory,
            description,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.description.name
    }

    pub(crate) fn version(&self) -> String {
        self.description.version.as_ref().map(string).unwrap_or_default()
    }

    pub(crate) fn base(&self) -> &str {
        &self.description.base
    }

    /// The executable of a hook, if the gadget has the hook.
    pub(crate) fn hook(&self, name: impl AsRef<Path>) -> Option<PathBuf> {
        let file = self.directory.join("meta/hooks").join(name);
        file.exists().then_some(file)
    }

    /// The command chain of a hook. Each program gets the rest of the command line as its
    /// arguments.
    pub(crate) fn command_chain(&self, hook: &str) -> Vec<PathBuf> {
        let hook = self.description.hooks.get(hook).and_then(Option::as_ref);
        let chain = hook.map(|hook| hook.command_chain.as_slice()).unwrap_or_default();
        chain.iter().map(|program| self.directory.join(program)).collect()
    }

    /// Adds the variables of snap.yaml to the environment of a hook: first those of the snap, then
    /// those of the hook. Each value can refer to the variables before it (ExtendWithExpanded in
    /// snapd's osutil/env.go).
    pub(crate) fn extend(&self, hook: &str, environment: &mut BTreeMap<OsString, OsString>) -> Result<()> {
        let own = self.description.hooks.get(hook).and_then(Option::as_ref);
        let own = own.map(|hook| hook.environment.0.as_slice()).unwrap_or_default();
        let reference = Regex::new(r"\$\{(\w+)\}|\$(\w+)")?;
        for (name, value) in self.description.environment.0.iter().chain(own) {
            let value = reference.replace_all(value, |found: &Captures<'_>| {
                let name = found.get(1).or(found.get(2)).map_or("", |name| name.as_str());
                let value = environment.get(OsStr::new(name));
                value
                    .map(|value| value.to_string_lossy().into_owned())
                    .unwrap_or_default()
            });
            let value = value.into_owned();
            environment.insert(name.into(), value.into());
        }
        Ok(())
    }
}

/// Variables, in the order of the file.
#[derive(Debug, Default)]
struct Variables(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Variables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Variables;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("variables with their values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Variables, A::Error> {
                let mut pairs = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    pairs.push((name, string(&value)));
                }
                Ok(Variables(pairs))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// A scalar as a string.
fn string(value: &Value) -> String {
    match value {
        Value::String(string) => string.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gadget(yaml: &str) -> Result<(tempfile::TempDir, GadgetSnap)> {
        let directory = tempfile::tempdir()?;
        fs::create_dir_all(directory.path().join("meta"))?;
        fs::write(directory.path().join("meta/snap.yaml"), yaml)?;
        let snap = GadgetSnap::open(directory.path())?;
        Ok((directory, snap))
    }

    #[test]
    fn variables_are_expanded_in_the_order_of_the_file() {
        let yaml = "name: g\nversion: 1.5\nenvironment:\n  Z: $SNAP/z\n  A: ${Z}:$MISSING\n  N: 5\n\
                    hooks:\n  configure:\n    environment: {A: own}\n  install-device:\n";
        let (_directory, snap) = gadget(yaml).unwrap();
        let given = BTreeMap::from([("SNAP".into(), "/s".into())]);
        let of = |hook: &str, name: &str| {
            let mut environment = given.clone();
            snap.extend(hook, &mut environment).unwrap();
            environment[OsStr::new(name)].to_str().unwrap().to_owned()
        };
        assert_eq!(of("install-device", "A"), "/s/z:");
        assert_eq!(of("prepare-device", "N"), "5");
        assert_eq!(of("configure", "A"), "own");
        assert_eq!(
            (snap.name(), snap.version().as_str(), snap.base()),
            ("g", "1.5", "")
        );
    }

    #[test]
    fn a_directory_without_a_valid_snap_yaml_is_an_error() {
        let error = GadgetSnap::open(Path::new("/nonexistent"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("/nonexistent/meta/snap.yaml"), "{error}");
        let error = gadget("- 1").unwrap_err().to_string();
        assert!(error.contains("meta/snap.yaml"), "{error}");
    }
}
