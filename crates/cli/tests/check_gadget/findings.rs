//! Each finding, on a gadget with only that problem.

use crate::gadget::{Gadget, Parts, SNAP_ID, architecture};

/// A code, the exit status, a part of the place, and a function that breaks the gadget.
type Case = (&'static str, i32, &'static str, fn(&Gadget));

fn check(cases: &[Case]) {
    for (code, status, place, break_it) in cases {
        let gadget = Gadget::new();
        break_it(&gadget);
        let checked = gadget.check();
        assert_eq!(checked.problems(), [*code], "{place}: {:#}", checked.report);
        assert_eq!(checked.status, *status, "{:#}", checked.report);
        let places = checked.report["findings"].as_array().unwrap().iter();
        let mut places = places.map(|finding| finding["where"].as_str().unwrap());
        assert!(
            places.any(|found| found.contains(place)),
            "{code}: {:#}",
            checked.report
        );
    }
}

#[test]
fn metadata() {
    check(&[
        ("no-snap-yaml", 1, "meta/snap.yaml", |g| {
            g.remove("meta/snap.yaml")
        }),
        ("bad-snap-yaml", 1, "meta/snap.yaml", |g| {
            g.edit_snap("hooks:", "hooks: [")
        }),
        ("bad-snap-yaml", 1, "meta/snap.yaml", |g| {
            g.edit_snap("hooks:", "apps:")
        }),
        ("bad-snap-yaml", 1, "meta/snap.yaml", |g| {
            g.link("/etc/passwd", "meta/snap.yaml")
        }),
        ("not-a-gadget", 1, "type", |g| {
            g.edit_snap("type: gadget", "type: app")
        }),
        ("not-a-gadget", 1, "type", |g| g.edit_snap("type: gadget\n", "")),
        ("no-gadget-yaml", 1, "meta/gadget.yaml", |g| {
            g.remove("meta/gadget.yaml")
        }),
        ("bad-gadget-yaml", 1, "meta/gadget.yaml", |g| {
            g.write("meta/gadget.yaml", "- a")
        }),
    ]);
}

fn rename_hook(gadget: &Gadget, from: &str, to: &str) {
    gadget.rename(&format!("meta/hooks/{from}"), &format!("meta/hooks/{to}"));
    gadget.edit_snap(&format!("  {from}:"), &format!("  {to}:"));
}

#[test]
fn hooks() {
    check(&[
        ("ignored-hook", 1, "prepare-serial", |g| {
            rename_hook(g, "prepare-serial-request", "prepare-serial");
        }),
        ("ignored-hook", 1, "prepare_device", |g| {
            rename_hook(g, "prepare-device", "prepare_device")
        }),
        ("ignored-hook", 1, "snap.yaml, hooks.pre_refresh", |g| {
            g.edit_snap("hooks:", "hooks:\n  pre_refresh:");
        }),
        ("ignored-hook", 0, "README", |g| g.write("meta/hooks/README", "")),
        ("ignored-hook", 0, "connect-plug-", |g| {
            g.script("meta/hooks/connect-plug-", "")
        }),
        ("missing-hook", 1, "meta/hooks/prepare-serial-request", |g| {
            g.remove("meta/hooks/prepare-serial-request");
            g.edit_snap(
                "  prepare-serial-request:\n    plugs: [tpm]\n    command-chain: [bin/chain]\n",
                "",
            );
        }),
        ("missing-hook", 1, "meta/hooks/prepare-device", |g| {
            g.remove("meta/hooks/prepare-device");
            g.edit_snap("  prepare-device:\n    plugs: [tpm, hardware-observe]\n", "");
        }),
        ("hook-without-file", 1, "hooks.prepare-device", |g| {
            g.remove("meta/hooks/prepare-device")
        }),
        ("hook-without-file", 1, "hooks.remove", |g| {
            g.edit_snap("hooks:", "hooks:\n  remove:")
        }),
        ("no-configure", 1, "meta/hooks/configure", |g| {
            g.remove("meta/hooks/configure")
        }),
        ("no-configure", 0, "meta/hooks/configure", |g| {
            g.remove("meta/hooks/configure");
            g.edit_gadget("defaults:", "x-defaults:");
        }),
        ("body-not-unset", 0, "meta/hooks/prepare-device", |g| {
            g.script(
                "meta/hooks/prepare-device",
                "# snapctl unset registration.body\ntpm2_createprimary",
            );
            g.script(
                "meta/hooks/prepare-serial-request",
                "snapctl set registration.body={}",
            );
        }),
        ("one-digest-name", 0, "meta/hooks/prepare-serial-request", |g| {
            let script = "snapctl set registration.body=\"{\\\"hardware-id-key-sha3-384\\\": \\\"$1\\\"}\"";
            g.script("meta/hooks/prepare-serial-request", script);
        }),
    ]);
}

/// Adds the settings that an export on a factory boot needs.
fn export(gadget: &Gadget, target: &str) {
    let settings = format!(
        "hardware-name = 'box'\nmanufacturer = 'A'\nhardware-id = 'key-digest'\nfactory.export = '{target}'"
    );
    gadget.edit(
        "hardware-identity.toml",
        "hardware-id = 'dmi:product_serial'",
        &settings,
    );
}

#[test]
fn an_export_to_the_console_or_a_file_needs_no_plug() {
    for target in ["console", "file:/var/snap/test-gadget/common/export.json"] {
        let gadget = Gadget::new();
        export(&gadget, target);
        gadget.check().is_clean();
    }
}

#[test]
fn plugs() {
    check(&[
        ("missing-plug", 1, "hooks.prepare-device.plugs", |g| {
            g.edit_snap(
                "  prepare-device:\n    plugs: [tpm, ",
                "  prepare-device:\n    plugs: [",
            );
        }),
        ("missing-plug", 1, "hooks.prepare-serial-request.plugs", |g| {
            g.edit_snap("    plugs: [tpm]\n", "");
        }),
        // Declared by the snap too, it still belongs only to those that list it.
        ("missing-plug", 1, "hooks.prepare-serial-request.plugs", |g| {
            g.edit_snap("    plugs: [tpm]\n", "");
            g.edit_snap("apps:", "plugs:\n  tpm:\napps:");
        }),
        ("missing-plug", 1, "hooks.install-device.plugs", |g| {
            g.edit_snap(
                "  install-device:\n    plugs: [tpm, ",
                "  install-device:\n    plugs: [",
            );
        }),
        ("missing-plug", 1, "hooks.prepare-device.plugs", |g| {
            g.edit_snap(
                "  prepare-device:\n    plugs: [tpm, hardware-observe]",
                "  prepare-device:\n    plugs: [tpm]",
            );
        }),
        ("missing-plug", 1, "hooks.install-device.plugs", |g| {
            g.edit_snap(
                "  install-device:\n    plugs: [tpm, hardware-observe]",
                "  install-device:\n    plugs: [tpm]",
            );
            g.edit("hardware-identity.toml", "dmi:product_serial", "device-tree");
        }),
        ("missing-plug", 0, "apps.hardware-identity.plugs", |g| {
            g.edit_snap("command-chain: [bin/chain]\n    plugs: [tpm, ", "plugs: [");
        }),
        ("missing-plug", 1, "hooks.install-device.plugs", |g| {
            export(g, "volume:FACTORY")
        }),
        ("missing-plug", 1, "hooks.install-device.plugs", |g| {
            export(g, "console:/dev/ttyS0")
        }),
        ("unknown-interface", 1, "plugs.tmp", |g| {
            g.edit_snap("apps:", "plugs: {tmp: }\napps:")
        }),
        ("unknown-interface", 1, "slots.a", |g| {
            g.edit_snap("apps:", "slots: {a: gpoi}\napps:")
        }),
        ("unknown-interface", 0, "plugs.quantum", |g| {
            g.edit_snap("apps:", "plugs: {quantum: }\napps:");
            g.edit_snap("snapd2.74", "snapd2.99");
        }),
    ]);
}

#[test]
fn connections() {
    check(&[
        ("not-connected", 0, "gadget.yaml, connections", |g| {
            g.edit_gadget(&format!("  - plug: {SNAP_ID}:tpm\n"), "");
        }),
        ("not-connected", 0, "gadget.yaml, connections", |g| {
            g.edit_gadget(
                &format!("{SNAP_ID}:tpm\n"),
                &format!("{SNAP_ID}:tpm\n    slot: system:network\n"),
            );
        }),
        ("not-connected", 0, "gadget.yaml, connections", |g| {
            g.edit_gadget(&format!("{SNAP_ID}:tpm"), "system:tpm")
        }),
        // Neither a plug nor the defaults tell the gadget's snap-id.
        ("not-connected", 0, "gadget.yaml, connections", |g| {
            g.edit_gadget("defaults:", "x-defaults:");
            g.edit_gadget(&format!("{SNAP_ID}:tpm"), "system:tpm");
            g.edit_gadget(&format!("{SNAP_ID}:hardware"), "system:hardware");
        }),
        ("bad-connection", 1, "connections[0]", |g| {
            g.edit_gadget(&format!("{SNAP_ID}:tpm"), "test-gadget:tpm")
        }),
        ("bad-connection", 1, "connections[0]", |g| {
            g.edit_gadget(&format!("plug: {SNAP_ID}:tpm"), "plug: tpm")
        }),
        ("bad-connection", 1, "connections[0]", |g| {
            g.edit_gadget(&format!("plug: {SNAP_ID}:tpm"), "slot: system:tpm")
        }),
        ("unknown-connection", 1, "connections[0]", |g| {
            g.edit_gadget(&format!("{SNAP_ID}:tpm"), &format!("{SNAP_ID}:tmp"))
        }),
        ("unknown-connection", 1, "connections[2]", |g| {
            g.edit_gadget("connections:", "x: y\nconnections:");
            let path = "system:hardware-observe\n";
            g.edit_gadget(
                path,
                &format!(
                    "{path}  - plug: {}:x\n    slot: {SNAP_ID}:none\n",
                    SNAP_ID.replace('0', "9")
                ),
            );
        }),
    ]);
}

#[test]
fn programs() {
    check(&[
        ("missing-command", 1, "apps.hardware-identity.command", |g| {
            g.remove("bin/hardware-identity")
        }),
        (
            "missing-command-chain",
            1,
            "hooks.prepare-serial-request.command-chain",
            |g| g.remove("bin/chain"),
        ),
        ("missing-program", 1, "meta/hooks/prepare-device", |g| {
            g.script("meta/hooks/prepare-device", "exec $SNAP/bin/prepare-device");
        }),
        ("missing-program", 0, "meta/hooks/remove", |g| {
            g.script("meta/hooks/remove", "exec $SNAP/bin/none")
        }),
        ("link-leads-out", 1, "meta/hooks/configure", |g| {
            g.link("/bin/true", "meta/hooks/configure")
        }),
        ("link-leads-out", 1, "meta/hooks/configure", |g| {
            g.link("../../../../x", "meta/hooks/configure")
        }),
        ("link-leads-out", 1, "meta/hooks/configure", |g| {
            g.link("configure", "meta/hooks/configure")
        }),
        ("link-leads-out", 0, "bin/chain", |g| {
            g.link("/bin/true", "bin/chain")
        }),
        ("not-executable", 1, "meta/hooks/prepare-device", |g| {
            g.set_mode("meta/hooks/prepare-device", 0o644)
        }),
        ("not-executable", 1, "bin/chain", |g| {
            g.set_mode("bin/chain", 0o644)
        }),
        ("not-a-program", 1, "meta/hooks/configure", |g| {
            g.write("meta/hooks/configure", "true\n")
        }),
        ("not-a-program", 1, "meta/hooks/configure", |g| {
            g.write("meta/hooks/configure", "\x7fELF\x02\x01\x01")
        }),
        ("not-a-program", 1, "meta/hooks/configure", |g| {
            g.remove("meta/hooks/configure");
            g.write("meta/hooks/configure/x", "");
        }),
        ("wrong-architecture", 1, "meta/hooks/prepare-device", |g| {
            let other = if architecture() == "riscv64" {
                "amd64"
            } else {
                "riscv64"
            };
            g.edit_snap(&format!("[{}]", architecture()), &format!("[{other}]"));
        }),
        ("no-architecture", 0, "architectures", |g| {
            g.edit_snap(&format!("architectures: [{}]\n", architecture()), "");
        }),
        ("no-architecture", 0, "architectures", |g| {
            g.edit_snap(&architecture(), "all")
        }),
    ]);
}

#[test]
fn interpreters() {
    fn script(gadget: &Gadget, first: &str) {
        gadget.write("meta/hooks/remove", first);
        gadget.set_mode("meta/hooks/remove", 0o755);
    }
    check(&[
        ("missing-interpreter", 1, "meta/hooks/remove", |g| {
            script(g, "#!/usr/bin/ruby\n")
        }),
        ("missing-interpreter", 1, "meta/hooks/remove", |g| {
            script(g, "#!/usr/bin/env ruby\n")
        }),
        ("missing-interpreter", 1, "meta/hooks/remove", |g| {
            script(g, "#!/bin/sh\r\ntrue\r\n")
        }),
        ("missing-interpreter", 1, "meta/hooks/remove", |g| {
            script(g, "#!/snap/test-gadget/current/bin/none\n")
        }),
        ("missing-interpreter", 1, "meta/hooks/remove", |g| {
            let flags = ["-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1"];
            let program = Parts::get().compile("musl", "int main(void) { return 0; }", &[], &flags);
            g.copy(&program, "meta/hooks/remove");
        }),
    ]);
    for right in [
        "#!/usr/bin/env python3\n",
        "#! /bin/bash -e\n",
        "#!/snap/test-gadget/current/bin/chain\n",
    ] {
        let gadget = Gadget::new();
        script(&gadget, right);
        let checked = gadget.check();
        assert_eq!(checked.problems(), [""; 0], "{right}: {:#}", checked.report);
    }
}

#[test]
fn settings() {
    check(&[
        ("bad-settings", 1, "hardware-identity.toml, line 3", |g| {
            g.edit("hardware-identity.toml", "url = 'https", "url = 'ftp");
        }),
        ("bad-settings", 1, "hardware-identity.toml, line 1", |g| {
            g.edit("hardware-identity.toml", "hardware-id =", "hardwareid =");
        }),
        ("bad-settings", 1, "hardware-identity.toml", |g| {
            g.link("/etc/passwd", "hardware-identity.toml")
        }),
        ("bad-settings", 1, "hardware-identity.tpm-wait", |g| {
            g.edit_gadget("tpm-wait: 120", "tpm-wait: 301")
        }),
        ("bad-settings", 1, "hardware-identity.issuer", |g| {
            g.edit_gadget("issuer-id", "issuer")
        }),
        ("bad-settings", 1, "environment.TCTI", |g| {
            g.edit_snap("environment:", "environment:\n  TCTI: /dev/tpm0");
        }),
        ("no-device-service-url", 0, "device-service.url", |g| {
            g.edit("hardware-identity.toml", "url = 'https://serial.example/v1/'", "");
        }),
        ("no-proposed-serial", 0, "registration.proposed-serial", |g| {
            g.edit("hardware-identity.toml", "proposed-serial = 'hardware-id'", "");
        }),
        ("contradictory-settings", 1, "hardware-identity.toml", |g| {
            g.edit("hardware-identity.toml", "hardware-id = 'dmi:product_serial'", "");
        }),
        ("contradictory-settings", 1, "hardware-identity.toml", |g| {
            g.edit(
                "hardware-identity.toml",
                "dmi:product_serial",
                "To be filled by O.E.M.",
            );
        }),
        ("contradictory-settings", 1, "hardware-identity.toml", |g| {
            g.edit(
                "hardware-identity.toml",
                "[registration]",
                "[factory]\nexport = 'console'\n[registration]",
            );
        }),
        ("same-serial", 0, "hardware-id", |g| {
            g.edit("hardware-identity.toml", "dmi:product_serial", "BOX-1");
        }),
        ("digest-form-der", 0, "digest-form", |g| {
            g.edit(
                "hardware-identity.toml",
                "hardware-id =",
                "digest-form = 'der'\nhardware-id =",
            );
        }),
        ("unusual-tcti", 0, "tcti", |g| {
            g.edit(
                "hardware-identity.toml",
                "hardware-id =",
                "tcti = 'device:/dev/tpm0'\nhardware-id =",
            );
        }),
    ]);
}

#[test]
fn snapd_and_base() {
    check(&[
        ("old-assumes", 0, "assumes", |g| {
            g.edit_snap("assumes: [snapd2.74]\n", "")
        }),
        ("old-assumes", 0, "assumes", |g| {
            g.edit_snap("snapd2.74", "snapd2.73")
        }),
        ("unknown-base", 0, "base", |g| g.edit_snap("base: core24\n", "")),
        ("unknown-base", 0, "base", |g| {
            g.edit_snap("base: core24", "base: a-base")
        }),
        ("glibc-too-new", 1, "meta/hooks/prepare-device", |g| {
            g.edit_snap("core24", "core20")
        }),
    ]);
}
