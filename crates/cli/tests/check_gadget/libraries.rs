//! Libraries: the check agrees with the loader of this machine.

use std::process::Command;

use crate::gadget::{Gadget, LIBRARIES, PROGRAM, Parts, TCTI_LOADER};

const HOOK: &str = "meta/hooks/prepare-device";

/// Runs the hook as snapd does, except that the snap is in another directory.
fn starts(gadget: &Gadget, library_path: Option<&str>) -> bool {
    let mut command = Command::new(gadget.path(HOOK));
    command.env_clear();
    if let Some(path) = library_path {
        let root = gadget.root();
        command.env("LD_LIBRARY_PATH", path.replace("$SNAP", root.to_str().unwrap()));
    }
    command.output().unwrap().status.success()
}

/// A gadget with one program: how it is linked, and where its libraries are.
struct Layout {
    name: &'static str,
    /// LD_LIBRARY_PATH under `environment:` of the snap.
    library_path: Option<&'static str>,
    /// Linker flags of the program, and of its TCTI loader.
    program: &'static str,
    loader: &'static str,
    /// The directory of the libraries.
    directory: &'static str,
    /// The codes of the findings.
    codes: &'static [&'static str],
}

const LAYOUTS: [Layout; 9] = [
    Layout {
        name: "the environment's path",
        library_path: Some("$SNAP/usr/lib"),
        program: "",
        loader: "",
        directory: "usr/lib",
        codes: &[],
    },
    Layout {
        name: "another path",
        library_path: Some("/nowhere:$SNAP/lib"),
        program: "",
        loader: "",
        directory: "usr/lib",
        codes: &["missing-library"],
    },
    Layout {
        name: "no path",
        library_path: None,
        program: "",
        loader: "",
        directory: "usr/lib",
        codes: &["missing-library"],
    },
    Layout {
        name: "RPATH, which applies to all libraries",
        library_path: None,
        program: "-Wl,--disable-new-dtags,-rpath,$ORIGIN/../../lib",
        loader: "",
        directory: "lib",
        codes: &[],
    },
    Layout {
        name: "RUNPATH, which applies only to the program",
        library_path: None,
        program: "-Wl,--enable-new-dtags,-rpath,$ORIGIN/../../lib",
        loader: "",
        directory: "lib",
        codes: &["missing-tcti"],
    },
    Layout {
        name: "RUNPATH of program and loader, but not of the TCTI",
        library_path: None,
        program: "-Wl,--enable-new-dtags,-rpath,$ORIGIN/../../lib",
        loader: "-Wl,--enable-new-dtags,-rpath,$ORIGIN",
        directory: "lib",
        codes: &["missing-library"],
    },
    Layout {
        name: "RPATH of the program, disabled by the RUNPATH of the loader",
        library_path: None,
        program: "-Wl,--disable-new-dtags,-rpath,$ORIGIN/../../lib",
        loader: "-Wl,--enable-new-dtags,-rpath,/nowhere",
        directory: "lib",
        codes: &["missing-tcti"],
    },
    Layout {
        name: "RPATH of program and loader",
        library_path: None,
        program: "-Wl,--disable-new-dtags,-rpath,${ORIGIN}/../../lib",
        loader: "-Wl,--disable-new-dtags,-rpath,/nowhere",
        directory: "lib",
        codes: &[],
    },
    Layout {
        name: "two paths",
        library_path: Some("$SNAP/none::$SNAP/./usr//lib"),
        program: "",
        loader: "",
        directory: "usr/lib",
        codes: &[],
    },
];

fn build(layout: &Layout, number: usize) -> Gadget {
    let parts = Parts::get();
    let gadget = Gadget::new();
    for library in LIBRARIES {
        gadget.remove(&format!("usr/lib/{library}"));
        gadget.copy(&parts.path(library), &format!("{}/{library}", layout.directory));
    }
    let flags = |text: &'static str| {
        text.split(' ')
            .filter(|flag| !flag.is_empty())
            .collect::<Vec<_>>()
    };
    let shared = ["-shared", "-fPIC", "-Wl,-soname,libtss2-tctildr.so.0"];
    let loader = parts.compile(
        &format!("tctildr-{number}"),
        TCTI_LOADER,
        &[],
        &[&shared[..], &flags(layout.loader)].concat(),
    );
    gadget.copy(&loader, &format!("{}/libtss2-tctildr.so.0", layout.directory));
    let program = parts.compile(
        &format!("program-{number}"),
        PROGRAM,
        &["libtss2-tctildr.so.0"],
        &flags(layout.program),
    );
    for path in ["meta/hooks/install-device", "bin/hardware-identity"] {
        gadget.script(path, "true");
    }
    gadget.script(
        "meta/hooks/prepare-serial-request",
        "snapctl set registration.body='{}'",
    );
    gadget.copy(&program, HOOK);
    let environment = match layout.library_path {
        Some(path) => format!("environment:\n  LD_LIBRARY_PATH: {path}\n"),
        None => String::new(),
    };
    gadget.edit_snap("environment:\n  LD_LIBRARY_PATH: $SNAP/usr/lib\n", &environment);
    gadget
}

#[test]
fn the_loader_of_this_machine_agrees() {
    for (number, layout) in LAYOUTS.iter().enumerate() {
        let gadget = build(layout, number);
        let checked = gadget.check();
        assert_eq!(
            checked.codes(),
            layout.codes,
            "{}: {:#}",
            layout.name,
            checked.report
        );
        assert_eq!(
            starts(&gadget, layout.library_path),
            layout.codes.is_empty(),
            "{}: the loader of this machine",
            layout.name
        );
    }
}

#[test]
fn a_missing_library_is_named_with_its_users() {
    for (library, code, needed_by) in [
        (
            "libtss2-tctildr.so.0",
            "missing-library",
            "meta/hooks/prepare-device",
        ),
        (
            "libtss2-mu.so.0",
            "missing-library",
            "usr/lib/libtss2-tcti-device.so.0",
        ),
        (
            "libtss2-tcti-device.so.0",
            "missing-tcti",
            "usr/lib/libtss2-tctildr.so.0",
        ),
    ] {
        let gadget = Gadget::new();
        gadget.remove(&format!("usr/lib/{library}"));
        let checked = gadget.check();
        assert_eq!(checked.codes(), [code]);
        assert_eq!(checked.status, 1);
        let findings = checked.report["findings"].as_array().unwrap();
        let finding = findings
            .iter()
            .find(|finding| finding["where"] == needed_by)
            .unwrap();
        let what = finding["what"].as_str().unwrap();
        assert!(
            what.contains(library) && what.contains("hook prepare-device"),
            "{finding:#}"
        );
        let fix = finding["fix"].as_str().unwrap();
        let package = library.split(".so").next().unwrap();
        assert!(fix.contains(&format!(" {package}")), "{finding:#}");
    }
}

#[test]
fn a_library_outside_of_the_search_path_is_found() {
    let gadget = Gadget::new();
    gadget.rename("usr/lib/libtss2-mu.so.0", "opt/tss/libtss2-mu.so.0");
    let checked = gadget.check();
    assert_eq!(checked.codes(), ["missing-library"]);
    let fix = checked.report["findings"][0]["fix"].as_str().unwrap();
    assert!(fix.contains("$SNAP/opt/tss"), "{fix}");
}

#[test]
fn the_settings_name_the_tcti() {
    let gadget = Gadget::new();
    gadget.edit(
        "hardware-identity.toml",
        "hardware-id =",
        "tcti = 'swtpm:port=1'\nhardware-id =",
    );
    let checked = gadget.check();
    assert_eq!(checked.codes(), ["missing-tcti", "unusual-tcti"]);
    gadget.rename(
        "usr/lib/libtss2-tcti-device.so.0",
        "usr/lib/libtss2-tcti-swtpm.so.0",
    );
    assert_eq!(gadget.check().codes(), ["unusual-tcti"]);
}

/// A layout or a content snap can contain the library.
#[test]
fn a_layout_or_a_content_snap_makes_it_a_warning() {
    for elsewhere in [
        "layout: {/usr/lib/x: {bind: $SNAP/opt}}\n",
        "plugs: {libraries: {interface: content, target: $SNAP/more}}\n",
    ] {
        let gadget = Gadget::new();
        gadget.remove("usr/lib/libtss2-mu.so.0");
        gadget.edit_snap("assumes:", &format!("{elsewhere}assumes:"));
        let checked = gadget.check();
        assert_eq!((checked.codes(), checked.status), (vec!["missing-library"], 0));
    }
}

#[test]
fn a_library_for_another_machine_is_skipped() {
    let gadget = Gadget::new();
    let path = gadget.path("usr/lib/libtss2-mu.so.0");
    let mut library = std::fs::read(&path).unwrap();
    // e_machine of the ELF header.
    library[18] ^= 0x55;
    std::fs::write(&path, library).unwrap();
    assert_eq!(gadget.check().codes(), ["missing-library"]);
    assert!(!starts(&gadget, Some("$SNAP/usr/lib")));
}
