//! The device of a testbed command, and its TPM.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::{Device, TestTpm};

/// The differences of a device from a new one.
#[derive(Clone, Debug, Default)]
pub struct DeviceOptions {
    /// The directory of a stored device; `None` for a temporary device.
    pub directory: Option<PathBuf>,
    /// The directory of an unpacked gadget snap.
    pub gadget: Option<PathBuf>,
    /// The settings file of the gadget, for a device without `gadget`.
    pub settings: Option<PathBuf>,
    /// Options of the gadget to set first.
    pub set: Vec<(String, Value)>,
    /// Environment variables for the hooks.
    pub variables: Vec<(String, String)>,
}

impl DeviceOptions {
    /// The device. It is created if it does not exist.
    ///
    /// # Errors
    /// Each error contains the directory, file or option.
    pub fn device(&self) -> Result<Device> {
        let mut device = match &self.directory {
            Some(directory) => Device::kept_in(directory)?,
            None => Device::new()?,
        };
        device.set_variables(&self.variables);
        if let Some(directory) = &self.gadget {
            device.use_gadget(directory)?;
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

    /// The value of the hooks' environment variable TCTI: that of this process, else the TCTI of a
    /// software TPM that is stored with the device. `None` if `set` contains the option
    /// `hardware-identity.tcti`.
    ///
    /// # Errors
    /// If the software TPM does not start.
    pub fn tpm(&self) -> Result<(Option<TestTpm>, Option<OsString>)> {
        if self.set.iter().any(|(name, _)| name == "hardware-identity.tcti") {
            return Ok((None, None));
        }
        if let Some(tcti) = env::var_os("TCTI").filter(|tcti| !tcti.is_empty()) {
            return Ok((None, Some(tcti)));
        }
        let tpm = match &self.directory {
            Some(directory) => TestTpm::kept_in(&directory.join("tpm"))?,
            None => TestTpm::new()?,
        };
        let tcti = tpm.tcti().into();
        Ok((Some(tpm), Some(tcti)))
    }
}
