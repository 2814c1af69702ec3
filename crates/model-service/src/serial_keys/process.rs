//! A process that signs, seen from the service.

use std::collections::HashMap;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Serialize;
use snap_assertions::{PublicKey, SignaturePacket};

use super::error::SerialKeyError;
use super::lock;
use super::protocol::{Answer, Failure, Job, Opening};

/// This program, also after an update has replaced its file.
const THIS_PROGRAM: &str = "/proc/self/exe";
/// The command that runs [`agent`](super::agent).
const COMMAND: &str = "sign-serials";
/// The longest time to open a key: some modules first connect to an HSM over the network.
const OPENING: Duration = Duration::from_secs(30);

/// The result of opening the key: its public key as in the body of an account-key.
type Opened = Result<String, Failure>;
/// Where the answer to a job goes.
type Reply = SyncSender<Result<SignaturePacket, Failure>>;

/// A process that has opened a key.
pub(super) struct SignerProcess {
    /// The key, for errors.
    key: String,
    /// The time limit of a signature, in seconds, for errors.
    seconds: u64,
    public: PublicKey,
    /// Lines for the process. A thread writes them, so that a process that reads nothing keeps
    /// nobody waiting.
    lines: mpsc::Sender<Vec<u8>>,
    jobs: Arc<Mutex<Jobs>>,
    child: KilledChild,
}

/// The jobs that wait for an answer.
#[derive(Default)]
struct Jobs {
    last: u64,
    waiting: HashMap<u64, Reply>,
    ended: bool,
}

impl SignerProcess {
    /// Starts a process, and waits until it has opened the key.
    pub(super) fn start(opening: &Opening) -> Result<Self, SerialKeyError> {
        let key = opening.source.to_string();
        let (child, stdin, stdout) = spawn().map_err(|reason| SerialKeyError::NotStarted {
            key: key.clone(),
            reason: reason.to_string(),
        })?;
        let jobs = Arc::default();
        let lines = write_aside(stdin);
        let opened = read_aside(stdout, Arc::clone(&jobs));
        let _ = lines.send(line(opening));
        let ended = || SerialKeyError::Ended { key: key.clone() };
        let public = match opened.recv_timeout(OPENING) {
            Ok(Ok(public)) => PublicKey::decode(&public).map_err(|_| ended())?,
            Ok(Err(failure)) => return Err(SerialKeyError::failed(key, failure)),
            Err(RecvTimeoutError::Disconnected) => return Err(ended()),
            Err(RecvTimeoutError::Timeout) => {
                let seconds = OPENING.as_secs();
                return Err(SerialKeyError::TimedOut { key, seconds });
            }
        };
        Ok(Self {
            key,
            seconds: opening.seconds.into(),
            public,
            lines,
            jobs,
            child,
        })
    }

    pub(super) fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `content` until `deadline`. The signature is not verified.
    pub(super) fn sign(
        &self,
        content: &[u8],
        time: u32,
        deadline: Instant,
    ) -> Result<SignaturePacket, SerialKeyError> {
        let (reply, answer) = sync_channel(1);
        let number = self.add(reply)?;
        let content = BASE64_STANDARD.encode(content);
        let _ = self.lines.send(line(&Job {
            number,
            time,
            content,
        }));
        let key = self.key.clone();
        match answer.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Ok(signature)) => Ok(signature),
            Ok(Err(failure)) => Err(SerialKeyError::failed(key, failure)),
            Err(RecvTimeoutError::Disconnected) => Err(SerialKeyError::Ended { key }),
            Err(RecvTimeoutError::Timeout) => {
                lock(&self.jobs).waiting.remove(&number);
                let seconds = self.seconds;
                Err(SerialKeyError::TimedOut { key, seconds })
            }
        }
    }

    fn add(&self, reply: Reply) -> Result<u64, SerialKeyError> {
        let mut jobs = lock(&self.jobs);
        if jobs.ended {
            return Err(SerialKeyError::Ended {
                key: self.key.clone(),
            });
        }
        jobs.last += 1;
        let number = jobs.last;
        jobs.waiting.insert(number, reply);
        Ok(number)
    }

    /// Ends the process. Those who wait for it get an error.
    pub(super) fn kill(&self) {
        self.child.kill();
    }
}

/// A child that is killed and waited for when this is dropped.
struct KilledChild(Mutex<Child>);

impl KilledChild {
    fn kill(&self) {
        let mut child = lock(&self.0);
        // With the programs that it runs, such as gpg. Each may have ended.
        let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
        let _ = child.kill();
    }
}

impl Drop for KilledChild {
    fn drop(&mut self) {
        self.kill();
        let _ = lock(&self.0).wait();
    }
}

fn spawn() -> io::Result<(KilledChild, ChildStdin, ChildStdout)> {
    let mut child = Command::new(THIS_PROGRAM)
        .arg(COMMAND)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let pipes = child.stdin.take().zip(child.stdout.take());
    let child = KilledChild(Mutex::new(child));
    let (stdin, stdout) = pipes.ok_or_else(|| io::Error::other("it has no pipes"))?;
    Ok((child, stdin, stdout))
}

fn line(message: &impl Serialize) -> Vec<u8> {
    // Only a path that is not UTF-8 cannot be written; the process then ends with an error.
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line
}

fn write_aside(mut stdin: ChildStdin) -> mpsc::Sender<Vec<u8>> {
    let (lines, queue) = mpsc::channel::<Vec<u8>>();
    thread::spawn(move || {
        for line in queue {
            if stdin.write_all(&line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Passes the answers of the process on. Those who still wait when it ends get an error.
fn read_aside(stdout: ChildStdout, jobs: Arc<Mutex<Jobs>>) -> Receiver<Opened> {
    let (opened, receiver) = sync_channel(1);
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines() {
            let answer = line.map(|line| serde_json::from_str(&line));
            let Ok(Ok(answer)) = answer else { break };
            pass_on(answer, &opened, &jobs);
        }
        let mut jobs = lock(&jobs);
        jobs.ended = true;
        jobs.waiting.clear();
    });
    receiver
}

fn pass_on(answer: Answer, opened: &SyncSender<Opened>, jobs: &Mutex<Jobs>) {
    let (number, result) = match answer {
        Answer::Opened { public_key } => {
            let _ = opened.try_send(Ok(public_key));
            return;
        }
        Answer::NotOpened(failure) => {
            let _ = opened.try_send(Err(failure));
            return;
        }
        Answer::Signed { number, signature } => match SignaturePacket::decode(&signature) {
            Ok(signature) => (number, Ok(signature)),
            Err(error) => (number, Err(Failure::new(&error))),
        },
        Answer::NotSigned { number, failure } => (number, Err(failure)),
    };
    // Nobody waits any more if the time was up.
    if let Some(reply) = lock(jobs).waiting.remove(&number) {
        let _ = reply.try_send(result);
    }
}
