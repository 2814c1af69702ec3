//! Runs a hook as snapd does.
//!
//! Source: snapd's overlord/hookstate and cmd/snap/cmd_run (2.77): the environment, and when the
//! options that the hook sets are committed.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::companion;
use crate::configuration::Transaction;
use crate::device::Device;
use crate::gadget_snap::GadgetSnap;
use crate::running_hook::{HookOutcome, RunningHook};
use crate::store::{self, HookRun, Store};

/// Time limit of snapd for a hook that does not set its own.
const TIME_LIMIT: Duration = Duration::from_secs(10 * 60);

/// The only hook whose `snapctl` calls commit at once, since snapd runs it outside of any task.
const HOOK_WITHOUT_TRANSACTION: &str = "prepare-serial-request";

/// PATH after the directory of `snapctl`.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A hook that is prepared to run.
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

    /// Sets the name of the hook. The default is the name of its executable.
    pub fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// Sets an environment variable. It can replace one that snapd sets.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.variables
            .insert(name.as_ref().to_owned(), Some(value.as_ref().to_owned()));
        self
    }

    /// Sets the environment variable TCTI, if a TCTI is given.
    pub fn tcti(self, tcti: Option<&OsStr>) -> Self {
        match tcti {
            Some(tcti) => self.env("TCTI", tcti),
            None => self,
        }
    }

    /// Removes an environment variable that snapd sets, such as SNAP_SAVE_DATA on a device without
    /// ubuntu-save.
    pub fn without_env(mut self, name: impl AsRef<OsStr>) -> Self {
        self.variables.insert(name.as_ref().to_owned(), None);
        self
    }

    /// Replaces `snapctl` with another program. With a path that does not exist, `snapctl` is
    /// missing.
    pub fn snapctl(mut self, program: &Path) -> Self {
        self.snapctl = Some(program.to_owned());
        self
    }

    /// Sets an option for the hook configure, as `snap set` and the gadget's defaults do: the hook
    /// reads it, and it is kept only if the hook succeeds.
    pub fn snap_set(mut self, name: &str, value: Value) -> Self {
        self.patch.push((name.to_owned(), value));
        self
    }

    /// Sets the time limit. The default is snapd's, ten minutes.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Measures the peak memory. A small program then starts the hook, because a process inherits
    /// the peak memory of its parent.
    pub fn measure_memory(mut self) -> Self {
        self.measure = true;
        self
    }

    /// Runs the hook and waits until it ends.
    pub fn run(self) -> Result<HookOutcome> {
        self.spawn()?.wait()
    }

    /// Starts the hook.
    pub fn spawn(self) -> Result<RunningHook> {
        let directory = tempfile::tempdir_in(self.device.runs())
            .context("cannot create a directory for the run of a hook")?;
        let cookie = self.write_cookie(directory.path())?;
        let memory = self.measure.then(|| directory.path().join("memory"));
        let mut command_line = Vec::new();
        if let Some(file) = &memory {
            command_line.extend([companion::find("peak-memory")?, file.clone()]);
        }
        command_line.extend(
            self.device
                .gadget()
                .into_iter()
                .flat_map(|gadget| gadget.command_chain(&self.name)),
        );
        command_line.push(self.executable.clone());
        let mut command = Command::new(&command_line[0]);
        command.args(&command_line[1..]);
        command
            .env_clear()
            .envs(self.environment(directory.path(), &cookie)?);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // The time limit kills the whole process group.
        command.process_group(0);
        let child = command.spawn().with_context(|| {
            format!(
                "cannot run {}; build it or check the path",
                self.executable.display()
            )
        })?;
        Ok(RunningHook::watch(child, self.limit, directory, cookie, memory))
    }

    fn write_cookie(&self, directory: &Path) -> Result<PathBuf> {
        let cookie = directory.join("cookie.json");
        let run = HookRun {
            device: self.device.state_file(),
            hook: self.name.clone(),
            transactional: self.name != HOOK_WITHOUT_TRANSACTION,
            transaction: self.first_transaction()?,
        };
        store::write(&cookie, &run)?;
        Ok(cookie)
    }

    /// The hook's transaction before its first call of `snapctl`.
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

    fn environment(&self, directory: &Path, cookie: &Path) -> Result<BTreeMap<OsString, OsString>> {
        let programs = directory.join("bin");
        let snapctl = match &self.snapctl {
            Some(program) => program.clone(),
            None => companion::find("snapctl")?,
        };
        fs::create_dir(&programs)
            .and_then(|()| symlink(snapctl, programs.join("snapctl")))
            .context("cannot create a directory with snapctl")?;
        // If snapctl has to be missing, the hook must not find the machine's own snapctl either.
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
        for (name, value) in device.variables() {
            environment.insert(name.into(), value.into());
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
