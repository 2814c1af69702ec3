//! The connections to the database, and which failures are tried again.

use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, Runtime, Timeouts,
};
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::WrongType;

use super::tls;
use super::url::Target;
use crate::settings::PostgresqlSettings;
use crate::store::StoreError;

/// The pause before an operation is tried again: it is doubled each time, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// How long an operation is tried again that is tried again outside the store too.
const BRIEF_RETRY: Duration = Duration::from_secs(1);
/// How much longer this process waits for a statement than the database lets it run.
const GRACE: Duration = Duration::from_secs(5);

/// What every connection sets. All statements find their rows by an index, one by one, but the
/// planner may think that a table is small when it plans, and keeps the plan. A statement sees what was committed
/// before it, as `record_issues` needs to see blocks. A commit is on the disk before it is
/// acknowledged. Both hold whatever the default of the server or the role is.
const SESSION: &str = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
    SET jit = off; SET plan_cache_mode = force_generic_plan;
    SET default_transaction_isolation = 'read committed';
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off';";

/// The beginnings of SQLSTATE codes (PostgreSQL's manual, appendix A) of a connection that ends.
const LOST: [&str; 2] = ["57P", "08"];
/// Those of a value that the database refuses: data exceptions, violated constraints, and limits,
/// as of the length of a value in an index.
const REFUSED: [&str; 3] = ["22", "23", "54"];

/// What an operation does on a connection.
pub(super) type Work<'c, T> = BoxFuture<'c, Result<T, tokio_postgres::Error>>;

/// After which failures an operation may run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// After all: it reads, or finds what an earlier attempt committed.
    Always,
    /// Only if the earlier attempt was surely rolled back.
    AfterRollback,
    /// After none: it tells whether the database works now.
    Never,
}

/// The pool of connections.
pub(super) struct Connections {
    pool: Pool,
    /// The longest time of an operation.
    time: Duration,
    /// How long an operation is tried again.
    retry: Duration,
}

/// Why an attempt failed.
enum Failure {
    /// Nothing was sent.
    NotConnected(String),
    /// The database rolled it back because of others, or cannot write now.
    RolledBack(String),
    /// The connection was lost: it may be committed.
    Lost(String),
    /// It would fail again.
    Final(StoreError),
}

impl Failure {
    /// The error for what is not tried again.
    fn into_error(self) -> StoreError {
        match self {
            Self::NotConnected(reason) | Self::Lost(reason) => StoreError::Unreachable { reason },
            Self::RolledBack(reason) => StoreError::RolledBack(reason),
            Self::Final(error) => error,
        }
    }
}

impl Connections {
    /// Prepares the pool, and connects to nothing yet.
    pub(super) fn new(target: &Target, settings: &PostgresqlSettings) -> Result<Self, StoreError> {
        let statement = Duration::from_secs(settings.statement_seconds.into());
        let session = format!("{SESSION} SET statement_timeout = {}", statement.as_millis());
        let manager = Manager::from_config(
            target.config.clone(),
            tls::connector(target.roots.as_deref())?,
            ManagerConfig::default(),
        );
        let pool = Pool::builder(manager)
            .max_size(settings.pool_size as usize)
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(statement),
                create: Some(Duration::from_secs(settings.connect_seconds.into()) + GRACE),
                recycle: None,
            })
            .post_create(Hook::async_fn(move |client, _| {
                let session = session.clone();
                Box::pin(async move { client.batch_execute(&session).await.map_err(HookError::Backend) })
            }))
            .build()
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        Ok(Self {
            pool,
            time: statement + GRACE,
            retry: Duration::from_secs(settings.retry_seconds.into()),
        })
    }

    /// The same connections for operations that are tried again outside the store if they fail for
    /// longer than others need to let them through.
    pub(super) fn brief(&self) -> Self {
        Self {
            pool: self.pool.clone(),
            time: self.time,
            retry: self.retry.min(BRIEF_RETRY),
        }
    }

    /// Runs `work` on a connection, and again if that is safe and may help.
    ///
    /// # Errors
    /// [`StoreError::ResultUnknown`] if it is not known whether `work` was committed.
    pub(super) async fn run<T>(
        &self,
        repeat: Repeat,
        work: impl for<'c> Fn(&'c mut Object) -> Work<'c, T>,
    ) -> Result<T, StoreError> {
        let (started, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let failure = match self.attempt(&work).await {
                Ok(result) => return Ok(result),
                Err(failure) => failure,
            };
            let error = match failure {
                Failure::Final(error) => return Err(error),
                Failure::NotConnected(reason) => StoreError::Unreachable { reason },
                Failure::RolledBack(reason) => StoreError::RolledBack(reason),
                Failure::Lost(reason) if repeat == Repeat::AfterRollback => {
                    return Err(StoreError::ResultUnknown(reason));
                }
                Failure::Lost(reason) => StoreError::Unreachable { reason },
            };
            if repeat == Repeat::Never || started.elapsed() + pause > self.retry {
                return Err(error);
            }
            tracing::debug!("tried again: {error}");
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt<T>(&self, work: impl for<'c> Fn(&'c mut Object) -> Work<'c, T>) -> Result<T, Failure> {
        let mut client = self.pool.get().await.map_err(not_connected)?;
        let failure = match timeout(self.time, work(&mut client)).await {
            Ok(Ok(result)) => return Ok(result),
            Ok(Err(error)) => failure(&error),
            Err(_) => Failure::Lost("no answer in time".to_owned()),
        };
        if let Failure::Lost(_) | Failure::RolledBack(_) = failure {
            // Not into the pool: it may wait for an answer, or be one to a standby.
            drop(Object::take(client));
        }
        Err(failure)
    }

    /// A connection that does not go back to the pool, without a limit for statements.
    pub(super) async fn dedicated(&self) -> Result<deadpool_postgres::ClientWrapper, StoreError> {
        // Waits until the database answers.
        self.run(Repeat::Always, |client| {
            Box::pin(async move { client.simple_query("SELECT 1").await.map(drop) })
        })
        .await?;
        let client = self
            .pool
            .get()
            .await
            .map_err(|error| not_connected(error).into_error())?;
        let client = Object::take(client);
        client
            .batch_execute("SET statement_timeout = 0")
            .await
            .map_err(StoreError::from)?;
        Ok(client)
    }

    pub(super) fn close(&self) {
        self.pool.close();
    }
}

fn not_connected(error: PoolError) -> Failure {
    match error {
        PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
            let reason = describe(&error);
            match error.code() {
                // A wrong password or name stays wrong.
                Some(code) if code.code().starts_with("28") || code.code().starts_with("3D") => {
                    Failure::Final(StoreError::Unreachable { reason })
                }
                _ => Failure::NotConnected(reason),
            }
        }
        PoolError::Closed => Failure::Final(StoreError::Interrupted),
        other => Failure::NotConnected(other.to_string()),
    }
}

fn failure(error: &tokio_postgres::Error) -> Failure {
    let reason = describe(error);
    let Some(code) = error.code() else {
        let source = std::error::Error::source(error);
        return match source.is_some_and(|source| source.is::<WrongType>()) {
            true => Failure::Final(StoreError::Refused(reason)),
            // Not the database, but the connection failed.
            false => Failure::Lost(reason),
        };
    };
    let is = |classes: &[&str]| classes.iter().any(|class| code.code().starts_with(class));
    match code {
        &SqlState::T_R_SERIALIZATION_FAILURE
        | &SqlState::T_R_DEADLOCK_DETECTED
        | &SqlState::LOCK_NOT_AVAILABLE
        // A standby, which may be promoted; and a statement from before a migration.
        | &SqlState::READ_ONLY_SQL_TRANSACTION
        | &SqlState::FEATURE_NOT_SUPPORTED => Failure::RolledBack(reason),
        // The time limit of statements.
        &SqlState::QUERY_CANCELED => Failure::Final(StoreError::RolledBack(reason)),
        _ if is(&LOST) => Failure::Lost(reason),
        _ if is(&REFUSED) => Failure::Final(StoreError::Refused(reason)),
        _ => Failure::Final(StoreError::Failed(reason)),
    }
}

/// The message of the database, or of the connection with its cause.
pub(super) fn describe(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(error), _) => format!("{} ({})", error.message(), error.code().code()),
        (None, Some(source)) => format!("{error}: {source}"),
        (None, None) => error.to_string(),
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        failure(&error).into_error()
    }
}
