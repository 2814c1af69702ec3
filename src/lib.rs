//! The hardware identity of an Ubuntu Core device: a signing key that only this device can use. Its
//! TPM keeps the key, a token behind PKCS#11, or a file.
//!
//! | module | contents |
//! |---|---|
//! | [`identity`] | the identity: make it once, open it, sign with it; the record of it |
//! | [`tpm`] | the TPM: the key's template, the commands, the persistent handle, errors |
//! | [`pkcs11`] | the key in a token: the process for the vendor's module |
//! | `software` | the key in a file |
//! | [`config`] | the gadget's settings: the settings file, then the snap's configuration |
//! | [`conflicts`] | settings that contradict each other |
//! | [`hardware_id`] | the device's serial number, from the configured source |
//! | [`serial`] | the proposed serial number |
//! | [`export`] | the export: the unsigned assertion that the issuer signs |
//! | [`evidence`] | the evidence: an endorsement key of the TPM, which the issuer's station challenges |
//! | [`factory`] | a factory boot: delivery of the export |
//! | [`snapctl`] | calls to snapd |
//! | [`environment`] | the environment variables that snapd sets for a snap |
//! | [`retry`] | the retry budget |
//! | [`time`] | the timestamps of record and export |
//!
//! Each backend is a feature: `tpm` (the default), `pkcs11` and `software`.
//!
//! A hook reads its settings (`environment`, `config`), makes or opens the identity (`identity`,
//! which uses a backend), and tells snapd the result (`snapctl`).

// Budgets, deadlines and errors of one backend are not worth a condition at each place where a build
// without it leaves them unused.
#![cfg_attr(
    not(all(feature = "tpm", feature = "pkcs11", feature = "software")),
    allow(dead_code, unused_mut, unused_variables)
)]

#[cfg(not(any(feature = "tpm", feature = "pkcs11", feature = "software")))]
compile_error!("build with a key backend: --features tpm, pkcs11 or software");

pub mod config;
pub mod conflicts;
#[cfg(any(feature = "tpm", feature = "pkcs11"))]
mod ecdsa;
pub mod environment;
pub mod evidence;
pub mod export;
pub mod factory;
pub mod hardware_id;
pub mod identity;
mod json;
pub mod pkcs11;
mod quote;
pub mod retry;
pub mod serial;
pub mod snapctl;
#[cfg(feature = "software")]
pub mod software;
pub mod start;
pub mod time;
pub mod tpm;
