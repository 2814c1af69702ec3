//! The outside world of a device, for tests and for the demo.
//!
//! - [`TestTpm`]: a software TPM behind a proxy that counts commands and injects faults. One per test.

#![forbid(unsafe_code)]

mod configuration;
mod fault;
mod proxy;
mod snapctl;
mod store;
mod swtpm;
mod tpm;
mod wire;

pub use fault::{Fault, Gate, When};
pub use snapctl::run as snapctl;
pub use store::SystemMode;
pub use swtpm::SoftwareTpm;
pub use tpm::{Hierarchy, TestTpm};
pub use wire::Command;
