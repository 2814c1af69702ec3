//! The device's model: the assertion that goes along with the serial-request.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use serde_json::json;
use snap_assertions::types::Model;
use snap_assertions::{Assertion, Decoder, SignOptions, Statement};

use super::device_key;

/// Where a model of the testbed's own is kept in the device's folder.
const FILE: &str = "device.model";
const OWN_BRAND: &str = "example-brand";
const OWN_MODEL: &str = "example-box";

#[derive(Debug)]
pub(super) struct DeviceModel {
    pub(super) assertion: Assertion,
    pub(super) brand_id: String,
    pub(super) name: String,
    /// The accounts that may sign serials.
    pub(super) serial_authority: Vec<String>,
}

impl DeviceModel {
    /// The one model in a file, which may hold other assertions too.
    pub(super) fn read(file: &Path) -> Result<Self> {
        let name = file.display();
        let text = fs::read(file).with_context(|| format!("cannot read the model {name}; check --model"))?;
        let stream: Vec<Assertion> = Decoder::new(&text[..])
            .collect::<Result<_, _>>()
            .with_context(|| format!("{name} does not hold assertions; check --model"))?;
        let mut models = stream.into_iter().filter(|one| one.kind().name() == "model");
        match (models.next(), models.next()) {
            (Some(model), None) => {
                Self::of(model).with_context(|| format!("the model in {name}; check --model"))
            }
            (None, _) => bail!("{name} holds no model; give --model a file with a model assertion"),
            (Some(_), Some(_)) => bail!("{name} holds several models; give --model a file with one"),
        }
    }

    /// A model of a brand that the testbed makes up, the same for all of a kept device's life.
    pub(super) fn own(folder: &Path) -> Result<Self> {
        let file = folder.join(FILE);
        if !file.exists() {
            let (brand, _) = device_key::generate()?;
            let now = Timestamp::from_second(Timestamp::now().as_second())?.to_string();
            let statement: Statement = serde_json::from_value(json!({
                "type": "model", "authority-id": OWN_BRAND, "brand-id": OWN_BRAND, "series": "16", "model": OWN_MODEL,
                "architecture": "amd64", "base": "core24", "grade": "dangerous", "timestamp": now,
                "snaps": [
                    { "name": "gadget", "type": "gadget", "default-channel": "latest/stable" },
                    { "name": "pc-kernel", "type": "kernel", "default-channel": "24/stable" },
                ],
            }))?;
            let signed = statement.sign(&brand, &SignOptions::now())?;
            fs::write(&file, signed.to_string())
                .with_context(|| format!("cannot write {}; check its folder", file.display()))?;
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
