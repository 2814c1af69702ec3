//! What of meta/gadget.yaml is looked at, as snapd reads it; volumes are checked by `snap pack`.

use std::collections::BTreeMap;

use hardware_identity::config::OPTION;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::yaml::or_default;

pub(crate) const FILE: &str = "meta/gadget.yaml";

/// Options that no other snap has.
const GADGET_OPTIONS: [&str; 3] = [OPTION, "device-service", "registration"];

#[derive(Debug, Deserialize)]
pub(crate) struct GadgetYaml {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) connections: Vec<Connection>,
    /// Options of snaps, by snap-id.
    #[serde(default, deserialize_with = "or_default")]
    defaults: BTreeMap<String, Value>,
}

/// Applied to a snap with this snap-id while the device is seeded.
#[derive(Debug, Deserialize)]
pub(crate) struct Connection {
    #[serde(default, deserialize_with = "or_default")]
    plug: String,
    #[serde(default, deserialize_with = "or_default")]
    slot: String,
}

/// One end of a connection: `SNAP-ID:NAME` or `system:NAME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End<'a> {
    pub(crate) snap_id: &'a str,
    pub(crate) name: &'a str,
}

impl Connection {
    /// Both ends; without a slot it is the system's of the plug's name.
    ///
    /// # Errors
    /// What is wrong with an end.
    pub(crate) fn ends(&self) -> Result<(End<'_>, End<'_>), String> {
        let plug = End::parse(&self.plug)?;
        let slot = match self.slot.is_empty() {
            false => End::parse(&self.slot)?,
            true => End {
                snap_id: "system",
                name: plug.name,
            },
        };
        Ok((plug, slot))
    }
}

impl<'a> End<'a> {
    fn parse(text: &'a str) -> Result<Self, String> {
        let parts = text.split_once(':').filter(|(snap_id, name)| {
            (*snap_id == "system" || is_snap_id(snap_id)) && !name.is_empty() && !name.contains(':')
        });
        match parts {
            Some((snap_id, name)) => Ok(End { snap_id, name }),
            None => Err(format!(
                "\"{text}\" is not SNAP-ID:NAME or system:NAME; a snap-id has 32 letters and digits"
            )),
        }
    }
}

/// As naming.ValidateSnapID of snapd has it.
pub(crate) fn is_snap_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

impl GadgetYaml {
    /// The stanzas of `defaults:` that are for the gadget itself. A stanza is keyed by snap-id, and no file in a
    /// snap says which is its own; but only a gadget has the options that snapd or this project read.
    pub(crate) fn defaults_of_gadgets(&self) -> impl Iterator<Item = (&str, Value)> {
        self.defaults
            .iter()
            .map(|(snap_id, options)| (snap_id.as_str(), nested(options)))
            .filter(|(_, options)| GADGET_OPTIONS.iter().any(|option| options.get(option).is_some()))
    }
}

/// Options with dots in their names, which snapd takes as well, as objects in objects.
fn nested(options: &Value) -> Value {
    let mut root = Value::Object(Map::new());
    for (name, value) in options.as_object().into_iter().flatten() {
        let mut place = &mut root;
        for part in name.split('.') {
            if !place.is_object() {
                *place = Value::Object(Map::new());
            }
            place = &mut place[part];
        }
        *place = value.clone();
    }
    root
}
