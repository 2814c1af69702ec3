//! What the running service is made of, from the settings.

use std::sync::Arc;
use std::thread;

use tokio::sync::Semaphore;

use crate::explain::Explain as _;
use crate::http::RateLimit;
use crate::import::Importer;
use crate::models::Models;
use crate::page::{Attempts, Sessions};
use crate::registration::Registrar;
use crate::secret::Secret;
use crate::settings::{Limits, Settings};
use crate::store::Store;
use crate::trust::AccountKeys;

/// Registrations on each core: while some wait for the disk, others sign. With half as many the cores are idle at
/// times; with four times as many, some devices wait twice as long (`cargo bench --bench load`).
const TURNS: usize = 8;

/// Everything that requests are answered with.
pub(crate) struct Service {
    pub(crate) store: Store,
    pub(crate) registrar: Registrar,
    /// For the registrations that are worked on at a time.
    pub(crate) turns: Arc<Semaphore>,
    pub(crate) importer: Importer,
    /// For the imports that clients send at a time.
    pub(crate) imports: Arc<Semaphore>,
    pub(crate) import_token: Secret,
    pub(crate) page_password: Secret,
    pub(crate) sessions: Sessions,
    pub(crate) attempts: Attempts,
    pub(crate) rate: RateLimit,
    pub(crate) limits: Limits,
    /// How long a nonce is good, in seconds.
    pub(crate) nonce_seconds: i64,
    /// Whether the service speaks TLS itself, so that cookies can be kept to it.
    pub(crate) tls: bool,
}

impl Service {
    /// Reads all keys and secrets, and opens the database.
    pub(crate) fn open(settings: &Settings) -> anyhow::Result<Self> {
        let importer = importer(settings)?;
        let models = Models::read(settings, &importer.account_keys)?;
        let import_token = Secret::read(&settings.import_token_file)?;
        let page_password = Secret::read(&settings.page_password_file)?;
        let store = Store::open(&settings.database).explain(
            settings.database.display(),
            "Check `database` in the settings, and that its folder can be written",
        )?;
        let limits = settings.limits.clone();
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            registrar: Registrar {
                store: store.clone(),
                account_keys: Arc::clone(&importer.account_keys),
                models,
                logged: limits.logged_registrations.into(),
            },
            turns: Arc::new(Semaphore::new(TURNS * cores)),
            imports: Arc::new(Semaphore::new(limits.imports as usize)),
            importer,
            store,
            import_token,
            page_password,
            sessions: Sessions::default(),
            attempts: Attempts::new()?,
            rate: RateLimit::new(limits.requests_per_minute, limits.limit_loopback),
            limits,
            nonce_seconds: settings.nonce_seconds.into(),
            tls: settings.tls.is_some(),
        })
    }
}

/// What an import needs, without a running service too.
pub(crate) fn importer(settings: &Settings) -> anyhow::Result<Importer> {
    Ok(Importer {
        database: settings.database.clone(),
        account_keys: Arc::new(AccountKeys::read(&settings.account_keys)?),
        forms: settings.digest_forms.clone(),
    })
}
