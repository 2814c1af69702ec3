//! A device as its gadget's hooks see it: the snap's folders, the configuration that snapd keeps, and `snapctl`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;
use tempfile::TempDir;

use crate::configuration::Transaction;
use crate::gadget_snap::GadgetSnap;
use crate::hook::HookCommand;
use crate::store::{self, DeviceState, Store, SystemMode};

/// The gadget's base, unless a test says otherwise: the strictest there is.
const BASE: &str = "core26";

/// A device with a gadget snap. Its folders go when it is dropped, unless they were asked to be kept.
#[derive(Debug)]
pub struct Device {
    folder: PathBuf,
    gadget: Option<GadgetSnap>,
    _temporary: Option<TempDir>,
}

impl Device {
    /// A new device in run mode, with empty folders and no configuration.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("device-").tempdir();
        let folder = folder.context("no temporary folder for a device; check TMPDIR and its free space")?;
        Self::at(folder.path().to_owned(), Some(folder))
    }

    /// The device that is kept in `folder`; a new one if the folder is missing or empty.
    pub fn kept_in(folder: &Path) -> Result<Self> {
        let folder =
            std::path::absolute(folder).context("the folder has no absolute path; name another one")?;
        Self::at(folder, None)
    }

    fn at(folder: PathBuf, temporary: Option<TempDir>) -> Result<Self> {
        let device = Device {
            folder,
            gadget: None,
            _temporary: temporary,
        };
        for folder in [
            device.snap(),
            device.data(),
            device.common(),
            device.save_data(),
            device.home(),
            device.runs(),
        ] {
            fs::create_dir_all(&folder)
                .with_context(|| format!("cannot make {}; check the folder above it", folder.display()))?;
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

    /// Installs the gadget snap that lies unpacked in `folder`: `$SNAP` is there, and snap.yaml gives the base and further
    /// variables of the hooks' environment.
    ///
    /// # Errors
    /// Where the folder has no `meta/snap.yaml` that can be read.
    pub fn use_gadget(&mut self, folder: &Path) -> Result<()> {
        let gadget = GadgetSnap::open(folder)?;
        self.set_base(gadget.base())?;
        self.gadget = Some(gadget);
        Ok(())
    }

    /// The executable of the gadget's hook `name`; of any hook where `name` is a path.
    ///
    /// # Errors
    /// Where `name` is no path and there is no such hook.
    pub fn hook_file(&self, name: &Path) -> Result<PathBuf> {
        let is_name = name.components().count() == 1;
        match &self.gadget {
            Some(gadget) if is_name => gadget.hook(name).with_context(|| {
                let (folder, name) = (gadget.folder.display(), name.display());
                format!("{folder} has no hook {name}. Name one of those in its meta/hooks, or an executable by its path")
            }),
            // A bare name is a file of this folder, not a program on PATH.
            _ => std::path::absolute(name).context("the hook has no path. Name its executable"),
        }
    }

    /// Where all of the device is kept.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `$SNAP`: the gadget snap's own files.
    pub fn snap(&self) -> PathBuf {
        match &self.gadget {
            Some(gadget) => gadget.folder.clone(),
            None => self.folder.join("snap"),
        }
    }

    /// `$SNAP_DATA`: data of one revision of the gadget.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// `$SNAP_COMMON`: data of all revisions of the gadget.
    pub fn common(&self) -> PathBuf {
        self.folder.join("common")
    }

    /// `$SNAP_SAVE_DATA`: data that survives a factory reset.
    pub fn save_data(&self) -> PathBuf {
        self.folder.join("save")
    }

    /// `$HOME`.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// What belongs to single runs of hooks.
    pub(crate) fn runs(&self) -> PathBuf {
        self.folder.join("runs")
    }

    /// The file in which `snapctl` finds the configuration outside of hooks (its SNAP_COOKIE).
    pub fn state_file(&self) -> PathBuf {
        self.folder.join("state.json")
    }

    /// Writes the gadget's settings file, `$SNAP/hardware-identity.toml`.
    pub fn write_settings(&self, toml: &str) -> Result<()> {
        let path = self.snap().join("hardware-identity.toml");
        fs::write(&path, toml).with_context(|| format!("cannot write {}; check its folder", path.display()))
    }

    /// Sets an option of the gadget, as `snap set` does; a null unsets it.
    pub fn set_config(&self, name: &str, value: Value) -> Result<()> {
        let mut store = Store::open(&self.state_file())?;
        let mut transaction = store.begin();
        transaction.set(&store.device.base, name, value)?;
        store.end(transaction, true)
    }

    /// An option of the gadget; `None` if it is not set.
    pub fn config(&self, name: &str) -> Result<Option<Value>> {
        let store = Store::open(&self.state_file())?;
        Transaction::over(store.device.config.clone()).get(name)
    }

    /// The calls of `snapctl` so far, by all hooks, each as its arguments.
    pub fn calls(&self) -> Result<Vec<Vec<String>>> {
        store::calls(&self.state_file())
    }

    /// Sets the gadget's base, such as `core24`. A new device has `core26`, where snapd is strictest.
    pub fn set_base(&self, base: &str) -> Result<()> {
        self.change(|state| state.base = base.to_owned())
    }

    /// Sets what `snapctl system-mode` tells.
    pub fn set_system_mode(&self, system: SystemMode) -> Result<()> {
        self.change(|state| state.system = system)
    }

    /// What `snapctl system-mode` tells.
    pub fn system_mode(&self) -> Result<SystemMode> {
        Ok(Store::open(&self.state_file())?.device.system)
    }

    /// What a hook asked for with `snapctl reboot`: `halt`, `poweroff`, or nothing.
    pub fn reboot_request(&self) -> Result<Option<String>> {
        Ok(Store::open(&self.state_file())?.device.reboot)
    }

    /// The same, and forgets it.
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

    /// The gadget snap, if the device has more of it than single hooks.
    pub(crate) fn gadget(&self) -> Option<&GadgetSnap> {
        self.gadget.as_ref()
    }

    fn change(&self, work: impl FnOnce(&mut DeviceState)) -> Result<()> {
        let mut store = Store::open(&self.state_file())?;
        work(&mut store.device);
        store.write_device()
    }

    /// Prepares a run of a hook. Its name is the executable's, which tells snapd's rules for it.
    pub fn hook(&self, executable: &Path) -> HookCommand<'_> {
        HookCommand::new(self, executable)
    }
}
