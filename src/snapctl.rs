//! The conversation with snapd, through the program `snapctl` that it puts on a hook's PATH.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde_json::{Map, Value};
use thiserror::Error;

/// snapd answers from memory; a call that takes this long will not be answered any more.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// Far above any configuration; keeps a broken snapctl from filling the memory.
const LARGEST_OUTPUT: usize = 1024 * 1024;
/// Characters of its error message that are passed on; snapd keeps 10 KiB of what a hook prints.
const LONGEST_MESSAGE: usize = 1000;
/// The first pause between looks whether it has ended; its output has ended before, so that it hardly ever
/// takes more.
const FIRST_STEP: Duration = Duration::from_micros(50);
/// The longest of them: a program that closes its output and goes on is stopped no later than this after the
/// limit.
const LONGEST_STEP: Duration = Duration::from_millis(50);

/// Why a call of snapctl gave no answer.
#[derive(Debug, Error)]
pub enum SnapctlError {
    /// The program does not start.
    #[error(
        "`{call}` cannot be started: {reason}. Run this program as a hook or app of a snap, where snapd puts \
         snapctl on PATH"
    )]
    NotStarted {
        /// The command line.
        call: String,
        /// What the system said.
        reason: io::Error,
    },
    /// It exited with an error.
    #[error("`{call}` failed ({status}): {message}. Look at snapd's own log: `journalctl -u snapd`")]
    Failed {
        /// The command line.
        call: String,
        /// How it ended.
        status: ExitStatus,
        /// What it wrote to stderr.
        message: String,
    },
    /// It did not end in time.
    #[error("`{call}` did not end within {} s and was stopped. Look at snapd's own log: `journalctl -u \
             snapd`", TIME_LIMIT.as_secs())]
    TimedOut {
        /// The command line.
        call: String,
    },
    /// It wrote something else than was asked for.
    #[error("`{call}` did not answer as snapctl does: {problem}. Check that the snapctl on PATH is snapd's")]
    Nonsense {
        /// The command line.
        call: String,
        /// What is wrong with the answer.
        problem: String,
    },
}

/// The configuration under `keys`, in one call. A missing key is left out.
///
/// # Errors
/// Where snapctl does not answer as it should.
pub fn get(keys: &[&str]) -> Result<Map<String, Value>, SnapctlError> {
    let arguments: Vec<&str> = ["get", "-d"].iter().chain(keys).copied().collect();
    let (call, output) = run(&arguments)?;
    serde_json::from_slice(&output).map_err(|error| SnapctlError::Nonsense {
        call,
        problem: format!("its output is no JSON object ({error})"),
    })
}

/// Stores a value under each key, in one call: with its type, whatever it looks like.
///
/// # Errors
/// Where snapctl does not accept it.
pub fn set(values: &[(&str, Value)]) -> Result<(), SnapctlError> {
    let pairs = values.iter().map(|(key, value)| format!("{key}={value}"));
    call_with("-t", pairs)
}

/// Stores a string under a key, also where it looks like a number.
///
/// # Errors
/// Where snapctl does not accept it.
pub fn set_string(key: &str, value: &str) -> Result<(), SnapctlError> {
    call_with("-s", [format!("{key}={value}")].into_iter())
}

/// Removes a key; that it is missing is no error.
///
/// # Errors
/// Where snapctl does not answer as it should.
pub fn unset(key: &str) -> Result<(), SnapctlError> {
    run(&["unset", key]).map(drop)
}

/// How a device ends its installation, where it is not to boot into run mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The system halts; the power stays on.
    Halt,
    /// The power goes off.
    Poweroff,
}

impl Stop {
    /// Both.
    pub const ALL: [Stop; 2] = [Stop::Halt, Stop::Poweroff];

    /// As settings have it.
    pub fn name(self) -> &'static str {
        match self {
            Stop::Halt => "halt",
            Stop::Poweroff => "poweroff",
        }
    }
}

/// Has snapd halt the device or power it off when the installation is done. Only for the hook install-device.
///
/// # Errors
/// Where snapctl does not accept it.
pub fn stop_after_installation(stop: Stop) -> Result<(), SnapctlError> {
    run(&["reboot", &format!("--{}", stop.name())]).map(drop)
}

/// What snapd says of the boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemMode {
    /// `run`, `install`, `recover` or `factory-reset`.
    pub mode: String,
    /// Whether the image is flagged for use in a factory. Anyone can build such an image.
    pub factory: bool,
}

/// The mode in which the device was booted.
///
/// # Errors
/// Where snapctl does not answer as it should.
pub fn system_mode() -> Result<SystemMode, SnapctlError> {
    let (call, output) = run(&["system-mode"])?;
    let text = String::from_utf8_lossy(&output);
    parse_system_mode(&text).ok_or_else(|| SnapctlError::Nonsense {
        call,
        problem: "its output has no line `system-mode:`".to_owned(),
    })
}

/// snapd writes YAML, of which this needs two scalars at the top level; other lines are let through.
fn parse_system_mode(yaml: &str) -> Option<SystemMode> {
    let scalar = |name: &str| {
        yaml.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.trim().trim_matches(['"', '\'']))
    };
    Some(SystemMode {
        mode: scalar("system-mode").filter(|mode| !mode.is_empty())?.to_owned(),
        factory: scalar("factory") == Some("true"),
    })
}

fn call_with(option: &str, pairs: impl Iterator<Item = String>) -> Result<(), SnapctlError> {
    let pairs: Vec<String> = pairs.collect();
    let mut arguments = vec!["set", option];
    arguments.extend(pairs.iter().map(String::as_str));
    run(&arguments).map(drop)
}

fn run(arguments: &[&str]) -> Result<(String, Vec<u8>), SnapctlError> {
    // Without the values: headers may hold secrets, and errors go into logs.
    let shown = arguments
        .iter()
        .map(|argument| argument.split_once('=').map_or(*argument, |(key, _)| key));
    let call = ["snapctl"].into_iter().chain(shown).collect::<Vec<_>>().join(" ");
    let mut child = Command::new("snapctl")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|reason| SnapctlError::NotStarted {
            call: call.clone(),
            reason,
        })?;
    let finished = finish(&mut child);
    if !matches!(finished, Ok(Some(_))) {
        let _ = child.kill();
        let _ = child.wait();
    }
    let output = match finished {
        Ok(Some(output)) => output,
        Ok(None) => return Err(SnapctlError::TimedOut { call }),
        Err(problem) => {
            let problem = problem.to_string();
            return Err(SnapctlError::Nonsense { call, problem });
        }
    };
    if output.status.success() {
        return Ok((call, output.stdout));
    }
    let message = String::from_utf8_lossy(&output.stderr);
    Err(SnapctlError::Failed {
        call,
        status: output.status,
        message: message.trim().chars().take(LONGEST_MESSAGE).collect(),
    })
}

/// How it ended, and what it wrote; `None` where the time is up.
fn finish(child: &mut Child) -> io::Result<Option<Output>> {
    let deadline = Instant::now() + TIME_LIMIT;
    let mut stdout = Pipe::new(child.stdout.take().map(OwnedFd::from));
    let mut stderr = Pipe::new(child.stderr.take().map(OwnedFd::from));
    while stdout.is_open() || stderr.is_open() {
        if !wait_for_output(&[&stdout, &stderr], deadline)? {
            return Ok(None);
        }
        stdout.read_what_is_there()?;
        stderr.read_what_is_there()?;
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

/// Whether there is something to read, or an end, before the deadline.
fn wait_for_output(pipes: &[&Pipe], deadline: Instant) -> io::Result<bool> {
    let left = deadline.saturating_duration_since(Instant::now());
    let limit = Timespec::try_from(left).map_err(io::Error::other)?;
    let mut waited_for: Vec<PollFd<'_>> = pipes
        .iter()
        .filter_map(|pipe| pipe.file.as_ref())
        .map(|file| PollFd::new(file, PollFlags::IN))
        .collect();
    match poll(&mut waited_for, Some(&limit)) {
        Err(Errno::INTR) => Ok(true),
        ready => Ok(ready? > 0),
    }
}

/// The reading end of one of the program's outputs, and what came of it so far.
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

    fn read_what_is_there(&mut self) -> io::Result<()> {
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
            true => Err(io::Error::other("it wrote more than 1 MiB")),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_lines_of_the_system_mode_count() {
        for (yaml, mode, factory) in [
            ("system-mode: run\nseed-loaded: true\n", "run", false),
            (
                "system-mode: install\nseed-loaded: true\nfactory: true\nstorage-encrypted: managed\n",
                "install",
                true,
            ),
            (
                "factory: false\nsystem-mode: 'factory-reset'\r\n",
                "factory-reset",
                false,
            ),
            (
                "later:\n  factory: true\n  system-mode: run\nsystem-mode: \"install\"\n",
                "install",
                false,
            ),
        ] {
            let found = parse_system_mode(yaml).unwrap();
            assert_eq!((found.mode.as_str(), found.factory), (mode, factory), "{yaml}");
        }
        for yaml in [
            "",
            "seed-loaded: true\n",
            "system-mode:\n",
            "  system-mode: run\n",
            "run\n",
        ] {
            assert_eq!(parse_system_mode(yaml), None, "{yaml}");
        }
    }
}
