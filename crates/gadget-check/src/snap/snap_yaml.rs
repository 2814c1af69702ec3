//! meta/snap.yaml as snapd reads it, as far as the checks use it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use super::yaml::or_default;

pub(crate) const FILE: &str = "meta/snap.yaml";

#[derive(Debug, Deserialize)]
pub(crate) struct SnapYaml {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) name: String,
    #[serde(rename = "type", default, deserialize_with = "or_default")]
    pub(crate) kind: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) base: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) architectures: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    assumes: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) environment: Variables,
    #[serde(default, deserialize_with = "or_default")]
    plugs: BTreeMap<String, Option<Connector>>,
    #[serde(default, deserialize_with = "or_default")]
    slots: BTreeMap<String, Option<Connector>>,
    #[serde(default, deserialize_with = "or_default")]
    apps: BTreeMap<String, Option<Runnable>>,
    #[serde(default, deserialize_with = "or_default")]
    hooks: BTreeMap<String, Option<Runnable>>,
    #[serde(default)]
    pub(crate) layout: Option<IgnoredAny>,
    #[serde(default, deserialize_with = "or_default")]
    confinement: String,
}

/// A hook or an app. A hook has no commands.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Runnable {
    #[serde(default, deserialize_with = "or_default")]
    plugs: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    slots: Vec<String>,
    #[serde(rename = "command-chain", default, deserialize_with = "or_default")]
    pub(crate) command_chain: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) environment: Variables,
    command: Option<String>,
    #[serde(rename = "stop-command")]
    stop: Option<String>,
    #[serde(rename = "reload-command")]
    reload: Option<String>,
    #[serde(rename = "post-stop-command")]
    post_stop: Option<String>,
}

impl Runnable {
    /// The paths of an app's programs in the snap, without arguments.
    pub(crate) fn commands(&self) -> impl Iterator<Item = &str> {
        [&self.command, &self.stop, &self.reload, &self.post_stop]
            .into_iter()
            .flatten()
            .filter_map(|command| command.split(' ').next())
            .map(|path| path.trim_start_matches('/'))
    }
}

/// A plug or slot: the name of an interface, or attributes.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Connector {
    Interface(String),
    Attributes {
        interface: Option<String>,
        /// Where the files of a content snap are.
        target: Option<String>,
    },
}

/// Environment variables in the order of the file: a variable can use those before it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Variables(pub(crate) Vec<(String, String)>);

impl<'de> Deserialize<'de> for Variables {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Variables;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping of variables")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Variables, A::Error> {
                let mut variables = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    variables.push(entry);
                }
                Ok(Variables(variables))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

impl SnapYaml {
    /// The newest release of snapd that `assumes:` requires: major and minor number.
    pub(crate) fn required_snapd(&self) -> Option<(u32, u32)> {
        let releases = self.assumes.iter().filter_map(|feature| {
            let mut numbers = feature.strip_prefix("snapd")?.split('.').map(str::parse);
            let major = numbers.next()?.ok()?;
            Some((major, numbers.next().and_then(Result::ok).unwrap_or(0)))
        });
        releases.max()
    }

    /// Returns true if snapd confines the hooks and apps.
    pub(crate) fn is_strict(&self) -> bool {
        matches!(self.confinement.as_str(), "" | "strict")
    }

    /// The names of the declared hooks.
    pub(crate) fn hook_names(&self) -> impl Iterator<Item = &str> {
        self.hooks.keys().map(String::as_str)
    }

    /// The declaration of a hook; the default if the hook is only a file.
    pub(crate) fn hook(&self, name: &str) -> Runnable {
        self.hooks.get(name).cloned().flatten().unwrap_or_default()
    }

    pub(crate) fn apps(&self) -> impl Iterator<Item = (&str, &Runnable)> {
        self.apps
            .iter()
            .filter_map(|(name, app)| Some((name.as_str(), app.as_ref()?)))
    }

    /// The interfaces of all plugs of the snap, by name of the plug.
    pub(crate) fn plugs(&self) -> BTreeMap<&str, &str> {
        connectors(&self.plugs, self.runnables().flat_map(|runnable| &runnable.plugs))
    }

    /// The directories in which content snaps put files, as written: `$SNAP/…`.
    pub(crate) fn content_targets(&self) -> impl Iterator<Item = &str> {
        self.plugs.values().filter_map(|plug| match plug {
            Some(Connector::Attributes {
                interface: Some(interface),
                target: Some(target),
            }) if interface == "content" => Some(target.as_str()),
            _ => None,
        })
    }

    /// The interfaces of all slots of the snap, by name of the slot.
    pub(crate) fn slots(&self) -> BTreeMap<&str, &str> {
        connectors(&self.slots, self.runnables().flat_map(|runnable| &runnable.slots))
    }

    /// The interfaces of the plugs of a hook or app: those that it lists, and those that no hook or
    /// app lists, which belong to all (`bindUnscopedPlugs` of snapd).
    pub(crate) fn interfaces_of<'a>(&'a self, runnable: &'a Runnable) -> BTreeSet<&'a str> {
        let names = |runnable: &'a Runnable| runnable.plugs.iter().map(String::as_str);
        let listed: BTreeSet<&str> = self.runnables().flat_map(names).collect();
        let own: BTreeSet<&str> = names(runnable).collect();
        self.plugs()
            .into_iter()
            .filter(|(name, _)| own.contains(name) || !listed.contains(name))
            .map(|(_, interface)| interface)
            .collect()
    }

    fn runnables(&self) -> impl Iterator<Item = &Runnable> {
        self.apps.values().chain(self.hooks.values()).flatten()
    }
}

fn connectors<'a>(
    defined: &'a BTreeMap<String, Option<Connector>>,
    listed: impl Iterator<Item = &'a String>,
) -> BTreeMap<&'a str, &'a str> {
    let mut connectors: BTreeMap<&str, &str> = listed.map(|name| (name.as_str(), name.as_str())).collect();
    for (name, connector) in defined {
        let interface = match connector {
            Some(Connector::Interface(interface)) => interface,
            Some(Connector::Attributes {
                interface: Some(interface),
                ..
            }) => interface,
            _ => name,
        };
        connectors.insert(name, interface);
    }
    connectors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_required_snapd_counts() {
        let required = |assumes: &str| {
            let snap: SnapYaml = serde_saphyr::from_str(&format!("assumes: {assumes}\n")).unwrap();
            snap.required_snapd()
        };
        assert_eq!(required("[snapd2.61, command-chain, snapd2.74.1]"), Some((2, 74)));
        assert_eq!(required("[snapd3]"), Some((3, 0)));
        assert_eq!(required("[snapdx, snap-env]"), None);
    }
}
