//! The environment of a hook or app, as snapd builds it from `environment:` in snap.yaml.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::snap_yaml::{SnapYaml, Variables};

/// Set by snapd, for libraries of graphics drivers.
const SNAP_LIBRARY_PATH: &str = "/var/lib/snapd/lib/gl:/var/lib/snapd/lib/gl32:/var/lib/snapd/void";

/// Bytes of a variable: the limit of Linux (`MAX_ARG_STRLEN`). Longer values, which a hostile snap
/// could double many times, count as empty.
const MAX_VALUE: usize = 128 * 1024;
const MAX_DEPTH: usize = 8;
/// The numbers of variables, and of values of one variable, that a script sets.
const MAX_VARIABLES: usize = 200;
const MAX_VALUES: usize = 8;

/// The PATH of hooks and apps, in which nothing is from the snap.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/games:/usr/local/games";

#[derive(Clone, Debug)]
pub(crate) struct Environment {
    /// The mount point of the snap on a device.
    mount: String,
    /// A script can set a variable to one of several values.
    variables: BTreeMap<String, Vec<Rc<str>>>,
}

impl Environment {
    /// The environment that all hooks and apps of a snap share.
    pub(crate) fn of(snap: &SnapYaml) -> Self {
        let mount = format!("/snap/{}/current", snap.name);
        let architecture = snap.architectures.first().cloned().unwrap_or_default();
        let variables = [
            ("SNAP", mount.clone()),
            ("SNAP_NAME", snap.name.clone()),
            ("SNAP_INSTANCE_NAME", snap.name.clone()),
            ("SNAP_ARCH", architecture),
            ("SNAP_LIBRARY_PATH", SNAP_LIBRARY_PATH.to_owned()),
            ("SNAP_DATA", format!("/var/snap/{}/current", snap.name)),
            ("SNAP_COMMON", format!("/var/snap/{}/common", snap.name)),
            ("PATH", PATH.to_owned()),
        ];
        let environment = Environment {
            mount,
            variables: variables
                .map(|(name, value)| (name.to_owned(), vec![value.into()]))
                .into(),
        };
        environment.with(&snap.environment)
    }

    /// Adds the variables of a hook or app.
    pub(crate) fn with(mut self, variables: &Variables) -> Self {
        for (name, value) in &variables.0 {
            let value = self.expand(value);
            self.variables.insert(name.clone(), vec![value.into()]);
        }
        self
    }

    /// Sets a variable as a script does: to one of these values, or, if `or_before`, to the value
    /// that it has.
    pub(crate) fn set(&mut self, name: &str, values: Vec<String>, or_before: bool) {
        let is_new = !self.variables.contains_key(name);
        if is_new && self.variables.len() >= MAX_VARIABLES {
            return;
        }
        let all = self.variables.entry(name.to_owned()).or_default();
        if !or_before {
            all.clear();
        }
        for value in values.iter().filter(|value| value.len() <= MAX_VALUE / 32) {
            if all.len() < MAX_VALUES && !all.iter().any(|known| **known == **value) {
                all.push(value.as_str().into());
            }
        }
    }

    /// Forgets a variable whose value is not known any more.
    pub(crate) fn forget(&mut self, name: &str) {
        self.variables.remove(name);
    }

    /// The value of a variable; if there are several, the last.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).last().map(|value| &**value)
    }

    /// All values that a variable can have.
    pub(crate) fn all(&self, name: &str) -> &[Rc<str>] {
        self.variables.get(name).map_or(&[], Vec::as_slice)
    }

    /// Replaces `$NAME`, `${NAME}`, `${NAME:-OTHER}` and `${NAME:+OTHER}`, as snapd does. A
    /// variable that is not set is empty.
    pub(crate) fn expand(&self, text: &str) -> String {
        self.expand_nested(text, MAX_DEPTH)
    }

    fn expand_nested(&self, text: &str, depth: usize) -> String {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            expanded += before;
            if depth == 0 || expanded.len() > MAX_VALUE {
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

    /// The path of a file of the snap on a device.
    pub(crate) fn on_device(&self, path: &str) -> String {
        format!("{}/{path}", self.mount)
    }

    /// The path relative to the snap, if an absolute path leads into the snap.
    pub(crate) fn in_snap(&self, path: &str) -> Option<PathBuf> {
        let rest = path.strip_prefix(&self.mount)?;
        match rest.strip_prefix('/') {
            Some(rest) => Some(normalized(Path::new(rest))),
            None => rest.is_empty().then(PathBuf::new),
        }
    }
}

/// The reference after a `$`, and the rest.
fn split_reference(after: &str) -> (&str, &str) {
    if let Some(braced) = after.strip_prefix('{') {
        return braced.split_once('}').unwrap_or((braced, ""));
    }
    let end = after
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(after.len());
    after.split_at(end)
}

/// Removes `.`, `..` and double slashes; `..` does not lead above the first component.
fn normalized(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut normalized = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => normalized.push(name),
            Component::ParentDir => {
                normalized.pop();
            }
            _ => {}
        }
    }
    normalized
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
    fn values_do_not_grow_without_limit() {
        let mut yaml = "environment:\n  A0: xxxxxxxxxx\n".to_owned();
        for level in 1..60 {
            yaml += &format!("  A{level}: $A{0}$A{0}\n", level - 1);
        }
        let grown = environment(&yaml);
        let mut values = grown.variables.values().flatten();
        assert!(values.all(|value| value.len() < 4 * MAX_VALUE));
        assert_eq!(grown.expand(&"${X:-".repeat(100_000)), "");
    }

    #[test]
    fn paths_in_the_snap_are_relative() {
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
