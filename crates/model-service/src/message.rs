//! Texts that repeat what a client sent: kept short and on one line.

use failure::Diagnostic;

/// The longest cause in an answer or in the log, in characters.
const MAX_CAUSE: usize = 800;
/// The longest value of a request that a message repeats, in characters.
const MAX_VALUE: usize = 200;

/// The cause of an error for an answer or the log: on one line, shortened if it is long.
pub(crate) fn cause(error: &dyn Diagnostic) -> String {
    let mut cause = error.to_string();
    if let Some((end, _)) = cause.char_indices().nth(MAX_CAUSE) {
        cause.replace_range(end.., "…");
    }
    cause.replace(char::is_control, " ")
}

/// The error as `CAUSE. ADVICE. [CODE]`, which snapd shows as the error of the change.
pub(crate) fn message(error: &dyn Diagnostic) -> String {
    format!(
        "{}. {}. [{}]",
        cause(error),
        failure::advice(error),
        failure::code(error)
    )
}

/// The beginning of a value that a client sent, for a message or the log.
pub(crate) fn shortened(value: &str) -> String {
    value.chars().take(MAX_VALUE).collect()
}
