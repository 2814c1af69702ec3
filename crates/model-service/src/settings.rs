//! The settings file. docs/model-service.md describes every setting.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use failure::Diagnostic;
use files::FileError;
use identity_key::DigestForm;
use ipnet::IpNet;
use serde::Deserialize;
use thiserror::Error;

use crate::logging::LogFormat;
use crate::serial_keys::SerialKeySource;

/// The largest settings file, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

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

/// All settings. Paths are relative to the directory of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    #[serde(default = "loopback")]
    pub(crate) listen: SocketAddr,
    /// Where the addresses for operators are; at `listen` by default.
    pub(crate) operator_listen: Option<SocketAddr>,
    /// The proxies that say for whom they forward a request.
    #[serde(default)]
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// The header in which they say it.
    #[serde(default)]
    pub(crate) forwarded_header: ForwardedHeader,
    /// The form of the log; the command line overrides it.
    #[serde(default)]
    pub(crate) log_format: LogFormat,
    pub(crate) database: Database,
    /// The password of the PostgreSQL role, on one line.
    database_password_file: Option<PathBuf>,
    /// How PostgreSQL is used.
    #[serde(default)]
    pub(crate) postgresql: PostgresqlSettings,
    /// The log of issued serials and administrative changes; beside the database by default.
    pub(crate) ledger: Option<PathBuf>,
    /// Files of account-key assertions: of brands, issuers and the keys that sign serials.
    pub(crate) account_keys: Vec<PathBuf>,
    /// The token of import requests.
    pub(crate) import_token_file: PathBuf,
    /// The password of the page.
    pub(crate) page_password_file: PathBuf,
    #[serde(default = "both_forms")]
    pub(crate) digest_forms: Vec<DigestForm>,
    /// What an import does with another key under an imported hardware-id of the same issuer.
    #[serde(default)]
    pub(crate) duplicate_hardware_ids: DuplicateHardwareIds,
    /// How long a nonce is valid, in seconds.
    #[serde(default = "ten_minutes")]
    pub(crate) nonce_seconds: u32,
    pub(crate) tls: Option<Tls>,
    /// Limits cookies to TLS, as with `tls`: for a service behind a proxy that ends TLS.
    #[serde(default)]
    pub(crate) secure_cookies: bool,
    #[serde(default)]
    pub(crate) limits: Limits,
    /// Tokens of programs, beside the one for imports.
    #[serde(default, rename = "token")]
    pub(crate) tokens: Vec<TokenSettings>,
    #[serde(rename = "model")]
    pub(crate) models: Vec<ModelSettings>,
    /// What the file says, to tell what changed.
    #[serde(skip)]
    pub(crate) table: toml::Table,
}

/// Where the database is.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "String")]
pub(crate) enum Database {
    /// An SQLite file.
    Sqlite(PathBuf),
    /// The URL of a PostgreSQL database.
    Postgres(String),
}

impl From<String> for Database {
    fn from(text: String) -> Self {
        match text.starts_with("postgres://") || text.starts_with("postgresql://") {
            true => Self::Postgres(text),
            false => Self::Sqlite(text.into()),
        }
    }
}

/// How PostgreSQL is used.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct PostgresqlSettings {
    /// The most connections of this process.
    pub(crate) pool_size: u32,
    /// The longest time to connect, in seconds.
    pub(crate) connect_seconds: u32,
    /// The longest time of a statement, in seconds; those of an import have none.
    pub(crate) statement_seconds: u32,
    /// The longest time that an operation is tried again after the connection was lost, in seconds.
    pub(crate) retry_seconds: u32,
    /// Set by `database-password-file`.
    #[serde(skip)]
    pub(crate) password_file: Option<PathBuf>,
}

impl Default for PostgresqlSettings {
    fn default() -> Self {
        Self {
            pool_size: 16,
            connect_seconds: 5,
            statement_seconds: 30,
            retry_seconds: 10,
            password_file: None,
        }
    }
}

/// The header in which a proxy names its client.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ForwardedHeader {
    #[default]
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
}

/// A token of a program.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenSettings {
    /// Its name in the log and in the ledger.
    pub(crate) name: String,
    pub(crate) role: Role,
    /// The file with the secret.
    pub(crate) file: PathBuf,
}

/// What a token is for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    /// Importing hardware identities.
    Import,
    /// Reading what is known of an identity.
    Read,
    /// Everything.
    Admin,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

/// What an import does with another key under an imported hardware-id.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DuplicateHardwareIds {
    /// Imports it, with a warning.
    #[default]
    Warn,
    /// Refuses it.
    Refuse,
}

/// PEM files for TLS.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Limits that keep one client, or many, from exhausting the service.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Limits {
    /// The largest body of a request for a serial, in bytes.
    pub(crate) serial_body_bytes: u64,
    /// The largest body of an import, in bytes.
    pub(crate) import_body_bytes: u64,
    /// Requests of one address in a minute; 0 for no limit.
    pub(crate) requests_per_minute: u32,
    /// Applies the limit to loopback addresses too, which may be those of a proxy for all devices.
    pub(crate) limit_loopback: bool,
    /// Open nonces.
    pub(crate) open_nonces: u32,
    /// Concurrent connections.
    pub(crate) connections: u32,
    /// Concurrent connections of one address.
    pub(crate) connections_per_address: u32,
    /// The longest time that a connection is open, in seconds.
    pub(crate) connection_seconds: u32,
    /// Concurrent imports.
    pub(crate) imports: u32,
    /// The longest time for a request, or for a pause in an import, in seconds.
    pub(crate) request_seconds: u32,
    /// The longest time for a request and the work on it, except for an import, in seconds.
    pub(crate) answer_seconds: u32,
    /// The longest time that a client may read nothing of a response, in seconds.
    pub(crate) write_seconds: u32,
    /// The longest time for a signature by an HSM, GnuPG or a key manager, in seconds.
    pub(crate) signature_seconds: u32,
    /// Entries of each class (issued, repeated, refused) that the log of registrations keeps.
    pub(crate) logged_registrations: u32,
    /// The size of a file of the ledger after which the next one begins, in bytes.
    pub(crate) ledger_file_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            serial_body_bytes: 256 * 1024,
            import_body_bytes: 4 * 1024 * 1024 * 1024,
            requests_per_minute: 600,
            limit_loopback: false,
            open_nonces: 100_000,
            connections: 512,
            connections_per_address: 128,
            connection_seconds: 3600,
            imports: 4,
            request_seconds: 30,
            answer_seconds: 60,
            write_seconds: 30,
            signature_seconds: 10,
            logged_registrations: 100_000,
            ledger_file_bytes: 64 * 1024 * 1024,
        }
    }
}

impl Limits {
    fn check(&self) -> Result<(), SettingsError> {
        let at_least_1 = [
            ("connections", self.connections.into()),
            ("connections-per-address", self.connections_per_address.into()),
            ("connection-seconds", self.connection_seconds.into()),
            ("imports", self.imports.into()),
            ("open-nonces", self.open_nonces.into()),
            ("request-seconds", self.request_seconds.into()),
            ("answer-seconds", self.answer_seconds.into()),
            ("write-seconds", self.write_seconds.into()),
            ("signature-seconds", self.signature_seconds.into()),
            ("ledger-file-bytes", self.ledger_file_bytes),
        ];
        match at_least_1.into_iter().find(|(_, limit)| *limit == 0) {
            Some((name, _)) => Err(SettingsError::ZeroLimit { name }),
            None => Ok(()),
        }
    }
}

/// A model whose devices get serials from this service.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ModelSettings {
    pub(crate) brand_id: String,
    pub(crate) model: String,
    pub(crate) provisioning: Provisioning,
    /// The private key that signs serials. Its account-key is among `account-keys`.
    pub(crate) serial_key: SerialKeySource,
    /// Accounts whose hardware identities are accepted; the brand alone by default.
    pub(crate) issuers: Option<Vec<String>>,
    /// Hardware names of identities that are accepted; the name of the model alone by default.
    pub(crate) hardware_names: Option<Vec<String>>,
    /// Where serials come from; by default from the hardware identity, if the model is provisioned
    /// by one.
    serial: Option<SerialSource>,
    /// A regular expression that a proposed serial must match as a whole.
    pub(crate) serial_pattern: Option<String>,
    /// The API key of the model, with `provisioning = "api-key"`.
    pub(crate) api_key_file: Option<PathBuf>,
}

impl ModelSettings {
    fn name(&self) -> String {
        format!("{}/{}", self.brand_id, self.model)
    }

    pub(crate) fn serial_source(&self) -> SerialSource {
        self.serial.unwrap_or(match self.provisioning {
            Provisioning::HardwareIdentity => SerialSource::HardwareId,
            Provisioning::ApiKey => SerialSource::Proposed,
        })
    }

    fn check(&self) -> Result<(), SettingsError> {
        let by_api_key = self.provisioning == Provisioning::ApiKey;
        let model = self.name();
        if by_api_key != self.api_key_file.is_some() {
            return Err(SettingsError::ApiKeyFile { model });
        }
        if by_api_key && self.serial_source() == SerialSource::HardwareId {
            let setting = "serial = \"hardware-id\"";
            return Err(SettingsError::NeedsIdentity { model, setting });
        }
        for (setting, list) in [
            ("hardware-names", &self.hardware_names),
            ("issuers", &self.issuers),
        ] {
            if by_api_key && list.is_some() {
                return Err(SettingsError::NeedsIdentity { model, setting });
            }
        }
        if self.issuers.as_ref().is_some_and(Vec::is_empty) {
            return Err(SettingsError::NoIssuer { model });
        }
        if self.hardware_names.as_ref().is_some_and(Vec::is_empty) {
            return Err(SettingsError::NoHardwareName { model });
        }
        if self.serial_pattern.is_some() && self.serial_source() == SerialSource::HardwareId {
            return Err(SettingsError::PatternUnused { model });
        }
        Ok(())
    }
}

/// Where the serials of a model come from.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SerialSource {
    /// The hardware id of the identity.
    HardwareId,
    /// The proposal of the device.
    Proposed,
}

/// How a device proves that it may have a serial.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Provisioning {
    /// By a signature with the key of its hardware identity.
    HardwareIdentity,
    /// By a secret in the header `api-key`, the same for all devices.
    ApiKey,
}

impl Provisioning {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::HardwareIdentity => "hardware-identity",
            Self::ApiKey => "api-key",
        }
    }
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8650))
}

fn both_forms() -> Vec<DigestForm> {
    vec![DigestForm::Text, DigestForm::Der]
}

fn ten_minutes() -> u32 {
    600
}

impl Settings {
    /// Reads and checks the file, and resolves the paths in it.
    pub(crate) fn read(path: &Path) -> Result<Self, SettingsError> {
        let text = files::read_text(path, MAX_FILE).map_err(|error| match error.is_not_found() {
            true => SettingsError::Missing {
                path: path.to_owned(),
            },
            false => SettingsError::File(error),
        })?;
        let invalid = |error: toml::de::Error| SettingsError::Syntax {
            path: path.to_owned(),
            // The error has several lines, with the place marked; a log keeps one line.
            reason: error.to_string().trim().replace('\n', " "),
        };
        let mut settings: Settings = toml::from_str(&text).map_err(invalid)?;
        settings.table = toml::from_str(&text).map_err(invalid)?;
        settings.resolve(path.parent().unwrap_or(Path::new("")));
        settings.check()?;
        Ok(settings)
    }

    fn resolve(&mut self, directory: &Path) {
        self.postgresql.password_file = self.database_password_file.take();
        let mut paths = vec![&mut self.import_token_file, &mut self.page_password_file];
        if let Database::Sqlite(path) = &mut self.database {
            paths.push(path);
        }
        paths.extend(&mut self.postgresql.password_file);
        paths.extend(&mut self.ledger);
        paths.extend(&mut self.account_keys);
        if let Some(tls) = &mut self.tls {
            paths.extend([&mut tls.certificate, &mut tls.key]);
        }
        paths.extend(self.tokens.iter_mut().map(|token| &mut token.file));
        for model in &mut self.models {
            model.serial_key.resolve(directory);
            paths.extend(&mut model.api_key_file);
        }
        for path in paths {
            *path = directory.join(&*path);
        }
    }

    fn check(&self) -> Result<(), SettingsError> {
        if self.digest_forms.is_empty() {
            return Err(SettingsError::NoDigestForm);
        }
        if self.nonce_seconds == 0 {
            return Err(SettingsError::ZeroLimit {
                name: "nonce-seconds",
            });
        }
        if [
            self.postgresql.pool_size,
            self.postgresql.connect_seconds,
            self.postgresql.statement_seconds,
        ]
        .contains(&0)
        {
            return Err(SettingsError::ZeroLimit { name: "[postgresql]" });
        }
        self.limits.check()?;
        let mut names = vec!["import-token"];
        for token in &self.tokens {
            if names.contains(&token.name.as_str()) {
                return Err(SettingsError::DuplicateToken {
                    name: token.name.clone(),
                });
            }
            names.push(&token.name);
        }
        for (index, model) in self.models.iter().enumerate() {
            model.check()?;
            let mut later = self.models.iter().skip(index + 1);
            if later.any(|other| (&other.brand_id, &other.model) == (&model.brand_id, &model.model)) {
                return Err(SettingsError::DuplicateModel { model: model.name() });
            }
        }
        Ok(())
    }
}
