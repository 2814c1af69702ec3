//! Settings errors: where a wrong setting is, and what is wrong with it.

use std::path::PathBuf;

use failure::Diagnostic;
use files::FileError;
use identity_key::UnknownKind;
use thiserror::Error;

use super::NAMES;
use crate::factory::InvalidTarget;
use crate::hardware_id::UnknownSource;
use crate::identity::UnknownBackend;
use crate::tpm::InvalidTcti;

/// Why the settings cannot be used. The place is part of the cause; code and advice are those of
/// the [`SettingError`].
#[derive(Debug, Error, Diagnostic)]
pub enum ConfigError {
    /// The settings file exists and cannot be read.
    #[error("{0}")]
    #[diagnostic(
        code("settings-file-unreadable"),
        help("Correct the file in the gadget and build the snap again")
    )]
    Unreadable(FileError),
    /// A line of the settings file is wrong.
    #[error("{}, line {line}: {problem}", path.display())]
    #[diagnostic(forward(problem))]
    Line {
        /// The file.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// What is wrong.
        problem: SettingError,
    },
    /// An option of the snap's configuration is wrong.
    #[error("option {option}: {problem}")]
    #[diagnostic(forward(problem))]
    Option {
        /// Its name, with `hardware-identity.` in front.
        option: String,
        /// What is wrong.
        problem: SettingError,
    },
    /// The environment variable `TCTI` is wrong.
    #[error("variable TCTI: {0}")]
    #[diagnostic(forward(0))]
    Variable(InvalidTcti),
}

/// What is wrong with a setting.
#[derive(Debug, Error, Diagnostic)]
pub enum SettingError {
    /// The settings file is not TOML.
    #[error("{0}")]
    #[diagnostic(
        code("settings-file-syntax"),
        help("Correct the file in the gadget and build the snap again")
    )]
    Syntax(String),
    /// No setting has this name.
    #[error("unknown setting `{0}`")]
    #[diagnostic(
        code("setting-unknown"),
        help("Remove it (an option: `snap unset`), or use one of {}", NAMES.join(", "))
    )]
    Unknown(String),
    /// The value is neither a string nor an integer.
    #[error("`{name}` is neither a string nor an integer, but {found}")]
    #[diagnostic(
        code("setting-not-a-string"),
        help("Put the value in quotes; an option: `snap set -s`")
    )]
    Type {
        /// The setting.
        name: String,
        /// The type or the value that was found.
        found: String,
    },
    /// The setting does not allow this value.
    #[error("`{name}` is `{value}`, which is not allowed")]
    #[diagnostic(code("setting-invalid"), help("Use {allowed}"))]
    Invalid {
        /// The setting.
        name: String,
        /// The value, shortened.
        value: String,
        /// The allowed values.
        allowed: &'static str,
    },
    /// The name of a header is one that snapd, HTTP or the connection does not allow to set.
    #[error("`device-service.headers`: `{0}` cannot be the name of a header")]
    #[diagnostic(
        code("http-header-name-invalid"),
        help(
            "Use letters and digits, with single dashes between them and at least one letter, and not a \
             header of the connection or of the body, such as Host or Content-Type"
        )
    )]
    HeaderName(String),
    /// The value of a header contains other than printable ASCII characters. It can be a secret, so
    /// that it is not part of the message.
    #[error("`device-service.headers.{0}` is not printable ASCII, which HTTP asks for")]
    #[diagnostic(
        code("http-header-value-invalid"),
        help("Remove line feeds and other control characters from the value, and encode other characters")
    )]
    HeaderValue(String),
    /// The value of `key-backend` is wrong.
    #[error("`key-backend`: {0}")]
    #[diagnostic(forward(0))]
    KeyBackend(#[from] UnknownBackend),
    /// The value of `algorithm` is wrong.
    #[error("`algorithm`: {0}")]
    #[diagnostic(forward(0))]
    Algorithm(#[from] UnknownKind),
    /// The value of `tcti` is wrong.
    #[error("`tcti`: {0}")]
    #[diagnostic(forward(0))]
    Tcti(#[from] InvalidTcti),
    /// The value of `hardware-id` is wrong.
    #[error("`hardware-id`: {0}")]
    #[diagnostic(forward(0))]
    HardwareId(#[from] UnknownSource),
    /// The value of `factory.export` is wrong.
    #[error("`factory.export`: {0}")]
    #[diagnostic(forward(0))]
    Target(#[from] InvalidTarget),
}
