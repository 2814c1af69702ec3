//! What is said of libraries that are missing or too new.

use std::path::Path;

use crate::bases::Base;
use crate::finding::Finding;
use crate::libraries::Missing;
use crate::{Gadget, snap_yaml};

impl Missing {
    /// For the hooks and apps that stumble over it; `elsewhere` is a file of the name that the loader does not see.
    pub(crate) fn finding(&self, gadget: &Gadget<'_>, users: &str, elsewhere: Option<&Path>) -> Finding {
        let library = &self.library;
        let package = gadget.base.and_then(|base| base.package_of(library));
        let mend = match (elsewhere.and_then(Path::parent), package) {
            (Some(folder), _) => format!(
                "It is in the snap at {0}, where the loader does not look: add $SNAP/{0} to LD_LIBRARY_PATH under \
                 `environment:` in {1}",
                folder.display(),
                snap_yaml::FILE
            ),
            (None, Some(package)) => format!("Stage the package {package}"),
            (None, None) => {
                "Stage the package that has it, and let LD_LIBRARY_PATH under `environment:` name its folder"
                    .to_owned()
            }
        };
        let (code, what, why) = match self.tcti {
            true => (
                "missing-tcti",
                format!("it opens {library} to reach the TPM, and would not find it ({users})"),
                "the library is opened by name at run time, so nothing else notices before the first boot",
            ),
            false => (
                "missing-library",
                format!(
                    "it needs {library}, which is neither on its path in the snap nor in {} ({users})",
                    gadget.base_name()
                ),
                "the loader stops the program before it has done anything",
            ),
        };
        Finding::error(code, self.needed_by.to_string_lossy(), what, why, mend)
            .warning_if(gadget.has_other_libraries())
    }
}

pub(crate) fn glibc_too_new(path: &Path, (major, minor): (u32, u32), base: &Base) -> Finding {
    let (base_major, base_minor) = base.glibc;
    Finding::error(
        "glibc-too-new",
        path.to_string_lossy(),
        format!(
            "it needs glibc {major}.{minor}; {} has {base_major}.{base_minor}",
            base.name
        ),
        "the loader refuses it on the device: version not found",
        format!(
            "Build or take it where glibc is as old as that of {}, or choose a newer base",
            base.name
        ),
    )
}
