//! The hardware identity of an Ubuntu Core device: a signing key that only the device's own TPM can use.
//!
//! | module | what it is for |
//! |---|---|
//! | [`identity`] | the identity itself: make it once, open it, sign with it |
//! | [`record`] | the file that remembers which identity this device has |
//! | [`tpm`] | the TPM: the key's template, the persistent handle, errors, retries |
//! | [`config`] | the gadget's settings: file, then snap configuration |
//! | [`contradictions`] | settings that do not go together |
//! | [`hardware_id`] | the device's serial number, from where the settings say |
//! | [`serial`] | the serial number that is proposed |
//! | [`export`] | what the issuer signs: the unsigned assertion |
//! | [`delivery`] | taking an export to where the factory line picks it up |
//! | [`snapctl`] | the conversation with snapd |
//! | [`time`] | the timestamps of record and assertion |
//! | [`environment`] | what snapd's environment says of the snap |
//! | [`patience`] | waiting out what passes by itself |
//! | [`outcome`] | the line that a failed program leaves behind |
//!
//! Dependencies point downwards: hooks and the tool use `identity`, which uses `tpm`, `record`.

pub mod config;
pub mod contradictions;
pub mod delivery;
pub mod environment;
pub mod export;
pub mod hardware_id;
pub mod identity;
pub mod outcome;
pub mod patience;
pub mod record;
pub mod serial;
pub mod snapctl;
pub mod time;
pub mod tpm;
