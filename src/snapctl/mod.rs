//! Calls to snapd, through the program `snapctl` that snapd puts on a hook's PATH.

mod call;
mod error;
mod system_mode;

use serde_json::{Map, Value};

use call::call;
pub use error::SnapctlError;
pub use system_mode::{SystemMode, system_mode};

/// Gets the configuration below `keys`, in one call. The result has no member for a key that is not
/// set.
///
/// # Errors
/// [`SnapctlError`].
pub fn get(keys: &[&str]) -> Result<Map<String, Value>, SnapctlError> {
    let arguments: Vec<&str> = ["get", "-d"].iter().chain(keys).copied().collect();
    let (command, output) = call(&arguments)?;
    serde_json::from_slice(&output).map_err(|error| SnapctlError::UnexpectedOutput {
        command,
        problem: format!("it is not a JSON object ({error})"),
    })
}

/// Sets a value for each key, in one call. Each value keeps its JSON type.
///
/// # Errors
/// [`SnapctlError`].
pub fn set(values: &[(&str, Value)]) -> Result<(), SnapctlError> {
    let pairs: Vec<String> = values.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let pairs = pairs.iter().map(String::as_str);
    let arguments: Vec<&str> = ["set", "-t"].into_iter().chain(pairs).collect();
    call(&arguments).map(drop)
}

/// Sets a string for a key, also if it looks like a number.
///
/// # Errors
/// [`SnapctlError`].
pub fn set_string(key: &str, value: &str) -> Result<(), SnapctlError> {
    call(&["set", "-s", &format!("{key}={value}")]).map(drop)
}

/// Unsets a key. It is not an error if the key is not set.
///
/// # Errors
/// [`SnapctlError`].
pub fn unset(key: &str) -> Result<(), SnapctlError> {
    call(&["unset", key]).map(drop)
}

/// How a device shuts down after its installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// The system halts; the power stays on.
    Halt,
    /// The power goes off.
    Poweroff,
}

impl Shutdown {
    /// Both.
    pub const ALL: [Shutdown; 2] = [Shutdown::Halt, Shutdown::Poweroff];

    /// The value of the setting `factory.then`.
    pub fn name(self) -> &'static str {
        match self {
            Shutdown::Halt => "halt",
            Shutdown::Poweroff => "poweroff",
        }
    }
}

/// Asks snapd to shut the device down when the installation is done. Only for the hook
/// install-device.
///
/// # Errors
/// [`SnapctlError`].
pub fn shut_down_after_installation(shutdown: Shutdown) -> Result<(), SnapctlError> {
    call(&["reboot", &format!("--{}", shutdown.name())]).map(drop)
}
