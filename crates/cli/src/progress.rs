//! Progress bars.

use std::io::{self, IsTerminal as _};

use indicatif::{ProgressBar, ProgressStyle};

/// A bar on stderr with rate and time left; hidden if stderr is not a terminal.
pub(crate) fn bar(length: u64, doing: &'static str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(length).with_message(doing);
    // The template is constant; if it did not parse, the default style would do.
    match ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}  {per_sec:.0}  {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
