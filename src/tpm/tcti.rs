//! The TCTI, tpm2-tss's term for how to reach the TPM, and why it cannot be opened.

use std::fmt;
use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::Path;
use std::str::FromStr;

use failure::Diagnostic;
use thiserror::Error;
use tss_esapi::constants::response_code::Tss2ResponseCode;
use tss_esapi::tcti_ldr::{DeviceConfig, NetworkTPMConfig, TabrmdConfig, TctiNameConf};

use super::error::TpmError;
use crate::quote::shortened;

/// The kernel's resource manager. Never `/dev/tpm0`: only one program at a time can open it, and snapd
/// does.
const RESOURCE_MANAGER: &str = "/dev/tpmrm0";
/// TSS2_TCTI_RC_IO_ERROR. tpm2-tss drops the errno.
const TCTI_IO_ERROR: u32 = 0x000A_000A;
/// TSS2_TCTI_RC_NO_CONNECTION.
const TCTI_NO_CONNECTION: u32 = 0x000A_0008;
/// TSS2_TCTI_RC_NOT_SUPPORTED: the loader found no library for the name.
const TCTI_NOT_SUPPORTED: u32 = 0x000A_0015;

/// A TCTI: a name and its configuration, as in tpm2-tss's environment variable `TCTI`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcti {
    text: String,
    transport: Transport,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Transport {
    /// The path of a device node.
    Device(String),
    Other(TctiNameConf),
}

/// The value is not a TCTI.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
#[error("`{0}` is not a valid TCTI")]
#[diagnostic(
    code("tcti-invalid"),
    help(
        "Use device:PATH, swtpm:host=HOST,port=PORT, mssim:host=HOST,port=PORT or \
         tabrmd:bus_name=NAME,bus_type=TYPE"
    )
)]
pub struct InvalidTcti(String);

impl Default for Tcti {
    fn default() -> Self {
        Tcti::device(RESOURCE_MANAGER)
    }
}

impl Tcti {
    fn device(node: &str) -> Self {
        Tcti {
            text: format!("device:{node}"),
            transport: Transport::Device(node.to_owned()),
        }
    }

    /// The configuration with which tss-esapi opens it.
    pub(super) fn config(&self) -> Result<TctiNameConf, tss_esapi::Error> {
        match &self.transport {
            Transport::Device(node) => DeviceConfig::from_str(node).map(TctiNameConf::Device),
            Transport::Other(config) => Ok(config.clone()),
        }
    }

    /// The cause of an error at opening, for which it looks at the device node.
    pub(super) fn diagnose(&self, error: tss_esapi::Error) -> TpmError {
        let tss_esapi::Error::Tss2Error(code) = error else {
            return TpmError::Unreachable {
                tcti: self.to_string(),
                reason: error.to_string(),
            };
        };
        if code == Tss2ResponseCode::from(TCTI_NOT_SUPPORTED) {
            return TpmError::LibraryMissing {
                library: format!("libtss2-tcti-{}.so.0", self.name()),
            };
        }
        match &self.transport {
            Transport::Device(node) => diagnose_node(Path::new(node)),
            Transport::Other(_) => TpmError::NoAnswer {
                tcti: self.to_string(),
            },
        }
    }

    fn name(&self) -> &str {
        self.text.split(':').next().unwrap_or(&self.text)
    }
}

impl FromStr for Tcti {
    type Err = InvalidTcti;

    /// Parses `device:PATH`, `swtpm:host=…,port=…`, `mssim:host=…,port=…` and
    /// `tabrmd:bus_name=…,bus_type=…`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidTcti(shortened(text));
        let (name, conf) = text.split_once(':').unwrap_or((text, ""));
        let config = match name {
            "device" if conf.is_empty() => return Ok(Tcti::default()),
            "device" => return Ok(Tcti::device(conf)),
            "swtpm" => NetworkTPMConfig::from_str(conf).map(TctiNameConf::Swtpm),
            "mssim" => NetworkTPMConfig::from_str(conf).map(TctiNameConf::Mssim),
            "tabrmd" => TabrmdConfig::from_str(conf).map(TctiNameConf::Tabrmd),
            _ => return Err(invalid()),
        };
        Ok(Tcti {
            text: text.to_owned(),
            transport: Transport::Other(config.map_err(|_| invalid())?),
        })
    }
}

impl fmt::Display for Tcti {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Returns true if the connection to the TPM broke.
pub(super) fn is_connection_loss(error: tss_esapi::Error) -> bool {
    [TCTI_IO_ERROR, TCTI_NO_CONNECTION]
        .into_iter()
        .any(|code| error == tss_esapi::Error::Tss2Error(Tss2ResponseCode::from(code)))
}

/// Opens the node again to learn the errno, which the device TCTI does not report.
fn diagnose_node(node: &Path) -> TpmError {
    let node_name = node.display().to_string();
    match OpenOptions::new().read(true).write(true).open(node) {
        // Either it was in use a moment ago, which the next attempt shows, or it is not a TPM.
        Ok(_) => TpmError::NotATpm { node: node_name },
        Err(error) => match error.kind() {
            ErrorKind::NotFound => TpmError::NodeMissing { node: node_name },
            ErrorKind::PermissionDenied => TpmError::PermissionDenied { node: node_name },
            ErrorKind::ResourceBusy => TpmError::NodeInUse { node: node_name },
            _ => TpmError::Unreachable {
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
    fn a_wrong_tcti_is_refused() {
        for text in ["", "/dev/tpmrm0", "swtpm:port=x", "cmd:sh"] {
            assert!(text.parse::<Tcti>().is_err(), "{text}");
        }
    }
}
