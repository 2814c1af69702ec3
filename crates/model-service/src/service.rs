//! The running service: everything that the settings name, opened.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use failure::Diagnostic;
use thiserror::Error;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::spawn_blocking;

use crate::account_keys::{AccountKeys, AccountKeysError};
use crate::buckets::TokenBuckets;
use crate::import::Importer;
use crate::metrics::Metrics;
use crate::models::{Models, ModelsError, concurrent_registrations};
use crate::registration::{Registrar, RegistrationError, SerialError};
use crate::serial_keys::SerialKeyError;
use crate::settings::{Limits, Settings};
use crate::store::{Counts, Store, StoreError};
use crate::tokens::{Tokens, TokensError};

/// How long the result of a check of the serial keys is used: anybody can ask, and a check may sign.
const KEY_CHECK_USED_FOR: Duration = Duration::from_secs(1);
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
    live: RwLock<Arc<LiveSettings>>,
    /// Permits for concurrent registrations.
    pub(crate) registration_permits: Arc<Semaphore>,
    /// Permits for concurrent imports.
    pub(crate) import_permits: Arc<Semaphore>,
    /// True when running imports have to end.
    imports_stopped: Arc<AtomicBool>,
    pub(crate) tokens: Tokens,
    /// The wrong tokens that each address may still send.
    pub(crate) wrong_tokens: TokenBuckets<IpAddr>,
    pub(crate) limits: Limits,
    /// How long a nonce is valid, in seconds.
    pub(crate) nonce_seconds: i64,
    last_key_check: LastKeyCheck,
    pub(crate) metrics: Arc<Metrics>,
    last_counts: LastCounts,
}

/// What the settings say about models and imports. It can be replaced while the service runs; a
/// request keeps what it began with.
pub(crate) struct LiveSettings {
    pub(crate) registrar: Registrar,
    pub(crate) importer: Importer,
}

/// The last check of the serial keys, and when it ended.
type LastKeyCheck = Mutex<Option<(Instant, Result<(), SerialKeyError>)>>;

/// The last counts, when they ended, and how long they took.
type LastCounts = Mutex<Option<(Instant, Duration, Counts)>>;

impl Service {
    /// Reads all keys and secrets, and opens the database.
    pub(crate) fn open(settings: &Settings) -> Result<Self, ServiceError> {
        let account_keys = Arc::new(AccountKeys::read(&settings.account_keys)?);
        let models = Models::read(settings, &account_keys, None)?;
        let tokens = Tokens::read(settings)?;
        let store = Store::open(settings)?;
        let limits = settings.limits.clone();
        let imports_stopped = Arc::new(AtomicBool::new(false));
        let live = LiveSettings::new(settings, &store, account_keys, models, &imports_stopped);
        Ok(Self {
            live: RwLock::new(Arc::new(live)),
            registration_permits: Arc::new(Semaphore::new(concurrent_registrations())),
            import_permits: Arc::new(Semaphore::new(limits.imports as usize)),
            imports_stopped,
            store,
            tokens,
            wrong_tokens: TokenBuckets::new(WRONG_TOKENS),
            limits,
            nonce_seconds: settings.nonce_seconds.into(),
            last_key_check: LastKeyCheck::default(),
            metrics: Arc::new(Metrics::new()),
            last_counts: LastCounts::default(),
        })
    }

    /// The models and the rules of imports for a request that begins now.
    pub(crate) fn live(&self) -> Arc<LiveSettings> {
        Arc::clone(&self.live.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the account-keys, the models and the rules of imports, or nothing if one of them
    /// cannot be used. Returns the number of models. Blocks the calling thread.
    pub(crate) fn replace_live(&self, settings: &Settings) -> Result<usize, ServiceError> {
        let account_keys = Arc::new(AccountKeys::read(&settings.account_keys)?);
        let former = self.live();
        let models = Models::read(settings, &account_keys, Some(&former.registrar.models))?;
        let count = models.count();
        let live = LiveSettings::new(settings, &self.store, account_keys, models, &self.imports_stopped);
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(live);
        Ok(count)
    }

    /// Checks that the service can write, and sign with all keys.
    pub(crate) async fn check_ready(&self) -> Result<(), RegistrationError> {
        self.store.check_writable().await?;
        let checked = self.check_signers().await;
        Ok(checked.map_err(|_| SerialError::KeyUnavailable)?)
    }

    /// Checks that all serial keys can sign.
    pub(crate) async fn check_signers(&self) -> Result<(), SerialKeyError> {
        let mut last = self.last_key_check.lock().await;
        match last.as_ref() {
            Some((time, result)) if time.elapsed() < KEY_CHECK_USED_FOR => result.clone(),
            _ => {
                let live = self.live();
                let check = spawn_blocking(move || live.registrar.models.check_signers());
                let result = check.await.unwrap_or_else(|error| {
                    tracing::error!("the serial keys were not checked: {error}");
                    Ok(())
                });
                *last = Some((Instant::now(), result.clone()));
                result
            }
        }
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

    /// Ends running imports and those that begin later; they store nothing.
    pub(crate) fn stop_imports(&self) {
        self.imports_stopped.store(true, Ordering::Relaxed);
    }
}

impl LiveSettings {
    fn new(
        settings: &Settings,
        store: &Store,
        account_keys: Arc<AccountKeys>,
        models: Models,
        imports_stopped: &Arc<AtomicBool>,
    ) -> Self {
        Self {
            registrar: Registrar {
                store: store.clone(),
                account_keys: Arc::clone(&account_keys),
                models,
                log_limit: settings.limits.logged_registrations.into(),
            },
            importer: Importer {
                store: store.clone(),
                account_keys,
                digest_forms: settings.digest_forms.clone(),
                duplicate_hardware_ids: settings.duplicate_hardware_ids,
                proofs: None,
                stopped: Arc::clone(imports_stopped),
            },
        }
    }
}

/// Opens what an import needs without a running service.
pub(crate) fn open_importer(settings: &Settings) -> Result<Importer, ServiceError> {
    Ok(Importer {
        account_keys: Arc::new(AccountKeys::read(&settings.account_keys)?),
        store: Store::open(settings)?,
        digest_forms: settings.digest_forms.clone(),
        duplicate_hardware_ids: settings.duplicate_hardware_ids,
        proofs: None,
        stopped: Arc::default(),
    })
}
