//! A hook that runs, and how it ended.
//!
//! Source: snapd's osutil/exec (2.77): the time limit kills the whole process group. snapd shows
//! only the end of the output of a failed hook.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::fault::lock;
use crate::store::Store;

/// How much of a hook's output snapd keeps.
const KEPT_LINES: usize = 100;
const KEPT_BYTES: usize = 10 * 1024;

/// The result of a hook.
#[derive(Debug)]
pub struct HookOutcome {
    /// How the process ended. If its memory was measured, a signal n appears as exit code 128 + n.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Standard output and standard error, in the order in which they arrived.
    pub merged: String,
    /// True if the time limit killed the hook.
    pub timed_out: bool,
    /// Peak memory (resident set) of its largest process in KiB, if it was measured.
    pub peak_memory: Option<u64>,
}

/// A hook that is running. Dropping it kills its process group.
#[derive(Debug)]
pub struct RunningHook {
    child: Child,
    /// True if the child has been reaped. Its process id can then belong to another process.
    reaped: bool,
    output: [Option<JoinHandle<Vec<u8>>>; 2],
    merged: Arc<Mutex<Vec<u8>>>,
    watchdog: Option<(Sender<()>, JoinHandle<bool>)>,
    _directory: TempDir,
    cookie: PathBuf,
    memory: Option<PathBuf>,
}

impl RunningHook {
    pub(crate) fn watch(
        mut child: Child,
        limit: Duration,
        directory: TempDir,
        cookie: PathBuf,
        memory: Option<PathBuf>,
    ) -> Self {
        let merged = Arc::default();
        let output = [
            child.stdout.take().map(|stream| collect(stream, &merged)),
            child.stderr.take().map(|stream| collect(stream, &merged)),
        ];
        let group = group_of(&child);
        let (finished, finish) = mpsc::channel();
        let watchdog = thread::spawn(move || {
            let timed_out = finish.recv_timeout(limit) == Err(RecvTimeoutError::Timeout);
            if timed_out {
                kill_group(group);
            }
            timed_out
        });
        let watchdog = Some((finished, watchdog));
        RunningHook {
            child,
            reaped: false,
            output,
            merged,
            watchdog,
            _directory: directory,
            cookie,
            memory,
        }
    }

    /// Kills the hook and all processes that it started (SIGKILL), as a power cut does.
    pub fn kill(&mut self) {
        if !self.reaped {
            kill_group(group_of(&self.child));
        }
    }

    /// Waits until the hook ends, then commits its options if it succeeded.
    pub fn wait(mut self) -> Result<HookOutcome> {
        let status = self.child.wait().context("cannot wait for the hook")?;
        self.reaped = true;
        let timed_out = self.stop_watchdog();
        let [stdout, stderr] = self.output.each_mut().map(|reader| {
            let bytes = reader
                .take()
                .and_then(|reader| reader.join().ok())
                .unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        });
        let merged = String::from_utf8_lossy(&lock(&self.merged)).into_owned();
        if status.success() {
            Store::open(&self.cookie)?.commit_run()?;
        }
        let peak_memory = match &self.memory {
            Some(file) => Some(read_number(file)?),
            None => None,
        };
        Ok(HookOutcome {
            status,
            stdout,
            stderr,
            merged,
            timed_out,
            peak_memory,
        })
    }

    /// Ends the watchdog. Returns true if it has killed the hook.
    fn stop_watchdog(&mut self) -> bool {
        let Some((finished, watchdog)) = self.watchdog.take() else {
            return false;
        };
        drop(finished);
        watchdog.join().unwrap_or(false)
    }
}

impl Drop for RunningHook {
    fn drop(&mut self) {
        self.kill();
        if !self.reaped {
            let _ = self.child.wait();
        }
        self.stop_watchdog();
    }
}

impl HookOutcome {
    /// What `snap change` shows of a failed hook: the end of its output, or its exit status if it
    /// printed nothing.
    pub fn change_text(&self) -> String {
        let text = self.merged.trim();
        if text.is_empty() {
            return self.status.to_string().replace("exit status: ", "exit status ");
        }
        let lines: Vec<&str> = text.lines().collect();
        let kept = lines[lines.len().saturating_sub(KEPT_LINES)..].join("\n");
        let mut from = kept.len().saturating_sub(KEPT_BYTES);
        while !kept.is_char_boundary(from) {
            from += 1;
        }
        kept[from..].to_owned()
    }
}

/// Reads a stream to its end. `merged` gets each chunk as it arrives.
fn collect(mut stream: impl Read + Send + 'static, merged: &Arc<Mutex<Vec<u8>>>) -> JoinHandle<Vec<u8>> {
    let merged = Arc::clone(merged);
    thread::spawn(move || {
        let (mut all, mut chunk) = (Vec::new(), [0; 4096]);
        loop {
            match stream.read(&mut chunk) {
                Ok(0) => return all,
                Ok(count) => {
                    all.extend_from_slice(&chunk[..count]);
                    lock(&merged).extend_from_slice(&chunk[..count]);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return all,
            }
        }
    })
}

/// The process group of a child that leads its own group.
fn group_of(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

fn kill_group(group: Pid) {
    // This fails only if no process of the group is left.
    let _ = killpg(group, Signal::SIGKILL);
}

fn read_number(file: &Path) -> Result<u64> {
    let text = fs::read_to_string(file)
        .context("the memory of the hook was not measured; check whether it was killed")?;
    text.trim()
        .parse()
        .with_context(|| format!("{} does not contain a number", file.display()))
}
