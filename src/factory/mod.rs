//! A factory boot: delivery of the export, and of its evidence, to a volume, the console or a file,
//! where the factory line picks it up.

mod console;
mod error;
mod file;
mod mounts;
mod target;
mod volume;

use console::{Console, EXPORT_LIMIT, FAILURE_LIMIT};
use identity_key::Hash;

pub use error::{ConsoleError, DeliveryError, VolumeError};
pub use target::{ExportTarget, InvalidTarget};

use crate::evidence::EvidenceMessage;
use crate::export::Export;

impl ExportTarget {
    /// Delivers the export. When this returns, the export is on the medium; a file was read back
    /// from it. The evidence comes first, so that an export that is there has its evidence. On a volume
    /// and in a directory it is beside the export, with the extension `evidence.json`.
    ///
    /// # Errors
    /// [`DeliveryError`]; an older export is still whole, and no incomplete file has the name of an
    /// export.
    pub fn deliver(&self, export: &Export, evidence: Option<&EvidenceMessage>) -> Result<(), DeliveryError> {
        match self {
            ExportTarget::Volume(label) => {
                let directory = volume::find(label)?;
                file::deliver_both(
                    &directory.join(file::name(export.hardware_id())),
                    export,
                    evidence,
                )
            }
            ExportTarget::Console(device) => {
                if let Some(evidence) = evidence {
                    Console::open(device, EXPORT_LIMIT)?.deliver("EVIDENCE", &evidence.line())?;
                }
                Ok(Console::open(device, EXPORT_LIMIT)?.deliver("EXPORT", &export.line())?)
            }
            ExportTarget::File(path) => file::deliver_both(path, export, evidence),
        }
    }

    /// Writes on the console that there is no export, if the target is a console. A failure to do
    /// so is ignored: the message is also on stderr.
    pub fn announce_failure(&self, message: &str) {
        if let ExportTarget::Console(device) = self {
            let console = Console::open(device, FAILURE_LIMIT);
            let _ = console.and_then(|console| console.announce_failure(message));
        }
    }
}

/// The SHA-256 digest in hexadecimal digits.
fn hex_digest(text: &str) -> String {
    hex::encode(Hash::Sha256.digest(text.as_bytes()))
}
