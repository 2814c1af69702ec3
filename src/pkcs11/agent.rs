//! The process for a module: does what the program that started it asks on stdin, until stdin ends.
//!
//! If that program is killed, this process ends what it does, and only then itself: a token that is
//! cut off while it stores a key can be damaged. Until then it holds the lock on the record too, so
//! that no other run makes a key.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::process::parent_id;
use std::process::{self, ExitCode};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use failure::Diagnostic;
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::setsid;
use rustix::stdio::{dup2_stdout, stderr, stdout};

use super::Pkcs11Error;
use super::message::{Answer, Opening, Task};
use super::token::{Token, TokenKey};

/// The lowest number of the copy of stdout.
const ABOVE_STDIO: i32 = 3;
/// The time between two looks at the process that started this one.
const LOOK: Duration = Duration::from_millis(500);

/// Answers until stdin ends.
pub(crate) fn run() -> ExitCode {
    match answer_all() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn answer_all() -> io::Result<()> {
    // What a module prints goes to stderr instead.
    let mut answers = File::from(fcntl_dupfd_cloexec(stdout(), ABOVE_STDIO)?);
    dup2_stdout(stderr())?;
    let mut lines = BufReader::new(io::stdin()).lines();
    let Some(first) = lines.next() else { return Ok(()) };
    let opening: Opening = serde_json::from_str(&first?)?;
    // A signal to the group of the other program does not end this one.
    let _ = setsid();
    end_with_parent(opening.parent, Duration::from_secs(opening.seconds));
    let mut opened = Token::open(&opening);
    let mut key = None;
    for line in lines {
        let task: Task = serde_json::from_str(&line?)?;
        let answer = match &mut opened {
            Ok(token) => perform(token, &mut key, task).unwrap_or_else(|error| failed(&error)),
            Err(error) => failed(error),
        };
        let mut line = serde_json::to_vec(&answer)?;
        line.push(b'\n');
        answers.write_all(&line)?;
    }
    Ok(())
}

/// Ends this process some time after the one that started it, whatever the module does.
fn end_with_parent(parent: u32, limit: Duration) {
    thread::spawn(move || {
        while parent_id() == parent {
            thread::sleep(LOOK);
        }
        thread::sleep(limit);
        process::exit(1);
    });
}

fn perform(token: &Token, key: &mut Option<TokenKey>, task: Task) -> Result<Answer, Pkcs11Error> {
    match task {
        Task::CheckLabel(label) => token.check_label(&label)?,
        Task::Find(address) => {
            *key = token.find(&address)?;
        }
        Task::Make { key: address, kind } => {
            // The names of kinds are those of this program.
            let kind = kind.parse().unwrap_or_default();
            *key = Some(token.make(&address, kind)?);
        }
        Task::Sign { digest } => {
            let digest = STANDARD.decode(digest).unwrap_or_default();
            if let Some(key) = key {
                return Ok(Answer::Signed(STANDARD.encode(token.sign(key, &digest)?)));
            }
        }
    }
    Ok(match key {
        Some(key) => Answer::Found(token.describe(key)),
        None => Answer::NotFound {
            token: token.label().to_owned(),
        },
    })
}

fn failed(error: &Pkcs11Error) -> Answer {
    let error: &dyn Diagnostic = error;
    Answer::Failed {
        code: failure::code(error),
        cause: error.to_string(),
        advice: failure::advice(error),
    }
}
