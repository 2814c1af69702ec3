//! The running service: everything that the settings name, opened.

use std::net::IpAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use failure::Diagnostic;
use thiserror::Error;
use tokio::sync::{Mutex, Semaphore};

use crate::account_keys::{AccountKeys, AccountKeysError};
use crate::buckets::TokenBuckets;
use crate::import::Importer;
use crate::metrics::Metrics;
use crate::models::{Models, ModelsError};
use crate::registration::Registrar;
use crate::settings::{Limits, Settings};
use crate::store::{Counts, Store, StoreError};
use crate::tokens::{Tokens, TokensError};

/// Concurrent registrations for each core: while some wait for the disk, others sign. With half as
/// many the cores are idle at times; with four times as many, some devices wait twice as long
/// (`cargo bench --bench load`).
const REGISTRATIONS_PER_CORE: usize = 8;
/// Wrong tokens of an address in a minute.
const WRONG_TOKENS: u32 = 10;

/// Why the service cannot start.
#[derive(Debug, Error, Diagnostic)]
pub enum ServiceError {
    /// The account-keys cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    AccountKeys(#[from] AccountKeysError),
    /// A model cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Models(#[from] ModelsError),
    /// The tokens cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Tokens(#[from] TokensError),
    /// The database cannot be opened.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
}

/// The parts that requests are answered with.
pub(crate) struct Service {
    pub(crate) store: Store,
    pub(crate) registrar: Registrar,
    /// Permits for concurrent registrations.
    pub(crate) registration_permits: Arc<Semaphore>,
    pub(crate) importer: Importer,
    /// Permits for concurrent imports.
    pub(crate) import_permits: Arc<Semaphore>,
    pub(crate) tokens: Tokens,
    /// The wrong tokens that each address may still send.
    pub(crate) wrong_tokens: TokenBuckets<IpAddr>,
    pub(crate) limits: Limits,
    /// How long a nonce is valid, in seconds.
    pub(crate) nonce_seconds: i64,
    pub(crate) metrics: Arc<Metrics>,
    last_counts: LastCounts,
}

/// The last counts, when they ended, and how long they took.
type LastCounts = Mutex<Option<(Instant, Duration, Counts)>>;

impl Service {
    /// Reads all keys and secrets, and opens the database.
    pub(crate) fn open(settings: &Settings) -> Result<Self, ServiceError> {
        let account_keys = Arc::new(AccountKeys::read(&settings.account_keys)?);
        let models = Models::read(settings, &account_keys)?;
        let tokens = Tokens::read(settings)?;
        let store = Store::open(settings)?;
        let limits = settings.limits.clone();
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            registrar: Registrar {
                store: store.clone(),
                account_keys: Arc::clone(&account_keys),
                models,
                log_limit: limits.logged_registrations.into(),
            },
            registration_permits: Arc::new(Semaphore::new(REGISTRATIONS_PER_CORE * cores)),
            import_permits: Arc::new(Semaphore::new(limits.imports as usize)),
            importer: Importer {
                store: store.clone(),
                account_keys,
                digest_forms: settings.digest_forms.clone(),
                duplicate_hardware_ids: settings.duplicate_hardware_ids,
            },
            store,
            tokens,
            wrong_tokens: TokenBuckets::new(WRONG_TOKENS),
            limits,
            nonce_seconds: settings.nonce_seconds.into(),
            metrics: Arc::new(Metrics::new()),
            last_counts: LastCounts::default(),
        })
    }

    /// Counts what is stored. With millions of serials that takes seconds, so the result is used for
    /// a while: at most a twentieth of the time is spent on counting.
    pub(crate) async fn counts(&self) -> Result<Counts, StoreError> {
        let mut last = self.last_counts.lock().await;
        if let Some((time, took, counts)) = *last
            && time.elapsed() < took * 20
        {
            return Ok(counts);
        }
        let start = Instant::now();
        let counts = self.store.counts().await?;
        *last = Some((Instant::now(), start.elapsed(), counts));
        Ok(counts)
    }

    /// The imports that run now.
    pub(crate) fn running_imports(&self) -> usize {
        (self.limits.imports as usize).saturating_sub(self.import_permits.available_permits())
    }
}

/// Opens what an import needs without a running service.
pub(crate) fn open_importer(settings: &Settings) -> Result<Importer, ServiceError> {
    Ok(Importer {
        account_keys: Arc::new(AccountKeys::read(&settings.account_keys)?),
        store: Store::open(settings)?,
        digest_forms: settings.digest_forms.clone(),
        duplicate_hardware_ids: settings.duplicate_hardware_ids,
    })
}
