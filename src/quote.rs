//! Values quoted in messages.

/// The start of a value, for a message: snapd keeps only the last 10 KiB of a hook's output.
pub(crate) fn shortened(value: &str) -> String {
    const LONGEST: usize = 100;
    match value.char_indices().nth(LONGEST) {
        None => value.to_owned(),
        Some((end, _)) => format!("{}…", &value[..end]),
    }
}
