//! The packages of tpm2-tss in the distribution of each base.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde::Deserialize;

const DATA: &str = include_str!("../../data/tpm2-tss.yaml");

static TPM2_TSS: LazyLock<Tpm2Tss> = LazyLock::new(|| serde_saphyr::from_str(DATA).unwrap_or_default());

/// The version that the build script of tss-esapi-sys 0.6.0 requires (`MINIMUM_VERSION`).
pub(crate) const REQUIRED_VERSION: &str = "2.4.6";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tpm2Tss {
    architectures: BTreeSet<String>,
    bases: Vec<Packages>,
}

/// tpm2-tss of a base.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Packages {
    /// The name of the base.
    name: String,
    /// The release of Ubuntu that the base is built from.
    pub(crate) ubuntu: String,
    /// The version of tpm2-tss in that release.
    pub(crate) version: String,
    /// The package to stage, by library. Empty if the version is too old.
    #[serde(default)]
    packages: BTreeMap<String, String>,
}

impl Packages {
    /// The packages for a base, or `None` if the base is unknown.
    pub(crate) fn of_base(name: &str) -> Option<&'static Packages> {
        TPM2_TSS.bases.iter().find(|base| base.name == name)
    }

    /// The package to stage for a library.
    pub(crate) fn package_of(&self, soname: &str) -> Option<&str> {
        self.packages.get(soname).map(String::as_str)
    }

    /// All packages to stage.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.packages.values().map(String::as_str)
    }
}

/// The names of the bases with packages, separated by commas.
pub(crate) fn supported_bases() -> String {
    let supported = TPM2_TSS.bases.iter().filter(|base| !base.packages.is_empty());
    let names: Vec<&str> = supported.map(|base| base.name.as_str()).collect();
    names.join(", ")
}

/// Returns true if a base has a package of this name.
pub(crate) fn is_package(name: &str) -> bool {
    TPM2_TSS
        .bases
        .iter()
        .any(|base| base.names().any(|package| package == name))
}

/// Returns true if the programs of this project can be built for the architecture.
pub(crate) fn has_architecture(name: &str) -> bool {
    TPM2_TSS.architectures.contains(name)
}

/// The architectures that the programs can be built for, separated by commas.
pub(crate) fn architectures() -> String {
    let names: Vec<&str> = TPM2_TSS.architectures.iter().map(String::as_str).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_file_parses() {
        let data: Tpm2Tss = serde_saphyr::from_str(DATA).unwrap();
        assert_eq!(data.bases.len(), 4);
        assert_eq!(supported_bases(), "core22, core24, core26");
        let core24 = Packages::of_base("core24").unwrap();
        assert_eq!(
            core24.package_of("libtss2-mu.so.0"),
            Some("libtss2-mu-4.0.1-0t64")
        );
        assert_eq!(core24.names().count(), 6);
        assert!(is_package("libtss2-mu0") && !is_package("libtss2-dev"));
    }
}
