//! The process for a module, seen from the program that started it.

use std::fmt;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{self, Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, path::PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use failure::Diagnostic;
use identity_key::KeyKind;
use serde::Serialize;

use super::message::{Answer, FoundKey, Opening, Task};
use super::{AGENT, KeyAddress, Pkcs11Error, Pkcs11Settings};

/// This program, also after an update has replaced its file.
const THIS_PROGRAM: &str = "/proc/self/exe";
/// If this variable is set, what a module prints goes to stderr.
const LOG: &str = "PKCS11_MODULE_LOG";
/// The time for a module to close its sessions.
const CLOSING: Duration = Duration::from_secs(2);
/// The pause between two looks at a process that ends.
const PAUSE: Duration = Duration::from_millis(5);

/// An error of the process: code, cause and advice are those that it reported.
#[derive(Debug)]
pub struct AgentFailure {
    pub(super) code: String,
    cause: String,
    advice: String,
}

impl fmt::Display for AgentFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for AgentFailure {}

impl Diagnostic for AgentFailure {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.code))
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.advice))
    }
}

/// A process that has loaded a module. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct TokenProcess {
    child: Child,
    tasks: Option<ChildStdin>,
    answers: Receiver<Answer>,
    module: PathBuf,
    limit: Duration,
}

impl TokenProcess {
    /// Starts the process. Errors of the module come with the first task.
    pub(crate) fn start(settings: &Pkcs11Settings) -> Result<Self, Pkcs11Error> {
        let opening = Opening {
            module: settings.module()?.to_owned(),
            token: settings.token.clone(),
            pin_file: settings.pin_file.clone(),
            parent: process::id(),
            seconds: settings.timeout.as_secs(),
        };
        let log = match env::var_os(LOG) {
            Some(_) => Stdio::inherit(),
            None => Stdio::null(),
        };
        let mut child = Command::new(THIS_PROGRAM)
            .arg(AGENT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(Pkcs11Error::NotStarted)?;
        let (tasks, stdout) = (child.stdin.take(), child.stdout.take());
        let mut started = TokenProcess {
            child,
            tasks,
            answers: read_aside(stdout),
            module: opening.module.clone(),
            limit: settings.timeout,
        };
        started.send(&opening);
        Ok(started)
    }

    /// Returns the key, or the label of the token that does not have it.
    pub(crate) fn find(&mut self, key: &KeyAddress) -> Result<Result<FoundKey, String>, Pkcs11Error> {
        match self.ask(&Task::Find(key.clone()))? {
            Answer::Found(found) => Ok(Ok(found)),
            Answer::NotFound { token } => Ok(Err(token)),
            _ => Err(self.ended()),
        }
    }

    /// Checks that the token can be used, and that no key in it has the label of a new one.
    pub(crate) fn check_label(&mut self, label: &str) -> Result<(), Pkcs11Error> {
        self.ask(&Task::CheckLabel(label.to_owned())).map(drop)
    }

    /// Finds the key, or makes it.
    pub(crate) fn make(&mut self, key: &KeyAddress, kind: KeyKind) -> Result<FoundKey, Pkcs11Error> {
        let key = key.clone();
        let kind = kind.to_string();
        match self.ask(&Task::Make { key, kind })? {
            Answer::Found(found) => Ok(found),
            _ => Err(self.ended()),
        }
    }

    /// Signs with the key that was found.
    pub(crate) fn sign(&mut self, digest: &[u8]) -> Result<Vec<u8>, Pkcs11Error> {
        let digest = STANDARD.encode(digest);
        match self.ask(&Task::Sign { digest })? {
            Answer::Signed(signature) => STANDARD.decode(signature).map_err(|_| self.ended()),
            _ => Err(self.ended()),
        }
    }

    fn ask(&mut self, task: &Task) -> Result<Answer, Pkcs11Error> {
        self.send(task);
        match self.answers.recv_timeout(self.limit) {
            Ok(Answer::Failed { code, cause, advice }) => Err(AgentFailure { code, cause, advice }.into()),
            Ok(answer) => Ok(answer),
            Err(RecvTimeoutError::Disconnected) => Err(self.ended()),
            Err(RecvTimeoutError::Timeout) => {
                // It would not end on request either.
                let _ = self.child.kill();
                Err(Pkcs11Error::TimedOut {
                    module: self.module.clone(),
                    seconds: self.limit.as_secs(),
                })
            }
        }
    }

    /// Writes a line. A pipe has room for it, whether the process reads or not.
    fn send(&mut self, message: &impl Serialize) {
        // Only a path that is not UTF-8 cannot be written; the process then ends.
        let mut line = serde_json::to_vec(message).unwrap_or_default();
        line.push(b'\n');
        // That the process has ended shows when it does not answer.
        let _ = self.tasks.as_mut().map(|tasks| tasks.write_all(&line));
    }

    /// The error of a process that ended without an answer.
    fn ended(&mut self) -> Pkcs11Error {
        let _ = self.child.kill();
        let status = self.child.wait();
        Pkcs11Error::Crashed {
            module: self.module.clone(),
            status: status.map_or_else(|error: io::Error| error.to_string(), |status| status.to_string()),
        }
    }
}

impl Drop for TokenProcess {
    fn drop(&mut self) {
        // The process closes its sessions when stdin ends.
        self.tasks = None;
        let end = Instant::now() + CLOSING;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < end {
            thread::sleep(PAUSE);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the answers in a thread, which a module that hangs cannot stop from being waited for.
fn read_aside(stdout: Option<ChildStdout>) -> Receiver<Answer> {
    let (sender, receiver) = sync_channel(1);
    thread::spawn(move || {
        for line in stdout
            .into_iter()
            .flat_map(|stdout| BufReader::new(stdout).lines())
        {
            let answer = line.map(|line| serde_json::from_str(&line));
            let Ok(Ok(answer)) = answer else { return };
            if sender.send(answer).is_err() {
                return;
            }
        }
    });
    receiver
}
