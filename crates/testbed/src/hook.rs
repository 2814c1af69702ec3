//! Runs a hook as snapd does.
//!
//! Source: snapd's overlord/hookstate (2.77), cmd/snap/cmd_run and osutil/exec: the environment, the time limit after
//! which the whole process group is killed, and what becomes of the configuration that the hook has set.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

use crate::companion;
use crate::configuration::Transaction;
use crate::device::Device;
use crate::fault::lock;
use crate::gadget_snap::GadgetSnap;
use crate::store::{self, HookRun, Store};

/// snapd's limit for hooks that set none of their own.
const TIME_LIMIT: Duration = Duration::from_secs(10 * 60);

/// The one hook whose `snapctl` calls commit at once: snapd runs it outside of any task.
const HOOK_WITHOUT_TRANSACTION: &str = "prepare-serial-request";

/// What comes on PATH after the folder of `snapctl`.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What snapd keeps of a hook's output.
const KEPT_LINES: usize = 100;
const KEPT_BYTES: usize = 10 * 1024;

/// A run of a hook in the making.
#[derive(Debug)]
pub struct HookCommand<'a> {
    device: &'a Device,
    executable: PathBuf,
    name: String,
    variables: BTreeMap<OsString, Option<OsString>>,
    snapctl: Option<PathBuf>,
    patch: Vec<(String, Value)>,
    limit: Duration,
    measure: bool,
}

/// How a run of a hook ended.
#[derive(Debug)]
pub struct HookOutcome {
    /// How the process ended. When its memory was measured, the end by signal n shows as exit code 128 + n.
    pub status: ExitStatus,
    /// What it printed on standard output.
    pub stdout: String,
    /// What it printed on standard error.
    pub stderr: String,
    /// Both, in the order in which they arrived.
    pub merged: String,
    /// Whether it was killed for taking longer than its time limit.
    pub timed_out: bool,
    /// The peak memory (resident set) of its largest process in KiB, if that was asked for.
    pub peak_memory: Option<u64>,
}

impl<'a> HookCommand<'a> {
    pub(crate) fn new(device: &'a Device, executable: &Path) -> Self {
        let name = executable
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        HookCommand {
            device,
            executable: executable.to_owned(),
            name,
            variables: BTreeMap::new(),
            snapctl: None,
            patch: Vec::new(),
            limit: TIME_LIMIT,
            measure: false,
        }
    }

    /// Gives the hook another name than its executable's.
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Sets an environment variable, which may be one of snapd's.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.variables
            .insert(name.as_ref().to_owned(), Some(value.as_ref().to_owned()));
        self
    }

    /// Sets the variable TCTI, the way to a TPM, if there is one.
    pub fn tcti(self, tcti: Option<&OsStr>) -> Self {
        match tcti {
            Some(tcti) => self.env("TCTI", tcti),
            None => self,
        }
    }

    /// Leaves out one of the environment variables that snapd sets, such as SNAP_SAVE_DATA where there is no
    /// ubuntu-save.
    pub fn without_env(mut self, name: impl AsRef<OsStr>) -> Self {
        self.variables.insert(name.as_ref().to_owned(), None);
        self
    }

    /// Puts another program in the place of `snapctl`; a path where there is none makes it missing.
    pub fn snapctl(mut self, program: &Path) -> Self {
        self.snapctl = Some(program.to_owned());
        self
    }

    /// Sets an option as `snap set` and the gadget's defaults do, for the hook configure: the hook sees it, and it is kept only
    /// if the hook succeeds.
    pub fn snap_set(mut self, name: &str, value: Value) -> Self {
        self.patch.push((name.to_owned(), value));
        self
    }

    /// Sets the time limit; snapd's is ten minutes.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Measures the peak memory. A small program then stands between the caller and the hook, since a process counts
    /// the memory of the one that starts it as its own.
    pub fn measure_memory(mut self) -> Self {
        self.measure = true;
        self
    }

    /// Runs the hook to its end.
    pub fn run(self) -> Result<HookOutcome> {
        self.spawn()?.wait()
    }

    /// Starts the hook.
    pub fn spawn(self) -> Result<RunningHook> {
        let folder =
            tempfile::tempdir_in(self.device.runs()).context("cannot make a folder for the run of a hook")?;
        let cookie = self.make_cookie(folder.path())?;
        let memory = self.measure.then(|| folder.path().join("memory"));
        let mut words = Vec::new();
        if let Some(file) = &memory {
            words.extend([companion::find("peak-memory")?, file.clone()]);
        }
        words.extend(
            self.device
                .gadget()
                .into_iter()
                .flat_map(|gadget| gadget.command_chain(&self.name)),
        );
        words.push(self.executable.clone());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
            .env_clear()
            .envs(self.environment(folder.path(), &cookie)?);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // The whole group is killed when the time is over.
        command.process_group(0);
        let child = command
            .spawn()
            .with_context(|| format!("cannot run {}; build it", self.executable.display()))?;
        Ok(RunningHook::watch(child, self.limit, folder, cookie, memory))
    }

    fn make_cookie(&self, folder: &Path) -> Result<PathBuf> {
        let cookie = folder.join("cookie.json");
        let run = HookRun {
            device: self.device.state_file(),
            hook: self.name.clone(),
            transactional: self.name != HOOK_WITHOUT_TRANSACTION,
            transaction: self.first_transaction()?,
        };
        store::write(&cookie, &run)?;
        Ok(cookie)
    }

    /// What the hook's transaction holds before its first call.
    fn first_transaction(&self) -> Result<Option<Transaction>> {
        if self.patch.is_empty() {
            return Ok(None);
        }
        let mut store = Store::open(&self.device.state_file())?;
        let mut transaction = store.begin();
        for (name, value) in &self.patch {
            transaction.set(&store.device.base, name, value.clone())?;
        }
        Ok(Some(transaction))
    }

    fn environment(&self, folder: &Path, cookie: &Path) -> Result<BTreeMap<OsString, OsString>> {
        let programs = folder.join("bin");
        let snapctl = match &self.snapctl {
            Some(program) => program.clone(),
            None => companion::find("snapctl")?,
        };
        fs::create_dir(&programs)
            .and_then(|()| symlink(snapctl, programs.join("snapctl")))
            .context("cannot make a folder with snapctl")?;
        // Where snapctl is to be missing, one that this machine happens to have must not be found either.
        let path = match programs.join("snapctl").exists() {
            true => format!("{}:{SYSTEM_PATH}", programs.display()),
            false => programs.display().to_string(),
        };

        let device = self.device;
        let name = device.snap_name();
        let version = device
            .gadget()
            .map_or_else(|| "1".to_owned(), GadgetSnap::version);
        let variables: [(&str, OsString); 13] = [
            ("SNAP", device.snap().into()),
            ("SNAP_NAME", name.into()),
            ("SNAP_INSTANCE_NAME", name.into()),
            ("SNAP_REVISION", "1".into()),
            ("SNAP_VERSION", version.into()),
            ("SNAP_ARCH", "amd64".into()),
            ("SNAP_DATA", device.data().into()),
            ("SNAP_COMMON", device.common().into()),
            ("SNAP_SAVE_DATA", device.save_data().into()),
            ("SNAP_COOKIE", cookie.into()),
            ("SNAP_CONTEXT", cookie.into()),
            ("HOME", device.home().into()),
            ("PATH", path.into()),
        ];
        let mut environment: BTreeMap<_, _> = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value))
            .collect();
        if let Some(gadget) = device.gadget() {
            gadget.extend(&self.name, &mut environment)?;
        }
        for (name, value) in &self.variables {
            match value {
                Some(value) => environment.insert(name.clone(), value.clone()),
                None => environment.remove(name),
            };
        }
        Ok(environment)
    }
}

/// A hook that is running. Dropping it kills its process group.
#[derive(Debug)]
pub struct RunningHook {
    child: Child,
    /// Whether the child has been reaped, after which its process id may be another's.
    reaped: bool,
    output: [Option<JoinHandle<Vec<u8>>>; 2],
    merged: Arc<Mutex<Vec<u8>>>,
    watchdog: Option<(Sender<()>, JoinHandle<bool>)>,
    _folder: TempDir,
    cookie: PathBuf,
    memory: Option<PathBuf>,
}

impl RunningHook {
    fn watch(
        mut child: Child,
        limit: Duration,
        folder: TempDir,
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
            _folder: folder,
            cookie,
            memory,
        }
    }

    /// Kills the hook and everything that it has started (SIGKILL), as a power cut would.
    pub fn kill(&mut self) {
        if !self.reaped {
            kill_group(group_of(&self.child));
        }
    }

    /// Waits for the hook's end, then keeps or drops what it has set.
    pub fn wait(mut self) -> Result<HookOutcome> {
        let status = self.child.wait().context("cannot wait for the hook")?;
        self.reaped = true;
        let timed_out = self.dismiss_watchdog();
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

    /// Ends the watchdog; true if it has killed the hook.
    fn dismiss_watchdog(&mut self) -> bool {
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
        self.dismiss_watchdog();
    }
}

impl HookOutcome {
    /// What `snap change` shows of a failed hook: the end of what it printed, or its exit status if it was silent.
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

/// Reads a stream to its end, into the returned bytes and, as it comes, into the shared ones.
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

/// The process group of a child that was started as the leader of its own.
fn group_of(child: &Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

fn kill_group(group: Pid) {
    // It fails only when no process of the group is left.
    let _ = killpg(group, Signal::SIGKILL);
}

fn read_number(file: &Path) -> Result<u64> {
    let text = fs::read_to_string(file).context("the hook's memory was not measured; was it killed?")?;
    text.trim()
        .parse()
        .with_context(|| format!("{} holds no number", file.display()))
}
