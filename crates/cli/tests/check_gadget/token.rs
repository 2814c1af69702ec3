//! The key backends: libraries, plugs and the module that each needs.

use std::fs;

use crate::gadget::{Gadget, Parts};

const SETTINGS: &str = "hardware-identity.toml";

/// A gadget for this backend, without plugs for a TPM.
fn gadget(backend: &str) -> Gadget {
    let gadget = Gadget::new();
    gadget.edit(
        SETTINGS,
        "hardware-id =",
        &format!("key-backend = '{backend}'\nhardware-id ="),
    );
    gadget.edit_snap("plugs: [tpm, hardware-observe]", "plugs: [hardware-observe]");
    gadget.edit_snap("plugs: [tpm]", "plugs: []");
    gadget.edit_gadget("  - plug: 0123456789abcdefghijABCDEFGHIJkl:tpm\n", "");
    gadget
}

/// A gadget with the module at this path in the snap.
fn with_module(path: &str) -> Gadget {
    let gadget = gadget("pkcs11");
    gadget.edit(
        SETTINGS,
        "[registration]",
        &format!("[pkcs11]\nmodule = '{path}'\n[registration]"),
    );
    let module = Parts::get().path("libtss2-mu.so.0");
    gadget.copy(&module, "usr/lib/libckteec.so.0");
    gadget
}

#[test]
fn a_key_in_a_file_needs_no_plug_and_no_tcti() {
    let gadget = gadget("software");
    gadget.remove("usr/lib/libtss2-tcti-device.so.0");
    let checked = gadget.check();
    assert_eq!((checked.codes(), checked.status), (vec!["software-key"], 0));
}

#[test]
fn a_module_that_is_not_set_is_an_error() {
    let checked = gadget("pkcs11").check();
    assert!(
        checked.codes().contains(&"contradictory-settings"),
        "{:?}",
        checked.codes()
    );
    assert_eq!(checked.status, 1);
}

#[test]
fn op_tee_needs_the_plug_tee() {
    let gadget = with_module("usr/lib/libckteec.so.0");
    assert_eq!(gadget.check().codes(), ["missing-plug"]);
    gadget.edit_snap("plugs: [hardware-observe]", "plugs: [tee, hardware-observe]");
    gadget.edit_snap("plugs: []", "plugs: [tee]");
    assert_eq!(gadget.check().codes(), ["not-connected"]);
    gadget.edit_gadget(
        "connections:\n",
        "connections:\n  - plug: 0123456789abcdefghijABCDEFGHIJkl:tee\n",
    );
    gadget.check().is_clean();
}

#[test]
fn an_unknown_module_needs_some_plug() {
    let gadget = with_module("usr/lib/libhsm.so");
    gadget.rename("usr/lib/libckteec.so.0", "usr/lib/libhsm.so");
    let checked = gadget.check();
    assert_eq!((checked.codes(), checked.status), (vec!["token-plug-missing"], 0));
    gadget.edit_snap("plugs: [hardware-observe]", "plugs: [raw-usb, hardware-observe]");
    gadget.edit_snap("plugs: []", "plugs: [raw-usb]");
    assert!(!gadget.check().codes().contains(&"token-plug-missing"));
}

#[test]
fn the_module_is_a_library_of_the_snap_or_its_base() {
    let code = |gadget: &Gadget| {
        let checked = gadget.check();
        let codes = checked.codes();
        let module = codes.iter().find(|code| code.starts_with("module-"));
        module.map(|code| ((*code).to_owned(), checked.status))
    };
    let found = |code: &str, status| Some((code.to_owned(), status));
    assert_eq!(
        code(&with_module("usr/lib/libother.so")),
        found("module-missing", 1)
    );
    let outside = with_module("/opt/vendor/libckteec.so.0");
    outside.edit_snap("plugs: [hardware-observe]", "plugs: [tee, hardware-observe]");
    outside.edit_snap("plugs: []", "plugs: [tee]");
    assert_eq!(code(&outside), found("module-outside", 0));
    let gadget = with_module("usr/lib/libckteec.so.0");
    assert_eq!(code(&gadget), None);
    let path = gadget.path("usr/lib/libckteec.so.0");
    let mut library = fs::read(&path).unwrap();
    // e_machine of the ELF header.
    library[18] ^= 0x55;
    fs::write(&path, library).unwrap();
    assert_eq!(code(&gadget), found("module-architecture", 1));
    fs::write(&path, "text").unwrap();
    assert_eq!(code(&gadget), found("module-not-library", 1));
}

#[test]
fn the_libraries_of_the_module_are_checked() {
    let gadget = with_module("opt/libckteec.so.0");
    // It needs libtss2-mu, which stands for a library of the vendor.
    let module = Parts::get().path("libtss2-tcti-device.so.0");
    gadget.copy(&module, "opt/libckteec.so.0");
    gadget.remove("usr/lib/libtss2-tcti-device.so.0");
    assert!(!gadget.check().codes().contains(&"missing-library"));
    gadget.remove("usr/lib/libtss2-mu.so.0");
    let checked = gadget.check();
    let findings = checked.report["findings"].as_array().unwrap();
    let missing = findings
        .iter()
        .find(|finding| finding["code"] == "missing-library");
    assert_eq!(missing.unwrap()["where"], "opt/libckteec.so.0");
}
