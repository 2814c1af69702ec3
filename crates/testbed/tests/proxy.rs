//! The proxy of the software TPM: several users, counts, faults and gates.

#![allow(clippy::unwrap_used)] // also in helper functions of tests

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use testbed::{Command, Fault, Gate, TestTpm, When};

/// A time limit that only a hanging test reaches.
const LIMIT: Duration = Duration::from_secs(30);

const GET_RANDOM: u32 = 0x17B;
const CREATE_PRIMARY: u32 = 0x131;

/// TPM2_GetRandom of 8 bytes.
const RANDOM: [u8; 12] = [0x80, 0x01, 0, 0, 0, 12, 0, 0, 0x01, 0x7B, 0, 8];

/// TPM2_HashSequenceStart with SHA-256: the shortest command that makes a transient object.
const HASH_START: [u8; 14] = [0x80, 0x01, 0, 0, 0, 14, 0, 0, 0x01, 0x86, 0, 0, 0, 0x0B];

/// A user of the TPM that keeps one connection, as tpm2-tss's mssim TCTI does.
struct User(TcpStream);

impl User {
    fn connect(tpm: &TestTpm) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port(tpm))).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        User(stream)
    }

    fn send(&mut self, command: &[u8]) {
        let mut request = vec![0, 0, 0, 8, 0];
        request.extend((command.len() as u32).to_be_bytes());
        request.extend(command);
        self.0.write_all(&request).unwrap();
    }

    /// Returns the response, or `None` if the connection was closed.
    fn receive(&mut self) -> Option<Vec<u8>> {
        let mut size = [0; 4];
        self.0.read_exact(&mut size).ok()?;
        let mut response = vec![0; u32::from_be_bytes(size) as usize + 4];
        self.0.read_exact(&mut response).ok()?;
        response.truncate(response.len() - 4);
        Some(response)
    }

    fn ask(&mut self, command: &[u8]) -> Option<Vec<u8>> {
        self.send(command);
        self.receive()
    }

    fn ask_code(&mut self, command: &[u8]) -> Option<u32> {
        self.ask(command)
            .map(|response| u32::from_be_bytes(response[6..10].try_into().unwrap()))
    }
}

fn port(tpm: &TestTpm) -> u16 {
    tpm.tcti().rsplit_once('=').unwrap().1.parse().unwrap()
}

fn hash_start(user: &mut User) -> u32 {
    let response = user.ask(&HASH_START).unwrap();
    assert_eq!(response[6..10], [0; 4], "{response:?}");
    u32::from_be_bytes(response[10..14].try_into().unwrap())
}

#[test]
fn both_tctis_reach_the_same_tpm() {
    let tpm = TestTpm::new().unwrap();
    tpm.persist_foreign_key(0x8100_0001).unwrap();
    for tcti in [tpm.tcti(), tpm.swtpm_tcti()] {
        let handles = tpm
            .tpm2(&["tpm2_getcap", "-T", &tcti, "handles-persistent"])
            .unwrap();
        assert_eq!(handles.trim(), "- 0x81000001", "{tcti}");
    }
}

#[test]
fn both_tctis_serve_many_programs_concurrently() {
    let tpm = TestTpm::new().unwrap();
    let tctis = [tpm.tcti(), tpm.swtpm_tcti()];
    thread::scope(|scope| {
        for tcti in tctis.iter().cycle().take(12) {
            let tpm = &tpm;
            scope.spawn(move || tpm.tpm2(&["tpm2_getrandom", "-T", tcti, "--hex", "8"]).unwrap());
        }
    });
    assert_eq!(tpm.counts()[&GET_RANDOM], 12);
}

#[test]
fn concurrent_users_get_their_own_answers() {
    const ROUNDS: u32 = 50;
    let tpm = TestTpm::new().unwrap();
    thread::scope(|scope| {
        for size in 1..=8_u8 {
            let tpm = &tpm;
            scope.spawn(move || {
                let mut user = User::connect(tpm);
                let mut command = RANDOM;
                command[11] = size;
                for _ in 0..ROUNDS {
                    assert_eq!(user.ask(&command).unwrap().len(), 12 + usize::from(size));
                }
            });
        }
    });
    assert_eq!(tpm.counts()[&GET_RANDOM], 8 * u64::from(ROUNDS));
}

#[test]
fn objects_of_a_disconnected_user_are_flushed_and_no_others() {
    let tpm = TestTpm::new().unwrap();
    let (mut stays, mut leaves) = (User::connect(&tpm), User::connect(&tpm));
    let kept = hash_start(&mut stays);
    hash_start(&mut leaves);
    assert_eq!(tpm.transient_handles().unwrap().len(), 2);

    // The proxy closes its side after it has flushed everything.
    leaves.0.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(leaves.receive().is_none());
    assert_eq!(tpm.transient_handles().unwrap(), [kept]);

    drop(stays);
    tpm.wait_until_unused(LIMIT).unwrap();
    assert!(tpm.transient_handles().unwrap().is_empty());
    assert_eq!(
        tpm.counts().keys().copied().collect::<Vec<_>>(),
        [0x186],
        "the proxy's own flushes are not counted"
    );
}

#[test]
fn sessions_are_flushed_too() {
    let tpm = TestTpm::new().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("session");
    tpm.tpm2(&["tpm2_startauthsession", "-S", file.to_str().unwrap()])
        .unwrap();
    tpm.wait_until_unused(LIMIT).unwrap();
    let left = tpm.tpm2(&["tpm2_getcap", "handles-saved-session"]).unwrap();
    let loaded = tpm.tpm2(&["tpm2_getcap", "handles-loaded-session"]).unwrap();
    assert_eq!((left.as_str(), loaded.as_str()), ("", ""));
}

#[test]
fn a_handle_belongs_to_the_newest_user_that_created_it() {
    let tpm = TestTpm::new().unwrap();
    let (mut first, mut second) = (User::connect(&tpm), User::connect(&tpm));
    let handle = hash_start(&mut first);
    // The other user flushes it, so the TPM reuses the handle.
    let mut flush = vec![0x80, 0x01, 0, 0, 0, 14, 0, 0, 0x01, 0x65];
    flush.extend(handle.to_be_bytes());
    assert_eq!(second.ask_code(&flush), Some(0));
    assert_eq!(hash_start(&mut second), handle);

    first.0.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(first.receive().is_none());
    assert_eq!(tpm.transient_handles().unwrap(), [handle]);
}

#[test]
fn objects_of_a_swtpm_tcti_user_are_never_flushed() {
    let tpm = TestTpm::new().unwrap();
    let mut first = User::connect(&tpm);
    let handle = hash_start(&mut first);
    let mut flush = vec![0x80, 0x01, 0, 0, 0, 14, 0, 0, 0x01, 0x65];
    flush.extend(handle.to_be_bytes());
    assert_eq!(first.ask_code(&flush), Some(0));

    // The swtpm TCTI sends commands without the mssim framing.
    let mut other = TcpStream::connect((Ipv4Addr::LOCALHOST, port(&tpm))).unwrap();
    other.write_all(&HASH_START).unwrap();
    let mut response = [0; 14];
    other.read_exact(&mut response).unwrap();
    assert_eq!(response[10..], handle.to_be_bytes());

    drop((first, other));
    tpm.wait_until_unused(LIMIT).unwrap();
    assert_eq!(tpm.transient_handles().unwrap(), [handle]);
}

#[test]
fn without_a_resource_manager_nothing_is_flushed() {
    let tpm = TestTpm::new().unwrap();
    tpm.resource_manager(false);
    let handle = hash_start(&mut User::connect(&tpm));
    tpm.wait_until_unused(LIMIT).unwrap();
    assert_eq!(tpm.transient_handles().unwrap(), [handle]);
}

#[test]
fn commands_are_counted_by_code_until_a_reset() {
    let tpm = TestTpm::new().unwrap();
    let mut user = User::connect(&tpm);
    user.ask(&RANDOM).unwrap();
    user.ask(&RANDOM).unwrap();
    hash_start(&mut user);
    assert_eq!(
        tpm.counts().into_iter().collect::<Vec<_>>(),
        [(GET_RANDOM, 2), (0x186, 1)]
    );
    assert_eq!(tpm.total(), 3);
    // Operations of the test on the TPM are not counted.
    tpm.clear_by_platform().unwrap();
    assert_eq!(tpm.total(), 3);
    tpm.reset_counts();
    assert_eq!(tpm.total(), 0);
}

#[test]
fn faults_apply_to_the_selected_commands() {
    const RETRY: u32 = 0x922;
    let rows: [(Command, When, [u32; 4]); 7] = [
        (Command::GetRandom, When::Nth(1), [RETRY, 0, 0, 0]),
        (Command::GetRandom, When::Nth(3), [0, 0, RETRY, 0]),
        (Command::GetRandom, When::Next(2), [RETRY, RETRY, 0, 0]),
        (Command::GetRandom, When::Always, [RETRY; 4]),
        (Command::Any, When::Nth(2), [0, RETRY, 0, 0]),
        (Command::Code(GET_RANDOM), When::Nth(4), [0, 0, 0, RETRY]),
        (Command::CreatePrimary, When::Always, [0; 4]),
    ];
    let tpm = TestTpm::new().unwrap();
    let mut user = User::connect(&tpm);
    for (command, when, expected) in rows {
        tpm.fail(command, when, Fault::Respond(RETRY));
        let codes = [(); 4].map(|()| user.ask_code(&RANDOM).unwrap());
        assert_eq!(codes, expected, "{command:?} {when:?}");
        tpm.clear_faults();
    }
    assert_eq!(user.ask_code(&RANDOM), Some(0));
}

#[test]
fn the_first_of_two_faults_applies_and_both_count() {
    let tpm = TestTpm::new().unwrap();
    tpm.fail(Command::GetRandom, When::Nth(1), Fault::Respond(0x922));
    tpm.fail(Command::GetRandom, When::Next(2), Fault::Respond(0x920));
    let mut user = User::connect(&tpm);
    let codes = [(); 3].map(|()| user.ask_code(&RANDOM).unwrap());
    assert_eq!(codes, [0x922, 0x920, 0]);
}

#[test]
fn a_response_can_be_replaced_before_or_after_the_command_is_executed() {
    for (fault, objects) in [(Fault::Respond(0x101), 0), (Fault::RespondAfter(0x101), 1)] {
        let tpm = TestTpm::new().unwrap();
        tpm.fail(Command::Any, When::Always, fault.clone());
        let mut user = User::connect(&tpm);
        assert_eq!(user.ask_code(&HASH_START), Some(0x101));
        assert_eq!(tpm.transient_handles().unwrap().len(), objects, "{fault:?}");
    }
}

#[test]
fn a_connection_can_be_cut_before_or_after_the_command_is_executed() {
    for (fault, objects) in [(Fault::Cut, 0), (Fault::CutAfter, 1)] {
        let tpm = TestTpm::new().unwrap();
        tpm.resource_manager(false);
        tpm.fail(Command::Any, When::Nth(1), fault.clone());
        assert_eq!(User::connect(&tpm).ask(&HASH_START), None);
        assert_eq!(tpm.transient_handles().unwrap().len(), objects, "{fault:?}");
        assert_eq!(
            User::connect(&tpm).ask_code(&RANDOM),
            Some(0),
            "the next connection works"
        );
    }
}

#[test]
fn tpm2_tools_report_the_response_code_of_a_fault() {
    let tpm = TestTpm::new().unwrap();
    tpm.fail(Command::GetRandom, When::Always, Fault::Respond(0x101));
    for tcti in [tpm.tcti(), tpm.swtpm_tcti()] {
        let refusal = tpm
            .tpm2(&["tpm2_getrandom", "-T", &tcti, "8"])
            .unwrap_err()
            .to_string();
        assert!(refusal.to_lowercase().contains("0x101"), "{refusal}");
    }
    tpm.clear_faults();
    tpm.fail(Command::GetRandom, When::Always, Fault::Cut);
    for tcti in [tpm.tcti(), tpm.swtpm_tcti()] {
        let refusal = tpm
            .tpm2(&["tpm2_getrandom", "-T", &tcti, "8"])
            .unwrap_err()
            .to_string();
        assert!(refusal.to_lowercase().contains("0xa000a"), "{refusal}");
    }
}

#[test]
fn a_command_can_be_delayed() {
    let delay = Duration::from_millis(200);
    let tpm = TestTpm::new().unwrap();
    tpm.fail(Command::GetRandom, When::Nth(1), Fault::Delay(delay));
    let start = Instant::now();
    assert_eq!(User::connect(&tpm).ask_code(&RANDOM), Some(0));
    assert!(start.elapsed() >= delay);
}

#[test]
fn a_gate_holds_commands_before_or_after_they_are_executed() {
    type Held = fn(Gate) -> Fault;
    let rows: [(Held, usize); 2] = [(Fault::Hold, 0), (Fault::HoldAfter, 2)];
    for (held, objects) in rows {
        let tpm = TestTpm::new().unwrap();
        let gate = Gate::new();
        tpm.fail(Command::Code(0x186), When::Next(2), held(gate.clone()));
        let mut users = [User::connect(&tpm), User::connect(&tpm)];
        users.iter_mut().for_each(|user| user.send(&HASH_START));
        gate.wait_for(2, LIMIT).unwrap();
        assert_eq!(tpm.transient_handles().unwrap().len(), objects);
        // Other commands do not wait.
        assert_eq!(User::connect(&tpm).ask_code(&RANDOM), Some(0));

        gate.release();
        for user in &mut users {
            assert!(user.receive().is_some());
        }
        assert_eq!(tpm.transient_handles().unwrap().len(), 2);
    }
}

#[test]
fn a_gate_that_no_command_reaches_is_an_error() {
    let gate = Gate::new();
    assert!(gate.wait_for(1, Duration::from_millis(1)).is_err());
}

#[test]
fn a_released_gate_stays_open() {
    let tpm = TestTpm::new().unwrap();
    let gate = Gate::new();
    gate.release();
    tpm.fail(Command::Any, When::Always, Fault::Hold(gate));
    assert_eq!(User::connect(&tpm).ask_code(&RANDOM), Some(0));
}

#[test]
fn connections_can_be_refused() {
    let tpm = TestTpm::new().unwrap();
    tpm.refuse_connections(true);
    for tcti in [tpm.tcti(), tpm.swtpm_tcti()] {
        tpm.tpm2(&["tpm2_getrandom", "-T", &tcti, "8"]).unwrap_err();
    }
    tpm.wait_for_refused(2, LIMIT).unwrap();
    assert_eq!(tpm.total(), 0);
    tpm.refuse_connections(false);
    tpm.tpm2(&["tpm2_getrandom", "8"]).unwrap();
}

#[test]
fn connections_outlive_a_restart() {
    let tpm = TestTpm::new().unwrap();
    let mut user = User::connect(&tpm);
    hash_start(&mut user);
    tpm.restart().unwrap();
    assert_eq!(user.ask_code(&RANDOM), Some(0));
    assert!(tpm.transient_handles().unwrap().is_empty());
}

#[test]
fn dropping_the_tpm_closes_all_connections_even_those_at_a_gate() {
    let tpm = TestTpm::new().unwrap();
    let gate = Gate::new();
    tpm.fail(Command::Any, When::Always, Fault::Hold(gate.clone()));
    let (mut idle, mut held) = (User::connect(&tpm), User::connect(&tpm));
    held.send(&RANDOM);
    gate.wait_for(1, LIMIT).unwrap();
    drop(tpm);
    assert!(idle.receive().is_none());
    assert!(held.receive().is_none());

    // The gate is open now, so nothing waits there forever.
    let tpm = TestTpm::new().unwrap();
    tpm.fail(Command::Any, When::Always, Fault::Hold(gate));
    assert_eq!(User::connect(&tpm).ask_code(&RANDOM), Some(0));
}

#[test]
fn invalid_bytes_close_only_their_own_connection() {
    let tpm = TestTpm::new().unwrap();
    let mut good = User::connect(&tpm);
    let invalid: [&[u8]; 5] = [
        b"GET / HTTP/1.1\r\n",
        &[0x80, 0x01, 0, 0, 0, 9, 0, 0, 1, 0x7B],
        &[0x80, 0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 1, 0x7B],
        &[0, 0, 0, 8, 0, 0, 0, 0, 12, 0x80, 0x01, 0, 0, 0, 1, 0, 0, 1, 0x7B],
        &[0, 0, 0, 8, 3, 0, 0, 0, 12],
    ];
    for bytes in invalid {
        let mut bad = User::connect(&tpm);
        bad.0.write_all(bytes).unwrap();
        assert!(bad.receive().is_none(), "{bytes:?}");
    }
    assert_eq!(good.ask_code(&RANDOM), Some(0));
}

#[test]
fn concurrent_tpms_are_independent() {
    const TPMS: usize = 8;
    let (all_started, tpms) = (
        Barrier::new(TPMS),
        thread::scope(|scope| {
            let starts: Vec<_> = (0..TPMS).map(|_| scope.spawn(TestTpm::new)).collect();
            starts
                .into_iter()
                .map(|start| start.join().unwrap().unwrap())
                .collect::<Vec<_>>()
        }),
    );
    thread::scope(|scope| {
        for (tpm, requests) in tpms.iter().zip(1..) {
            let all_started = &all_started;
            scope.spawn(move || {
                all_started.wait();
                let mut user = User::connect(tpm);
                (0..requests).for_each(|_| assert_eq!(user.ask_code(&RANDOM), Some(0)));
            });
        }
    });
    for (tpm, requests) in tpms.iter().zip(1..) {
        assert_eq!(tpm.total(), requests);
    }
}

#[test]
fn a_key_that_a_tool_creates_is_flushed() {
    let tpm = TestTpm::new().unwrap();
    for _ in 0..4 {
        // The TPM has three slots for transient objects.
        tpm.tpm2(&[
            "tpm2_createprimary",
            "-Q",
            "-C",
            "e",
            "-G",
            "ecc",
            "-c",
            "/dev/null",
        ])
        .unwrap();
    }
    assert_eq!(tpm.counts()[&CREATE_PRIMARY], 4);
    tpm.wait_until_unused(LIMIT).unwrap();
    assert!(tpm.transient_handles().unwrap().is_empty());
}
