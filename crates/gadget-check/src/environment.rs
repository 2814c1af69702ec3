//! The environment of a hook or app, as snapd makes it of the `environment:` in snap.yaml.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::snap_yaml::{SnapYaml, Variables};

/// What snapd sets itself, for libraries of graphics drivers.
const SNAP_LIBRARY_PATH: &str = "/var/lib/snapd/lib/gl:/var/lib/snapd/lib/gl32:/var/lib/snapd/void";

/// Linux gives a program no longer variable (MAX_ARG_STRLEN). Longer values, which a hostile snap could double
/// again and again, count as empty.
const LONGEST: usize = 128 * 1024;
const MOST_NESTED: usize = 8;

#[derive(Clone, Debug)]
pub(crate) struct Environment {
    /// Where the snap is mounted on a device.
    mount: String,
    variables: BTreeMap<String, String>,
}

impl Environment {
    /// What all of a snap has.
    pub(crate) fn of(snap: &SnapYaml) -> Self {
        let mount = format!("/snap/{}/current", snap.name);
        let architecture = snap.architectures.first().cloned().unwrap_or_default();
        let variables = [
            ("SNAP", mount.clone()),
            ("SNAP_NAME", snap.name.clone()),
            ("SNAP_INSTANCE_NAME", snap.name.clone()),
            ("SNAP_ARCH", architecture),
            ("SNAP_LIBRARY_PATH", SNAP_LIBRARY_PATH.to_owned()),
        ];
        let environment = Environment {
            mount,
            variables: variables.map(|(name, value)| (name.to_owned(), value)).into(),
        };
        environment.with(&snap.environment)
    }

    /// With the variables of a hook or app over it.
    pub(crate) fn with(mut self, variables: &Variables) -> Self {
        for (name, value) in &variables.0 {
            let value = self.expand(value);
            self.variables.insert(name.clone(), value);
        }
        self
    }

    /// With further folders for the loader, as a script sets them.
    pub(crate) fn with_library_paths(mut self, paths: &[String]) -> Self {
        for path in paths {
            let path = self.expand(path);
            self.variables.insert("LD_LIBRARY_PATH".to_owned(), path);
        }
        self
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// Replaces `$NAME`, `${NAME}`, `${NAME:-OTHER}` and `${NAME:+OTHER}`; what is not set is empty. The forms
    /// are those that snapd knows.
    pub(crate) fn expand(&self, text: &str) -> String {
        self.expand_nested(text, MOST_NESTED)
    }

    fn expand_nested(&self, text: &str, depth: usize) -> String {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            expanded += before;
            if depth == 0 || expanded.len() > LONGEST {
                return String::new();
            }
            let (reference, next) = split_reference(after);
            expanded += &self.value_of(reference, depth);
            rest = next;
        }
        expanded + rest
    }

    fn value_of(&self, reference: &str, depth: usize) -> String {
        let Some((name, condition)) = reference.split_once(':') else {
            return self.get(reference).unwrap_or_default().to_owned();
        };
        let value = self.get(name).unwrap_or_default();
        let other = |text| self.expand_nested(text, depth - 1);
        match (condition.split_at_checked(1), value.is_empty()) {
            (Some(("-", text)), true) | (Some(("+", text)), false) => other(text),
            (Some(("-", _)), false) => value.to_owned(),
            _ => String::new(),
        }
    }

    /// The path in the snap, if an absolute path leads there.
    pub(crate) fn in_snap(&self, path: &str) -> Option<PathBuf> {
        let rest = path.strip_prefix(&self.mount)?;
        match rest.strip_prefix('/') {
            Some(rest) => Some(plain(Path::new(rest))),
            None => rest.is_empty().then(PathBuf::new),
        }
    }
}

/// What a `$` refers to, and the text after it.
fn split_reference(after: &str) -> (&str, &str) {
    if let Some(braced) = after.strip_prefix('{') {
        return braced.split_once('}').unwrap_or((braced, ""));
    }
    let end = after
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(after.len());
    after.split_at(end)
}

/// Without `.`, `..` and double slashes; it cannot lead above its beginning.
pub(crate) fn plain(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => plain.push(name),
            Component::ParentDir => {
                plain.pop();
            }
            _ => {}
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(yaml: &str) -> Environment {
        Environment::of(&serde_saphyr::from_str(yaml).unwrap())
    }

    #[test]
    fn variables_are_expanded_as_snapd_does() {
        let environment = environment(
            "name: pc\narchitectures: [amd64]\nenvironment:\n  A: $SNAP/lib\n  B: ${A}:${NONE}x$NONE\n  \
             C: ${NONE:-$A}${A:-no}${NONE:+no}${A:+:$SNAP_NAME}\n  D: 1\n",
        );
        assert_eq!(environment.get("A"), Some("/snap/pc/current/lib"));
        assert_eq!(environment.get("B"), Some("/snap/pc/current/lib:x"));
        assert_eq!(
            environment.get("C"),
            Some("/snap/pc/current/lib/snap/pc/current/lib:pc")
        );
        assert_eq!(environment.get("D"), Some("1"));
        assert_eq!(environment.expand("a$"), "a");
        assert_eq!(environment.expand("${A"), "/snap/pc/current/lib");
    }

    #[test]
    fn values_do_not_grow_without_end() {
        let mut yaml = "environment:\n  A0: xxxxxxxxxx\n".to_owned();
        for level in 1..60 {
            yaml += &format!("  A{level}: $A{0}$A{0}\n", level - 1);
        }
        let grown = environment(&yaml);
        assert!(grown.variables.values().all(|value| value.len() < 4 * LONGEST));
        assert_eq!(grown.expand(&"${X:-".repeat(100_000)), "");
    }

    #[test]
    fn paths_in_the_snap_are_known() {
        let environment = environment("name: pc\n");
        let path = |text| environment.in_snap(text);
        assert_eq!(path("/snap/pc/current/a/../b//c"), Some(PathBuf::from("b/c")));
        assert_eq!(
            path("/snap/pc/current/../../etc/passwd"),
            Some(PathBuf::from("etc/passwd"))
        );
        assert_eq!(path("/snap/pc/current"), Some(PathBuf::new()));
        assert_eq!(path("/snap/pc/currently"), None);
        assert_eq!(path("/usr/lib"), None);
    }
}
