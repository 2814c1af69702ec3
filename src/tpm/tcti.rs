//! The way to the TPM (TCTI), and what is wrong with it when it does not open.

use std::fmt;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::Path;
use std::str::FromStr;

use tss_esapi::constants::response_code::Tss2ResponseCode;
use tss_esapi::tcti_ldr::{DeviceConfig, NetworkTPMConfig, TabrmdConfig, TctiNameConf};

use super::error::Error;

/// The kernel's resource manager. Never `/dev/tpm0`: only one program at a time may hold it open, and snapd
/// does.
const RESOURCE_MANAGER: &str = "/dev/tpmrm0";
/// TSS2_TCTI_RC_IO_ERROR: the errno behind it is lost.
const TCTI_IO_ERROR: u32 = 0x000A_000A;
/// TSS2_TCTI_RC_NO_CONNECTION.
const TCTI_NO_CONNECTION: u32 = 0x000A_0008;
/// TSS2_TCTI_RC_NOT_SUPPORTED: what the loader says when it finds no library of the name.
const TCTI_NOT_SUPPORTED: u32 = 0x000A_0015;

/// The way to the TPM: a name and its configuration, as in tpm2-tss's variable `TCTI`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcti {
    text: String,
    way: Way,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Way {
    /// Path of the node.
    Device(String),
    Other(TctiNameConf),
}

impl Default for Tcti {
    fn default() -> Self {
        Tcti::device(RESOURCE_MANAGER)
    }
}

impl Tcti {
    fn device(node: &str) -> Self {
        Tcti {
            text: format!("device:{node}"),
            way: Way::Device(node.to_owned()),
        }
    }

    /// What tss-esapi needs for opening it.
    pub(super) fn config(&self) -> Result<TctiNameConf, tss_esapi::Error> {
        match &self.way {
            Way::Device(node) => DeviceConfig::from_str(node).map(TctiNameConf::Device),
            Way::Other(config) => Ok(config.clone()),
        }
    }

    /// What an error at opening means, after a look at the device node itself.
    pub(super) fn diagnose(&self, error: tss_esapi::Error) -> Error {
        let tss_esapi::Error::Tss2Error(code) = error else {
            return Error::Unusable {
                tcti: self.to_string(),
                reason: error.to_string(),
            };
        };
        if code == Tss2ResponseCode::from(TCTI_NOT_SUPPORTED) {
            return Error::LibraryMissing {
                library: format!("libtss2-tcti-{}.so.0", self.name()),
            };
        }
        match &self.way {
            Way::Device(node) => diagnose_node(Path::new(node)),
            Way::Other(_) => Error::NoAnswer {
                tcti: self.to_string(),
            },
        }
    }

    fn name(&self) -> &str {
        self.text.split(':').next().unwrap_or(&self.text)
    }
}

impl FromStr for Tcti {
    type Err = String;

    /// Takes `device:PATH`, `swtpm:host=…,port=…`, `mssim:host=…,port=…` and `tabrmd:bus_name=…,bus_type=…`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, conf) = text.split_once(':').unwrap_or((text, ""));
        let config = match name {
            "device" if conf.is_empty() => return Ok(Tcti::default()),
            "device" => return Ok(Tcti::device(conf)),
            "swtpm" => NetworkTPMConfig::from_str(conf).map(TctiNameConf::Swtpm),
            "mssim" => NetworkTPMConfig::from_str(conf).map(TctiNameConf::Mssim),
            "tabrmd" => TabrmdConfig::from_str(conf).map(TctiNameConf::Tabrmd),
            _ => {
                return Err(format!(
                    "`{text}` is no TCTI: expected device:PATH, swtpm:host=HOST,port=PORT, \
                     mssim:host=HOST,port=PORT or tabrmd:bus_name=NAME,bus_type=TYPE"
                ));
            }
        };
        Ok(Tcti {
            text: text.to_owned(),
            way: Way::Other(config.map_err(|error| format!("`{text}` is no TCTI: {error}"))?),
        })
    }
}

impl fmt::Display for Tcti {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether this error means that the connection to the TPM is gone, in the middle of a conversation.
pub(super) fn is_connection_loss(error: tss_esapi::Error) -> bool {
    [TCTI_IO_ERROR, TCTI_NO_CONNECTION]
        .into_iter()
        .any(|code| error == tss_esapi::Error::Tss2Error(Tss2ResponseCode::from(code)))
}

/// The device TCTI keeps errno to itself; opening the node again shows it.
fn diagnose_node(node: &Path) -> Error {
    let node_name = node.display().to_string();
    match OpenOptions::new().read(true).write(true).open(node) {
        // Either it was busy a moment ago, which the next attempt shows, or it is no TPM.
        Ok(_) => Error::NodeSilent { node: node_name },
        Err(error) => match error.kind() {
            ErrorKind::NotFound => Error::NodeMissing { node: node_name },
            ErrorKind::PermissionDenied => Error::NodeNotReadable { node: node_name },
            ErrorKind::ResourceBusy => Error::NodeBusy { node: node_name },
            _ => Error::Unusable {
                tcti: format!("device:{node_name}"),
                reason: error.to_string(),
            },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_resource_manager() {
        assert_eq!(Tcti::default().to_string(), "device:/dev/tpmrm0");
        assert_eq!("device".parse::<Tcti>().unwrap(), Tcti::default());
    }

    #[test]
    fn a_mistyped_tcti_is_refused() {
        for text in ["", "/dev/tpmrm0", "swtpm:port=x", "cmd:sh"] {
            let message = text.parse::<Tcti>().unwrap_err();
            assert!(message.contains("is no TCTI"), "{message}");
        }
    }
}
