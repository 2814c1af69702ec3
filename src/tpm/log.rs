//! tpm2-tss's own messages.

use std::env;

/// The variable that tpm2-tss reads its log levels from, once, at its first message (its logging
/// documentation).
const TSS2_LOG: &str = "TSS2_LOG";

/// Keeps tpm2-tss from writing to stderr, which is where a hook's own error has to be the last line.
///
/// tpm2-tss prints on errors that are expected here, such as an empty handle. Whoever wants to see its
/// messages sets
/// `TSS2_LOG` (for example `TSS2_LOG=all+error`) and is left alone.
///
/// Call it first in `main`: no other thread may exist yet.
pub fn silence_tss_log() {
    if env::var_os(TSS2_LOG).is_none() {
        // SAFETY: called at the start of main, before any thread that could read the environment.
        #[allow(unsafe_code)]
        unsafe {
            env::set_var(TSS2_LOG, "all+NONE");
        }
    }
}
