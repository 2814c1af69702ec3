//! Runs snapctl, with limits for its time and its output.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::SnapctlError;

/// snapd answers from memory; a call that takes longer will not be answered.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(30);
/// Bytes. Far above any configuration; keeps a broken snapctl from filling the memory.
const LARGEST_OUTPUT: usize = 1024 * 1024;
/// Characters of snapctl's error message that a [`SnapctlError`] has; snapd keeps 10 KiB of the output
/// of a hook.
const LONGEST_MESSAGE: usize = 1000;
/// The first pause between checks whether it has ended. Its output has ended by then, so it rarely
/// takes longer.
const FIRST_STEP: Duration = Duration::from_micros(50);
/// The longest pause. A program that closes its output and goes on is killed no later than this after
/// the limit.
const LONGEST_STEP: Duration = Duration::from_millis(50);

/// Runs snapctl. Returns the command for messages, and the output.
pub(super) fn call(arguments: &[&str]) -> Result<(String, Vec<u8>), SnapctlError> {
    let command = command_without_values(arguments);
    let mut child = Command::new("snapctl")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|reason| SnapctlError::NotStarted {
            command: command.clone(),
            reason,
        })?;
    let outcome = wait(&mut child);
    if !matches!(outcome, Ok(Some(_))) {
        let _ = child.kill();
        let _ = child.wait();
    }
    match outcome {
        Ok(Some(output)) if output.status.success() => Ok((command, output.stdout)),
        Ok(Some(output)) => {
            let message = String::from_utf8_lossy(&output.stderr);
            Err(SnapctlError::Failed {
                command,
                status: output.status,
                message: message.trim().chars().take(LONGEST_MESSAGE).collect(),
            })
        }
        Ok(None) => Err(SnapctlError::TimedOut { command }),
        Err(problem) => Err(SnapctlError::UnexpectedOutput {
            command,
            problem: problem.to_string(),
        }),
    }
}

fn command_without_values(arguments: &[&str]) -> String {
    let keys = arguments
        .iter()
        .map(|argument| argument.split_once('=').map_or(*argument, |(key, _)| key));
    ["snapctl"].into_iter().chain(keys).collect::<Vec<_>>().join(" ")
}

/// Waits until it ends, and collects its output; `None` if it does not end in time.
fn wait(child: &mut Child) -> io::Result<Option<Output>> {
    let deadline = Instant::now() + TIME_LIMIT;
    let mut stdout = Pipe::new(child.stdout.take().map(OwnedFd::from));
    let mut stderr = Pipe::new(child.stderr.take().map(OwnedFd::from));
    while stdout.is_open() || stderr.is_open() {
        if !wait_for_output(&[&stdout, &stderr], deadline)? {
            return Ok(None);
        }
        stdout.read_available()?;
        stderr.read_available()?;
    }
    let mut step = FIRST_STEP;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(Output {
                status,
                stdout: stdout.bytes,
                stderr: stderr.bytes,
            }));
        }
        if Instant::now() >= deadline {
            return Ok(None);
        }
        thread::sleep(step);
        step = (step * 2).min(LONGEST_STEP);
    }
}

/// Waits until a pipe has data or its end. Returns false if the deadline passes.
fn wait_for_output(pipes: &[&Pipe], deadline: Instant) -> io::Result<bool> {
    let left = deadline.saturating_duration_since(Instant::now());
    let limit = Timespec::try_from(left).map_err(io::Error::other)?;
    let mut pending: Vec<PollFd<'_>> = pipes
        .iter()
        .filter_map(|pipe| pipe.file.as_ref())
        .map(|file| PollFd::new(file, PollFlags::IN))
        .collect();
    match poll(&mut pending, Some(&limit)) {
        Err(Errno::INTR) => Ok(true),
        ready => Ok(ready? > 0),
    }
}

/// The reading end of one of the program's outputs, and the data that was read.
struct Pipe {
    file: Option<File>,
    bytes: Vec<u8>,
}

impl Pipe {
    fn new(end: Option<OwnedFd>) -> Self {
        Pipe {
            file: end.map(File::from),
            bytes: Vec::new(),
        }
    }

    fn is_open(&self) -> bool {
        self.file.is_some()
    }

    fn read_available(&mut self) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let ready = poll(
            &mut [PollFd::new(file, PollFlags::IN)],
            Some(&Timespec::default()),
        );
        if ready.unwrap_or(0) == 0 {
            return Ok(());
        }
        let mut chunk = [0; 4096];
        match file.read(&mut chunk)? {
            0 => self.file = None,
            length => self.bytes.extend_from_slice(&chunk[..length]),
        }
        match self.bytes.len() > LARGEST_OUTPUT {
            true => Err(io::Error::other("it has more than 1 MiB")),
            false => Ok(()),
        }
    }
}
