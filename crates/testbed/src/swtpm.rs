//! A software TPM (swtpm) as a child process.
//!
//! The process is connected by socket pairs, not by named sockets or ports. This has three reasons:
//! nothing has to wait for the start (an early command stays in the socket until swtpm reads it),
//! two tests cannot use the same name or port, and swtpm exits when our ends are closed, even if
//! this process is killed.

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

/// Time limit for an answer: longer than the slowest command (an RSA-3072 key on a busy machine).
const ANSWER_LIMIT: Duration = Duration::from_secs(120);

/// swtpm does not accept descriptors below 3 as channels, and the standard library cannot pass
/// descriptors above 2. The shell moves them and then replaces itself with swtpm, so the child
/// process is swtpm.
const MOVE_CHANNELS: &str = r#"exec "$@" 3<&0 4>&1 </dev/null >/dev/null"#;

/// TPM2_GetCapability of one property: it changes nothing, and succeeds after TPM2_Startup.
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
    /// Starts a new TPM. Dropping it removes its state.
    pub fn start() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("swtpm-").tempdir();
        let directory =
            directory.context("cannot create a temporary directory; check TMPDIR and its free space")?;
        Self::start_with(State::Temporary(directory))
    }

    /// Starts the TPM whose state is stored in `directory`. A missing directory is created.
    pub fn start_in(directory: &Path) -> Result<Self> {
        fs::create_dir_all(directory).with_context(|| {
            format!(
                "cannot create the state directory {}; check its parent directory",
                directory.display()
            )
        })?;
        Self::start_with(State::Kept(directory.to_owned()))
    }

    fn start_with(state: State) -> Result<Self> {
        let mut tpm = SoftwareTpm { state, process: None };
        tpm.power_on()?;
        Ok(tpm)
    }

    /// Switches the TPM off and on without TPM2_Shutdown, as when a device loses power. Transient
    /// objects and sessions are lost. Persistent objects, NV indexes and seeds stay.
    pub fn restart(&mut self) -> Result<()> {
        self.power_off();
        self.power_on()
    }

    /// Ends the process. Every command fails until [`SoftwareTpm::restart`].
    fn power_off(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Both fail only if the process has already ended and been reaped.
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }

    fn power_on(&mut self) -> Result<()> {
        self.process = Some(Process::start(self.state_directory())?);
        self.exchange(&wire::plain_command(wire::CC_GET_CAPABILITY, &READ_ONE_PROPERTY))
            .context(
                "swtpm did not start; install the package swtpm, and end any other swtpm with the same state",
            )?;
        Ok(())
    }

    /// The directory with the state of the TPM and the log of swtpm.
    pub fn state_directory(&self) -> &Path {
        match &self.state {
            State::Temporary(directory) => directory.path(),
            State::Kept(directory) => directory,
        }
    }

    /// The process id, or `None` while the TPM is switched off.
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.child.id())
    }

    /// Sends one complete TPM command and returns the complete response.
    pub fn exchange(&mut self, command: &[u8]) -> Result<Vec<u8>> {
        let answer = self.process()?.exchange(command);
        answer.with_context(|| self.describe_failure())
    }

    /// Sends one request to the control channel of swtpm and returns a response of `response_size`
    /// bytes.
    pub(crate) fn control(&mut self, request: &[u8], response_size: usize) -> Result<Vec<u8>> {
        let answer = self.process()?.control(request, response_size);
        answer.with_context(|| self.describe_failure())
    }

    fn process(&mut self) -> Result<&mut Process> {
        match &mut self.process {
            Some(process) => Ok(process),
            None => bail!("the software TPM is switched off; call restart() first"),
        }
    }

    fn describe_failure(&self) -> String {
        let log = fs::read_to_string(log_file(self.state_directory())).unwrap_or_default();
        format!("swtpm did not answer; its log is: {}", log.trim())
    }
}

impl Drop for SoftwareTpm {
    fn drop(&mut self) {
        self.power_off();
    }
}

impl Process {
    fn start(state_directory: &Path) -> Result<Self> {
        let (data, their_data) =
            UnixStream::pair().context("cannot create a socket pair; check the limit of open files")?;
        let (control, their_control) =
            UnixStream::pair().context("cannot create a socket pair; check the limit of open files")?;
        for channel in [&data, &control] {
            channel
                .set_read_timeout(Some(ANSWER_LIMIT))
                .context("cannot set a time limit on a socket")?;
        }
        let log = log_file(state_directory);
        let log = File::create(&log)
            .with_context(|| format!("cannot write {}; check the directory", log.display()))?;
        let child = Command::new("sh")
            .args(["-c", MOVE_CHANNELS, "sh", "swtpm", "socket", "--tpm2"])
            .args(["--fd", "3", "--ctrl", "type=unixio,clientfd=4"])
            .args(["--flags", "not-need-init,startup-clear"])
            .arg("--tpmstate")
            .arg(format!("dir={}", state_directory.display()))
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

fn log_file(state_directory: &Path) -> PathBuf {
    state_directory.join("swtpm.log")
}
