//! Serial keys outside the service: in an HSM and in a key manager, lost, hanging and back again.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::Command;
use std::thread;

use common::device::Device;
use common::hsm::{HsmBench, key_manager, signing_processes, until};
use common::{Bench, Service, failed};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use snap_assertions::{PublicKey, decode};

fn import(bench: &Bench, count: usize) -> Vec<Device> {
    let devices: Vec<_> = (0..count)
        .map(|index| Device::fresh(&format!("SN-{index}")))
        .collect();
    let identities: Vec<_> = devices.iter().map(Device::identity).collect();
    bench.import_text(&identities.join("\n"));
    devices
}

#[track_caller]
fn registers(service: &Service, device: &Device) {
    device.accepts(&device.register(service, &device.hardware_id));
}

#[test]
fn registrations_with_a_key_in_an_hsm() {
    let hsm = HsmBench::new("");
    let devices = import(&hsm.bench, 16);
    let service = hsm.serve();
    assert_eq!(service.get("/ready").status, 200);
    thread::scope(|scope| {
        for device in &devices {
            scope.spawn(|| registers(&service, device));
        }
    });
    assert_eq!(signing_processes(&service).len(), 1);
}

#[test]
fn a_token_that_is_removed_and_comes_back() {
    let hsm = HsmBench::new("wait-seconds = 0");
    let devices = import(&hsm.bench, 3);
    let service = hsm.serve();
    registers(&service, &devices[0]);

    hsm.remove();
    devices[1]
        .register(&service, "SN-1")
        .refused(503, "serial-key-unavailable");
    service.get("/ready").refused(503, "serial-key-unavailable");
    assert_eq!(service.get("/health").status, 200);
    // What needs no signature goes on.
    assert_eq!(devices[0].register(&service, "SN-0").status, 200);
    assert_eq!(hsm.bench.count("issued"), 1);

    hsm.put_back();
    until(|| service.get("/ready").status == 200);
    registers(&service, &devices[1]);

    // Without a request in between, as a load balancer sees it.
    hsm.remove();
    until(|| service.get("/ready").status == 503);
    hsm.put_back();
    until(|| service.get("/ready").status == 200);
    registers(&service, &devices[2]);
}

#[test]
fn a_process_that_crashes_is_replaced() {
    let hsm = HsmBench::new("");
    let devices = import(&hsm.bench, 3);
    let service = hsm.serve();
    for device in &devices {
        for pid in signing_processes(&service) {
            kill(Pid::from_raw(pid as i32), Signal::SIGKILL).unwrap();
        }
        registers(&service, device);
    }
}

/// systemd sends SIGTERM to all processes of a service.
#[test]
fn the_last_requests_are_signed_after_a_signal() {
    let hsm = HsmBench::new("");
    let device = &import(&hsm.bench, 1)[0];
    let mut service = hsm.serve();
    let stream = device.stream(&service.nonce(), "SN-0");
    let request =
        common::http::Request::post("/v1/serial", stream).header("content-type", common::ASSERTIONS);
    let begun = request.begin(service.address);
    let processes = signing_processes(&service);
    for pid in processes.iter().chain([&service.child.id()]) {
        kill(Pid::from_raw(*pid as i32), Signal::SIGTERM).unwrap();
    }
    assert_eq!(begun.finish().status, 201);
    assert!(service.child.wait().unwrap().success());
    let gone = |pid: &u32| !fs::exists(format!("/proc/{pid}")).unwrap();
    until(|| processes.iter().all(gone));
}

#[test]
fn a_signer_that_hangs_is_stopped() {
    let bench = Bench::with("", "signature-seconds = 2");
    key_manager(&bench);
    let devices = import(&bench, 3);
    let service = bench.serve();
    registers(&service, &devices[0]);
    let hang = bench.write("hang", b"");
    thread::scope(|scope| {
        for device in &devices[1..] {
            scope.spawn(|| {
                let answer = device.register(&service, &device.hardware_id);
                answer.refused(503, "serial-key-unavailable");
            });
        }
        service.nonce();
    });
    service.get("/ready").refused(503, "serial-key-unavailable");
    fs::remove_file(hang).unwrap();
    until(|| service.get("/ready").status == 200);
    registers(&service, &devices[1]);
}

/// More requests than it signs in the time limit wait for a key that works.
#[test]
fn a_slow_signer_is_not_stopped() {
    let bench = Bench::with("", "signature-seconds = 4");
    key_manager(&bench);
    let devices = import(&bench, 17);
    let (last, crowd) = devices.split_last().unwrap();
    let service = bench.serve();
    let slow = bench.write("slow", b"");
    let processes = signing_processes(&service);
    let statuses: Vec<_> = thread::scope(|scope| {
        let requests: Vec<_> = crowd
            .iter()
            .map(|device| scope.spawn(|| device.register(&service, &device.hardware_id).status))
            .collect();
        requests
            .into_iter()
            .map(|request| request.join().unwrap())
            .collect()
    });
    assert!(statuses.contains(&201) && statuses.contains(&503), "{statuses:?}");
    assert_eq!(signing_processes(&service), processes);
    fs::remove_file(slow).unwrap();
    registers(&service, last);
    assert_eq!(signing_processes(&service), processes);
}

#[test]
fn registrations_with_a_key_in_gnupg() {
    let bench = Bench::new();
    let home = bench.path("gnupg");
    DirBuilder::new().mode(0o700).create(&home).unwrap();
    let gpg = |arguments: &[&str]| {
        let mut gpg = Command::new("gpg");
        let output = gpg
            .arg("--homedir")
            .arg(&home)
            .arg("--batch")
            .args(arguments)
            .output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    gpg(&[
        "--passphrase",
        "",
        "--quick-generate-key",
        "serials",
        "rsa4096",
        "sign",
        "never",
    ]);
    let public = PublicKey::from_openpgp(&gpg(&["--export", "serials"])).unwrap();
    let account_key = json!({
        "type": "account-key", "authority-id": "brand-acme", "account-id": "brand-acme", "name": "serials",
        "public-key-sha3-384": public.id(), "since": "2020-01-01T00:00:00Z", "body": public.encode(),
    });
    bench.write(
        "serials.account-key",
        common::sign(account_key, "brand").as_bytes(),
    );
    let settings = fs::read_to_string(bench.path("settings.toml")).unwrap();
    let settings = settings.replace("account-keys = [", "account-keys = [\"serials.account-key\", ");
    bench.write("settings.toml", settings.as_bytes());
    bench.set_serial_key("{ gpg-key = \"serials\" }");
    let device = &import(&bench, 1)[0];
    let mut serve = Command::new(common::PROGRAM);
    serve.args(["serve", "--config"]).arg(bench.path("settings.toml"));
    let service = common::serve_by(serve.env("SNAP_GNUPG_HOME", &home));
    let answer = device.register(&service, "SN-0");
    assert_eq!(answer.status, 201, "{answer:?}");
    let serial = decode(answer.body.as_bytes()).unwrap();
    serial.verify(&public).unwrap();
    drop(service);
    let mut end = Command::new("gpgconf");
    end.arg("--homedir")
        .arg(&home)
        .args(["--kill", "all"])
        .status()
        .unwrap();
}

#[test]
fn a_key_that_cannot_be_used_at_the_start() {
    let hsm = HsmBench::new("");
    let refused = |status| {
        let output = hsm.command("serve").output().unwrap();
        failed(&output, status, "serial-key-failed");
        String::from_utf8(output.stderr).unwrap()
    };
    // A token locks itself after a few wrong PINs, and systemd must not try again.
    hsm.bench.write("pin", b"999999");
    assert!(refused(1).contains("[pkcs11-pin-wrong]"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let unit = fs::read_to_string(root.join("packaging/systemd/model-service.service")).unwrap();
    let mut not_restarted = unit
        .lines()
        .filter_map(|line| line.strip_prefix("RestartPreventExitStatus="));
    assert!(not_restarted.any(|statuses| statuses.split(' ').any(|status| status == "1")));
    hsm.bench.write("pin", common::hsm::PIN.as_bytes());
    hsm.remove();
    refused(3);
    hsm.put_back();
    drop(hsm.serve());
    // Nobody can type the PIN of a service.
    let settings = fs::read_to_string(hsm.bench.path("settings.toml")).unwrap();
    let pin = format!("&pin-source=file:{}", hsm.bench.path("pin").display());
    hsm.bench
        .write("settings.toml", settings.replace(&pin, "").as_bytes());
    assert!(refused(3).contains("[pin-missing]"));
    let key = format!(
        "{{ pkcs11 = \"pkcs11:token=brand?module-path={}\", pin-file = \"pin\" }}",
        common::hsm::MODULE
    );
    hsm.bench.write("settings.toml", settings.as_bytes());
    hsm.bench.set_serial_key(&key);
    drop(hsm.serve());
}

/// A token locks itself after a few wrong PINs.
#[test]
fn a_wrong_pin_is_not_tried_again() {
    let hsm = HsmBench::new("");
    let devices = import(&hsm.bench, 1);
    let mut command = hsm.command("serve");
    let mut service = common::serve_by(
        command
            .env("RUST_LOG", "info")
            .stderr(std::process::Stdio::piped()),
    );
    let mut log = common::LogLines::of(&mut service);
    hsm.bench.write("pin", b"999999");
    for pid in signing_processes(&service) {
        kill(Pid::from_raw(pid as i32), Signal::SIGKILL).unwrap();
    }
    devices[0]
        .register(&service, "SN-0")
        .refused(503, "serial-key-unavailable");
    log.wait_for("pkcs11-pin-wrong");
    hsm.bench.write("pin", common::hsm::PIN.as_bytes());
    // SIGHUP opens it again.
    kill(Pid::from_raw(service.child.id() as i32), Signal::SIGHUP).unwrap();
    log.wait_for("the settings were read again");
    registers(&service, &devices[0]);
    let wrong = log.seen().iter().filter(|line| line.contains("pkcs11-pin-wrong"));
    assert!(wrong.count() <= 2);
}
