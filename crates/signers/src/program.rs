//! Runs of another program that holds a key, with bounded time and output.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use miette::Diagnostic;
use thiserror::Error;

/// Far above any key, signature or list of keys.
const LARGEST_OUTPUT: u64 = 1024 * 1024;
/// An error shows the end of what the program wrote to stderr, where programs say why they failed.
const LONGEST_MESSAGE: usize = 600;
/// First pause between two checks if the program has ended; its output has ended before.
const FIRST_PAUSE: Duration = Duration::from_micros(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// Why a run of GnuPG or of a key manager gave no result.
#[derive(Debug, Error, Diagnostic)]
pub enum ProgramError {
    /// The program cannot be started.
    #[error("cannot start `{call}`: {reason}")]
    #[diagnostic(code("signer-program-not-started"), help("{advice}"))]
    NotStarted {
        /// The command line.
        call: String,
        /// What the system said.
        reason: io::Error,
        /// What to check.
        advice: String,
    },
    /// The program reported a failure.
    #[error("`{call}` failed ({status}): {message}")]
    #[diagnostic(code("signer-program-failed"), help("{advice}"))]
    Failed {
        /// The command line.
        call: String,
        /// The exit status.
        status: ExitStatus,
        /// The end of what it wrote to stderr.
        message: String,
        /// What to check.
        advice: String,
    },
    /// The program wrote more than any signer needs to.
    #[error("`{call}` wrote more than 1 MiB")]
    #[diagnostic(code("signer-program-output-too-large"), help("{advice}"))]
    TooMuchOutput {
        /// The command line.
        call: String,
        /// What to check.
        advice: String,
    },
    /// Its output or its exit status cannot be read.
    #[error("cannot read the result of `{call}`: {reason}")]
    #[diagnostic(code("signer-program-unreadable"), help("{advice}"))]
    Unreadable {
        /// The command line.
        call: String,
        /// What the system said.
        reason: io::Error,
        /// What to check.
        advice: String,
    },
    /// The program took too long.
    #[error("`{call}` did not end within {} s and was stopped", limit.as_secs())]
    #[diagnostic(
        code("signer-program-timeout"),
        help("Check what the program waits for, or raise the time limit (the tool: --signer-timeout)")
    )]
    TimedOut {
        /// The command line.
        call: String,
        /// The time limit.
        limit: Duration,
    },
}

/// A program and how it is run.
///
/// It stays in the process group of this process: it may have to ask for a passphrase on the
/// terminal, and Ctrl-C has to reach it.
pub(crate) struct SignerProgram {
    pub(crate) name: OsString,
    pub(crate) environment: Vec<(&'static str, OsString)>,
    pub(crate) time_limit: Duration,
    /// What to check when it fails.
    pub(crate) advice: String,
}

impl SignerProgram {
    /// Runs the program with `input` on its stdin and returns what it wrote to stdout.
    pub(crate) fn run(&self, arguments: &[&OsStr], input: &[u8]) -> Result<Vec<u8>, ProgramError> {
        let call = self.call(arguments);
        let advice = self.advice.clone();
        let stdin = match input.is_empty() {
            true => Stdio::null(),
            false => Stdio::piped(),
        };
        let started = Command::new(&self.name)
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = match started {
            Ok(child) => child,
            Err(reason) => return Err(ProgramError::NotStarted { call, reason, advice }),
        };
        let ended = finish(&mut child, input, self.time_limit);
        if !matches!(ended, Ok(Ended::Exited(_))) {
            let _ = child.kill();
            let _ = child.wait();
        }
        match ended {
            Ok(Ended::Exited(output)) if output.status.success() => Ok(output.stdout),
            Ok(Ended::Exited(Output { status, stderr, .. })) => Err(ProgramError::Failed {
                call,
                status,
                message: message(&stderr),
                advice,
            }),
            Ok(Ended::TooMuchOutput) => Err(ProgramError::TooMuchOutput { call, advice }),
            Ok(Ended::TimedOut) => Err(ProgramError::TimedOut {
                call,
                limit: self.time_limit,
            }),
            Err(reason) => Err(ProgramError::Unreadable { call, reason, advice }),
        }
    }

    fn call(&self, arguments: &[&OsStr]) -> String {
        let words = [self.name.as_os_str()]
            .into_iter()
            .chain(arguments.iter().copied());
        let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
        words.join(" ")
    }
}

/// The end of a program's output, on one line.
pub(crate) fn message(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let words: Vec<&str> = text
        .split(|character: char| character.is_whitespace() || character.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    let line = words.join(" ");
    let line = line.trim_end_matches('.');
    match line.char_indices().rev().nth(LONGEST_MESSAGE) {
        _ if line.is_empty() => "no message on stderr".to_owned(),
        None => line.to_owned(),
        Some((start, _)) => format!("…{}", &line[start..]),
    }
}

/// How a run ended.
enum Ended {
    Exited(Output),
    TooMuchOutput,
    TimedOut,
}

fn finish(child: &mut Child, input: &[u8], time_limit: Duration) -> io::Result<Ended> {
    let deadline = Instant::now() + time_limit;
    if let Some(stdin) = child.stdin.take() {
        write_aside(stdin, input.to_vec());
    }
    let stdout = child.stdout.take().map(read_aside);
    let stderr = child.stderr.take().map(read_aside);
    let Some(stdout) = received(stdout, deadline)? else {
        return Ok(Ended::TimedOut);
    };
    if stdout.len() as u64 > LARGEST_OUTPUT {
        return Ok(Ended::TooMuchOutput);
    }
    let Some(stderr) = received(stderr, deadline)? else {
        return Ok(Ended::TimedOut);
    };
    let mut pause = FIRST_PAUSE;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Ended::Exited(Output {
                status,
                stdout,
                stderr,
            }));
        }
        if Instant::now() >= deadline {
            return Ok(Ended::TimedOut);
        }
        thread::sleep(pause);
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

fn write_aside(mut stdin: ChildStdin, input: Vec<u8>) {
    thread::spawn(move || {
        // If the program does not read its input, the missing signature shows it.
        let _ = stdin.write_all(&input);
    });
}

fn read_aside(pipe: impl Read + Send + 'static) -> Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = pipe.take(LARGEST_OUTPUT + 1).read_to_end(&mut bytes);
        // The receiver is gone if the time was up.
        let _ = sender.send(read.map(|_| bytes));
    });
    receiver
}

fn received(pipe: Option<Receiver<io::Result<Vec<u8>>>>, deadline: Instant) -> io::Result<Option<Vec<u8>>> {
    let Some(pipe) = pipe else {
        return Ok(Some(Vec::new()));
    };
    let left = deadline.saturating_duration_since(Instant::now());
    match pipe.recv_timeout(left) {
        Ok(bytes) => bytes.map(Some),
        Err(RecvTimeoutError::Timeout) => Ok(None),
        Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("its output was lost")),
    }
}
