//! The process for a module: does what the program that started it asks on stdin, and ends with it.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use failure::Diagnostic;
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::stdio::{dup2_stdout, stderr, stdout};

use super::Pkcs11Error;
use super::message::{Answer, Opening, Task};
use super::token::{Token, TokenKey};

/// The lowest number of the copy of stdout.
const ABOVE_STDIO: i32 = 3;

/// Answers until stdin ends.
pub(crate) fn run() -> ExitCode {
    // The program that started this one holds the lock on the record: a key that is made after its
    // end could be a second one.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
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
