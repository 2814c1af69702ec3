//! A factory line: a station that runs, and the devices that come to it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value;

use crate::common::program;
use crate::device::{Ca, LineDevice};
use crate::station::Station;
use crate::{json, succeeded};

pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// The password of the page.
pub(crate) const PASSWORD: &str = "password-0123456789abcdef";

/// The values that the settings of a device would have.
pub(crate) const HEADERS: [&str; 6] = [
    "--issuer-id",
    "example-issuer",
    "--manufacturer",
    "Acme",
    "--hardware-name",
    "example-box",
];

/// What the station demands of them.
pub(crate) const LINE_HEADERS: [&str; 4] =
    ["--issuer-id", "example-issuer", "--hardware-name", "example-box"];

/// The files of a line. The station of the batch tests has its directories and keys.
pub(crate) struct FactoryLine {
    pub(crate) files: Station,
}

/// `station serve`, until it is killed.
pub(crate) struct RunningStation {
    pub(crate) child: Child,
    stdout: BufReader<ChildStdout>,
    pub(crate) address: String,
    pub(crate) pin: String,
}

impl FactoryLine {
    /// A line whose station trusts this CA.
    pub(crate) fn new(ca: &Ca) -> Self {
        FactoryLine::of(Station::new(ca))
    }

    /// A line whose station has no roots.
    pub(crate) fn without_roots() -> Self {
        FactoryLine::of(Station::without_roots())
    }

    fn of(files: Station) -> Self {
        for (name, secret) in [("token", TOKEN), ("password", PASSWORD)] {
            let file = files.path(name);
            fs::write(&file, format!("{secret}\n")).unwrap();
            fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
        }
        FactoryLine { files }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.files.path(name)
    }

    /// The command line of a station that signs at once.
    pub(crate) fn signing<'a>(further: &[&'a str]) -> Vec<&'a str> {
        let signing = [
            "--batch",
            "batch",
            "--key",
            "issuer.pem",
            "--output",
            "signed.assert",
            "--ledger",
            "ledger.jsonl",
        ];
        [&signing, &LINE_HEADERS[..], further].concat()
    }

    /// Starts a station on a port that the system chooses.
    pub(crate) fn serve(&self, arguments: &[&str]) -> RunningStation {
        self.serve_on("127.0.0.1:0", arguments)
    }

    pub(crate) fn serve_on(&self, address: &str, arguments: &[&str]) -> RunningStation {
        let mut child = self.command(&["station", "serve", "--listen", address, "--token-file", "token"]);
        let child = child.args(arguments).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = child.spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = |start: &str| {
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            let value = line.trim().strip_prefix(start);
            value.unwrap_or_else(|| panic!("{start}: {line:?}")).to_owned()
        };
        let (address, pin) = (line("listening on "), line("pin "));
        RunningStation {
            child,
            stdout,
            address: address.trim_end_matches('/').to_owned(),
            pin,
        }
    }

    /// Starts a station that fails.
    pub(crate) fn not_served(&self, arguments: &[&str]) -> Output {
        let mut serve = self.command(&[
            "station",
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--token-file",
            "token",
        ]);
        serve.args(arguments).output().unwrap()
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("hardware-identity"));
        command
            .current_dir(self.path(""))
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap());
        command
    }

    /// Runs a shell script in the directory of the line.
    pub(crate) fn shell(&self, script: &str) {
        succeeded(&self.files.shell(script, &[]));
    }

    pub(crate) fn lot(&self) -> Value {
        let lot = self.files.tool(&["station", "lot", "--json", "--batch", "batch"]);
        succeeded(&lot);
        json(&lot)
    }

    /// The hardware ids and codes of the failures in the lot.
    pub(crate) fn failures(&self) -> Vec<(String, String)> {
        let lot = self.lot();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let failed = lot["failed"].as_array().unwrap().iter();
        failed
            .map(|failure| (text(&failure["hardware-id"]), text(&failure["code"])))
            .collect()
    }

    /// The command line of a device that comes to the station.
    pub(crate) fn prove(&self, station: &RunningStation, device: &LineDevice, further: &[&str]) -> Output {
        let token = self.path("token");
        self.prove_with(device, &station.address, &station.pin, &token, further)
    }

    pub(crate) fn prove_with(
        &self,
        device: &LineDevice,
        address: &str,
        pin: &str,
        token: &Path,
        further: &[&str],
    ) -> Output {
        let station = ["prove", "--json", "--station", address, "--pin", pin];
        let token = [
            "--token-file",
            token.to_str().unwrap(),
            "--hardware-id",
            &device.id,
        ];
        device.tool(&[&station[..], &token, &HEADERS, further].concat())
    }

    /// A CSV list of the endorsement keys of these devices.
    pub(crate) fn list(&self, devices: &[LineDevice]) {
        let mut list = String::from("ek,hardware-id\n");
        for device in devices {
            self.files.export(device, &[]);
            let evidence = self.files.json(&format!("exports/{}.evidence.json", device.id));
            list += &format!("{},{}\n", crate::outsiders::ek_digest(&evidence), device.id);
        }
        fs::write(self.path("list.csv"), list).unwrap();
    }
}

impl RunningStation {
    /// Kills the station, which cannot finish anything.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// In KiB.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        peak.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Ends the station with SIGTERM. Returns what else it printed.
    pub(crate) fn terminate(mut self) -> String {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &id])
                .status()
                .unwrap()
                .success()
        );
        assert!(self.child.wait().unwrap().success());
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        rest
    }
}

impl Drop for RunningStation {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
