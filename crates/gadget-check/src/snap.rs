//! Reading a snap: its files, metadata, programs and scripts. Nothing in it is trusted.

pub(crate) mod content;
pub(crate) mod elf;
pub(crate) mod environment;
pub(crate) mod gadget_yaml;
pub(crate) mod go_yaml;
pub(crate) mod literals;
pub(crate) mod script;
pub(crate) mod shell;
pub(crate) mod snap_yaml;
pub(crate) mod squashfs;
pub(crate) mod tree;
pub(crate) mod yaml;

/// The directory of hooks.
pub(crate) const HOOKS: &str = "meta/hooks";
