//! Errors of the settings: cause and advice.

use std::path::PathBuf;

use failure::Diagnostic;
use files::FileError;
use thiserror::Error;

/// Why the settings cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub enum SettingsError {
    /// The file does not exist.
    #[error("the settings file {} does not exist", path.display())]
    #[diagnostic(
        code("service-settings-missing"),
        help("Check the path, or create settings with `model-service init`")
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(FileError),
    /// The file is not TOML, or has an unknown name or a value of the wrong type.
    #[error("{} is not a valid settings file: {reason}", path.display())]
    #[diagnostic(
        code("service-settings-invalid"),
        help("Correct it; docs/model-service.md lists all settings")
    )]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The place and the problem, on one line.
        reason: String,
    },
    /// `digest-forms` is empty.
    #[error("`digest-forms` in the settings is empty")]
    #[diagnostic(
        code("digest-forms-empty"),
        help("Set `digest-forms` to [\"text\", \"der\"] or to one of the two")
    )]
    NoDigestForm,
    /// A limit of 0 would refuse everything, or begin a file for each line.
    #[error("`{name}` in the settings is 0")]
    #[diagnostic(code("limit-zero"), help("Set it to 1 or more"))]
    ZeroLimit {
        /// The setting.
        name: &'static str,
    },
    /// The model has an `api-key-file` it does not use, or lacks the one that it needs.
    #[error("the model {model} has an `api-key-file` but is not provisioned by API key, or the reverse")]
    #[diagnostic(
        code("api-key-file-mismatch"),
        help("Set `api-key-file` if `provisioning` is \"api-key\", and only then")
    )]
    ApiKeyFile {
        /// Brand and name of the model.
        model: String,
    },
    /// A model that is provisioned by API key has a setting for hardware identities.
    #[error("the model {model} is provisioned by API key, but has `{setting}` for hardware identities")]
    #[diagnostic(
        code("setting-needs-identity"),
        help("Remove the setting, or set `provisioning` to \"hardware-identity\"")
    )]
    NeedsIdentity {
        /// Brand and name of the model.
        model: String,
        /// The setting.
        setting: &'static str,
    },
    /// No identity would be accepted for the model.
    #[error("`hardware-names` of the model {model} is empty, which would refuse every device")]
    #[diagnostic(
        code("hardware-names-empty"),
        help("List the hardware names of the model's devices, or remove `hardware-names`")
    )]
    NoHardwareName {
        /// Brand and name of the model.
        model: String,
    },
    /// No identity would be accepted for the model.
    #[error("`issuers` of the model {model} is empty, which would refuse every device")]
    #[diagnostic(
        code("issuers-empty"),
        help("List the accounts that sign identities of the model's devices, or remove `issuers`")
    )]
    NoIssuer {
        /// Brand and name of the model.
        model: String,
    },
    /// The pattern of proposed serials has no effect, as no serial is proposed.
    #[error("the model {model} has a `serial-pattern`, but its serials are the hardware ids")]
    #[diagnostic(
        code("serial-pattern-unused"),
        help("Set `serial` to \"proposed\", or remove `serial-pattern`")
    )]
    PatternUnused {
        /// Brand and name of the model.
        model: String,
    },
    /// Two tokens have the same name, or one has the name of the import token.
    #[error("duplicate token name {name:?} in the settings")]
    #[diagnostic(
        code("token-duplicate"),
        help("Give each [[token]] its own name; `import-token` is that of `import-token-file`")
    )]
    DuplicateToken {
        /// The name.
        name: String,
    },
    /// Two tables are for the same model.
    #[error("duplicate model {model} in the settings")]
    #[diagnostic(code("model-duplicate"), help("Remove one of its [[model]] tables"))]
    DuplicateModel {
        /// Brand and name of the model.
        model: String,
    },
}
