//! Reading the settings again on SIGHUP.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::signal::unix::Signal;
use tokio::task::spawn_blocking;
use toml::Table;

use crate::error::Error;
use crate::http::check_tls;
use crate::page::check_password;
use crate::service::Service;
use crate::settings::Settings;
use crate::tokens::Tokens;

/// The settings that change while the service runs.
const LIVE: [&str; 4] = ["account-keys", "digest-forms", "duplicate-hardware-ids", "model"];

/// Reads the settings of a running service again.
pub(crate) struct Reloader {
    file: PathBuf,
    /// The settings that the service started with.
    started: Table,
    service: Arc<Service>,
}

impl Reloader {
    /// For the service that started with the settings in `file`.
    pub(crate) fn new(file: PathBuf, settings: &Settings, service: Arc<Service>) -> Self {
        Self {
            file,
            started: settings.table.clone(),
            service,
        }
    }

    /// Reads the settings again on each signal.
    pub(crate) async fn run(self: Arc<Self>, mut hangups: Signal) {
        while hangups.recv().await.is_some() {
            let reloader = Arc::clone(&self);
            if let Err(error) = spawn_blocking(move || reloader.reload()).await {
                tracing::error!("the settings were not read again: {error}");
            }
        }
    }

    fn reload(&self) {
        match self.read() {
            Ok((models, ignored)) => {
                tracing::info!(models, "the settings were read again");
                if !ignored.is_empty() {
                    let names = ignored.join(", ");
                    tracing::warn!("these settings need a restart, and were not changed: {names}");
                }
            }
            Err(error) => tracing::error!(
                code = failure::code(&error),
                "the settings were not changed: {}",
                failure::line(&error)
            ),
        }
    }

    /// Uses the new settings if all of them are valid. Returns the number of models, and the names
    /// of the settings that need a restart.
    fn read(&self) -> Result<(usize, Vec<String>), Error> {
        let mut settings = Settings::read(&self.file)?;
        Tokens::read(&settings).map_err(crate::service::ServiceError::from)?;
        check_password(&settings)?;
        settings.tls.as_ref().map(check_tls).transpose()?;
        settings.limits = self.service.limits.clone();
        let models = self.service.replace_live(&settings)?;
        Ok((models, changed(&self.started, &settings.table)))
    }
}

/// The names of the settings that differ and need a restart.
fn changed(old: &Table, new: &Table) -> Vec<String> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    names
        .into_iter()
        .filter(|name| !LIVE.contains(&name.as_str()) && old.get(*name) != new.get(*name))
        .cloned()
        .collect()
}
