//! Errors for people: what happened, then what to do.

use std::fmt::Display;

/// Adds both parts to an error of a library or of the system.
pub(crate) trait Explain<T> {
    /// `what: error. next`
    fn explain(self, what: impl Display, next: &str) -> anyhow::Result<T>;
}

impl<T, E: Display> Explain<T> for Result<T, E> {
    fn explain(self, what: impl Display, next: &str) -> anyhow::Result<T> {
        self.map_err(|error| anyhow::anyhow!("{what}: {error}. {next}"))
    }
}
