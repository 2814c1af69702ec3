//! The model of the device: the assertion that is sent with the serial-request.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde_json::json;
use snap_assertions::types::Model;
use snap_assertions::{Assertion, Decoder, SignOptions, Statement};

use super::device_key;

/// The file name of a generated model in the directory of the device.
const FILE: &str = "device.model";
const EXAMPLE_BRAND: &str = "example-brand";
const EXAMPLE_MODEL: &str = "example-box";

#[derive(Debug)]
pub(crate) struct DeviceModel {
    pub(crate) assertion: Assertion,
    pub(super) brand_id: String,
    pub(super) name: String,
    /// The accounts that may sign serials.
    pub(super) serial_authority: Vec<String>,
}

impl DeviceModel {
    /// The model in a file. The file can contain other assertions too.
    pub(crate) fn read(file: &Path) -> Result<Self> {
        let name = file.display();
        let bytes = fs::read(file).with_context(|| format!("cannot read the model {name}; check --model"))?;
        let stream: Vec<Assertion> = Decoder::new(&bytes[..])
            .collect::<Result<_, _>>()
            .with_context(|| format!("{name} does not contain assertions; check --model"))?;
        let mut models = stream
            .into_iter()
            .filter(|assertion| assertion.kind().name() == "model");
        match (models.next(), models.next()) {
            (Some(model), None) => {
                Self::of(model).with_context(|| format!("the model in {name}; check --model"))
            }
            (None, _) => {
                bail!("{name} does not contain a model; give a file with a model assertion as --model")
            }
            (Some(_), Some(_)) => {
                bail!("{name} contains several models; give a file with one model as --model")
            }
        }
    }

    /// A model of an example brand. It is generated once and stored with the device.
    pub(super) fn generated(directory: &Path) -> Result<Self> {
        let file = directory.join(FILE);
        if !file.exists() {
            let (brand, _) = device_key::generate()?;
            let now = Timestamp::from_second(Timestamp::now().as_second())?.to_string();
            let statement: Statement = serde_json::from_value(json!({
                "type": "model", "authority-id": EXAMPLE_BRAND, "brand-id": EXAMPLE_BRAND,
                "series": "16", "model": EXAMPLE_MODEL,
                "architecture": "amd64", "base": "core24", "grade": "dangerous", "timestamp": now,
                "snaps": [
                    { "name": "gadget", "type": "gadget", "default-channel": "latest/stable" },
                    { "name": "pc-kernel", "type": "kernel", "default-channel": "24/stable" },
                ],
            }))?;
            let signed = statement.sign(&brand, &SignOptions::now())?;
            fs::write(&file, signed.to_string())
                .with_context(|| format!("cannot write {}; check its directory", file.display()))?;
        }
        Self::read(&file)
    }

    fn of(assertion: Assertion) -> Result<Self> {
        let model = Model::try_from(&assertion)?;
        Ok(DeviceModel {
            brand_id: model.brand_id().to_owned(),
            name: model.model().to_owned(),
            serial_authority: model.serial_authority().iter().map(|&id| id.to_owned()).collect(),
            assertion,
        })
    }
}
