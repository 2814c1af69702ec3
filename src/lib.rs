//! The hardware identity of an Ubuntu Core device: a signing key that only the device's own TPM can
//! use.
//!
//! | module | contents |
//! |---|---|
//! | [`identity`] | the identity: make it once, open it, sign with it; the record of it |
//! | [`tpm`] | the TPM: the key's template, the commands, the persistent handle, errors |
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
//! A hook reads its settings (`environment`, `config`), makes or opens the identity (`identity`,
//! which uses `tpm`), and tells snapd the result (`snapctl`).

pub mod config;
pub mod conflicts;
pub mod environment;
pub mod evidence;
pub mod export;
pub mod factory;
pub mod hardware_id;
pub mod identity;
mod json;
mod quote;
pub mod retry;
pub mod serial;
pub mod snapctl;
pub mod time;
pub mod tpm;
