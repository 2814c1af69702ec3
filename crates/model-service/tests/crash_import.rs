//! Crashes during imports: all or nothing is stored, and the import can be repeated.
//!
//! Four crashes by default, 50 with `CAMPAIGN=full`, each at another moment.

#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::hint;
use std::io::{Read as _, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use common::campaign::{place, rounds, strike};
use common::device::Device;
use common::http::Request;
use common::parallel::{THREADS, parallel};
use common::{ASSERTIONS, Bench, PROGRAM, TOKEN, on_postgres};
use serde_json::json;

const COUNT: usize = 1500;
/// Bytes in each write.
const PIECE: usize = 4096;

/// The moment when an import is killed, as a fraction of the whole.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// This fraction of the stream was sent.
    Taken(f64),
    /// This fraction of the database was written.
    Written(f64),
}

/// Bytes in the files of the identities. They grow during a commit, and when the log is copied
/// into the database.
fn written(bench: &Bench) -> u64 {
    let files = ["database.identities.sqlite", "database.identities.sqlite-wal"];
    let length = |file: &&str| fs::metadata(bench.path(file)).map_or(0, |metadata| metadata.len());
    files.iter().map(length).sum()
}

/// Kills `process` at this moment while `import` runs, which sends the stream to its argument.
/// Returns the result of `import`.
fn disturb<T: Send>(
    bench: &Bench,
    (process, moment): (u32, Moment),
    (stream, whole): (&str, u64),
    import: impl FnOnce(&dyn Fn(&mut dyn Write)) -> T + Send,
) -> T {
    let end = match moment {
        Moment::Taken(part) => (stream.len() as f64 * part) as usize,
        Moment::Written(_) => stream.len(),
    };
    let hand_over = |to: &mut dyn Write| {
        // A killed process reads no more.
        let mut pieces = stream.as_bytes()[..end].chunks(PIECE);
        let _ = pieces.try_for_each(|piece| to.write_all(piece));
        if let Moment::Taken(_) = moment {
            strike(process);
        }
    };
    let done = AtomicBool::new(false);
    let before = written(bench);
    thread::scope(|scope| {
        let importing = scope.spawn(|| {
            let result = import(&hand_over);
            done.store(true, Ordering::Relaxed);
            result
        });
        if let Moment::Written(part) = moment {
            let enough = before + 1 + ((whole - before) as f64 * part) as u64;
            while written(bench) < enough && !done.load(Ordering::Relaxed) {
                hint::spin_loop();
            }
            strike(process);
        }
        importing.join().unwrap()
    })
}

/// Returns true if the command succeeded.
fn by_command(bench: &Bench, moment: Moment, stream: &str, whole: u64) -> bool {
    let mut child = Command::new(PROGRAM)
        .args(["import", "--config"])
        .arg(bench.path("settings.toml"))
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    disturb(bench, (child.id(), moment), (stream, whole), |hand_over| {
        hand_over(&mut stdin);
        drop(stdin);
        stdout.read_to_end(&mut Vec::new()).unwrap();
    });
    child.wait().unwrap().success()
}

/// Returns true if the service answered that everything is stored.
fn by_post(bench: &Bench, moment: Moment, stream: &str, whole: u64) -> bool {
    let mut service = bench.serve();
    let head = Request::post("/v1/hardware-identities", "")
        .header("content-type", ASSERTIONS)
        .header("authorization", &format!("Bearer {TOKEN}"))
        .announced(stream.len());
    let process = service.child.id();
    let answer = disturb(bench, (process, moment), (stream, whole), |hand_over| {
        let mut connection = TcpStream::connect(service.address).unwrap();
        connection.write_all(&head.bytes()).unwrap();
        hand_over(&mut connection);
        let mut answer = Vec::new();
        // A killed service may reset the connection.
        let _ = connection.read_to_end(&mut answer);
        String::from_utf8(answer).unwrap()
    });
    service.kill();
    answer.starts_with("HTTP/1.1 200") && answer.contains("\"stored\":true")
}

/// Checks that all or nothing is stored, and returns the number; a second import stores the rest,
/// and a third one nothing.
fn check(bench: &Bench, stream: &str, device: &Device) -> i64 {
    bench.is_sound();
    let left = bench.count("identities");
    assert!(left == 0 || left == COUNT as i64, "{left} of {COUNT} are there");
    let service = bench.serve();
    for (new, present) in [(COUNT as i64 - left, left), (0, COUNT as i64)] {
        let report = service.import(stream).json();
        assert_eq!(
            (&report["new"], &report["present"]),
            (&json!(new), &json!(present))
        );
        assert_eq!(bench.count("identities"), COUNT as i64);
    }
    device.accepts(&device.register(&service, "SN"));
    left
}

#[test]
fn during_an_import() {
    let devices: Vec<_> = (0..COUNT)
        .map(|index| Device::fresh(&format!("hw-{index}")))
        .collect();
    let stream = parallel(*THREADS, &devices, Device::identity).join("\n");
    let whole = {
        let bench = Bench::new();
        bench.import_text(&stream);
        // The content of the database was first in its log.
        2 * written(&bench)
    };
    let rounds = rounds(50, 4);
    let (mut unfinished, mut nothing) = (0, 0);
    for (round, device) in devices.iter().enumerate().take(rounds) {
        let bench = Bench::new();
        drop(bench.serve());
        // The files of PostgreSQL are not those of the bench.
        let moment = match on_postgres() || round % 4 < 2 {
            true => Moment::Taken(place(round)),
            false => Moment::Written(place(round)),
        };
        let import = if round % 2 == 0 { by_command } else { by_post };
        let done = import(&bench, moment, &stream, whole);
        let left = check(&bench, &stream, device);
        println!("{moment:?}: {left} of {COUNT} were there");
        assert!(left > 0 || !done, "{moment:?}: it was said that all was stored");
        unfinished += usize::from(!done);
        nothing += usize::from(left == 0);
    }
    println!("{unfinished} of {rounds} kills came before the end, {nothing} before all was stored");
    assert!(
        unfinished * 2 > rounds,
        "the kills come too late to show anything"
    );
}
