//! The TPM. No other module knows tss-esapi.
//!
//! Without the feature `tpm` only what settings and record need is left: handles, Names, TCTIs.
//!
//! | module | contents |
//! |---|---|
//! | `template` | the template of the identity key, version 1 |
//! | `commands` | the TPM commands that an identity needs |
//! | `endorsement` | the commands that prove in which TPM the key lives |
//! | `connection` | the connection: opening, retries, leftover keys |
//! | `deadline` | the deadline for all commands of a run |
//! | `tcti` | how to reach the TPM |
//! | `key` | keys and their Names |
//! | `error` | errors: cause and advice |
//! | `response` | response codes |
//! | `log` | the messages of tpm2-tss, off by default |

#[cfg(feature = "tpm")]
mod commands;
#[cfg(feature = "tpm")]
mod connection;
mod deadline;
#[cfg(feature = "tpm")]
mod endorsement;
mod error;
mod key;
#[cfg(feature = "tpm")]
mod log;
#[cfg(feature = "tpm")]
mod response;
mod tcti;
#[cfg(feature = "tpm")]
mod template;

#[cfg(feature = "tpm")]
pub use commands::Persisted;
#[cfg(feature = "tpm")]
pub use connection::{Tpm, with_tpm};
pub use deadline::TpmDeadline;
#[cfg(feature = "tpm")]
pub use endorsement::EndorsementKey;
pub use error::{Hierarchy, TpmError};
#[cfg(feature = "tpm")]
pub use key::Key;
pub use key::KeyName;
#[cfg(feature = "tpm")]
pub(crate) use log::silence_tss_log;
pub use tcti::{InvalidTcti, Tcti};
#[cfg(feature = "tpm")]
pub(crate) use template::is_name_of;

use std::fmt;
use std::ops::RangeInclusive;

/// No TPM: this build has no backend for it.
#[cfg(not(feature = "tpm"))]
#[derive(Debug)]
pub struct Tpm<'t>(
    pub(crate) std::convert::Infallible,
    std::marker::PhantomData<&'t ()>,
);

/// The version of the template for new identities.
pub const TEMPLATE_VERSION: u32 = 1;

/// A persistent handle that the owner hierarchy manages (TPM 2.0 Library part 2, section 7.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PersistentHandle(u32);

impl PersistentHandle {
    /// A handle in the range for endorsement keys that no specification reserves and no known
    /// program uses.
    pub const DEFAULT: PersistentHandle = PersistentHandle(0x8101_8C00);
    /// The handles of the owner's persistent objects. The handles above are the platform's.
    pub const RANGE: RangeInclusive<u32> = 0x8100_0000..=0x817F_FFFF;

    /// The handle with this number, `None` if it is outside of [`Self::RANGE`].
    pub fn new(number: u32) -> Option<Self> {
        Self::RANGE.contains(&number).then_some(PersistentHandle(number))
    }

    /// The number of the handle.
    pub fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for PersistentHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08X}", self.0)
    }
}
