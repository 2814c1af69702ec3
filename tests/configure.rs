//! The hook configure: what `snap set` on the gadget, its defaults and its settings file may say.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;

use common::{CONFIGURE, Expect as _, World};
use serde_json::{Value, json};
use testbed::{Device, HookCommand, HookOutcome};

/// The hook as snapd runs it while a device is seeded: no ubuntu-save, and here no TPM either.
fn configure(device: &Device) -> HookCommand<'_> {
    device
        .hook(CONFIGURE.as_ref())
        .without_env("SNAP_SAVE_DATA")
        .without_env("SNAP_COMMON")
}

/// `snap set GADGET hardware-identity.NAME=VALUE …`
fn snap_set(device: &Device, options: &[(&str, Value)]) -> HookOutcome {
    let hook = options.iter().fold(configure(device), |hook, (name, value)| {
        hook.snap_set(&format!("hardware-identity.{name}"), value.clone())
    });
    hook.run().unwrap()
}

/// The hook failed, and each line of what it said has the parts that it should have.
fn refused(outcome: &HookOutcome, lines: &[&[&str]]) {
    let said = &outcome.merged;
    assert_eq!(outcome.status.code(), Some(1), "{said}");
    assert_eq!(said.lines().count(), lines.len(), "{said}");
    for (line, parts) in said.lines().zip(lines) {
        assert!(line.starts_with("configure: ") && line.ends_with('.'), "{line}");
        for part in *parts {
            assert!(line.contains(part), "`{part}` is missing: {line}");
        }
    }
}

/// A setting: values that are right, values that are wrong, and what the message shows as allowed.
struct Setting {
    name: &'static str,
    right: &'static [&'static str],
    wrong: &'static [&'static str],
    allowed: &'static str,
}

const TARGETS: &str = "allowed: volume:LABEL, console, console:/dev/NAME, file:/ABSOLUTE/PATH";

/// All settings. Values are JSON.
const SETTINGS: [Setting; 15] = [
    Setting {
        name: "algorithm",
        right: &[
            r#""ecdsa-p256""#,
            r#""ecdsa-p384""#,
            r#""rsa-2048""#,
            r#""rsa-3072""#,
        ],
        wrong: &[r#""ed25519""#, r#""""#, "256", r#""ECDSA-P256""#],
        allowed: "allowed: ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072",
    },
    Setting {
        name: "handle",
        right: &[r#""0x81018C01""#, "2164362240"],
        wrong: &[r#""0x81800000""#, "1", r#""slot""#],
        allowed: "allowed: 0x81000000 to 0x817FFFFF",
    },
    Setting {
        name: "digest-form",
        right: &[r#""text""#, r#""der""#],
        wrong: &[r#""pem""#],
        allowed: "allowed: text, der",
    },
    Setting {
        name: "tcti",
        right: &[r#""device:/dev/tpmrm1""#, r#""swtpm:host=127.0.0.1,port=2321""#],
        wrong: &[r#""cmd:sh""#, r#""/dev/tpm0""#],
        allowed: "device:",
    },
    Setting {
        name: "tpm-wait",
        right: &["0", "300", r#""60""#],
        wrong: &["301", "-1", r#""soon""#],
        allowed: "allowed: seconds, 0 to 300",
    },
    Setting {
        name: "issuer-id",
        right: &[
            r#""a-brand""#,
            r#""canonical""#,
            r#""A0123456789012345678901234567890""#,
        ],
        wrong: &[r#""A brand""#, r#""""#, r#""x""#],
        allowed: "allowed: an account id, which has 2 to 28 lower-case letters",
    },
    Setting {
        name: "manufacturer",
        right: &[r#""Müller & Söhne""#, "7"],
        wrong: &[r#""""#],
        allowed: "allowed: any text but an empty one",
    },
    Setting {
        name: "hardware-name",
        right: &[r#""box-1""#, r#""Box""#],
        wrong: &[r#""box 1""#, r#""box--1""#, r#""-box""#, r#""""#],
        allowed: "allowed: letters and digits, with single dashes between them",
    },
    Setting {
        name: "hardware-id",
        right: &[
            r#""dmi:product_serial""#,
            r#""dmi:board_serial""#,
            r#""device-tree""#,
            r#""key-digest""#,
            r#""SN-1""#,
            "1234",
        ],
        wrong: &[
            r#""dmi:chassis_serial""#,
            r#""None""#,
            "0",
            r#""a\nb""#,
            r#""  ""#,
        ],
        allowed: "dmi:product_serial, dmi:board_serial, device-tree, key-digest, or a value of your own",
    },
    Setting {
        name: "device-service.url",
        right: &[r#""https://serial.example/v1/""#, r#""http://10.0.0.1/""#],
        wrong: &[r#""serial.example""#, r#""ftp://serial.example/""#],
        allowed: "allowed: an address that begins with https:// or http://",
    },
    Setting {
        name: "device-service.headers.x-key",
        right: &[r#""a""#, r#""""#, "1"],
        wrong: &["true", "[1]"],
        allowed: "expected a text (`snap set -s`)",
    },
    Setting {
        name: "device-service.access",
        right: &[r#""offline""#],
        wrong: &[r#""online""#],
        allowed: "allowed: offline",
    },
    Setting {
        name: "registration.proposed-serial",
        right: &[r#""key-digest""#],
        wrong: &[r#""SN-1""#],
        allowed: "allowed: hardware-id, key-digest",
    },
    Setting {
        name: "factory.export",
        right: &[
            r#""volume:FACTORY""#,
            r#""volume:my stick""#,
            r#""console""#,
            r#""console:/dev/ttyS0""#,
            r#""file:/run/e""#,
        ],
        wrong: &[
            r#""volume""#,
            r#""volume:""#,
            r#""usb:X""#,
            r#""console:ttyS0""#,
            r#""file:export.json""#,
            r#""file:/a/""#,
        ],
        allowed: TARGETS,
    },
    Setting {
        name: "factory.then",
        right: &[r#""halt""#, r#""poweroff""#],
        wrong: &[r#""reboot""#, r#""""#],
        allowed: "allowed: halt, poweroff",
    },
];

/// What an export needs, so that the setting `factory.export` stands alone in nothing.
const DESCRIPTION: &str =
    "issuer-id = 'a-brand'\nmanufacturer = 'A'\nhardware-name = 'a'\nhardware-id = 'key-digest'\n";

fn value(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

#[test]
fn while_the_device_is_seeded_it_succeeds() {
    let device = Device::new().unwrap();
    configure(&device).without_env("SNAP").run().unwrap().succeeded();
    configure(&device).run().unwrap().succeeded();
    // What stands elsewhere in the configuration is not its business.
    configure(&device)
        .snap_set("device-service.url", json!(7))
        .run()
        .unwrap()
        .succeeded();
    for call in device.calls().unwrap() {
        assert_eq!(call, ["get", "-d", "hardware-identity", "registration.body"]);
    }
}

#[test]
fn each_setting_is_taken_with_its_right_values() {
    for Setting { name, right, .. } in SETTINGS {
        let device = Device::new().unwrap();
        device.write_settings(DESCRIPTION).unwrap();
        for right in right {
            snap_set(&device, &[(name, value(right))]).succeeded();
            let kept = device.config(&format!("hardware-identity.{name}")).unwrap();
            assert_eq!(kept, Some(value(right)), "{name}");
        }
    }
}

#[test]
fn each_setting_is_refused_with_its_wrong_values_and_the_right_ones_shown() {
    for Setting {
        name,
        right,
        wrong,
        allowed,
    } in SETTINGS
    {
        let device = Device::new().unwrap();
        device.write_settings(DESCRIPTION).unwrap();
        snap_set(&device, &[(name, value(right[0]))]).succeeded();
        for wrong in wrong {
            refused(&snap_set(&device, &[(name, value(wrong))]), &[&[name, allowed]]);
            let kept = device.config(&format!("hardware-identity.{name}")).unwrap();
            assert_eq!(kept, Some(value(right[0])), "{name}={wrong} is rolled back");
        }
    }
}

#[test]
fn an_unknown_name_is_refused_with_the_known_ones_shown() {
    let device = Device::new().unwrap();
    for name in [
        "algoritm",
        "registration",
        "registration.body",
        "factory.export.to",
        "headers.x-key",
    ] {
        let outcome = snap_set(&device, &[(name, json!("x"))]);
        let option = format!("the option hardware-identity.{name} of this snap");
        refused(
            &outcome,
            &[&[&option, "there is no such setting", "snap unset GADGET"]],
        );
        let (_, rest) = outcome.merged.split_once("there are ").unwrap();
        let (names, _) = rest.split_once(". ").unwrap();
        let shown: BTreeSet<String> = names
            .split(", ")
            .map(|name| name.replace("headers.NAME", "headers.x-key"))
            .collect();
        // So that no setting is left out of the tests above.
        assert_eq!(shown, SETTINGS.map(|setting| setting.name.to_owned()).into());
    }
    assert_eq!(device.config("hardware-identity").unwrap(), None);
}

#[test]
fn all_that_is_wrong_is_listed() {
    let device = Device::new().unwrap();
    device
        .write_settings("tpm-wait = 999\n\nalgoritm = 'x'\n[factory]\nthen = 'stop'\n")
        .unwrap();
    let options = [
        ("handle", json!(1)),
        ("digest-form", json!("text")),
        ("device-service", json!({"access": "on", "url": "x"})),
    ];
    refused(
        &snap_set(&device, &options),
        &[
            &["hardware-identity.toml, line 1: `tpm-wait`", "0 to 300"],
            &["line 3: `algoritm`", "no such setting"],
            &["line 5: `factory.then`", "halt, poweroff"],
            &["hardware-identity.device-service.access", "offline"],
            &["hardware-identity.device-service.url", "https://"],
            &["hardware-identity.handle", "no persistent handle"],
        ],
    );
    // snapd keeps the last 100 lines and 10 KiB.
    let many: Vec<String> = (0..300).map(|number| format!("x{number}")).collect();
    let many: Vec<(&str, Value)> = many.iter().map(|name| (name.as_str(), json!("x"))).collect();
    let outcome = snap_set(&device, &many);
    assert_eq!(outcome.merged.lines().count(), 11, "{}", outcome.merged);
    assert!(
        outcome
            .merged
            .ends_with("configure: 293 more like these. Correct the ones above first.\n")
    );
    assert!(outcome.merged.len() < 10 * 1024);
}

#[test]
fn a_broken_settings_file_is_refused_with_the_refresh_that_brings_it() {
    let device = Device::new().unwrap();
    for (file, parts) in [
        ("algorithm =\n", ["line 1", "Correct it in the gadget"]),
        ("[factory\n", ["line 1", "Correct it in the gadget"]),
        ("factory.export = 7\n", ["line 1: `factory.export`", TARGETS]),
    ] {
        device.write_settings(file).unwrap();
        refused(&configure(&device).run().unwrap(), &[&parts]);
    }
    device.write_settings(&"#".repeat(70_000)).unwrap();
    refused(
        &configure(&device).run().unwrap(),
        &[&["larger than 65536 bytes"]],
    );
    refused(
        &configure(&device)
            .without_env("SNAP")
            .env("TCTI", "tpm0")
            .run()
            .unwrap(),
        &[&["the variable TCTI"]],
    );
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    let by_id = ("registration.proposed-serial", json!("hardware-id"));
    let export = ("factory.export", json!("volume:FACTORY"));
    for (file, options, parts) in [
        (
            "",
            vec![by_id.clone()],
            ["asks for the hardware id, and there is none", "Set `hardware-id`"],
        ),
        (
            "hardware-id = 'A/1'",
            vec![by_id.clone()],
            ["\"A/1\" has a slash in it", "key-digest"],
        ),
        (
            "[registration]\nproposed-serial = 'hardware-id'",
            vec![("hardware-id", json!("A/1"))],
            ["\"A/1\" has a slash in it", "Set `hardware-id`"],
        ),
        (
            "issuer-id = 'a-brand'\nhardware-id = 'key-digest'",
            vec![export.clone()],
            [
                "`factory.export` is volume:FACTORY, and what an export needs is not set: manufacturer, hardware-name",
                "or remove `factory.export`",
            ],
        ),
        (
            "issuer-id = 'a-brand'\nmanufacturer = 'A'\nhardware-name = 'a'\n",
            vec![export.clone()],
            ["not set: hardware-id (dmi:product_serial", "Set it"],
        ),
    ] {
        let device = Device::new().unwrap();
        device.write_settings(file).unwrap();
        refused(&snap_set(&device, &options), &[&parts]);
        assert_eq!(device.config("hardware-identity").unwrap(), None);
    }
    let device = Device::new().unwrap();
    refused(
        &snap_set(&device, &[by_id.clone(), export.clone()]),
        &[
            &["there is none"],
            &["not set: issuer-id, manufacturer, hardware-name, hardware-id"],
        ],
    );
    // Together with what was missing they are taken.
    device.write_settings(DESCRIPTION).unwrap();
    snap_set(&device, &[by_id, export]).succeeded();
}

#[test]
fn no_tpm_is_asked() {
    let world = World::with_settings(DESCRIPTION);
    world.hook(CONFIGURE).run().unwrap().succeeded();
    world
        .hook(CONFIGURE)
        .snap_set("hardware-identity.algorithm", json!("x"))
        .run()
        .unwrap()
        .failed(&["allowed: ecdsa-p256"]);
    assert_eq!(world.tpm.total(), 0);
    assert!(!world.record_file().exists());
}

#[test]
fn a_snapctl_that_does_not_answer_is_an_error() {
    let world = World::new();
    world
        .hook_with_snapctl("echo broken >&2; exit 1", CONFIGURE)
        .run()
        .unwrap()
        .failed(&[
            "`snapctl get -d hardware-identity registration.body` failed",
            "broken",
        ]);
}

#[test]
fn a_body_that_a_registration_has_left_is_taken_away() {
    let device = Device::new().unwrap();
    let body = || device.config("registration.body").unwrap();
    let left = json!({ "request-id-signature": "…" });
    device.set_config("registration.body", left.clone()).unwrap();
    refused(&snap_set(&device, &[("tpm-wait", json!(301))]), &[&["0 to 300"]]);
    assert_eq!(body(), Some(left));

    assert!(configure(&device).run().unwrap().status.success());
    assert_eq!(body(), None);
    // Of a gadget that has a hook of its own for it.
    device.set_config("registration.body", json!("text")).unwrap();
    assert!(configure(&device).run().unwrap().status.success());
    assert_eq!(body(), Some(json!("text")));
}
