//! The base snaps: their C library, libraries and interpreters.

use std::sync::LazyLock;

use serde::Deserialize;

use super::tpm2_tss::Packages;

const DATA: &str = include_str!("../../data/bases.yaml");

static BASES: LazyLock<Bases> = LazyLock::new(|| serde_saphyr::from_str(DATA).unwrap_or_default());

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bases {
    /// Libraries of every base.
    libraries: Vec<String>,
    bases: Vec<Base>,
}

/// A base snap.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Base {
    pub(crate) name: String,
    /// Major and minor version.
    pub(crate) glibc: (u32, u32),
    libraries: Vec<String>,
    interpreters: Vec<String>,
}

/// The names of the known bases, separated by commas.
pub(crate) fn names() -> String {
    let names: Vec<&str> = BASES.bases.iter().map(|base| base.name.as_str()).collect();
    names.join(", ")
}

impl Base {
    /// The base of this name, or `None` if its content is unknown.
    pub(crate) fn named(name: &str) -> Option<&'static Base> {
        BASES.bases.iter().find(|base| base.name == name)
    }

    /// Returns true if the base has the library.
    pub(crate) fn has_library(&self, soname: &str) -> bool {
        let mut libraries = BASES.libraries.iter().chain(&self.libraries);
        libraries.any(|library| library == soname) || is_loader(soname)
    }

    /// Returns true if the base has the interpreter with this absolute path.
    pub(crate) fn has_interpreter(&self, path: &str) -> bool {
        let name = path
            .strip_prefix("/usr/bin/")
            .or_else(|| path.strip_prefix("/bin/"));
        name.is_some_and(|name| self.has_command(name))
    }

    /// Returns true if `env` finds the interpreter in the base.
    pub(crate) fn has_command(&self, name: &str) -> bool {
        self.interpreters.iter().any(|interpreter| interpreter == name)
    }

    /// The package to stage for a library.
    pub(crate) fn package_of(&self, soname: &str) -> Option<&str> {
        Packages::of_base(&self.name)?.package_of(soname)
    }
}

/// Returns true for the dynamic loader, which some programs link.
fn is_loader(soname: &str) -> bool {
    soname.starts_with("ld-linux") || soname.starts_with("ld64.so.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_file_parses() {
        let bases: Bases = serde_saphyr::from_str(DATA).unwrap();
        let versions = bases.bases.iter().map(|base| base.glibc);
        assert!(versions.is_sorted(), "from the oldest to the newest");
        assert_eq!(names(), "core20, core22, core24, core26");
        let core24 = Base::named("core24").unwrap();
        assert!(core24.has_library("libc.so.6") && core24.has_interpreter("/bin/sh"));
        assert!(core24.package_of("libtss2-esys.so.0").is_some());
    }
}
