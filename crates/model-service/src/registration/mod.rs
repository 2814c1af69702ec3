//! A registration: from a device's request to its serial assertion.

mod body;
mod error;
mod registrar;
mod remodel;
mod serial;
mod stream;

pub(crate) use error::RegistrationError;
pub(crate) use registrar::{Registrar, RegistrationRequest};
pub(crate) use serial::{Registration, SerialError, serial_statement};
