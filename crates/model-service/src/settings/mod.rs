//! The settings file. docs/model-service.md describes every setting.

mod error;
mod limits;
mod model;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use identity_key::DigestForm;
use ipnet::IpNet;
use serde::Deserialize;

use crate::logging::LogFormat;
pub(crate) use error::SettingsError;
pub(crate) use limits::Limits;
use limits::check_at_least_1;
pub(crate) use model::{ModelSettings, Provisioning, SerialSource};

/// The largest settings file, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

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
    /// How long the session of a device is valid, in seconds.
    #[serde(default = "one_day")]
    pub(crate) session_seconds: u32,
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
    /// Verifying devices and their sessions.
    Verify,
    /// Everything.
    Admin,
}

impl Role {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Read => "read",
            Self::Verify => "verify",
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

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8650))
}

fn both_forms() -> Vec<DigestForm> {
    vec![DigestForm::Text, DigestForm::Der]
}

fn ten_minutes() -> u32 {
    600
}

fn one_day() -> u32 {
    24 * 60 * 60
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
        check_at_least_1(&[
            ("nonce-seconds", self.nonce_seconds.into()),
            ("session-seconds", self.session_seconds.into()),
            ("pool-size", self.postgresql.pool_size.into()),
            ("connect-seconds", self.postgresql.connect_seconds.into()),
            ("statement-seconds", self.postgresql.statement_seconds.into()),
        ])?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zero_is_named() {
        for (top, table, name) in [
            ("nonce-seconds = 0", "", "nonce-seconds"),
            ("", "[postgresql]\nstatement-seconds = 0", "statement-seconds"),
        ] {
            let text = format!(
                "{top}\ndatabase = \"a\"\naccount-keys = []\nimport-token-file = \"b\"\n\
                 page-password-file = \"c\"\nmodel = []\n{table}"
            );
            let settings: Settings = toml::from_str(&text).unwrap();
            let found = settings.check();
            assert!(
                matches!(found, Err(SettingsError::ZeroLimit { name: zero }) if zero == name),
                "{name}: {found:?}"
            );
        }
    }
}
