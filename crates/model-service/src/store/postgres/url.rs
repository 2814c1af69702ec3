//! The URL of the database, in the format of libpq.

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use super::password;
use crate::settings::PostgresqlSettings;
use crate::store::StoreError;

/// How long the network may be silent before the kernel probes a connection.
const IDLE: Duration = Duration::from_secs(10);

/// The database, and how to connect to it.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) config: Config,
    /// The certificates that sign the server's, with `sslmode=verify-full`. Without, TLS hides the
    /// traffic, but anybody can be the server.
    pub(super) roots: Option<PathBuf>,
}

impl Target {
    /// Parses the URL, and finds the password in the settings or as libpq does.
    pub(super) fn parse(url: &str, settings: &PostgresqlSettings) -> Result<Self, StoreError> {
        let (url, mode, roots) = split_tls(url)?;
        let mut config: Config = url.parse().map_err(|error| invalid(&error))?;
        config.ssl_mode(match mode.as_deref() {
            Some("disable") => SslMode::Disable,
            None | Some("prefer") => SslMode::Prefer,
            Some("require" | "verify-full") => SslMode::Require,
            Some(_) => {
                return Err(invalid(
                    &"`sslmode` is not disable, prefer, require or verify-full",
                ));
            }
        });
        if (mode.as_deref() == Some("verify-full")) != roots.is_some() {
            return Err(invalid(
                &"`sslmode=verify-full` and `sslrootcert` need each other",
            ));
        }
        if config.get_hosts().is_empty() {
            return Err(invalid(&"it has no host"));
        }
        if config.get_user().is_none() {
            return Err(invalid(&"it has no user"));
        }
        if config.get_password().is_none()
            && let Some(found) = password::find(&config, settings.password_file.as_deref())?
        {
            config.password(found.as_slice());
        }
        let connect = Duration::from_secs(settings.connect_seconds.into());
        config
            .application_name("model-service")
            .connect_timeout(connect)
            .keepalives_idle(IDLE)
            .tcp_user_timeout(Duration::from_secs(settings.statement_seconds.into()));
        Ok(Self { config, roots })
    }

    /// The database and the host in messages; never the password.
    pub(super) fn name(&self) -> String {
        let database = self.config.get_dbname().or(self.config.get_user());
        let host = self.config.get_hosts().first().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        });
        format!("{} at {}", database.unwrap_or_default(), host.unwrap_or_default())
    }
}

/// Takes the parameters for TLS that the client does not know from the URL.
fn split_tls(url: &str) -> Result<(String, Option<String>, Option<PathBuf>), StoreError> {
    let Some((address, query)) = url.split_once('?') else {
        return Ok((url.to_owned(), None, None));
    };
    let (mut others, mut mode, mut roots) = (Vec::new(), None, None);
    for parameter in query.split('&') {
        let value = |text: &str| {
            percent_decode_str(text)
                .decode_utf8()
                .map(|text| text.into_owned())
        };
        match parameter.split_once('=') {
            Some(("sslmode", text)) => mode = Some(value(text).map_err(|error| invalid(&error))?),
            Some(("sslrootcert", text)) => {
                roots = Some(PathBuf::from(value(text).map_err(|error| invalid(&error))?));
            }
            _ => others.push(parameter),
        }
    }
    Ok((format!("{address}?{}", others.join("&")), mode, roots))
}

fn invalid(reason: &dyn std::fmt::Display) -> StoreError {
    StoreError::DatabaseUrl {
        reason: reason.to_string(),
    }
}
