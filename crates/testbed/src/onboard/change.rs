//! One change `become-operational`: the hook prepare-device, the device key and the task
//! request-serial.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use serde_json::json;
use snap_assertions::{Assertion, LocalSigner};

use super::gadget::Gadget;
use super::model::DeviceModel;
use super::serial::TrustedKeys;
use super::service::{Failure, Service};
use super::{Options, body, device_key, serial, serial_request};
use crate::Device;

pub(super) struct Change<'a> {
    pub(super) options: &'a Options,
    pub(super) device: &'a Device,
    pub(super) model: &'a DeviceModel,
    pub(super) trusted: &'a TrustedKeys,
    pub(super) tcti: Option<&'a OsStr>,
}

/// The task request-serial, with its state between runs.
struct Task<'a> {
    change: &'a Change<'a>,
    key: LocalSigner,
    /// The stream that the service has accepted with 202. The next run sends it again.
    accepted: Option<String>,
}

impl Change<'_> {
    pub(super) fn run(&self, log: &mut dyn FnMut(&str)) -> Result<Assertion> {
        self.check_run_mode()?;
        match self.find_hook("prepare-device", self.options.prepare_device.as_deref())? {
            Some(executable) => self.run_hook("prepare-device", &executable, log)?,
            None => log("  prepare-device: the gadget does not have this hook"),
        }
        let (key, origin) = device_key::ensure(self.device.directory())?;
        log(&format!("  generate-device-key: {origin}"));
        let mut task = Task {
            change: self,
            key,
            accepted: None,
        };
        let mut run = 1;
        loop {
            log(&format!("  request-serial, run {run}"));
            let (retry, error) = match task.run(log) {
                Ok(serial) => return Ok(serial),
                Err(Failure::Final(error)) => {
                    return Err(error.context(format!("request-serial failed at run {run}")));
                }
                Err(Failure::Accepted) => ("the service has accepted the serial-request for later", None),
                Err(Failure::Transient(error)) => ("snapd takes this for a transient error", Some(error)),
            };
            if let Some(error) = &error {
                log(&format!("    {error:#}"));
            }
            if run == self.options.runs {
                let error = error.unwrap_or_else(|| {
                    anyhow!("the service answered 202 each time. Check why it does not decide")
                });
                return Err(error.context(format!("request-serial failed {run} times")));
            }
            let pause = self.options.pause;
            log(&format!(
                "    {retry}: snapd runs request-serial again after 60 s, the testbed after {} s",
                pause.as_secs_f64()
            ));
            thread::sleep(pause);
            run += 1;
        }
    }

    /// The hook from the command line, else the hook of the gadget, if it has one.
    fn find_hook(&self, name: &str, named: Option<&Path>) -> Result<Option<PathBuf>> {
        match named {
            Some(executable) => Ok(Some(std::path::absolute(executable).with_context(|| {
                format!("the hook {name} does not have a path. Give the path of its executable")
            })?)),
            None => Ok(self.device.gadget().and_then(|gadget| gadget.hook(name))),
        }
    }

    /// Runs a hook and logs its output.
    fn run_hook(&self, name: &str, executable: &Path, log: &mut dyn FnMut(&str)) -> Result<()> {
        let run = self.device.hook(executable).name(name).tcti(self.tcti);
        let outcome = run.run()?;
        for line in outcome.merged.lines() {
            log(&format!("    {name}| {line}"));
        }
        ensure!(
            !outcome.timed_out,
            "the hook {name} was killed after 10 minutes, the time limit of snapd. Make it end earlier"
        );
        ensure!(
            outcome.status.success(),
            "the hook {name} ({}) failed: {}",
            executable.display(),
            outcome.change_text()
        );
        log(&format!("  hook {name}: done"));
        Ok(())
    }

    fn check_run_mode(&self) -> Result<()> {
        let mode = self.device.system_mode()?.mode;
        ensure!(
            mode == "run",
            "the device is in mode {mode}, and snapd registers it only in mode run. Use another directory \
             for the device"
        );
        Ok(())
    }
}

impl Task<'_> {
    fn run(&mut self, log: &mut dyn FnMut(&str)) -> Result<Assertion, Failure> {
        let options = self.change.options;
        // As in snapd, each run first reads the gadget's configuration again. A body that the hook
        // has left as an object ends the change here.
        let mut gadget = Gadget::read(self.change.device)?;
        gadget.override_with(options, log);
        let service = Service::new(&gadget, &options.certificates)?;
        let stream = match self.accepted.take() {
            Some(stream) => stream,
            None => self.prepare(&gadget, &service, log)?,
        };
        let answer = match service.submit(&stream, log) {
            Err(Failure::Accepted) => {
                self.accepted = Some(stream);
                return Err(Failure::Accepted);
            }
            other => other?,
        };
        let serial = serial::read(&answer)?;
        let step = || format!("the serial from {}", service.serial_url());
        serial::check(&serial, self.change.model, &self.key).with_context(step)?;
        let verified = self.change.trusted.verify(&serial).with_context(step)?;
        log(&format!("    {verified}"));
        Ok(serial)
    }

    /// Creates the stream of serial-request and model.
    fn prepare(
        &self,
        gadget: &Gadget,
        service: &Service,
        log: &mut dyn FnMut(&str),
    ) -> Result<String, Failure> {
        let request_id = service.request_id(log)?;
        let body = self.body(gadget, &request_id, log)?;
        let serial = gadget.proposed_serial.as_deref();
        log(&match serial {
            Some(serial) => {
                format!("    serial-request: signed with the device key, proposes the serial {serial:?}")
            }
            None => "    serial-request: signed with the device key, proposes no serial".to_owned(),
        });
        let request = serial_request::sign(self.change.model, &self.key, &request_id, serial, &body)?;
        Ok(serial_request::stream(&request, self.change.model)?)
    }

    fn body(&self, gadget: &Gadget, request_id: &str, log: &mut dyn FnMut(&str)) -> Result<String> {
        let named = self.change.options.prepare_serial_request.as_deref();
        let Some(executable) = self.change.find_hook("prepare-serial-request", named)? else {
            log("    prepare-serial-request: the gadget does not have this hook");
            return Ok(gadget.body.clone());
        };
        let device = self.change.device;
        device.set_config("registration.request-id", json!(request_id))?;
        self.change.run_hook("prepare-serial-request", &executable, log)?;
        let body = device.config("registration.body")?;
        let (body, warning) = body::after_hook(body)?;
        log(&format!("    registration.body: {body}"));
        if let Some(warning) = warning {
            log(&format!("    warning: {warning}"));
        }
        Ok(body)
    }
}
