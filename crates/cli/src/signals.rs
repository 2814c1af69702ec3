//! The signals with which the user or the system ends the program.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use failure::Status;
use miette::Diagnostic;
use thiserror::Error;

/// The system does not let the program handle signals.
#[derive(Debug, Error, Diagnostic)]
#[error("cannot handle signals: {0}")]
#[diagnostic(code("signals-not-handled"), help("Run the command in an ordinary shell"))]
pub(crate) struct SignalsError(ctrlc::Error);

impl SignalsError {
    pub(crate) fn status(&self) -> Status {
        Status::Internal
    }
}

/// A signal ended the command.
#[derive(Debug, Error, Diagnostic)]
#[error("interrupted")]
#[diagnostic(code("interrupted"), help("Run the command again"))]
pub(crate) struct Interrupted;

/// Returns a flag that is set when the user or the system wants the program to end.
pub(crate) fn stop_flag() -> Result<Arc<AtomicBool>, SignalsError> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed)).map_err(SignalsError)?;
    Ok(stop)
}
