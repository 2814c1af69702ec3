//! A TPM that hangs: the deadline ends the run with an error that names the command, and leaves
//! nothing incomplete.

#![allow(clippy::unwrap_used)]

mod common;

use std::env;
use std::fs;
use std::io::{Read as _, Write as _};
use std::iter;
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{self, Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use common::line::Line;
use common::{Expect as _, HOOKS, World, assert_line};
use hardware_identity::config::Settings;
use hardware_identity::identity::{self, RecordDirectory};
use hardware_identity::retry::RetryBudget;
use hardware_identity::tpm::TpmDeadline;
use testbed::{Command as TpmCommand, Fault, Gate, When};

/// The limit of the runs here, which are ended by it.
const LIMIT: Duration = Duration::from_millis(300);

/// What a stub of a TPM does.
#[derive(Clone, Copy)]
enum Stub {
    /// It accepts connections and never answers.
    Mute,
    /// Its control port works, and commands get no answer.
    NoResponse,
    /// Its control port works, and each answer comes a byte at a time, without an end.
    SlowResponse,
}

/// A stub of a TPM. Dropping it closes its connections.
struct StubTpm {
    port: u16,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl StubTpm {
    fn start(stub: Stub) -> Self {
        let (commands, control) = consecutive_ports();
        let port = commands.local_addr().unwrap().port();
        let connections = Arc::default();
        let respond: fn(TcpStream) = match stub {
            Stub::Mute | Stub::NoResponse => ignore,
            Stub::SlowResponse => respond_slowly,
        };
        let control_port: fn(TcpStream) = match stub {
            Stub::Mute => ignore,
            Stub::NoResponse | Stub::SlowResponse => acknowledge,
        };
        serve(commands, &connections, respond);
        serve(control, &connections, control_port);
        StubTpm { port, connections }
    }

    /// tpm2-tss waits in both for the first byte of a response; in `mssim` not for the others.
    fn tcti(&self, name: &str) -> String {
        format!("{name}:host=127.0.0.1,port={}", self.port)
    }
}

impl Drop for StubTpm {
    fn drop(&mut self) {
        for connection in self.connections.lock().unwrap().iter() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

/// The second is for control.
fn consecutive_ports() -> (TcpListener, TcpListener) {
    let listen = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    loop {
        let first = listen(0).unwrap();
        let next = first.local_addr().unwrap().port().checked_add(1);
        if let Some(Ok(second)) = next.map(listen) {
            return (first, second);
        }
    }
}

fn serve(listener: TcpListener, connections: &Arc<Mutex<Vec<TcpStream>>>, work: fn(TcpStream)) {
    let connections = Arc::clone(connections);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            connections.lock().unwrap().push(stream.try_clone().unwrap());
            thread::spawn(move || work(stream));
        }
    });
}

fn ignore(mut stream: TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

/// Each request is one write, and the answer to it four zeros.
fn acknowledge(mut stream: TcpStream) {
    let mut request = [0; 64];
    while matches!(stream.read(&mut request), Ok(1..)) && stream.write_all(&[0; 4]).is_ok() {}
}

fn respond_slowly(mut stream: TcpStream) {
    let _ = stream.read_exact(&mut [0]);
    // The head of a response that is never complete: TPM_ST_NO_SESSIONS, the size, success.
    let head = [0x80, 0x01, 0, 0, 0x0f, 0xff, 0, 0, 0, 0];
    for byte in head.into_iter().chain(iter::repeat(0)) {
        if stream.write_all(&[byte]).is_err() {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

const TCTI: &str = "TEST_TCTI";
const RECORDS: &str = "TEST_RECORDS";

/// The program of the tests below: a run with a short deadline. It does nothing by itself.
#[test]
#[ignore = "started by other tests"]
fn a_run_with_a_short_deadline() {
    let (Ok(tcti), Some(records)) = (env::var(TCTI), env::var_os(RECORDS)) else {
        return;
    };
    let deadline = TpmDeadline::new(LIMIT, |error| {
        failure::report("a-run", &error);
        process::exit(1);
    });
    let mut budget = RetryBudget::new(Duration::ZERO).with_deadline(deadline);
    let settings = Settings::read(None, None, Some(&tcti)).0;
    let records = RecordDirectory::new(Path::new(&records), None);
    let outcome = identity::ensure(&settings.identity(), &mut budget, &records);
    eprintln!("ended without the deadline: {outcome:?}");
}

fn run(tcti: &str, records: &Path) -> Output {
    let this_program = env::current_exe().unwrap();
    let mut command = Command::new(this_program);
    command.args([
        "--exact",
        "--ignored",
        "--nocapture",
        "a_run_with_a_short_deadline",
    ]);
    command
        .env(TCTI, tcti)
        .env(RECORDS, records)
        .env("TSS2_LOG", "all+NONE");
    command.output().unwrap()
}

/// The run ends with status 1, an error that names `command`, and nothing in its directory.
fn check_timeout(tcti: &str, command: &str) {
    let records = tempfile::tempdir().unwrap();
    let output = run(tcti, records.path());
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_line(
        stderr.lines().last().unwrap(),
        "tpm-timeout",
        &["a-run: ", command],
    );
    assert_eq!(fs::read_dir(records.path()).unwrap().count(), 0);
}

#[test]
fn a_network_tpm_that_never_answers_ends_the_run() {
    for name in ["mssim", "swtpm"] {
        check_timeout(
            &StubTpm::start(Stub::Mute).tcti(name),
            "the start of the connection",
        );
        check_timeout(&StubTpm::start(Stub::NoResponse).tcti(name), "TPM2_ReadPublic");
    }
}

#[test]
fn a_network_tpm_that_answers_a_byte_at_a_time_ends_the_run() {
    check_timeout(
        &StubTpm::start(Stub::SlowResponse).tcti("swtpm"),
        "TPM2_ReadPublic",
    );
}

#[test]
fn a_command_that_hangs_is_named_and_a_later_run_works() {
    for (command, name) in [
        (TpmCommand::CreatePrimary, "TPM2_CreatePrimary"),
        (TpmCommand::EvictControl, "TPM2_EvictControl"),
        (TpmCommand::FlushContext, "TPM2_FlushContext"),
    ] {
        let world = World::unprepared();
        let gate = Gate::new();
        world.tpm.fail(command, When::Always, Fault::Hold(gate.clone()));
        check_timeout(&world.tpm.tcti(), name);
        gate.release();
        world.tpm.clear_faults();
        world.both_work();
    }
}

/// The limits of the programs, as they are delivered.
#[test]
#[ignore = "takes eight minutes"]
fn hooks_and_tool_end_before_snapd_kills_them() {
    let tpm = StubTpm::start(Stub::NoResponse);
    let error = |outcome: testbed::HookOutcome| outcome.failed("tpm-timeout", &["TPM2_ReadPublic"]);
    thread::scope(|scope| {
        for hook in HOOKS {
            let tpm = &tpm;
            scope.spawn(move || {
                let world = World::unprepared();
                error(world.hook(hook).env("TCTI", tpm.tcti("swtpm")).run().unwrap());
                assert!(world.body().is_none() && !world.record_file().exists());
            });
        }
        scope.spawn(|| {
            let line = Line::new("console", "poweroff");
            error(line.hook().env("TCTI", tpm.tcti("swtpm")).run().unwrap());
            assert_eq!(line.shutdown(), None);
        });
        scope.spawn(|| {
            // Without the factory flag it is a warning.
            let line = Line::with_settings("");
            line.boot("install", false);
            let outcome = line.hook().env("TCTI", tpm.tcti("swtpm")).run().unwrap();
            outcome.warned(&["tpm-timeout"]);
        });
        scope.spawn(|| {
            let mut tool = Command::new(common::program("hardware-identity"));
            let output = tool.arg("show").env("TCTI", tpm.tcti("swtpm")).output().unwrap();
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(3), "{stderr}");
            assert_line(&stderr, "tpm-timeout", &["TPM2_ReadPublic"]);
        });
    });
}
