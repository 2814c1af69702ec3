//! PKCS#11 modules and tokens: what the issuer's station, the model service and a device share.
//!
//! A module is a library in this process: one that hangs cannot be stopped, and one that crashes
//! ends the process. Programs that must survive both use a process of its own for it.
#![forbid(unsafe_code)]

mod error;
mod module;
mod pin;
mod sessions;

pub use error::TokenError;
pub use module::{load, log_in, select_token};
pub use pin::{PinFileError, read_pin};
pub use sessions::Sessions;
