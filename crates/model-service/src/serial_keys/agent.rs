//! The process that signs with one key, for the service that started it.
//!
//! It reads jobs from stdin and writes answers to stdout, and ends at the end of stdin: when the
//! service ends, however that happens.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use std::{fs::File, thread};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::setsid;
use rustix::stdio::{dup2_stdout, stderr, stdout};
use serde::Serialize;
use snap_assertions::Signer;
use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::lock;
use super::protocol::{Answer, Failure, Job, Opening};

/// The lowest number of the copy of stdout.
const ABOVE_STDIO: i32 = 3;

/// Signs until stdin ends.
pub(crate) fn run() -> io::Result<()> {
    let answers = Arc::new(Answers(Mutex::new(File::from(take_stdout()?))));
    // Without a terminal, a PIN that is missing is an error and not a question.
    let _ = setsid();
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let _context = runtime.enter();
    // systemd sends the signal to all processes of the service, and the last requests still need
    // signatures.
    let _handlers = [
        SignalKind::terminate(),
        SignalKind::interrupt(),
        SignalKind::hangup(),
    ]
    .map(signal);

    let mut lines = BufReader::new(io::stdin()).lines();
    let Some(first) = lines.next() else { return Ok(()) };
    let opening: Opening = serde_json::from_str(&first?)?;
    let limit = Duration::from_secs(opening.seconds.into());
    let signer: Arc<dyn Signer + Send> = match opening.source.key_source(limit).open() {
        Ok(signer) => Arc::from(signer),
        Err(error) => return answers.send(&Answer::NotOpened(Failure::new(&error))),
    };
    answers.send(&Answer::Opened {
        public_key: signer.public_key().encode(),
    })?;
    let (jobs, queue) = mpsc::channel();
    let queue = Arc::new(Mutex::new(queue));
    for _ in 0..opening.threads {
        let (signer, queue, answers) = (Arc::clone(&signer), Arc::clone(&queue), Arc::clone(&answers));
        thread::Builder::new().spawn(move || sign_jobs(signer.as_ref(), &queue, &answers))?;
    }
    // Threads that hang in a module end with the process.
    for line in lines {
        let job: Job = serde_json::from_str(&line?)?;
        let _ = jobs.send(job);
    }
    Ok(())
}

/// A copy of stdout. What a PKCS#11 module prints goes to stderr instead.
fn take_stdout() -> io::Result<OwnedFd> {
    let copy = fcntl_dupfd_cloexec(stdout(), ABOVE_STDIO)?;
    dup2_stdout(stderr())?;
    Ok(copy)
}

fn sign_jobs(signer: &(dyn Signer + Send), queue: &Mutex<mpsc::Receiver<Job>>, answers: &Answers) {
    loop {
        let job = lock(queue).recv();
        let Ok(Job {
            number,
            time,
            content,
        }) = job
        else {
            return;
        };
        let content = BASE64_STANDARD.decode(content).unwrap_or_default();
        let answer = match signer.sign(&content, time) {
            Ok(signature) => Answer::Signed {
                number,
                signature: signature.encode(),
            },
            Err(error) => Answer::NotSigned {
                number,
                failure: Failure::new(error.as_ref()),
            },
        };
        // The service is gone, and so is this process soon.
        let _ = answers.send(&answer);
    }
}

struct Answers(Mutex<File>);

impl Answers {
    fn send(&self, answer: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(answer)?;
        line.push(b'\n');
        lock(&self.0).write_all(&line)
    }
}
