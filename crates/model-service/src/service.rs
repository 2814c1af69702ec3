//! The running service: everything that the settings name, opened.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use failure::Diagnostic;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};

use crate::account_keys::{AccountKeys, AccountKeysError};
use crate::buckets::TokenBuckets;
use crate::device_sessions::DeviceSessions;
use crate::import::Importer;
use crate::metrics::Metrics;
use crate::models::{Models, ModelsError, concurrent_registrations};
use crate::recent::Recent;
use crate::registration::{Registrar, RegistrationError, SerialError};
use crate::serial_keys::SerialKeyError;
use crate::settings::{Limits, Settings};
use crate::spawn::spawn_in_span;
use crate::store::{Counts, Store, StoreError, WithdrawalError};
use crate::tokens::{Tokens, TokensError};
use crate::waiting::Waiting;

/// How long the result of a check of the serial keys is used: anybody can ask, and a check may sign.
const KEY_CHECK_USED_FOR: Duration = Duration::from_secs(1);
/// The longest time that a failure to count is used, so that counts come back soon after the database.
const FAILED_COUNT_USED_FOR: Duration = Duration::from_secs(60);
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
    /// The waiting of requests by devices.
    pub(crate) waiting: Waiting,
    pub(crate) sessions: DeviceSessions,
    /// Permits for concurrent checks of devices that want a session.
    pub(crate) session_permits: Arc<Semaphore>,
    /// How long a nonce is valid, in seconds.
    pub(crate) nonce_seconds: i64,
    key_check: Recent<Result<(), SerialKeyError>>,
    pub(crate) metrics: Arc<Metrics>,
    stored_counts: Recent<Result<Counts, StoreError>>,
}

/// What the settings say about models and imports. It can be replaced while the service runs; a
/// request keeps what it began with.
pub(crate) struct LiveSettings {
    pub(crate) registrar: Registrar,
    pub(crate) importer: Importer,
}

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
        let metrics = Arc::new(Metrics::new());
        let waiting = Waiting::new(
            limits.wait_seconds,
            limits.waiting_requests,
            metrics.waiting_requests.clone(),
        );
        Ok(Self {
            waiting,
            sessions: DeviceSessions::new(store.clone(), settings.session_seconds)?,
            session_permits: Arc::new(Semaphore::new(concurrent_registrations())),
            live: RwLock::new(Arc::new(live)),
            registration_permits: Arc::new(Semaphore::new(concurrent_registrations())),
            import_permits: Arc::new(Semaphore::new(limits.imports as usize)),
            imports_stopped,
            store,
            tokens,
            wrong_tokens: TokenBuckets::new(WRONG_TOKENS),
            limits,
            nonce_seconds: settings.nonce_seconds.into(),
            key_check: Recent::default(),
            metrics,
            stored_counts: Recent::default(),
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
        Ok(checked.map_err(|_| SerialError::KeyUnavailable { may_return: true })?)
    }

    /// Checks that all serial keys can sign.
    pub(crate) async fn check_signers(&self) -> Result<(), SerialKeyError> {
        let check = async {
            let live = self.live();
            ended(spawn_blocking(move || live.registrar.models.check_signers()).await)
        };
        self.key_check.get(check, |_, _| KEY_CHECK_USED_FOR).await
    }

    /// Counts what is stored. With millions of serials that takes seconds, so the result is used for
    /// a while: at most a twentieth of the time is spent on counting. So is a failure, for a shorter
    /// time.
    pub(crate) async fn counts(&self) -> Result<Counts, StoreError> {
        let used_for = |counts: &Result<_, _>, took: Duration| match counts {
            Ok(_) => took * 20,
            Err(_) => (took * 20).min(FAILED_COUNT_USED_FOR),
        };
        self.stored_counts.get(self.store.counts(), used_for).await
    }

    /// Runs `work` in a thread that may block.
    pub(crate) async fn with_store<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, WithdrawalError> + Send + 'static,
    ) -> Result<T, WithdrawalError> {
        let store = self.store.clone();
        let done = spawn_in_span(move || work(&store)).await;
        done.unwrap_or(Err(StoreError::Interrupted.into()))
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

/// The result of a check of the serial keys; a check that panicked did not find that they sign.
fn ended(checked: Result<Result<(), SerialKeyError>, JoinError>) -> Result<(), SerialKeyError> {
    checked.unwrap_or_else(|error| {
        tracing::error!("the serial keys were not checked: {error}");
        Err(SerialKeyError::NotChecked)
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_check_that_panics_is_not_a_key_that_signs() {
        let check = spawn_blocking(|| panic!("in a test"));
        assert!(matches!(ended(check.await), Err(SerialKeyError::NotChecked)));
    }
}
