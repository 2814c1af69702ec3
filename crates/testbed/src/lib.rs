//! The outside world of a device, for tests and for the demo.
//!
//! - [`TestTpm`]: a software TPM behind a proxy that counts commands and injects faults. One per test.
//! - [`Device`]: the folders and the configuration of a gadget snap, and runs of its hooks as snapd runs them.
//! - [`snapctl()`]: what the stand-in for snapd's `snapctl` does; hooks find the program of that name on their PATH.
//! - [`onboard`]: snapd's registration of a device, with any hooks and any model service.

#![forbid(unsafe_code)]

mod companion;
mod configuration;
mod device;
mod device_options;
mod fault;
mod gadget_snap;
mod hook;
mod json;
pub mod onboard;
mod proxy;
mod snapctl;
mod store;
mod swtpm;
mod tpm;
mod wire;

pub use device::Device;
pub use device_options::DeviceOptions;
pub use fault::{Fault, Gate, When};
pub use hook::{HookCommand, HookOutcome, RunningHook};
pub use snapctl::run as snapctl;
pub use store::SystemMode;
pub use swtpm::SoftwareTpm;
pub use tpm::{Hierarchy, TestTpm};
pub use wire::Command;
