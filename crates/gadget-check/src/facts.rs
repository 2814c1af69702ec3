//! Facts about snapd, the base snaps and the architectures. The long lists are files in `data/`.

pub(crate) mod architectures;
pub(crate) mod bases;
pub(crate) mod hook_names;
pub(crate) mod interfaces;
mod similar;
pub(crate) mod tpm2_tss;
