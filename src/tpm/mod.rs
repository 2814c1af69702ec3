//! The TPM: the only place that knows tss-esapi.
//!
//! | module | what it is for |
//! |---|---|
//! | `command` | the few TPM commands an identity needs, each with its errors named |
//! | `template` | what the identity key looks like, version 1, for good |
//! | `tcti` | the way to the TPM, and what is wrong with it when it does not open |
//! | `error` | what goes wrong, and what to do then |
//! | `log` | tpm2-tss's own messages, off by default |

mod command;
mod error;
mod log;
mod tcti;
mod template;

pub use command::{Key, KeyName, Persisted, Tpm, with_tpm};
pub use error::{Error, Hierarchy};
pub use log::silence_tss_log;
pub use tcti::Tcti;
pub use template::TEMPLATE_VERSION;
pub(crate) use template::is_name_of;

use std::fmt;
use std::ops::RangeInclusive;

/// A persistent handle that the owner hierarchy manages (TPM 2.0 Library part 2, section 7.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PersistentHandle(u32);

impl PersistentHandle {
    /// In the range for endorsement keys, reserved by nobody and used by nothing known.
    pub const DEFAULT: PersistentHandle = PersistentHandle(0x8101_8C00);
    /// Persistent objects of the owner; above are the platform's, which the owner cannot make.
    pub const RANGE: RangeInclusive<u32> = 0x8100_0000..=0x817F_FFFF;

    /// The handle with this number, if it is in [`Self::RANGE`].
    pub fn new(number: u32) -> Option<Self> {
        Self::RANGE.contains(&number).then_some(PersistentHandle(number))
    }

    /// The handle's number.
    pub fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for PersistentHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:08X}", self.0)
    }
}
