//! Blocked identities and released serials, with and without a running service.

#![allow(clippy::unwrap_used)]

mod common;

use common::device::Device;
use common::http::Request;
use common::page::Visitor;
use common::{Bench, Service, failed};
use serde_json::json;
use snap_assertions::DigestForm;

fn world() -> (Bench, Service, Device) {
    let bench = Bench::new();
    let service = bench.serve();
    let device = Device::new("p256");
    bench.import_text(&device.identity());
    device.accepts(&device.register(&service, "SN-1"));
    (bench, service, device)
}

/// Runs a command of `identity` that must succeed, and returns its output.
#[track_caller]
fn identity(bench: &Bench, command: &str, digest: &str) -> String {
    let reason: &[&str] = match command {
        "show" => &[digest],
        _ => &[digest, "--reason", "stolen"],
    };
    let output = bench.run(&["identity", command], reason);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_blocked_identity_gets_no_serials_until_it_is_unblocked() {
    let (bench, service, mut device) = world();
    identity(&bench, "block", &device.digest());
    device.register(&service, "SN-1").refused(403, "identity-blocked");
    // The other model, and a remodel.
    device.model = "edge-box-2".to_owned();
    device.register(&service, "SN-1").refused(403, "identity-blocked");
    device.model = "edge-box".to_owned();
    assert!(identity(&bench, "show", &device.digest()).contains("stolen"));
    // An import of the same key in the other form does not unblock it.
    device.form = DigestForm::Der;
    bench.import_text(&device.identity());
    device.register(&service, "SN-1").refused(403, "identity-blocked");
    // By its digest in the other form.
    identity(&bench, "unblock", &device.digest());
    assert_eq!(device.register(&service, "SN-1").status, 200);
    let kinds: Vec<_> = bench
        .ledger()
        .iter()
        .map(|line| line["kind"].as_str().unwrap().to_owned())
        .filter(|kind| kind.starts_with("identity-"))
        .collect();
    assert_eq!(kinds, ["identity-blocked", "identity-unblocked"]);
}

#[test]
fn a_block_by_a_command_without_a_service_lasts() {
    let (bench, service, device) = world();
    drop(service);
    identity(&bench, "block", &device.digest());
    let lines = bench.ledger().len();
    // A second one changes nothing.
    identity(&bench, "block", &device.digest());
    assert_eq!(bench.ledger().len(), lines);
    let service = bench.serve();
    device.register(&service, "SN-1").refused(403, "identity-blocked");
    drop(service);
    bench.verifies_ledger();
}

#[test]
fn commands_that_cannot_be_done() {
    let (bench, _service, device) = world();
    let before = bench.ledger().len();
    let digest = device.digest();
    for (command, arguments, code) in [
        (
            ["identity", "block"],
            vec!["unknown", "--reason", "x"],
            "identity-not-imported",
        ),
        (["identity", "show"], vec!["unknown"], "identity-not-imported"),
        (
            ["identity", "block"],
            vec![digest.as_str(), "--reason", " "],
            "reason-invalid",
        ),
        (
            ["identity", "block"],
            vec![digest.as_str(), "--reason", "a\nb"],
            "reason-invalid",
        ),
        (
            ["serial", "release"],
            vec!["brand-acme", "edge-box", "SN-9", "--reason", "x"],
            "serial-not-assigned",
        ),
    ] {
        failed(&bench.run(&command, &arguments), 1, code);
    }
    assert_eq!(bench.ledger().len(), before);
    // Without a reason the command line is wrong.
    assert_eq!(
        bench.run(&["identity", "block"], &[&digest]).status.code(),
        Some(2)
    );
}

#[test]
fn a_released_serial_goes_to_another_device() {
    let (bench, service, device) = world();
    let other = Device::fresh("hw-2");
    bench.import_text(&other.identity());
    other.register(&service, "SN-1").refused(409, "serial-taken");
    let number = [
        "brand-acme",
        "edge-box",
        "SN-1",
        "--reason",
        "the board was replaced",
    ];
    let output = bench.run(&["serial", "release"], &number);
    assert!(output.status.success(), "{output:?}");
    // With a higher revision than that of the first device.
    assert_eq!(
        other.accepts(&other.register(&service, "SN-1")),
        ("SN-1".to_owned(), 1)
    );
    device.register(&service, "SN-1").refused(409, "serial-taken");
    assert_eq!(device.accepts(&device.register(&service, "SN-2")).0, "SN-2");
    let line = bench
        .ledger()
        .into_iter()
        .find(|line| line["kind"] == "serial-released");
    assert_eq!(line.unwrap()["reason"], "the board was replaced");
    drop(service);
    bench.verifies_ledger();
}

/// It gets a new assertion, and the serial is its own again: no other device gets it.
#[test]
fn a_released_serial_goes_to_the_same_device() {
    for by_key in [false, true] {
        let bench = Bench::new();
        let service = bench.serve();
        let [mut device, mut other] = ["hw-1", "hw-2"].map(Device::fresh);
        bench.import_text(&[device.identity(), other.identity()].join("\n"));
        other.device_key = "issuer";
        if by_key {
            device.model = "edge-box-key".to_owned();
            other.model = "edge-box-key".to_owned();
        }
        let register = |device: &Device| match by_key {
            true => device.register_with_key(&service, "SN-1", Some(common::API_KEY)),
            false => device.register(&service, "SN-1"),
        };
        device.accepts(&register(&device));
        let number = ["brand-acme", &device.model, "SN-1", "--reason", "x"];
        assert!(bench.run(&["serial", "release"], &number).status.success());
        assert_eq!(device.accepts(&register(&device)).1, 1);
        register(&other).refused(409, "serial-taken");
    }
}

/// A bench with a token of each role.
fn with_tokens() -> Bench {
    let roles = ["import", "read", "admin"];
    let tables: Vec<_> = roles
        .iter()
        .map(|role| format!("[[token]]\nname = \"the-{role}\"\nrole = \"{role}\"\nfile = \"{role}\"\n"))
        .collect();
    let bench = Bench::with(&tables.concat(), "");
    for role in roles {
        bench.write(role, secret(role).as_bytes());
    }
    bench
}

fn secret(role: &str) -> String {
    format!("the-secret-of-the-role-{role}")
}

fn request(method: &str, path: &str, role: &str) -> Request {
    let body = match method {
        "GET" => "",
        _ => "{\"reason\": \"stolen\"}",
    };
    Request::post(path, body)
        .method(method)
        .header("authorization", &format!("Bearer {}", secret(role)))
}

#[test]
fn withdrawal_by_the_api() {
    let bench = with_tokens();
    let service = bench.serve();
    let device = Device::new("p256");
    bench.import_text(&device.identity());
    device.accepts(&device.register(&service, "SN-1"));
    let identity = format!("/v1/identities/{}", device.digest());
    let block = format!("{identity}/block");
    let send = |method: &str, path: &str| service.send(&request(method, path, "admin"));

    assert_eq!(
        send("POST", &block).json(),
        json!({ "blocked": true, "changed": true })
    );
    assert_eq!(
        send("POST", &block).json(),
        json!({ "blocked": true, "changed": false })
    );
    device.register(&service, "SN-1").refused(403, "identity-blocked");
    let shown = service.send(&request("GET", &identity, "read")).json();
    assert_eq!(shown["blocked"]["reason"], "stolen");
    assert_eq!(shown["serials"][0]["serial"], "SN-1");
    assert_eq!(
        send("DELETE", &block).json(),
        json!({ "blocked": false, "changed": true })
    );
    assert_eq!(device.register(&service, "SN-1").status, 200);
    let serial = "/v1/serials/brand-acme/edge-box/SN%2D1";
    assert_eq!(send("DELETE", serial).json(), json!({ "released": true }));
    send("DELETE", serial).refused(404, "serial-not-assigned");
    send("POST", "/v1/identities/unknown/block").refused(404, "identity-not-imported");
    let without = Request::post(&block, "{}").header("authorization", &format!("Bearer {}", secret("admin")));
    service.send(&without).refused(400, "json-invalid");
    let by: Vec<_> = bench.ledger().iter().map(|line| line["by"].clone()).collect();
    assert_eq!(
        &by[2..],
        [
            json!("token the-admin"),
            json!("token the-admin"),
            json!("token the-admin")
        ]
    );
}

#[test]
fn a_token_is_for_its_role() {
    let bench = with_tokens();
    let service = bench.serve();
    let device = Device::new("p256");
    let signed = device.identity();
    let import = |role: &str| {
        let request = Request::post("/v1/hardware-identities", signed.clone())
            .header("content-type", common::ASSERTIONS);
        service.send(&request.header("authorization", &format!("Bearer {}", secret(role))))
    };
    import("read").refused(403, "token-role");
    import("nobody").refused(401, "unauthorized");
    assert_eq!((import("import").status, import("admin").status), (200, 200));
    // The token of `import-token-file` is one for imports.
    assert_eq!(service.import(&signed).status, 200);
    let identity = format!("/v1/identities/{}", device.digest());
    for (method, path, permitted) in [
        ("GET", identity.clone(), ["read", "admin"].as_slice()),
        ("POST", format!("{identity}/block"), &["admin"]),
        ("DELETE", format!("{identity}/block"), &["admin"]),
    ] {
        for role in ["import", "read", "admin"] {
            let answer = service.send(&request(method, &path, role));
            match permitted.contains(&role) {
                true => assert_eq!(answer.status, 200, "{method} {path} {role}"),
                false => answer.refused(403, "token-role"),
            }
        }
        let nobody = request(method, &path, "nobody");
        service.send(&nobody).refused(401, "unauthorized");
    }
}

#[test]
fn withdrawal_on_the_page() {
    let (bench, service, device) = world();
    let address = format!("/identity?digest={}", device.digest());
    assert_eq!(service.get(&address).header("location"), Some("/login"));
    let visitor = Visitor::log_in(&service);
    assert!(visitor.get("/identities").body.contains(&address));
    let csrf = visitor.csrf();
    let send = |csrf: &str, action: &str, reason: &str| {
        visitor.send(Request::form(
            "/identity",
            &[
                ("csrf", csrf),
                ("digest", &device.digest()),
                ("action", action),
                ("reason", reason),
            ],
        ))
    };
    let release = |csrf: &str| {
        let number = [("brand", "brand-acme"), ("model", "edge-box"), ("serial", "SN-1")];
        let fields = [&number[..], &[("csrf", csrf), ("reason", "replaced")]].concat();
        visitor.send(Request::form("/serials/detail", &fields))
    };
    assert_eq!(send("forged", "block", "x").status, 403);
    assert_eq!(send(&csrf, "block", " ").status, 400);
    assert_eq!(device.register(&service, "SN-1").status, 200);

    let answer = send(&csrf, "block", "<b>stolen</b>");
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, Some(address.as_str()))
    );
    device.register(&service, "SN-1").refused(403, "identity-blocked");
    let shown = visitor.get(&address).body;
    assert!(
        shown.contains("&lt;b&gt;stolen&lt;/b&gt;") && shown.contains("SN-1"),
        "{shown}"
    );
    assert!(visitor.get("/identities").body.contains("blocked"));
    assert_eq!(send(&csrf, "unblock", "found").status, 303);
    assert_eq!(device.register(&service, "SN-1").status, 200);
    let serial = "/serials/detail?brand=brand-acme&model=edge-box&serial=SN-1";
    assert!(visitor.get(serial).body.contains(&csrf));
    assert_eq!(release("forged").status, 403);
    assert_eq!(release(&csrf).header("location"), Some(serial));
    assert_eq!(release(&csrf).status, 404);
    // The history of the serial and that of the identity.
    assert!(visitor.get(serial).body.contains("replaced"));
    let history = visitor.get(&address).body;
    for part in ["stolen", "found", "replaced", "SN-1"] {
        assert!(history.contains(part), "{part}");
    }
    for unknown in [
        "/identity?digest=unknown",
        "/serials/detail?brand=brand-acme&model=edge-box&serial=SN-2",
    ] {
        assert_eq!(visitor.get(unknown).status, 404, "{unknown}");
    }
    let by: Vec<_> = bench.ledger().iter().map(|line| line["by"].clone()).collect();
    assert_eq!(&by[2..], [json!("page"), json!("page"), json!("page")]);
}
