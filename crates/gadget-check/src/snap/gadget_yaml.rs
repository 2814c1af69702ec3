//! meta/gadget.yaml as snapd reads it, as far as the checks use it. `snap pack` checks the volumes.

use std::collections::BTreeMap;

use hardware_identity::config::OPTION;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::yaml::or_default;

pub(crate) const FILE: &str = "meta/gadget.yaml";

/// Options that only gadgets have.
const GADGET_OPTIONS: [&str; 3] = [OPTION, "device-service", "registration"];

#[derive(Debug, Deserialize)]
pub(crate) struct GadgetYaml {
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) connections: Vec<Connection>,
    /// Options of snaps, by snap-id.
    #[serde(default, deserialize_with = "or_default")]
    defaults: BTreeMap<String, Value>,
}

/// A connection that snapd makes for the snaps with these snap-ids when it seeds the device.
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
    /// The plug and the slot. Without `slot:` it is the slot of the system with the plug's name.
    ///
    /// # Errors
    /// The problem with one of them.
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

/// Returns true for the form that `naming.ValidateSnapID` of snapd accepts.
pub(crate) fn is_snap_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

impl GadgetYaml {
    /// The snap-ids of all entries.
    pub(crate) fn snap_ids(&self) -> impl Iterator<Item = &str> {
        let ends = self
            .connections
            .iter()
            .filter_map(|connection| connection.ends().ok());
        let of_connections = ends.flat_map(|(plug, slot)| [plug.snap_id, slot.snap_id]);
        of_connections.chain(self.defaults.keys().map(String::as_str))
    }

    /// The entries of `defaults:` that are for the gadget itself, by snap-id. No file in a snap has
    /// the snap's own snap-id, but only a gadget has the options of snapd and of this project.
    pub(crate) fn defaults_of_gadgets(&self) -> impl Iterator<Item = (&str, Value)> {
        self.defaults
            .iter()
            .map(|(snap_id, options)| (snap_id.as_str(), nested(options)))
            .filter(|(_, options)| GADGET_OPTIONS.iter().any(|option| options.get(option).is_some()))
    }
}

/// The options as nested objects. snapd also accepts names with dots, such as `a.b: 1`.
fn nested(options: &Value) -> Value {
    let mut root = Value::Object(Map::new());
    for (name, value) in options.as_object().into_iter().flatten() {
        let mut target = &mut root;
        for part in name.split('.') {
            if !target.is_object() {
                *target = Value::Object(Map::new());
            }
            target = &mut target[part];
        }
        *target = value.clone();
    }
    root
}
