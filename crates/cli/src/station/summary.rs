//! What a lot has reached, read from the files of its batch.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::done::{DoneDevice, DoneDevices};
use super::error::LotError;
use super::expected::ExpectedDevices;
use super::failures::{Failure, device_name, read_failures};
use crate::error::ToolError;
use crate::proof::ProofBatch;

/// The state of a lot.
pub(super) struct LotSummary {
    pub(super) batch: String,
    /// The number of expected devices, if there is a list of them.
    pub(super) expected: Option<usize>,
    /// In the order in which they were proven.
    pub(super) done: Vec<DoneDevice>,
    /// The devices of the last hour.
    pub(super) done_last_hour: usize,
    /// The expected devices that are not done, in the order of the list.
    pub(super) missing: Vec<String>,
    /// The devices whose last visit failed, the oldest failure first.
    pub(super) failed: Vec<Failure>,
}

impl LotSummary {
    /// Reads the files, which a station may be writing.
    pub(super) fn read(batch: &Path) -> Result<Self, ToolError> {
        let id = ProofBatch::id_in(batch)?;
        Ok(LotSummary::with_id(id, batch)?)
    }

    fn with_id(id: String, batch: &Path) -> Result<Self, LotError> {
        let expected = ExpectedDevices::kept(batch)?;
        let done = DoneDevices::read(batch)?;
        let failed = read_failures(batch, &done)?;
        let ids = expected.as_ref().map(ExpectedDevices::all).unwrap_or_default();
        let hour_ago = Timestamp::now() - SignedDuration::from_hours(1);
        let is_recent = |device: &&DoneDevice| {
            let time = device.time.parse::<Timestamp>();
            time.is_ok_and(|time| time > hour_ago)
        };
        Ok(LotSummary {
            batch: id,
            expected: expected.as_ref().map(|expected| expected.all().len()),
            done_last_hour: done.all().iter().filter(is_recent).count(),
            missing: ids.iter().filter(|id| !done.has(id)).cloned().collect(),
            failed,
            done: done.all().to_vec(),
        })
    }

    /// All of it as a JSON object.
    pub(super) fn to_json(&self) -> Value {
        let devices: Vec<_> = self
            .done
            .iter()
            .map(|device| {
                json!({
                    "hardware-id": device.identity.hardware_id,
                    "result": device.result,
                    "time": device.time,
                })
            })
            .collect();
        json!({
            "batch": self.batch,
            "expected": self.expected,
            "done": self.done.len(),
            "done-last-hour": self.done_last_hour,
            "missing": self.missing,
            "failed": self.failed,
            "devices": devices,
        })
    }

    /// A table for people.
    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        let expected = self.expected.map(|expected| expected.to_string());
        let missing = self.expected.map(|_| self.missing.len().to_string());
        for (name, value) in [
            ("batch", self.batch.clone()),
            ("expected", expected.unwrap_or_else(|| "no list".to_owned())),
            ("done", self.done.len().to_string()),
            ("missing", missing.unwrap_or_else(|| "no list".to_owned())),
            ("failed", self.failed.len().to_string()),
            ("done in the last hour", self.done_last_hour.to_string()),
        ] {
            text.push_str(&format!("{name:<22} {value}\n"));
        }
        if !self.failed.is_empty() {
            text.push_str("\nfailed:\n");
        }
        for failure in &self.failed {
            let Failure {
                time,
                hardware_id,
                code,
                cause,
            } = failure;
            let device = device_name(hardware_id);
            text.push_str(&format!("{device:<20} {time}  {code}  {cause}\n"));
        }
        if !self.missing.is_empty() {
            text.push_str("\nmissing:\n");
        }
        for id in &self.missing {
            text.push_str(&format!("{id}\n"));
        }
        text
    }
}
