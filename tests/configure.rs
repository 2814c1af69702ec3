//! The hook configure: options, defaults and settings files that it accepts and refuses.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;

use common::{CONFIGURE, Expect as _, World, assert_line};
use hardware_identity::config::NAMES;
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

/// The hook failed with these lines. Each has a code, and values that the line names.
fn refused(outcome: &HookOutcome, lines: &[(&str, &[&str])]) {
    let output = &outcome.merged;
    assert_eq!(outcome.status.code(), Some(1), "{output}");
    assert_eq!(output.lines().count(), lines.len(), "{output}");
    for (line, (code, values)) in output.lines().zip(lines) {
        assert!(line.starts_with("configure: "), "{line}");
        assert_line(line, code, values);
    }
}

/// A setting, values that are right, and values that are wrong with the codes of their errors.
struct Setting {
    name: &'static str,
    right: &'static [&'static str],
    wrong: &'static [(&'static str, &'static str)],
}

const INVALID: &str = "setting-invalid";
const NOT_A_STRING: &str = "setting-not-a-string";

/// All settings. Values are JSON.
const SETTINGS: [Setting; 22] = [
    Setting {
        name: "key-backend",
        right: &[r#""tpm""#],
        wrong: &[
            (r#""hsm""#, "key-backend-unknown"),
            (r#""TPM""#, "key-backend-unknown"),
            (r#""""#, "key-backend-unknown"),
        ],
    },
    Setting {
        name: "pkcs11.module",
        right: &[r#""usr/lib/libckteec.so.0""#, r#""/usr/lib/libhsm.so""#],
        wrong: &[(r#""""#, INVALID)],
    },
    Setting {
        name: "pkcs11.token",
        right: &[r#""board""#, "1234"],
        wrong: &[(r#""""#, INVALID)],
    },
    Setting {
        name: "pkcs11.pin-file",
        right: &[r#""/var/lib/pin""#],
        wrong: &[(r#""""#, INVALID)],
    },
    Setting {
        name: "pkcs11.key-label",
        right: &[r#""identity""#],
        wrong: &[(r#""""#, INVALID), (r#"" x""#, INVALID)],
    },
    Setting {
        name: "pkcs11.timeout",
        right: &["1", "240"],
        wrong: &[("0", INVALID), ("241", INVALID), (r#""1 s""#, INVALID)],
    },
    Setting {
        name: "algorithm",
        right: &[
            r#""ecdsa-p256""#,
            r#""ecdsa-p384""#,
            r#""rsa-2048""#,
            r#""rsa-3072""#,
        ],
        wrong: &[
            (r#""ed25519""#, "key-kind-unknown"),
            (r#""""#, "key-kind-unknown"),
            ("256", "key-kind-unknown"),
            (r#""ECDSA-P256""#, "key-kind-unknown"),
        ],
    },
    Setting {
        name: "handle",
        right: &[r#""0x81018C01""#, "2164362240"],
        wrong: &[
            (r#""0x81800000""#, INVALID),
            ("1", INVALID),
            (r#""slot""#, INVALID),
        ],
    },
    Setting {
        name: "digest-form",
        right: &[r#""text""#, r#""der""#],
        wrong: &[(r#""pem""#, INVALID)],
    },
    Setting {
        name: "tcti",
        right: &[r#""device:/dev/tpmrm1""#, r#""swtpm:host=127.0.0.1,port=2321""#],
        wrong: &[
            (r#""cmd:sh""#, "tcti-invalid"),
            (r#""/dev/tpm0""#, "tcti-invalid"),
        ],
    },
    Setting {
        name: "tpm-wait",
        right: &["0", "300", r#""60""#],
        wrong: &[("301", INVALID), ("-1", INVALID), (r#""soon""#, INVALID)],
    },
    Setting {
        name: "issuer-id",
        right: &[
            r#""a-brand""#,
            r#""canonical""#,
            r#""A0123456789012345678901234567890""#,
        ],
        wrong: &[(r#""A brand""#, INVALID), (r#""""#, INVALID), (r#""x""#, INVALID)],
    },
    Setting {
        name: "manufacturer",
        right: &[r#""Müller & Söhne""#, "7"],
        wrong: &[
            (r#""""#, INVALID),
            (r#"" A""#, INVALID),
            (r#""A ""#, INVALID),
            (r#""A\nB""#, INVALID),
            (r#""A\u001b[2J""#, INVALID),
            (r#""A\u0000""#, INVALID),
            (r#""A\u200bB""#, INVALID),
            (r#""A\u00adB""#, INVALID),
            (r#""A\u202eB""#, INVALID),
            (r#""A\u2066B""#, INVALID),
        ],
    },
    Setting {
        name: "hardware-name",
        right: &[r#""box-1""#, r#""Box""#],
        wrong: &[
            (r#""box 1""#, INVALID),
            (r#""box--1""#, INVALID),
            (r#""-box""#, INVALID),
            (r#""""#, INVALID),
        ],
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
            (r#""dmi:chassis_serial""#, "hardware-id-source-unknown"),
            (r#""None""#, "hardware-id-placeholder"),
            ("0", "hardware-id-placeholder"),
            (r#""a\nb""#, "hardware-id-control-character"),
            (r#""  ""#, "hardware-id-empty"),
            ("1234567890", "hardware-id-placeholder"),
            (r#""To be filled by the vendor""#, "hardware-id-placeholder"),
            (r#"" SN-1""#, "hardware-id-outer-space"),
            (r#""SN-1 ""#, "hardware-id-outer-space"),
            (r#""SN\u00a01""#, "hardware-id-not-ascii"),
            (r#""SN\u200b1""#, "hardware-id-not-ascii"),
            (r#""SN\u202e1""#, "hardware-id-not-ascii"),
            (r#""S\u041d-1""#, "hardware-id-not-ascii"),
        ],
    },
    Setting {
        name: "device-service.url",
        right: &[
            r#""https://serial.example/v1/""#,
            r#""https://serial.example/v1""#,
            r#""http://user:word@10.0.0.1:8650/""#,
        ],
        wrong: &[
            (r#""serial.example""#, INVALID),
            (r#""ftp://serial.example/""#, INVALID),
            (r#""https://""#, INVALID),
            (r#""https://serial.example/%zz/""#, INVALID),
            (r#""https://serial.example/a b/""#, INVALID),
            (r#""https://serial.example:99999/""#, INVALID),
            (r#""https://serial.example/\u000a""#, INVALID),
            (r#""https://serial.example/\u200b""#, INVALID),
        ],
    },
    Setting {
        name: "device-service.headers.x-key",
        right: &[r#""a""#, r#""""#, "1"],
        wrong: &[
            ("true", NOT_A_STRING),
            ("[1]", NOT_A_STRING),
            (r#""a\nb""#, "http-header-value-invalid"),
            (r#""a\u0000""#, "http-header-value-invalid"),
            (r#""é""#, "http-header-value-invalid"),
        ],
    },
    Setting {
        name: "device-service.access",
        right: &[r#""offline""#],
        wrong: &[(r#""online""#, INVALID)],
    },
    Setting {
        name: "registration.proposed-serial",
        right: &[r#""key-digest""#],
        wrong: &[(r#""SN-1""#, INVALID)],
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
            (r#""volume""#, "export-target-invalid"),
            (r#""volume:""#, "export-target-invalid"),
            (r#""usb:X""#, "export-target-invalid"),
            (r#""console:ttyS0""#, "export-target-invalid"),
            (r#""file:export.json""#, "export-target-invalid"),
            (r#""file:/a/""#, "export-target-invalid"),
        ],
    },
    Setting {
        name: "factory.evidence",
        right: &[r#""endorsement-key""#],
        wrong: &[(r#""yes""#, INVALID), (r#""""#, INVALID)],
    },
    Setting {
        name: "factory.then",
        right: &[r#""halt""#, r#""poweroff""#],
        wrong: &[(r#""reboot""#, INVALID), (r#""""#, INVALID)],
    },
];

/// The settings that an export needs, so that `factory.export` is in no conflict.
const EXPORT_SETTINGS: &str =
    "issuer-id = 'a-brand'\nmanufacturer = 'A'\nhardware-name = 'a'\nhardware-id = 'key-digest'\n";

fn value(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

#[test]
fn it_succeeds_while_the_device_is_seeded() {
    let device = Device::new().unwrap();
    configure(&device).without_env("SNAP").run().unwrap().succeeded();
    configure(&device).run().unwrap().succeeded();
    // Other options of the gadget do not concern it.
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
fn each_setting_accepts_its_right_values() {
    for Setting { name, right, .. } in SETTINGS {
        let device = Device::new().unwrap();
        device.write_settings(EXPORT_SETTINGS).unwrap();
        for right in right {
            snap_set(&device, &[(name, value(right))]).succeeded();
            let kept = device.config(&format!("hardware-identity.{name}")).unwrap();
            assert_eq!(kept, Some(value(right)), "{name}");
        }
    }
}

#[test]
fn each_setting_refuses_its_wrong_values() {
    for Setting { name, right, wrong } in SETTINGS {
        let device = Device::new().unwrap();
        device.write_settings(EXPORT_SETTINGS).unwrap();
        snap_set(&device, &[(name, value(right[0]))]).succeeded();
        for (wrong, code) in wrong {
            refused(&snap_set(&device, &[(name, value(wrong))]), &[(code, &[])]);
            let kept = device.config(&format!("hardware-identity.{name}")).unwrap();
            assert_eq!(kept, Some(value(right[0])), "{name}={wrong} is undone");
        }
    }
}

#[test]
fn a_backend_that_was_not_built_is_refused() {
    let device = Device::new().unwrap();
    for (backend, is_built) in [
        ("tpm", cfg!(feature = "tpm")),
        ("software", cfg!(feature = "software")),
    ] {
        let outcome = snap_set(&device, &[("key-backend", json!(backend))]);
        match is_built {
            true => outcome.succeeded(),
            false => refused(&outcome, &[("key-backend-not-built", &[backend])]),
        }
    }
}

#[cfg(feature = "pkcs11")]
#[test]
fn the_backend_pkcs11_needs_a_module() {
    let device = Device::new().unwrap();
    let backend = ("key-backend", json!("pkcs11"));
    let outcome = snap_set(&device, std::slice::from_ref(&backend));
    refused(&outcome, &[("pkcs11-module-unset", &["pkcs11.module"])]);
    snap_set(&device, &[backend, ("pkcs11.module", json!("libhsm.so"))]).succeeded();
}

#[test]
fn headers_that_snapd_or_http_refuse_are_refused() {
    let device = Device::new().unwrap();
    // Earlier than core26, snapd takes any name inside an object.
    device.set_base("core24").unwrap();
    for name in [
        "x_under",
        "x--y",
        "2",
        "x-",
        "-x",
        "x.dot",
        "x y",
        "",
        "x-ü",
        "x:",
        "x\n",
        "host",
        "Content-Length",
        "Transfer-Encoding",
    ] {
        let outcome = snap_set(
            &device,
            &[("device-service", json!({ "headers": { (name): "1" } }))],
        );
        refused(&outcome, &[("http-header-name-invalid", &[])]);
        device
            .write_settings(&format!(
                "[device-service]\nheaders = {{ {} = '1' }}\n",
                json!(name)
            ))
            .unwrap();
        refused(
            &configure(&device).run().unwrap(),
            &[("http-header-name-invalid", &["line 2"])],
        );
        device.write_settings("").unwrap();
    }
    // A secret stays out of the message.
    let outcome = snap_set(&device, &[("device-service.headers.x-key", json!("secret\n"))]);
    refused(&outcome, &[("http-header-value-invalid", &["x-key"])]);
    assert!(!outcome.merged.contains("secret"), "{}", outcome.merged);
}

#[test]
fn reported_placeholders_are_refused_and_real_serial_numbers_are_accepted() {
    let device = Device::new().unwrap();
    for id in include_str!("data/hardware-ids-refused.txt").lines() {
        let outcome = snap_set(&device, &[("hardware-id", json!(id))]);
        refused(&outcome, &[("hardware-id-placeholder", &[])]);
    }
    for id in include_str!("data/hardware-ids-accepted.txt").lines() {
        let proposed = ("registration.proposed-serial", json!("hardware-id"));
        snap_set(&device, &[("hardware-id", json!(id)), proposed]).succeeded();
    }
}

#[test]
fn the_tests_know_all_settings() {
    let names: BTreeSet<String> = NAMES
        .map(|name| name.replace("headers.NAME", "headers.x-key"))
        .into();
    assert_eq!(names, SETTINGS.map(|setting| setting.name.to_owned()).into());
}

#[test]
fn an_unknown_name_is_refused() {
    let device = Device::new().unwrap();
    for name in [
        "algoritm",
        "registration",
        "registration.body",
        "factory.export.to",
        "headers.x-key",
    ] {
        let outcome = snap_set(&device, &[(name, json!("x"))]);
        let option = format!("hardware-identity.{name}");
        refused(&outcome, &[("setting-unknown", &[&option])]);
    }
    assert_eq!(device.config("hardware-identity").unwrap(), None);
}

#[test]
fn all_problems_are_listed() {
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
            (INVALID, &["hardware-identity.toml, line 1", "tpm-wait"]),
            ("setting-unknown", &["line 3", "algoritm"]),
            (INVALID, &["line 5", "factory.then"]),
            (INVALID, &["hardware-identity.device-service.access"]),
            (INVALID, &["hardware-identity.device-service.url"]),
            (INVALID, &["hardware-identity.handle"]),
        ],
    );
}

#[test]
fn ten_problems_are_listed_and_the_others_are_counted() {
    let device = Device::new().unwrap();
    let names: Vec<String> = (0..300).map(|number| format!("x{number}")).collect();
    let options: Vec<(&str, Value)> = names.iter().map(|name| (name.as_str(), json!("x"))).collect();
    let outcome = snap_set(&device, &options);
    let lines: Vec<&str> = outcome.merged.lines().collect();
    assert_eq!(lines.len(), 11, "{}", outcome.merged);
    assert_line(lines[10], "more-problems", &["290"]);
    // snapd keeps the last 100 lines and 10 KiB.
    assert!(outcome.merged.len() < 10 * 1024, "{}", outcome.merged.len());
}

#[test]
fn a_broken_settings_file_is_refused() {
    let device = Device::new().unwrap();
    for (file, code, values) in [
        ("algorithm =\n", "settings-file-syntax", ["line 1"]),
        ("[factory\n", "settings-file-syntax", ["line 1"]),
        ("factory.export = 7\n", "export-target-invalid", ["line 1"]),
    ] {
        device.write_settings(file).unwrap();
        refused(&configure(&device).run().unwrap(), &[(code, &values)]);
    }
    device.write_settings(&"#".repeat(70_000)).unwrap();
    refused(
        &configure(&device).run().unwrap(),
        &[("settings-file-unreadable", &["hardware-identity.toml"])],
    );
    let wrong_variable = configure(&device).without_env("SNAP").env("TCTI", "tpm0");
    refused(&wrong_variable.run().unwrap(), &[("tcti-invalid", &["TCTI"])]);
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let by_id = ("registration.proposed-serial", json!("hardware-id"));
    let export = ("factory.export", json!("volume:FACTORY"));
    const UNSET: &str = "proposed-serial-unset";
    const SLASH: &str = "proposed-serial-slash";
    const MISSING: &str = "export-settings-missing";
    for (file, option, code, values) in [
        ("", &by_id, UNSET, &[][..]),
        ("hardware-id = 'A/1'", &by_id, SLASH, &["A/1"]),
        (
            "[registration]\nproposed-serial = 'hardware-id'",
            &("hardware-id", json!("A/1")),
            SLASH,
            &["A/1"],
        ),
        (
            "issuer-id = 'a-brand'\nhardware-id = 'key-digest'",
            &export,
            MISSING,
            &["manufacturer, hardware-name"],
        ),
        (
            "issuer-id = 'a-brand'\nmanufacturer = 'A'\nhardware-name = 'a'\n",
            &export,
            MISSING,
            &["hardware-id"],
        ),
    ] {
        let device = Device::new().unwrap();
        device.write_settings(file).unwrap();
        refused(
            &snap_set(&device, std::slice::from_ref(option)),
            &[(code, values)],
        );
        assert_eq!(device.config("hardware-identity").unwrap(), None);
    }
    let device = Device::new().unwrap();
    refused(
        &snap_set(&device, &[by_id.clone(), export.clone()]),
        &[
            (UNSET, &[]),
            (MISSING, &["issuer-id, manufacturer, hardware-name, hardware-id"]),
        ],
    );
    // With the missing settings they are accepted.
    device.write_settings(EXPORT_SETTINGS).unwrap();
    snap_set(&device, &[by_id, export]).succeeded();
}

#[test]
fn no_tpm_is_used() {
    let world = World::with_settings(EXPORT_SETTINGS);
    world.hook(CONFIGURE).run().unwrap().succeeded();
    world
        .hook(CONFIGURE)
        .snap_set("hardware-identity.algorithm", json!("x"))
        .run()
        .unwrap()
        .failed("key-kind-unknown", &[]);
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
        .failed(
            "snapctl-failed",
            &["snapctl get -d hardware-identity registration.body", "broken"],
        );
}

#[test]
fn the_body_that_a_registration_left_is_unset() {
    let device = Device::new().unwrap();
    let body = || device.config("registration.body").unwrap();
    let left = json!({ "request-id-signature": "…" });
    device.set_config("registration.body", left.clone()).unwrap();
    refused(&snap_set(&device, &[("tpm-wait", json!(301))]), &[(INVALID, &[])]);
    assert_eq!(body(), Some(left));

    assert!(configure(&device).run().unwrap().status.success());
    assert_eq!(body(), None);
    // The body of a gadget's own hook.
    device.set_config("registration.body", json!("text")).unwrap();
    assert!(configure(&device).run().unwrap().status.success());
    assert_eq!(body(), Some(json!("text")));
}
