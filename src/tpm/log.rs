//! The messages of tpm2-tss.

use std::env;

/// The variable from which tpm2-tss reads its log levels, once, at its first message (tpm2-tss's
/// doc/logging.md).
const TSS2_LOG: &str = "TSS2_LOG";

/// Keeps tpm2-tss from writing to stderr, where a hook's own error must be the last line.
///
/// tpm2-tss prints on expected errors too, such as an empty handle. If `TSS2_LOG` is set (for
/// example to `all+error`), this function leaves it as it is.
///
/// Called first in `main`: no other thread may exist.
pub(crate) fn silence_tss_log() {
    if env::var_os(TSS2_LOG).is_none() {
        // SAFETY: called at the start of main, before any thread that could read the environment.
        #[allow(unsafe_code)]
        unsafe {
            env::set_var(TSS2_LOG, "all+NONE");
        }
    }
}
