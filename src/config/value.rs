//! The values that settings may have; each error shows what is allowed.

use std::time::Duration;

use identity_key::{is_account_id, is_hardware_name};

use crate::tpm::PersistentHandle;

/// A hook has ten minutes in all; half of them for waiting leaves the rest for a slow TPM.
const LONGEST_WAIT: u64 = 300;

pub(super) fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let chosen = choices.iter().find(|(name, _)| *name == text);
    chosen.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        not_allowed(text, &names.join(", "))
    })
}

pub(super) fn handle(text: &str) -> Result<PersistentHandle, String> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let number = match digits {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.ok().and_then(PersistentHandle::new).ok_or_else(|| {
        format!(
            "`{}` is no persistent handle; allowed: 0x{:08X} to 0x{:08X}",
            shortened(text),
            PersistentHandle::RANGE.start(),
            PersistentHandle::RANGE.end()
        )
    })
}

pub(super) fn wait(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if seconds <= LONGEST_WAIT => Ok(Duration::from_secs(seconds)),
        _ => Err(not_allowed(text, &format!("seconds, 0 to {LONGEST_WAIT}"))),
    }
}

pub(super) fn url(text: &str) -> Result<String, String> {
    let allowed = text.starts_with("https://") || text.starts_with("http://");
    checked(text, allowed, "an address that begins with https:// or http://")
}

pub(super) fn account_id(text: &str) -> Result<String, String> {
    checked(
        text,
        is_account_id(text),
        "an account id, which has 2 to 28 lower-case letters, digits and dashes, or 32 letters and digits",
    )
}

pub(super) fn hardware_name(text: &str) -> Result<String, String> {
    checked(
        text,
        is_hardware_name(text),
        "letters and digits, with single dashes between them",
    )
}

pub(super) fn not_empty(text: &str) -> Result<String, String> {
    checked(text, !text.is_empty(), "any text but an empty one")
}

fn checked(text: &str, is_allowed: bool, allowed: &str) -> Result<String, String> {
    match is_allowed {
        true => Ok(text.to_owned()),
        false => Err(not_allowed(text, allowed)),
    }
}

fn not_allowed(text: &str, allowed: &str) -> String {
    format!("`{}` is not allowed; allowed: {allowed}", shortened(text))
}

/// What is quoted in an error: snapd keeps 10 KiB of what a hook prints, from the end.
pub(super) fn shortened(text: &str) -> String {
    const LONGEST: usize = 100;
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
