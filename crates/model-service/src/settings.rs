//! The settings file. docs/model-service.md describes every setting.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::ensure;
use serde::Deserialize;

use crate::explain::Explain as _;

/// All settings. Paths are relative to the folder of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Settings {
    #[serde(default = "loopback")]
    pub(crate) listen: SocketAddr,
    pub(crate) database: PathBuf,
    /// Files with account-key assertions: of brands, issuers and the keys that sign serials.
    pub(crate) account_keys: Vec<PathBuf>,
    /// What import requests must present.
    pub(crate) import_token_file: PathBuf,
    /// What the page's login asks for.
    pub(crate) page_password_file: PathBuf,
    #[serde(default = "both_forms")]
    pub(crate) digest_forms: Vec<Form>,
    /// How long a nonce is good.
    #[serde(default = "ten_minutes")]
    pub(crate) nonce_seconds: u32,
    pub(crate) tls: Option<Tls>,
    #[serde(default)]
    pub(crate) limits: Limits,
    #[serde(rename = "model")]
    pub(crate) models: Vec<ModelSettings>,
}

/// The forms of the digest in `hardware-id-key-sha3-384`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Form {
    /// Over the header's text.
    Text,
    /// Over the DER bytes.
    Der,
}

/// PEM files for TLS.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// What keeps a single client, or many, from using the service up.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Limits {
    /// The largest body of a request for a serial.
    pub(crate) serial_body_bytes: u64,
    /// The largest body of an import.
    pub(crate) import_body_bytes: u64,
    /// Requests of one address in a minute; 0 for any number.
    pub(crate) requests_per_minute: u32,
    /// Whether they count for loopback addresses, behind which a proxy may stand for all devices.
    pub(crate) limit_loopback: bool,
    /// Nonces that are open at a time.
    pub(crate) open_nonces: u32,
    /// Connections at a time.
    pub(crate) connections: u32,
    /// Imports at a time.
    pub(crate) imports: u32,
    /// How long a request, or a pause in an import, may take.
    pub(crate) request_seconds: u32,
    /// Entries in the log of registrations.
    pub(crate) logged_registrations: u32,
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
            imports: 4,
            request_seconds: 30,
            logged_registrations: 100_000,
        }
    }
}

/// A model whose devices get serials here.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ModelSettings {
    pub(crate) brand_id: String,
    pub(crate) model: String,
    pub(crate) provisioning: Provisioning,
    /// The private key that signs serials, in PEM; its account-key is among `account-keys`.
    pub(crate) serial_key: PathBuf,
    /// Accounts whose hardware identities count; the brand's own where left out.
    pub(crate) issuers: Option<Vec<String>>,
    /// With `provisioning = "api-key"`.
    pub(crate) api_key_file: Option<PathBuf>,
}

/// How a device shows that it may have a serial.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Provisioning {
    /// By a signature with its hardware identity's key.
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

fn both_forms() -> Vec<Form> {
    vec![Form::Text, Form::Der]
}

fn ten_minutes() -> u32 {
    600
}

impl Settings {
    /// Reads the file.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let name = file.display();
        let text = fs::read_to_string(file).explain(
            format_args!("{name} cannot be read"),
            "Make a first one with `model-service init`",
        )?;
        // The error spans lines, with the place marked; one line is what a log keeps.
        let mut settings: Settings = toml::from_str(&text)
            .map_err(|error| error.to_string().trim().replace('\n', " "))
            .explain(
                format_args!("{name} holds no settings"),
                "Correct it; docs/model-service.md has all settings",
            )?;
        settings.resolve(file.parent().unwrap_or(Path::new("")));
        settings.check().explain(name, "Correct it")?;
        Ok(settings)
    }

    fn resolve(&mut self, folder: &Path) {
        let mut paths = vec![
            &mut self.database,
            &mut self.import_token_file,
            &mut self.page_password_file,
        ];
        paths.extend(&mut self.account_keys);
        if let Some(tls) = &mut self.tls {
            paths.extend([&mut tls.certificate, &mut tls.key]);
        }
        for model in &mut self.models {
            paths.push(&mut model.serial_key);
            paths.extend(&mut model.api_key_file);
        }
        for path in paths {
            *path = folder.join(&*path);
        }
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!(!self.digest_forms.is_empty(), "digest-forms names no form");
        let limits = &self.limits;
        ensure!(
            [
                limits.connections,
                limits.imports,
                limits.open_nonces,
                limits.request_seconds
            ]
            .iter()
            .all(|limit| *limit > 0),
            "a limit of 0 would refuse everything"
        );
        for (index, model) in self.models.iter().enumerate() {
            let name = format!("the model {}/{}", model.brand_id, model.model);
            ensure!(
                (model.provisioning == Provisioning::ApiKey) == model.api_key_file.is_some(),
                "{name} must have an api-key-file if, and only if, its provisioning is \"api-key\""
            );
            let same =
                |other: &ModelSettings| (&other.brand_id, &other.model) == (&model.brand_id, &model.model);
            ensure!(
                !self.models.iter().skip(index + 1).any(same),
                "{name} stands there twice"
            );
        }
        Ok(())
    }
}
