//! Devices that are proven over pipes.

use std::process::{Command, Output, Stdio};
use std::thread;

use crate::common::program;
use crate::device::{Ca, LineDevice};
use crate::line::{FactoryLine, HEADERS};
use crate::station::verified;
use crate::{failed, json, stderr, succeeded};

impl FactoryLine {
    /// `station pipe` with this command.
    fn pipe(&self, arguments: &[&str], command: &[String]) -> Output {
        let mut pipe = self.command(&["station", "pipe", "--json"]);
        pipe.args(arguments).arg("--").args(command).output().unwrap()
    }
}

/// The command that proves the device, as ssh would start it.
fn prove(device: &LineDevice) -> Vec<String> {
    let tool = program("hardware-identity").to_str().unwrap().to_owned();
    let variables = device.environment();
    let arguments = ["prove", "--stdio", "--hardware-id", &device.id].map(str::to_owned);
    let headers = HEADERS.map(str::to_owned);
    [&["env".to_owned()], &variables[..], &[tool], &arguments, &headers].concat()
}

#[test]
fn devices_are_proven_over_pipes_at_the_same_time() {
    let ca = Ca::new();
    let devices = ["SN-1", "SN-2", "SN-3"].map(|id| LineDevice::new(&ca, id));
    let line = FactoryLine::new(&ca);
    let arguments = FactoryLine::signing(&["--ek-roots", "roots"]);
    // The first one makes the batch.
    let first = line.pipe(&arguments, &prove(&devices[0]));
    succeeded(&first);
    thread::scope(|scope| {
        let visits: Vec<_> = devices[1..]
            .iter()
            .map(|device| scope.spawn(|| line.pipe(&arguments, &prove(device))))
            .collect();
        visits
            .into_iter()
            .for_each(|visit| succeeded(&visit.join().unwrap()));
    });
    assert_eq!(json(&line.pipe(&arguments, &prove(&devices[0]))), json(&first));
    assert_eq!(verified(&line.path("signed.assert")), 3);
    assert_eq!(line.files.ledger("ledger.jsonl").len(), 3);

    let mut other = LineDevice::uncertified("SN-4");
    failed(&line.pipe(&arguments, &prove(&other)), 1, "ek-unproven");
    other.id = "SN-4 ".to_owned();
    failed(
        &line.pipe(&arguments, &prove(&other)),
        3,
        "hardware-id-outer-space",
    );
    let failures = line.failures();
    assert!(
        failures.contains(&("SN-4".to_owned(), "ek-unproven".to_owned())),
        "{failures:?}"
    );
    assert!(
        failures.contains(&(String::new(), "hardware-id-outer-space".to_owned())),
        "{failures:?}"
    );
}

#[test]
fn a_device_and_a_station_on_the_two_ends_of_a_pipe() {
    let ca = Ca::new();
    let device = LineDevice::new(&ca, "SN-1");
    let line = FactoryLine::new(&ca);
    let mut station = line.command(&["station", "pipe", "--json"]);
    let mut station = station
        .args([
            "--batch",
            "batch",
            "--ek-roots",
            "roots",
            "--collect",
            "collected",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let command = prove(&device);
    let ended = Command::new(&command[0])
        .args(&command[1..])
        .stdin(station.stdout.take().unwrap())
        .stdout(station.stdin.take().unwrap())
        .output()
        .unwrap();
    succeeded(&ended);
    let station = station.wait_with_output().unwrap();
    succeeded(&station);
    assert!(stderr(&station).contains("\"collected\""), "{}", stderr(&station));
    assert_eq!(line.files.files("collected").len(), 4);
}

#[test]
fn commands_that_are_no_device() {
    let ca = Ca::new();
    let device = LineDevice::new(&ca, "SN-1");
    let line = FactoryLine::new(&ca);
    let arguments = FactoryLine::signing(&["--ek-roots", "roots", "--time-limit", "2"]);
    for (script, status, code) in [
        ("true", 4, "device-ended"),
        // The shell itself waits, so that it is killed with its pipe.
        ("exec sleep 1000", 4, "device-too-slow"),
        ("exec tr '\\0' x </dev/zero", 4, "pipe-broken"),
        ("echo '{}'; cat", 1, "station-request-malformed"),
        ("echo 'Welcome!'; cat", 1, "station-request-malformed"),
        (
            "echo '{\"code\":\"tpm-missing\",\"cause\":\"c\",\"advice\":\"a\"}'",
            3,
            "tpm-missing",
        ),
    ] {
        let command = ["sh", "-c", script].map(str::to_owned);
        failed(&line.pipe(&arguments, &command), status, code);
    }
    // A device that ends after its first request.
    let ended = ["sh", "-c", "\"$@\" | head -n 1", "sh"].map(str::to_owned);
    let arguments = FactoryLine::signing(&["--ek-roots", "roots"]);
    let ended = line.pipe(&arguments, &[&ended[..], &prove(&device)].concat());
    failed(&ended, 4, "device-ended");
    let failures = line.failures();
    for failure in [("", "tpm-missing"), ("SN-1", "device-ended")] {
        let (id, code) = failure;
        assert!(
            failures.contains(&(id.to_owned(), code.to_owned())),
            "{failures:?}"
        );
    }
    failed(
        &line.pipe(&arguments, &["/nonexistent".to_owned()]),
        1,
        "pipe-command-missing",
    );
}

#[test]
fn stations_that_are_none() {
    let device = LineDevice::uncertified("SN-1");
    for (input, code) in [
        ("", "station-ended"),
        ("{}\n", "station-response-invalid"),
        (
            "{\"code\":\"ek-unproven\",\"cause\":\"c\",\"advice\":\"a\"}\n",
            "ek-unproven",
        ),
        ("{", "station-pipe-broken"),
    ] {
        let script = "printf %s \"$INPUT\" | \"$@\"";
        let mut shell = Command::new("sh");
        shell
            .args(["-c", script, "sh"])
            .args(prove(&device))
            .env("INPUT", input);
        let status = if code == "ek-unproven" { 1 } else { 4 };
        failed(&shell.output().unwrap(), status, code);
    }
}
