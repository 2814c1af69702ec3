//! The first thing that each program of this project does.

use std::process::ExitCode;

/// Prepares the process. Call it first in `main`: no other thread may exist.
///
/// Returns the exit status if this process was started for a PKCS#11 module; the program then ends
/// with it.
#[must_use]
pub fn start() -> Option<ExitCode> {
    #[cfg(feature = "tpm")]
    crate::tpm::silence_tss_log();
    #[cfg(feature = "pkcs11")]
    if std::env::args_os()
        .nth(1)
        .is_some_and(|argument| argument == crate::pkcs11::AGENT)
    {
        return Some(crate::pkcs11::run_agent());
    }
    None
}
