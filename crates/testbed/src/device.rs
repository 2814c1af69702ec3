//! A device as the hooks of its gadget see it: directories, configuration and `snapctl`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;

use crate::configuration::Transaction;
use crate::gadget_snap::GadgetSnap;
use crate::hook::HookCommand;
use crate::store::{self, DeviceState, Store, SystemMode};

/// The default base of the gadget, where snapd is strictest.
const BASE: &str = "core26";

/// A device with a gadget snap. Dropping it removes its directories, unless it was opened with
/// [`Device::kept_in`].
#[derive(Debug)]
pub struct Device {
    directory: PathBuf,
    gadget: Option<GadgetSnap>,
    variables: Vec<(String, String)>,
    _temporary: Option<TempDir>,
}

impl Device {
    /// A new device in run mode, with empty directories and no configuration.
    pub fn new() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("device-").tempdir();
        let directory =
            directory.context("cannot create a temporary directory; check TMPDIR and its free space")?;
        Self::at(directory.path().to_owned(), Some(directory))
    }

    /// The device that is stored in `directory`. It is a new device if the directory is missing or
    /// empty.
    pub fn kept_in(directory: &Path) -> Result<Self> {
        let directory = std::path::absolute(directory)
            .context("the directory does not have an absolute path; give another directory")?;
        Self::at(directory, None)
    }

    fn at(directory: PathBuf, temporary: Option<TempDir>) -> Result<Self> {
        let device = Device {
            directory,
            gadget: None,
            variables: Vec::new(),
            _temporary: temporary,
        };
        for directory in [
            device.snap(),
            device.data(),
            device.common(),
            device.save_data(),
            device.home(),
            device.runs(),
        ] {
            fs::create_dir_all(&directory).with_context(|| {
                format!(
                    "cannot create {}; check its parent directory",
                    directory.display()
                )
            })?;
        }
        if !device.state_file().exists() {
            let state = DeviceState {
                base: BASE.to_owned(),
                ..DeviceState::default()
            };
            store::write(&device.state_file(), &state)?;
        }
        Ok(device)
    }

    /// Installs the unpacked gadget snap in `directory`. `$SNAP` is that directory. The base and
    /// more environment variables for the hooks come from snap.yaml.
    ///
    /// # Errors
    /// If `meta/snap.yaml` is missing or is not valid.
    pub fn use_gadget(&mut self, directory: &Path) -> Result<()> {
        let gadget = GadgetSnap::open(directory)?;
        self.set_base(gadget.base())?;
        self.gadget = Some(gadget);
        Ok(())
    }

    /// Sets environment variables for the hooks of this run, in addition to those of the gadget.
    pub(crate) fn set_variables(&mut self, variables: &[(String, String)]) {
        self.variables = variables.to_vec();
    }

    /// The variables of [`set_variables`](Self::set_variables).
    pub(crate) fn variables(&self) -> &[(String, String)] {
        &self.variables
    }

    /// The executable of a hook: the gadget's hook `name`, or the file `name` if it is a path or
    /// the device has no gadget snap.
    ///
    /// # Errors
    /// If the gadget does not have the hook.
    pub fn hook_file(&self, name: &Path) -> Result<PathBuf> {
        let is_name = name.components().count() == 1;
        match &self.gadget {
            Some(gadget) if is_name => gadget.hook(name).with_context(|| {
                let (directory, name) = (gadget.directory.display(), name.display());
                format!(
                    "{directory} does not have the hook {name}. Give a hook in its meta/hooks, or the \
                     path of an executable"
                )
            }),
            // A name without a slash is a file in the working directory, not a program on PATH.
            _ => std::path::absolute(name)
                .context("the hook does not have a path. Give the path of its executable"),
        }
    }

    /// The directory that contains all files of the device.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// `$SNAP`: the gadget snap's own files.
    pub fn snap(&self) -> PathBuf {
        match &self.gadget {
            Some(gadget) => gadget.directory.clone(),
            None => self.directory.join("snap"),
        }
    }

    /// `$SNAP_DATA`: data of one revision of the gadget.
    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// `$SNAP_COMMON`: data of all revisions of the gadget.
    pub fn common(&self) -> PathBuf {
        self.directory.join("common")
    }

    /// `$SNAP_SAVE_DATA`: data that survives a factory reset.
    pub fn save_data(&self) -> PathBuf {
        self.directory.join("save")
    }

    /// `$HOME`.
    pub(crate) fn home(&self) -> PathBuf {
        self.directory.join("home")
    }

    /// The directory for files of single hook runs.
    pub(crate) fn runs(&self) -> PathBuf {
        self.directory.join("runs")
    }

    /// The file with the configuration. It is SNAP_COOKIE for calls of `snapctl` outside of hooks.
    pub fn state_file(&self) -> PathBuf {
        self.directory.join("state.json")
    }

    /// Writes the gadget's settings file, `$SNAP/hardware-identity.toml`.
    pub fn write_settings(&self, toml: &str) -> Result<()> {
        let path = self.snap().join("hardware-identity.toml");
        fs::write(&path, toml)
            .with_context(|| format!("cannot write {}; check its directory", path.display()))
    }

    /// Sets an option of the gadget, as `snap set` does. A null unsets it.
    pub fn set_config(&self, name: &str, value: Value) -> Result<()> {
        let mut store = Store::open(&self.state_file())?;
        let mut transaction = store.begin();
        transaction.set(&store.device.base, name, value)?;
        store.end(transaction, true)
    }

    /// An option of the gadget; `None` if it is not set.
    pub fn config(&self, name: &str) -> Result<Option<Value>> {
        let store = Store::open(&self.state_file())?;
        Transaction::new(store.device.config.clone()).get(name)
    }

    /// The arguments of each call of `snapctl` until now, by all hooks.
    pub fn calls(&self) -> Result<Vec<Vec<String>>> {
        store::calls(&self.state_file())
    }

    /// Sets the base of the gadget, such as `core24`. A new device has `core26`.
    pub fn set_base(&self, base: &str) -> Result<()> {
        self.update(|state| state.base = base.to_owned())
    }

    /// Sets what `snapctl system-mode` prints.
    pub fn set_system_mode(&self, system: SystemMode) -> Result<()> {
        self.update(|state| state.system = system)
    }

    /// What `snapctl system-mode` prints.
    pub fn system_mode(&self) -> Result<SystemMode> {
        Ok(Store::open(&self.state_file())?.device.system)
    }

    /// The last request by `snapctl reboot`: `halt` or `poweroff`.
    pub fn reboot_request(&self) -> Result<Option<String>> {
        Ok(Store::open(&self.state_file())?.device.reboot)
    }

    /// Takes the last request by `snapctl reboot`: `halt` or `poweroff`.
    pub fn take_reboot_request(&self) -> Result<Option<String>> {
        let mut store = Store::open(&self.state_file())?;
        let request = store.device.reboot.take();
        store.write_device()?;
        Ok(request)
    }

    /// The gadget's name.
    pub(crate) fn snap_name(&self) -> &str {
        self.gadget.as_ref().map_or("gadget", GadgetSnap::name)
    }

    /// The gadget snap, if one is installed.
    pub(crate) fn gadget(&self) -> Option<&GadgetSnap> {
        self.gadget.as_ref()
    }

    fn update(&self, work: impl FnOnce(&mut DeviceState)) -> Result<()> {
        let mut store = Store::open(&self.state_file())?;
        work(&mut store.device);
        store.write_device()
    }

    /// Prepares a run of a hook. The file name of the executable is the name of the hook, and
    /// selects snapd's rules for it.
    pub fn hook(&self, executable: &Path) -> HookCommand<'_> {
        HookCommand::new(self, executable)
    }
}
