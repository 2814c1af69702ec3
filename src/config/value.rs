//! Parsers for the values of settings. Each returns `None` for a value that is not allowed.

use std::path::PathBuf;
use std::time::Duration;

use crate::tpm::PersistentHandle;

/// A hook may run for ten minutes; half of them are left for a slow TPM.
const LONGEST_WAIT: u64 = 300;

pub(super) fn choice<T: Copy>(value: &str, choices: &[(&str, T)]) -> Option<T> {
    let chosen = choices.iter().find(|(name, _)| *name == value);
    chosen.map(|(_, choice)| *choice)
}

pub(super) fn handle(value: &str) -> Option<PersistentHandle> {
    let digits = value.strip_prefix("0x").or_else(|| value.strip_prefix("0X"));
    let number = match digits {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => value.parse(),
    };
    number.ok().and_then(PersistentHandle::new)
}

pub(super) fn wait(value: &str) -> Option<Duration> {
    let seconds = value.parse().ok().filter(|seconds| *seconds <= LONGEST_WAIT);
    seconds.map(Duration::from_secs)
}

/// The limit of one operation of a token. A hook needs two, and may run for ten minutes.
pub(super) fn timeout(value: &str) -> Option<Duration> {
    let seconds = value.parse().ok().filter(|seconds| (1..=240).contains(seconds));
    seconds.map(Duration::from_secs)
}

/// A path, which no C library can read with a null byte in it.
pub(super) fn path(value: &str) -> Option<Option<PathBuf>> {
    (!value.is_empty() && !value.contains('\0')).then(|| Some(value.into()))
}

/// The value as a setting that may be unset, if it is allowed.
pub(super) fn string(value: &str, is_allowed: bool) -> Option<Option<String>> {
    is_allowed.then(|| Some(value.to_owned()))
}
