//! The device that a command of the testbed works with, and its TPM.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{Device, TestTpm};

/// What a device is like, where it is not as a new one is.
#[derive(Clone, Debug, Default)]
pub struct DeviceOptions {
    /// Where the device is kept; `None` for a new one that goes at the end.
    pub folder: Option<PathBuf>,
    /// An unpacked gadget snap.
    pub gadget: Option<PathBuf>,
    /// The gadget's settings file, for a device without `gadget`.
    pub settings: Option<PathBuf>,
    /// Options of the gadget that are set beforehand.
    pub set: Vec<(String, Value)>,
}

impl DeviceOptions {
    /// The device, made if it is not there yet.
    ///
    /// # Errors
    /// Name the folder, file or option.
    pub fn device(&self) -> Result<Device> {
        let mut device = match &self.folder {
            Some(folder) => Device::kept_in(folder)?,
            None => Device::new()?,
        };
        if let Some(folder) = &self.gadget {
            device.use_gadget(folder)?;
        }
        if let Some(file) = &self.settings {
            let text = fs::read_to_string(file)
                .with_context(|| format!("cannot read the settings {}; check --settings", file.display()))?;
            device.write_settings(&text)?;
        }
        for (name, value) in &self.set {
            device
                .set_config(name, value.clone())
                .with_context(|| format!("cannot set the option {name}; correct --set"))?;
        }
        Ok(device)
    }

    /// The way to the TPM for the environment variable TCTI: what this program's own has; else to a software TPM, which is
    /// kept with the device. `None` where the option `hardware-identity.tcti` is among those that are set.
    ///
    /// # Errors
    /// Where the software TPM does not start.
    pub fn tpm(&self) -> Result<(Option<TestTpm>, Option<OsString>)> {
        if self.set.iter().any(|(name, _)| name == "hardware-identity.tcti") {
            return Ok((None, None));
        }
        if let Some(tcti) = env::var_os("TCTI").filter(|tcti| !tcti.is_empty()) {
            return Ok((None, Some(tcti)));
        }
        let tpm = match &self.folder {
            Some(folder) => TestTpm::kept_in(&folder.join("tpm"))?,
            None => TestTpm::new()?,
        };
        let tcti = tpm.tcti().into();
        Ok((Some(tpm), Some(tcti)))
    }
}
