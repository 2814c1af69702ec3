//! Follows arbitrary scripts: in the language of the shell, and in another.
#![no_main]

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

const SNAP_YAML: &str = "name: pc\ntype: gadget\nbase: core24\nenvironment: {PATH: $SNAP/bin:$PATH}\n";

/// A snap with a program and a script that calls itself.
static SNAP: LazyLock<TempDir> = LazyLock::new(|| {
    let snap = tempfile::tempdir().expect("a temporary directory");
    let write = |path: &str, text: &str| {
        let path = snap.path().join(path);
        let directory = path.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(directory).and_then(|()| fs::write(path, text)).expect("a file");
    };
    write("meta/snap.yaml", SNAP_YAML);
    write("bin/a", "#!/bin/sh\nexec \"$@\"\n");
    write("bin/b", "#!/bin/sh\n. $SNAP/bin/b\nsh -c \"$1\"\n$SNAP/bin/a $SNAP/bin/b \"$@\"\n");
    snap
});

fuzz_target!(|data: &[u8]| {
    gadget_check::follow_script(SNAP.path(), "sh", data);
    gadget_check::follow_script(SNAP.path(), "python3", data);
});
