//! How tss-esapi opens a TCTI, and why it cannot be opened.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::Path;
use std::str::FromStr;

use tss_esapi::constants::response_code::Tss2ResponseCode;
use tss_esapi::tcti_ldr::{DeviceConfig, NetworkTPMConfig, TabrmdConfig, TctiNameConf};

use super::{Tcti, Transport};
use crate::tpm::TpmError;

/// TSS2_TCTI_RC_IO_ERROR. tpm2-tss drops the errno.
const TCTI_IO_ERROR: u32 = 0x000A_000A;
/// TSS2_TCTI_RC_NO_CONNECTION.
const TCTI_NO_CONNECTION: u32 = 0x000A_0008;
/// TSS2_TCTI_RC_NOT_SUPPORTED: the loader found no library for the name.
const TCTI_NOT_SUPPORTED: u32 = 0x000A_0015;

impl Tcti {
    /// The configuration with which tss-esapi opens it.
    pub(in crate::tpm) fn config(&self) -> Result<TctiNameConf, tss_esapi::Error> {
        let (name, conf) = self.parts();
        match (&self.transport, name) {
            (Transport::Device(node), _) => DeviceConfig::from_str(node).map(TctiNameConf::Device),
            (Transport::Other, "swtpm") => NetworkTPMConfig::from_str(conf).map(TctiNameConf::Swtpm),
            (Transport::Other, "mssim") => NetworkTPMConfig::from_str(conf).map(TctiNameConf::Mssim),
            (Transport::Other, _) => TabrmdConfig::from_str(conf).map(TctiNameConf::Tabrmd),
        }
    }

    /// The cause of an error at opening, for which it looks at the device node.
    pub(in crate::tpm) fn diagnose(&self, error: tss_esapi::Error) -> TpmError {
        let tss_esapi::Error::Tss2Error(code) = error else {
            return TpmError::Unreachable {
                tcti: self.to_string(),
                reason: error.to_string(),
            };
        };
        if code == Tss2ResponseCode::from(TCTI_NOT_SUPPORTED) {
            return TpmError::LibraryMissing {
                library: format!("libtss2-tcti-{}.so.0", self.parts().0),
            };
        }
        match &self.transport {
            Transport::Device(node) => diagnose_node(Path::new(node)),
            Transport::Other => TpmError::NoAnswer {
                tcti: self.to_string(),
            },
        }
    }
}

/// Returns true if the connection to the TPM broke.
pub(in crate::tpm) fn is_connection_loss(error: tss_esapi::Error) -> bool {
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
