//! The outside world of a device, for tests and for the demo.
//!
//! - [`TestTpm`]: a software TPM behind a proxy that counts commands and injects faults. Each test
//!   has its own.
//! - [`Device`]: the directories and the configuration of a gadget snap. It runs hooks as snapd
//!   does.
//! - [`snapctl()`]: the stand-in for snapd's `snapctl`. Hooks find the program `snapctl` on PATH.
//! - [`onboard`]: snapd's registration of a device, with any hooks and any model service.
//! - [`session`]: snapd's session with its store.

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
mod running_hook;
pub mod session;
mod snapctl;
mod store;
mod swtpm;
mod tpm;
mod wire;

pub use device::Device;
pub use device_options::DeviceOptions;
pub use fault::{Fault, Gate, When};
pub use hook::HookCommand;
pub use running_hook::{HookOutcome, RunningHook};
pub use snapctl::run as snapctl;
pub use store::SystemMode;
pub use swtpm::SoftwareTpm;
pub use tpm::{Hierarchy, TestTpm};
pub use wire::Command;
