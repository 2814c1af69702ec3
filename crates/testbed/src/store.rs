//! The state of a device between calls of `snapctl`: one JSON file for the device, and one for each
//! run of a hook. Both are replaced atomically, and one lock serialises all access.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::configuration::{Change, Options, Transaction, applied};

/// The state of a device: the configuration of its gadget, and its system mode.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct DeviceState {
    pub(crate) config: Options,
    /// The base of the gadget, such as `core24`. An empty string is a base before core26.
    pub(crate) base: String,
    pub(crate) system: SystemMode,
    /// The last request by `snapctl reboot`: `halt` or `poweroff`.
    pub(crate) reboot: Option<String>,
}

/// What `snapctl system-mode` prints.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SystemMode {
    /// `run`, `install`, `recover` or `factory-reset`.
    pub mode: String,
    /// True if the model's snaps have been installed from the seed.
    pub seed_loaded: bool,
    /// True if the image was booted with the factory hint. snapd drops the hint before run mode.
    pub factory: bool,
    /// True if snapd manages disk encryption on the device.
    pub storage_encrypted: bool,
}

impl Default for SystemMode {
    fn default() -> Self {
        SystemMode {
            mode: "run".to_owned(),
            seed_loaded: true,
            factory: false,
            storage_encrypted: false,
        }
    }
}

/// One run of a hook.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct HookRun {
    /// The file with the state of the device.
    pub(crate) device: PathBuf,
    pub(crate) hook: String,
    /// True if options are committed only if the hook succeeds. Otherwise each call commits.
    pub(crate) transactional: bool,
    /// The hook's transaction, after its first call of `snapctl`.
    pub(crate) transaction: Option<Transaction>,
}

/// The state that a cookie refers to, and its lock.
pub(crate) struct Store {
    pub(crate) device_file: PathBuf,
    pub(crate) device: DeviceState,
    pub(crate) run: Option<(PathBuf, HookRun)>,
    _lock: File,
}

impl Store {
    /// Opens the file of a hook run, or the file of a device for a call outside of hooks.
    pub(crate) fn open(cookie: &Path) -> Result<Self> {
        match read::<HookRun>(cookie) {
            Ok(run) => {
                let device_file = run.device;
                let _lock = lock(&device_file)?;
                // Read again: the file can have changed before the lock was taken.
                let run = read(cookie)?;
                Ok(Store {
                    device: read(&device_file)?,
                    device_file,
                    run: Some((cookie.to_owned(), run)),
                    _lock,
                })
            }
            Err(_) => {
                let _lock = lock(cookie)?;
                Ok(Store {
                    device: read(cookie)?,
                    device_file: cookie.to_owned(),
                    run: None,
                    _lock,
                })
            }
        }
    }

    /// The name of the running hook, or an empty string outside of hooks.
    pub(crate) fn hook(&self) -> &str {
        self.run.as_ref().map_or("", |(_, run)| &run.hook)
    }

    /// The transaction of a call: that of the hook, or a new one.
    pub(crate) fn begin(&mut self) -> Transaction {
        let ongoing = self.run.as_mut().and_then(|(_, run)| run.transaction.take());
        ongoing.unwrap_or_else(|| Transaction::new(self.device.config.clone()))
    }

    /// Ends a call. In a transactional hook the changes wait for the end of the hook, even the
    /// changes before an error. Otherwise they are committed at once, or dropped if the call
    /// failed.
    pub(crate) fn end(&mut self, transaction: Transaction, succeeded: bool) -> Result<()> {
        match &mut self.run {
            Some((file, run)) if run.transactional => {
                run.transaction = Some(transaction);
                write(file, run)
            }
            _ if succeeded => self.commit(&transaction.changes()),
            _ => Ok(()),
        }
    }

    /// Commits the options that a transactional hook has set.
    pub(crate) fn commit_run(&mut self) -> Result<()> {
        let ongoing = self.run.as_mut().and_then(|(_, run)| run.transaction.take());
        ongoing.map_or(Ok(()), |transaction| self.commit(&transaction.changes()))
    }

    fn commit(&mut self, changes: &[Change]) -> Result<()> {
        self.device.config = applied(std::mem::take(&mut self.device.config), changes);
        self.write_device()
    }

    pub(crate) fn write_device(&self) -> Result<()> {
        write(&self.device_file, &self.device)
    }

    /// Records a call of `snapctl`. The order is that in which the calls were served.
    pub(crate) fn record_call(&self, arguments: &[String]) -> Result<()> {
        let path = calls_file(&self.device_file);
        let mut line = serde_json::to_string(arguments)?;
        line.push('\n');
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
        written.with_context(|| format!("cannot write {}; check its directory", path.display()))
    }
}

/// The arguments of each call of `snapctl` until now.
pub(crate) fn calls(device_file: &Path) -> Result<Vec<Vec<String>>> {
    let path = calls_file(device_file);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    text.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

fn calls_file(device_file: &Path) -> PathBuf {
    with_suffix(device_file, ".calls")
}

/// Replaces a file atomically. A test device does not need durable files, so nothing is flushed.
pub(crate) fn write(path: &Path, content: &impl Serialize) -> Result<()> {
    let new = with_suffix(path, ".new");
    let text = serde_json::to_vec_pretty(content)?;
    let written = fs::write(&new, text).and_then(|()| fs::rename(&new, path));
    written.with_context(|| format!("cannot write {}; check its directory", path.display()))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = fs::read(path).with_context(|| format!("cannot read {}; check the path", path.display()))?;
    serde_json::from_slice(&text)
        .with_context(|| format!("{} is damaged; delete it and start again", path.display()))
}

/// Waits for the lock of a device. The lock has its own file, because each write replaces the state
/// file.
fn lock(device_file: &Path) -> Result<File> {
    let path = with_suffix(device_file, ".lock");
    let file = File::create(&path).and_then(|file| file.lock().map(|()| file));
    file.with_context(|| format!("cannot lock {}; check its directory", path.display()))
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
