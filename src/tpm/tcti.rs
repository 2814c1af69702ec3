//! The TCTI, tpm2-tss's term for how to reach the TPM.

#[cfg(feature = "tpm")]
mod open;

use std::fmt;
use std::str::FromStr;

use failure::Diagnostic;
use thiserror::Error;

#[cfg(feature = "tpm")]
pub(super) use open::is_connection_loss;

use crate::quote::shortened;

/// The kernel's resource manager. Never `/dev/tpm0`: only one program at a time can open it, and
/// snapd does.
const RESOURCE_MANAGER: &str = "/dev/tpmrm0";
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
    /// A network address or a bus.
    Other,
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

    /// The name and the configuration.
    #[cfg(feature = "tpm")]
    fn parts(&self) -> (&str, &str) {
        self.text.split_once(':').unwrap_or((&self.text, ""))
    }
}

impl FromStr for Tcti {
    type Err = InvalidTcti;

    /// Parses `device:PATH`, `swtpm:host=…,port=…`, `mssim:host=…,port=…` and
    /// `tabrmd:bus_name=…,bus_type=…`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let invalid = || InvalidTcti(shortened(text));
        let (name, conf) = text.split_once(':').unwrap_or((text, ""));
        match name {
            "device" if conf.is_empty() => return Ok(Tcti::default()),
            "device" => return Ok(Tcti::device(conf)),
            "swtpm" | "mssim" | "tabrmd" => {}
            _ => return Err(invalid()),
        }
        let tcti = Tcti {
            text: text.to_owned(),
            transport: Transport::Other,
        };
        #[cfg(feature = "tpm")]
        tcti.config().map_err(|_| invalid())?;
        Ok(tcti)
    }
}

impl fmt::Display for Tcti {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
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
        for text in ["", "/dev/tpmrm0", "cmd:sh"] {
            assert!(text.parse::<Tcti>().is_err(), "{text}");
        }
    }
    #[cfg(feature = "tpm")]
    #[test]
    fn the_configuration_is_checked() {
        assert!("swtpm:port=2321".parse::<Tcti>().is_ok());
        assert!("swtpm:port=x".parse::<Tcti>().is_err());
    }
}
