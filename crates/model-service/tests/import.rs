//! The import of hardware identities: all or nothing, and repeatable.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use common::device::Device;
use common::http::{Answer, Request};
use common::{ASSERTIONS, Bench, TOKEN, failed, pem, sign_as, text_vector};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use snap_assertions::DigestForm;

/// Identities of new devices, as one stream.
fn stream(count: usize) -> String {
    let identities: Vec<_> = (0..count)
        .map(|index| Device::fresh(&format!("hw-{index}")).identity())
        .collect();
    identities.join("\n")
}

/// The counts of a report: new, replaced, present, older, refused.
fn counts(answer: &Answer) -> [u64; 5] {
    let json = answer.json();
    let counts = ["new", "replaced", "present", "older", "refused"].map(|name| json[name].as_u64().unwrap());
    assert_eq!(
        json["assertions"].as_array().unwrap().len() as u64,
        counts.iter().sum::<u64>()
    );
    assert_eq!(json["stored"], counts[4] == 0);
    assert_eq!(answer.status, if counts[4] == 0 { 200 } else { 422 });
    counts
}

#[test]
fn repeated_imports() {
    let bench = Bench::new();
    let service = bench.serve();
    let stream = stream(5);
    let answer = service.import(&stream);
    assert_eq!(counts(&answer), [5, 0, 0, 0, 0]);
    let first = &answer.json()["assertions"][0];
    assert_eq!((&first["number"], &first["outcome"]), (&json!(1), &json!("new")));
    assert_eq!(first["hardware-id"], "hw-0");
    assert_eq!(counts(&service.import(&stream)), [0, 0, 5, 0, 0]);
    assert_eq!(bench.count("identities"), 5);
    assert_eq!(counts(&service.import("")), [0, 0, 0, 0, 0]);
}

#[test]
fn higher_revisions_replace_lower_ones() {
    let bench = Bench::new();
    let service = bench.serve();
    let device = Device::new("p256");
    let revision =
        |revision: &str, id: &str| device.identity_with(json!({ "revision": revision, "hardware-id": id }));
    let (zero, two) = (revision("0", "zero"), revision("2", "two"));
    assert_eq!(counts(&service.import(&zero)), [1, 0, 0, 0, 0]);
    assert_eq!(counts(&service.import(&two)), [0, 1, 0, 0, 0]);
    assert_eq!(counts(&service.import(&zero)), [0, 0, 0, 1, 0]);
    // In one stream too, where the highest revision wins.
    let (three, four) = (revision("3", "three"), revision("4", "four"));
    assert_eq!(
        counts(&service.import(&format!("{three}\n{four}\n{three}"))),
        [0, 2, 0, 1, 0]
    );
    // Other content needs a higher revision.
    let answer = service.import(&revision("4", "other"));
    assert_eq!(counts(&answer), [0, 0, 0, 0, 1]);
    assert_eq!(answer.json()["assertions"][0]["code"], "revision-conflict");
    let all = bench.rows(
        "SELECT hardware_id, revision FROM identities JOIN identity_texts USING (id)
        WHERE text LIKE '%hardware-id: four%'",
    );
    assert_eq!(all, ["four\t4"]);
    device.accepts(&device.register(&service, "SN-1"));
}

#[test]
fn one_bad_assertion_and_nothing_is_stored() {
    let bench = Bench::new();
    let service = bench.serve();
    let good = Device::new("p256").identity();
    let changed = Device::new("p384").identity().replace("Acme", "Bcme");
    let by_nobody = sign_as(Device::new("p384").export(), "device", DigestForm::Text);
    let by_the_brand = sign_as(Device::new("p384").export(), "brand", DigestForm::Text);
    let model = text_vector("model.assert");
    let digest = Device::new("p384")
        .identity()
        .replace("hardware-id-key-sha3-384: ", "hardware-id-key-sha3-384: x");
    for bad in [&changed, &by_nobody, &by_the_brand, &model, &digest] {
        let answer = service.import(&format!("{good}\n{bad}\n{good}"));
        assert_eq!(counts(&answer)[4], 1, "{}", answer.body);
        assert_eq!(answer.json()["assertions"][1]["outcome"], "refused");
        assert!(answer.json()["assertions"][1]["reason"].as_str().unwrap().len() > 20);
        assert_eq!(bench.count("identities"), 0);
    }
}

#[test]
fn truncated_streams_and_garbage() {
    let bench = Bench::new();
    let service = bench.serve();
    let stream = stream(3);
    for bad in [
        &stream[..stream.len() - 900],
        &format!("{stream}\ngarbage\n\n"),
        "garbage",
    ] {
        let answer = service.import(bad);
        assert_eq!(counts(&answer)[4], 1, "{}", answer.body);
    }
    // Announced but not sent.
    let request = Request::post("/v1/hardware-identities", stream.clone()).header("content-type", ASSERTIONS);
    let request = request
        .header("authorization", &format!("Bearer {TOKEN}"))
        .announced(stream.len() + 1);
    service.send(&request).refused(400, "incomplete");
    assert_eq!(bench.count("identities"), 0);
}

#[test]
fn without_the_token() {
    let bench = Bench::new();
    let service = bench.serve();
    let request = Request::post("/v1/hardware-identities", stream(1)).header("content-type", ASSERTIONS);
    service.send(&request).refused(401, "unauthorized");
    let prefix = &TOKEN[1..];
    for wrong in [
        format!("Bearer x{TOKEN}"),
        format!("Bearer {prefix}"),
        "Bearer ".into(),
        format!("Basic {TOKEN}"),
    ] {
        service
            .send(&request.clone().header("authorization", &wrong))
            .refused(401, "unauthorized");
    }
    assert_eq!(bench.count("identities"), 0);
}

#[test]
fn bodies_that_are_too_large() {
    let bench = Bench::with("", "import-body-bytes = 3000");
    let service = bench.serve();
    service.import(&stream(3)).refused(413, "too-large");
    assert_eq!(bench.count("identities"), 0);
    assert_eq!(counts(&service.import(&stream(1))), [1, 0, 0, 0, 0]);
}

#[test]
fn only_the_forms_that_the_settings_allow() {
    let bench = Bench::with("digest-forms = [\"text\"]", "");
    let service = bench.serve();
    let device = Device {
        form: DigestForm::Der,
        ..Device::new("p256")
    };
    let answer = service.import(&device.identity());
    assert_eq!(counts(&answer), [0, 0, 0, 0, 1]);
    assert_eq!(answer.json()["assertions"][0]["code"], "digest-form-not-accepted");
}

#[test]
fn only_keys_that_are_valid_now_are_accepted() {
    let bench = Bench::new();
    bench.write(
        "issuer.account-key",
        common::expired_key("acme", "issuer").as_bytes(),
    );
    let answer = bench.serve().import(&Device::new("p256").identity());
    assert_eq!(counts(&answer), [0, 0, 0, 0, 1]);
    assert_eq!(answer.json()["assertions"][0]["code"], "key-expired");
}

#[test]
fn import_command() {
    let bench = Bench::new();
    let one = bench.write("one", stream(2).as_bytes());
    let two = bench.write("two", Device::new("p256").identity().as_bytes());
    let bad = bench.write("bad", b"garbage");
    let output = bench.import(&[&one, &bad, &two]);
    common::failed(&output, 1, "import-refused");
    let lines = String::from_utf8(output.stdout).unwrap();
    let refused = format!("{}:1: refused: ", bad.display());
    let refused: Vec<_> = lines.lines().filter(|line| line.starts_with(&refused)).collect();
    assert_eq!((lines.lines().count(), refused.len()), (4, 1), "{lines}");
    assert!(refused[0].ends_with(" [stream-truncated]"), "{lines}");
    assert_eq!(bench.count("identities"), 0);

    let output = bench.import(&[&one, &two]);
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    assert_eq!(lines.lines().count(), 3);
    assert!(
        lines.ends_with(&format!("{}:1: new \"p256\"\n", two.display())),
        "{lines}"
    );
    assert_eq!(bench.count("identities"), 3);
}

/// The message names the step that is missing, and not only that the input is unreadable.
#[test]
fn an_unsigned_export_is_recognised() {
    let bench = Bench::new();
    let service = bench.serve();
    let export = Device::new("p256").export();
    for text in [
        export.to_string(),
        format!("{export:#}\n"),
        json!([export]).to_string(),
    ] {
        let report = service.import(&text);
        assert_eq!(counts(&report), [0, 0, 0, 0, 1]);
        assert_eq!(report.json()["assertions"][0]["code"], "unsigned-export");
        let file = bench.write("export.json", text.as_bytes());
        let output = bench.import(&[&file]);
        common::failed(&output, 1, "import-refused");
        assert!(
            String::from_utf8(output.stdout)
                .unwrap()
                .ends_with(" [unsigned-export]\n")
        );
    }
}

#[test]
fn a_fifo_is_not_waited_for() {
    let bench = Bench::new();
    let fifo = bench.path("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    common::failed(&bench.import(&[&fifo]), 1, "file-not-regular");
    for name in ["settings.toml", "token", "serial.pem", "brand.account-key"] {
        let bench = Bench::new();
        fs::remove_file(bench.path(name)).unwrap();
        nix::unistd::mkfifo(&bench.path(name), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let output = common::refuses_to_serve(&bench.path("settings.toml"));
        common::failed(&output, 1, "file-not-regular");
    }
}

#[test]
fn import_command_while_the_service_runs() {
    let bench = Bench::new();
    let service = bench.serve();
    let device = Device::new("p256");
    bench.import_text(&device.identity());
    device.accepts(&device.register(&service, "SN-1"));
}

#[test]
fn secrets_that_others_can_read_are_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    for secret in ["serial.pem", "token", "password", "api-key"] {
        let bench = Bench::new();
        bench.write("serial.pem", pem("brand").as_bytes());
        fs::set_permissions(bench.path(secret), fs::Permissions::from_mode(0o640)).unwrap();
        let output = common::refuses_to_serve(&bench.path("settings.toml"));
        common::failed(&output, 1, "file-exposed");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(&bench.path(secret).display().to_string()), "{text}");
    }
}

/// An import that has begun to store makes other imports wait, but no device.
#[test]
fn devices_do_not_wait_for_an_import() {
    let bench = Bench::new();
    let service = bench.serve();
    let device = Device::new("p256");
    assert_eq!(counts(&service.import(&device.identity())), [1, 0, 0, 0, 0]);
    // More than is read before anything is stored, and less than is announced.
    let identity = Device::new("p384").identity();
    let stream = vec![identity.as_str(); 3000].join("\n");
    let request = Request::post("/v1/hardware-identities", stream.clone()).header("content-type", ASSERTIONS);
    let request = request
        .header("authorization", &format!("Bearer {TOKEN}"))
        .announced(stream.len() + 1);
    let mut connection = TcpStream::connect(service.address).unwrap();
    connection.write_all(&request.bytes()).unwrap();
    while !bench.an_import_stores() {
        thread::yield_now();
    }

    device.accepts(&device.register(&service, "SN-1"));
    assert_eq!(bench.count("identities"), 1);
    drop(connection);
    assert_eq!(counts(&service.import(&stream)), [1, 0, 2999, 0, 0]);
}

/// Two identities with the same hardware-id and different keys, the second in both forms.
fn duplicates() -> (Device, [String; 3]) {
    let (first, mut second) = (Device::fresh("hw-1"), Device::fresh("hw-1"));
    let text = second.identity();
    second.form = DigestForm::Der;
    let identities = [first.identity(), text, second.identity()];
    (first, identities)
}

#[test]
fn another_key_under_an_imported_hardware_id() {
    let bench = Bench::new();
    let service = bench.serve();
    let (first, identities) = duplicates();
    assert_eq!(service.import(&identities[0]).json()["warnings"], 0);
    let answer = service.import(&identities[1..].join("\n"));
    assert_eq!(counts(&answer), [2, 0, 0, 0, 0]);
    let json = answer.json();
    assert_eq!(json["warnings"], 2);
    for line in json["assertions"].as_array().unwrap() {
        assert_eq!(
            (&line["outcome"], &line["code"]),
            (&json!("new"), &json!("hardware-id-duplicate"))
        );
        assert!(line["cause"].as_str().unwrap().contains(&first.digest()));
    }
    // The same key with both digests is one identity.
    let bench = Bench::new();
    let both = bench.serve().import(&identities[1..].join("\n")).json();
    assert_eq!(both["warnings"], 0);
    // The command says it too.
    let bench = Bench::new();
    let file = bench.write("both", identities[..2].join("\n").as_bytes());
    let output = bench.import(&[&file]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.lines().nth(1).unwrap().ends_with("[hardware-id-duplicate]"),
        "{text}"
    );
}

#[test]
fn another_key_under_an_imported_hardware_id_can_be_refused() {
    let bench = Bench::with("duplicate-hardware-ids = \"refuse\"", "");
    let service = bench.serve();
    let (_, identities) = duplicates();
    assert_eq!(counts(&service.import(&identities[0])), [1, 0, 0, 0, 0]);
    let answer = service.import(&identities[1]);
    assert_eq!(counts(&answer), [0, 0, 0, 0, 1]);
    assert_eq!(answer.json()["assertions"][0]["code"], "hardware-id-duplicate");
    // The same key again is no other key.
    assert_eq!(counts(&service.import(&identities[0])), [0, 0, 1, 0, 0]);
    assert_eq!(bench.count("identities"), 1);
}

/// The part that had arrived when the service ended was whole assertions, but not all of them.
#[test]
fn the_end_of_the_service_does_not_import_half_a_body() {
    let bench = Bench::new();
    let mut service = bench.serve();
    let stream = stream(2);
    let second = stream.rfind("type: hardware-identity").unwrap();
    let request = Request::post("/v1/hardware-identities", &stream[..second])
        .header("content-type", ASSERTIONS)
        .header("authorization", &format!("Bearer {TOKEN}"))
        .announced(stream.len());
    let mut connection = TcpStream::connect(service.address).unwrap();
    connection.write_all(&request.bytes()).unwrap();
    thread::sleep(Duration::from_millis(300));
    kill(Pid::from_raw(service.child.id() as i32), Signal::SIGTERM).unwrap();
    assert!(service.child.wait().unwrap().success());
    assert_eq!(bench.count("identities"), 0);
}

/// Lines of a station's ledger as JSON without the members of the chain.
fn chained(lines: Vec<serde_json::Value>) -> String {
    let (mut text, mut previous) = (String::new(), "0".repeat(64));
    for (mut line, sequence) in lines.into_iter().zip(1..) {
        line["sequence"] = json!(sequence);
        line["previous"] = json!(previous);
        line["kind"] = json!("signed");
        let line = line.to_string();
        previous = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, line.as_bytes())
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        text.push_str(&(line + "\n"));
    }
    text
}

#[test]
fn identities_are_compared_with_recorded_proofs() {
    let bench = Bench::new();
    let devices = ["proven", "unproven", "absent", "other"].map(Device::fresh);
    let line = |id: &str, digest: &str, proof: serde_json::Value| json!({"hardware-id": id, "hardware-id-key-sha3-384": digest, "revision": 0, "proof": proof});
    let activation = json!({"batch": "b", "ek-sha256": "c", "key-name": "d"});
    let ledger = chained(vec![
        line("proven", &devices[0].digest(), activation.clone()),
        line("unproven", &devices[1].digest(), json!("none")),
        line("other", &devices[0].digest(), activation),
    ]);
    let path = |name: &str, text: &str| bench.write(name, text.as_bytes()).to_str().unwrap().to_owned();
    let proofs = path("station.jsonl", &ledger);
    let all: Vec<_> = devices.iter().map(Device::identity).collect();
    let (all, first) = (path("all.assert", &all.join("\n")), path("first.assert", &all[0]));
    let import = |arguments: &[&str]| bench.run(&["import"], arguments);

    let required = import(&["--proofs", &proofs, "--require-proofs", &all]);
    failed(&required, 1, "import-refused");
    assert_eq!(bench.count("identities"), 0);
    let output = import(&["--proofs", &proofs, &all]);
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let found: Vec<_> = lines
        .lines()
        .map(|line| line.split_once(" (proof: ").unwrap().1)
        .collect();
    let codes = ["proof-not-recorded", "proof-not-recorded", "proof-of-other-key"];
    assert_eq!(found[0], "recorded)");
    for (line, (status, code)) in found[1..]
        .iter()
        .zip(["none", "none", "other-key"].into_iter().zip(codes))
    {
        assert!(
            line.starts_with(status) && line.ends_with(&format!("[{code}]")),
            "{line}"
        );
    }
    assert_eq!(bench.count("identities"), 4);
    let output = import(&["--proofs", &proofs, "--require-proofs", &first]);
    assert!(output.status.success(), "{output:?}");
    // Without the flag, nothing is said of proofs.
    let output = import(&[&first]);
    assert!(!String::from_utf8(output.stdout).unwrap().contains("proof"));

    let changed = path("changed.jsonl", &ledger.replace("unproven", "unprovem"));
    failed(&import(&["--proofs", &changed, &first]), 1, "ledger-chain-broken");
    failed(
        &import(&["--proofs", "/nonexistent", &first]),
        1,
        "file-unreadable",
    );
    assert_eq!(import(&["--require-proofs", &first]).status.code(), Some(2));
}
