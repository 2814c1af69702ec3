//! The options of the gadget that snapd reads in each run of request-serial.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;

use super::Options;
use crate::Device;

/// The options that snapd's getSerialRequestConfig (handlers_serial.go) reads, in its order.
#[derive(Debug)]
pub(super) struct Gadget {
    pub(super) url: String,
    pub(super) headers: BTreeMap<String, String>,
    /// The body of a gadget without the hook prepare-serial-request, as a string.
    pub(super) body: String,
    pub(super) proposed_serial: Option<String>,
}

impl Gadget {
    pub(super) fn read(device: &Device) -> Result<Self> {
        let access: String = read(device, "device-service.access", "string")?;
        ensure!(
            access != "offline",
            "the gadget's option device-service.access is offline, so snapd does not request a serial. \
             Unset the option to request one"
        );
        let proposed = || read(device, "registration.proposed-serial", "string");
        Ok(Gadget {
            url: read(device, "device-service.url", "string")?,
            headers: read(device, "device-service.headers", "map[string]string")?,
            body: read(device, "registration.body", "string").context(
                "the hook has left an object in registration.body, and snapd reads a string there in each \
                 further run. Let prepare-device begin with `snapctl unset registration.body`, and wait for \
                 the next change",
            )?,
            proposed_serial: Some(proposed()?).filter(|serial: &String| !serial.is_empty()),
        })
    }

    /// Overrides the gadget's options with those of the command line.
    pub(super) fn override_with(&mut self, options: &Options, log: &mut dyn FnMut(&str)) {
        if let Some(url) = &options.device_service_url {
            if !self.url.is_empty() && self.url != *url {
                log(&format!(
                    "    --device-service-url overrides the gadget's {}",
                    self.url
                ));
            }
            self.url.clone_from(url);
        }
        if let Some(serial) = &options.proposed_serial {
            if let Some(own) = self.proposed_serial.as_ref().filter(|own| *own != serial) {
                log(&format!("    --proposed-serial overrides the gadget's {own}"));
            }
            self.proposed_serial = Some(serial.clone());
        }
    }
}

/// An option as the Go type that snapd reads it into, or the default of the type if it is not set.
fn read<T: DeserializeOwned + Default>(device: &Device, name: &str, go_type: &str) -> Result<T> {
    let Some(value) = device.config(name)? else {
        return Ok(T::default());
    };
    let json = value.to_string();
    serde_json::from_value(value).map_err(|_| {
        // The message of snapd (overlord/configstate/config), which a gadget author sees on the
        // device.
        let snap = device.snap_name();
        anyhow::anyhow!("cannot unmarshal snap {snap:?} option {name:?} into *{go_type}: it is {json}")
    })
}
