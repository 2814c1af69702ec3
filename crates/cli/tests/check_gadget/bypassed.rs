//! Hooks of an author in the place of ours.

use crate::gadget::{Gadget, Parts};

/// As in canonical/pc-gadget: nothing happens unless an API key is set.
const PC_PREPARE_DEVICE: &str = "\
set -eu
if [ -z \"$MODEL_APIKEY\" ]; then
  exit 0
fi
exec >> $SNAP_COMMON/prepare-device-hook.log 2>&1
CALL
snapctl set registration.proposed-serial=\"\\\"$(date -u)\\\"\"
snapctl set device-service.headers=\"{\\\"api-key\\\": \\\"$MODEL_APIKEY\\\"}\"
";

fn finding(gadget: &Gadget) -> Vec<(String, String, String)> {
    let checked = gadget.check();
    let findings = checked.report["findings"].as_array().unwrap().iter();
    let text = |finding: &serde_json::Value, key: &str| finding[key].as_str().unwrap().to_owned();
    findings
        .map(|finding| {
            assert_eq!(finding["code"], "hook-bypassed", "{finding:#}");
            (
                text(finding, "severity"),
                text(finding, "where"),
                text(finding, "what"),
            )
        })
        .collect()
}

#[track_caller]
fn bypassed(gadget: &Gadget, severity: &str, place: &str) {
    let findings = finding(gadget);
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert_eq!(
        (findings[0].0.as_str(), findings[0].1.as_str()),
        (severity, place)
    );
}

#[test]
fn prepare_device_has_to_reach_ours() {
    let gadget = Gadget::new();
    let hook = "meta/hooks/prepare-device";
    gadget.script(hook, &PC_PREPARE_DEVICE.replace("CALL", ""));
    bypassed(&gadget, "error", hook);
    gadget.script(hook, "snapctl unset registration.body");
    bypassed(&gadget, "error", hook);
    gadget.copy(&Parts::get().path("program"), "bin/prepare-device");
    bypassed(&gadget, "error", hook);
    for call in [
        "\"$SNAP/bin/prepare-device\"",
        "exec $SNAP/bin/prepare-device",
        "PATH=$SNAP/bin:$PATH\nprepare-device",
    ] {
        gadget.script(hook, call);
        gadget.check().is_clean();
    }
    // Another program for the TPM can do it.
    gadget.copy(&Parts::get().path("program"), "usr/bin/make-identity");
    gadget.script(
        hook,
        "snapctl unset registration.body\n$SNAP/usr/bin/make-identity",
    );
    gadget.check().is_clean();
    gadget.copy(&Parts::get().path("plain"), "usr/bin/make-identity");
    bypassed(&gadget, "error", hook);
}

#[test]
fn an_early_exit_is_a_warning_or_an_error() {
    let gadget = Gadget::new();
    let hook = "meta/hooks/prepare-device";
    gadget.copy(&Parts::get().path("program"), "bin/prepare-device");
    let late = PC_PREPARE_DEVICE.replace("CALL", "$SNAP/bin/prepare-device");
    gadget.script(hook, &late);
    bypassed(&gadget, "warning", hook);
    let environment = |value: &str| {
        gadget.edit_snap(
            "  prepare-device:\n    plugs",
            &format!("  prepare-device:\n    environment: {{MODEL_APIKEY: {value}}}\n    plugs"),
        );
    };
    environment("''");
    bypassed(&gadget, "error", hook);
    gadget.edit_snap("MODEL_APIKEY: ''", "MODEL_APIKEY: key");
    gadget.check().is_clean();
    gadget.edit_snap("MODEL_APIKEY: key", "MODEL_APIKEY: ''");
    gadget.script(hook, &format!("$SNAP/bin/prepare-device\n{late}"));
    gadget.check().is_clean();
    for (guard, is_found) in [
        ("[ -x $SNAP/bin/prepare-device ] || exit 0", false),
        ("[ -n \"$SNAP_NAME\" ] || exit 0", false),
        ("usage() { exit 0; }", false),
        ("(exit 0)", false),
        ("[ -e $SNAP_COMMON/done ] && exit 0", true),
        ("snapctl is-connected tpm || exit 0", true),
        ("snapctl is-connected tpm || exit 1", false),
    ] {
        gadget.script(hook, &format!("{guard}\n\"$SNAP/bin/prepare-device\""));
        assert_eq!(finding(&gadget).is_empty(), !is_found, "{guard}");
    }
}

#[test]
fn configure_and_install_device() {
    let gadget = Gadget::new();
    gadget.script("meta/hooks/configure", "# nothing");
    bypassed(&gadget, "warning", "meta/hooks/configure");
    let gadget = Gadget::new();
    gadget.script("meta/hooks/install-device", "true");
    gadget.check().is_clean();
    let settings = "hardware-name = 'box'\nmanufacturer = 'A'\nhardware-id = 'key-digest'\n\
                    factory.export = 'console'";
    gadget.edit(
        "hardware-identity.toml",
        "hardware-id = 'dmi:product_serial'",
        settings,
    );
    bypassed(&gadget, "error", "meta/hooks/install-device");
}

#[test]
fn prepare_serial_request_has_to_do_something() {
    let gadget = Gadget::new();
    let hook = "meta/hooks/prepare-serial-request";
    for script in [
        "",
        "true",
        "echo registration.body",
        "snapctl get registration.request-id",
    ] {
        gadget.script(hook, script);
        bypassed(&gadget, "error", hook);
    }
    for script in [
        "snapctl set registration.body=\"$BODY\"",
        "snapctl set -t registration='{\"body\": {}}'",
        "exec \"$SNAP/bin/hardware-identity\" sign",
    ] {
        gadget.script(hook, script);
        gadget.check().is_clean();
    }
    gadget.script(hook, "exec \"$SIGNER\"");
    assert_eq!(gadget.check().codes(), ["not-checked"]);
}

#[test]
fn hooks_in_python_can_call_ours() {
    let gadget = Gadget::new();
    let hook = "meta/hooks/prepare-device";
    gadget.copy(&Parts::get().path("program"), "bin/prepare-device");
    for call in [
        "subprocess.run([os.environ['SNAP'] + '/bin/prepare-device'])",
        "subprocess.run([f\"{snap}/bin/prepare-device\"])",
        "subprocess.run(os.path.join(snap, \"bin\", \"prepare-device\"))",
        "os.system(\"$SNAP/bin/prepare-device\")",
    ] {
        gadget.write(hook, &format!("#!/usr/bin/python3\n{call}\n"));
        gadget.set_mode(hook, 0o755);
        let checked = gadget.check();
        assert_eq!(checked.codes(), ["not-checked"], "{call}: {:#}", checked.report);
    }
    gadget.write(hook, "#!/usr/bin/python3\nprint('x')\n");
    let checked = gadget.check();
    assert_eq!(checked.codes(), ["hook-bypassed", "not-checked"]);
}
