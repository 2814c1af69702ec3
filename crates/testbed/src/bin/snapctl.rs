//! A stand-in for snapd's `snapctl`, with the environment that snapd gives a hook and nothing more.

#![forbid(unsafe_code)]

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    // snapd hears only text: other bytes arrive as replacement characters.
    let arguments: Vec<String> = env::args_os()
        .skip(1)
        .map(|one| one.to_string_lossy().into_owned())
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
