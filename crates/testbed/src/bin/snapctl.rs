//! The stand-in for snapd's `snapctl`. It needs only the environment that snapd gives a hook.

#![forbid(unsafe_code)]

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    // snapd gets UTF-8 strings: other bytes arrive as replacement characters.
    let arguments: Vec<String> = env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    let cookie = ["SNAP_COOKIE", "SNAP_CONTEXT"]
        .iter()
        .filter_map(env::var_os)
        .find(|value| !value.is_empty());
    match testbed::snapctl(cookie.map(PathBuf::from).as_deref(), &arguments) {
        Ok(output) => {
            print!("{output}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
