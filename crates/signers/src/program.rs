//! Asking another program that holds a key: one run, with bounded time and output.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};

/// Far above any key, signature or list of keys.
const LARGEST_OUTPUT: u64 = 1024 * 1024;
/// What an error shows of the program's own words: their end, where programs say why they failed.
const LONGEST_MESSAGE: usize = 600;
/// The first pause between looks whether the program has ended; its output has ended before.
const FIRST_PAUSE: Duration = Duration::from_micros(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// A program and how it is run. It stays in the process group of this tool: it may have to ask for a passphrase on the
/// terminal, and Ctrl-C has to reach it.
pub(crate) struct Program {
    pub(crate) name: OsString,
    pub(crate) environment: Vec<(&'static str, OsString)>,
    pub(crate) time_limit: Duration,
    /// What to do when it fails, as a sentence.
    pub(crate) advice: String,
}

impl Program {
    /// What it writes to stdout when `input` is on its stdin.
    pub(crate) fn run(&self, arguments: &[&OsStr], input: &[u8]) -> anyhow::Result<Vec<u8>> {
        let call = self.call(arguments);
        let advice = &self.advice;
        let mut child = Command::new(&self.name)
            .args(arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(if input.is_empty() {
                Stdio::null()
            } else {
                Stdio::piped()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|reason| anyhow!("`{call}` cannot be started: {reason}. {advice}"))?;
        let ended = finish(&mut child, input, self.time_limit);
        if !matches!(ended, Ok(Some(_))) {
            let _ = child.kill();
            let _ = child.wait();
        }
        let limit = self.time_limit.as_secs();
        match ended {
            Ok(Some(output)) if output.status.success() => Ok(output.stdout),
            Ok(Some(Output { status, stderr, .. })) => {
                bail!("`{call}` failed ({status}): {}. {advice}", message(&stderr))
            }
            Ok(None) => bail!(
                "`{call}` did not end within {limit} s and was stopped. Check what it waits for, or give it longer with \
                 --signer-timeout"
            ),
            Err(problem) => bail!("`{call}` went wrong: {problem}. {advice}"),
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

/// The end of what a program said, on one line.
pub(crate) fn message(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let words: Vec<&str> = text
        .split(|character: char| character.is_whitespace() || character.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    let line = words.join(" ");
    let line = line.trim_end_matches('.');
    match line.char_indices().rev().nth(LONGEST_MESSAGE) {
        _ if line.is_empty() => "it did not say why".to_owned(),
        None => line.to_owned(),
        Some((start, _)) => format!("…{}", &line[start..]),
    }
}

/// How it ended, and what it wrote; `None` where the time is up.
fn finish(child: &mut Child, input: &[u8], time_limit: Duration) -> io::Result<Option<Output>> {
    let deadline = Instant::now() + time_limit;
    if let Some(stdin) = child.stdin.take() {
        write_aside(stdin, input.to_vec());
    }
    let stdout = child.stdout.take().map(read_aside);
    let stderr = child.stderr.take().map(read_aside);
    let Some(stdout) = received(stdout, deadline)? else {
        return Ok(None);
    };
    if stdout.len() as u64 > LARGEST_OUTPUT {
        return Err(io::Error::other("it wrote more than 1 MiB"));
    }
    let Some(stderr) = received(stderr, deadline)? else {
        return Ok(None);
    };
    let mut pause = FIRST_PAUSE;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(Output {
                status,
                stdout,
                stderr,
            }));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(pause);
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

fn write_aside(mut stdin: ChildStdin, input: Vec<u8>) {
    thread::spawn(move || {
        // A program that does not read what it is to sign gives no signature of it: that is seen there.
        let _ = stdin.write_all(&input);
    });
}

fn read_aside(pipe: impl Read + Send + 'static) -> Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = pipe.take(LARGEST_OUTPUT + 1).read_to_end(&mut bytes);
        // The receiver is gone where the time was up: nobody wants the bytes then.
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
