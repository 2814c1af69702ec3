//! A software TPM (swtpm) as a child process.
//!
//! The process is reached over socket pairs, not over named sockets or ports. So there is nothing to wait for after
//! the start (a command sent early stays in the socket until swtpm reads it), nothing that two tests could both want,
//! and swtpm ends by itself when our ends of the pairs are gone, however this process ended.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::wire;

/// Longer than the slowest command (an RSA-3072 key on a busy machine); a swtpm silent for longer is broken.
const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// swtpm takes no descriptor below 3 as a channel, and the standard library hands over none above 2. The shell moves
/// them up and then becomes swtpm, so the child's process id and end are swtpm's.
const MOVE_CHANNELS: &str = r#"exec "$@" 3<&0 4>&1 </dev/null >/dev/null"#;

/// TPM2_GetCapability of one property: harmless, and answered by a TPM that has been started up.
const READ_ONE_PROPERTY: [u8; 12] = [0, 0, 0, 6, 0, 0, 1, 0, 0, 0, 0, 1];

/// A running software TPM with its own state. Dropping it kills and reaps the process.
#[derive(Debug)]
pub struct SoftwareTpm {
    state: State,
    process: Option<Process>,
}

#[derive(Debug)]
enum State {
    Temporary(TempDir),
    Kept(PathBuf),
}

#[derive(Debug)]
struct Process {
    child: Child,
    data: UnixStream,
    control: UnixStream,
}

impl SoftwareTpm {
    /// Starts a factory-new TPM whose state goes when it is dropped.
    pub fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("swtpm-").tempdir();
        let folder =
            folder.context("no temporary folder for the TPM's state; check TMPDIR and its free space")?;
        Self::start_with(State::Temporary(folder))
    }

    /// Starts the TPM whose state is kept in `folder`, which is made if it is missing.
    pub fn start_in(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| {
            format!(
                "cannot make the TPM's state folder {}; check its parent",
                folder.display()
            )
        })?;
        Self::start_with(State::Kept(folder.to_owned()))
    }

    fn start_with(state: State) -> Result<Self> {
        let mut tpm = SoftwareTpm { state, process: None };
        tpm.power_on()?;
        Ok(tpm)
    }

    /// Cuts the power and turns it on again: transient objects and sessions are gone, persistent objects, NV indexes
    /// and seeds are kept. There is no TPM2_Shutdown before, as when a device loses power.
    pub fn restart(&mut self) -> Result<()> {
        self.power_off();
        self.power_on()
    }

    /// Ends the process. Until [`SoftwareTpm::restart`], every command fails.
    fn power_off(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Both fail only when the process has ended and been reaped already.
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }

    fn power_on(&mut self) -> Result<()> {
        self.process = Some(Process::start(self.state_folder())?);
        self.exchange(&wire::plain_command(wire::CC_GET_CAPABILITY, &READ_ONE_PROPERTY))
            .context("swtpm did not start; is the package swtpm installed, and is no other swtpm using this state?")?;
        Ok(())
    }

    /// The folder that holds the TPM's state and swtpm's log.
    pub fn state_folder(&self) -> &Path {
        match &self.state {
            State::Temporary(folder) => folder.path(),
            State::Kept(folder) => folder,
        }
    }

    /// The process id; `None` while the TPM is switched off.
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.child.id())
    }

    /// Sends one whole TPM command and returns the whole response.
    pub fn exchange(&mut self, command: &[u8]) -> Result<Vec<u8>> {
        let answer = self.process()?.exchange(command);
        answer.with_context(|| self.describe_failure())
    }

    /// Sends one request to swtpm's control channel and returns the response of the given length.
    pub(crate) fn control(&mut self, request: &[u8], response_size: usize) -> Result<Vec<u8>> {
        let answer = self.process()?.control(request, response_size);
        answer.with_context(|| self.describe_failure())
    }

    fn process(&mut self) -> Result<&mut Process> {
        match &mut self.process {
            Some(process) => Ok(process),
            None => bail!("the software TPM is switched off; restart() it first"),
        }
    }

    fn describe_failure(&self) -> String {
        let log = fs::read_to_string(log_file(self.state_folder())).unwrap_or_default();
        format!("swtpm gave no answer; its log says: {}", log.trim())
    }
}

impl Drop for SoftwareTpm {
    fn drop(&mut self) {
        self.power_off();
    }
}

impl Process {
    fn start(state_folder: &Path) -> Result<Self> {
        let (data, their_data) = UnixStream::pair().context("no socket pair; too many open files?")?;
        let (control, their_control) = UnixStream::pair().context("no socket pair; too many open files?")?;
        for channel in [&data, &control] {
            channel
                .set_read_timeout(Some(ANSWER_LIMIT))
                .context("cannot set a time limit on a socket")?;
        }
        let log = log_file(state_folder);
        let log = File::create(&log)
            .with_context(|| format!("cannot write {}; check the folder", log.display()))?;
        let child = Command::new("sh")
            .args(["-c", MOVE_CHANNELS, "sh", "swtpm", "socket", "--tpm2"])
            .args(["--fd", "3", "--ctrl", "type=unixio,clientfd=4"])
            .args(["--flags", "not-need-init,startup-clear"])
            .arg("--tpmstate")
            .arg(format!("dir={}", state_folder.display()))
            .stdin(OwnedFd::from(their_data))
            .stdout(OwnedFd::from(their_control))
            .stderr(Stdio::from(log))
            .spawn()
            .context("cannot run sh")?;
        Ok(Process { child, data, control })
    }

    fn exchange(&mut self, command: &[u8]) -> Result<Vec<u8>> {
        self.data.write_all(command)?;
        wire::read_message(&mut self.data)?.context("swtpm closed the data channel")
    }

    fn control(&mut self, request: &[u8], response_size: usize) -> Result<Vec<u8>> {
        self.control.write_all(request)?;
        let mut response = vec![0; response_size];
        self.control.read_exact(&mut response)?;
        Ok(response)
    }
}

fn log_file(state_folder: &Path) -> PathBuf {
    state_folder.join("swtpm.log")
}
