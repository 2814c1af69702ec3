//! Opening and closing the database, and running operations on it.

use std::env;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use deadpool_postgres::Object;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;

use super::batches::Batches;
use super::connections::{Connections, Repeat, Work};
use super::migrations::{self, SchemaState};
use super::nonces::NonceBatches;
use super::url::Target;
use super::{identities, log, serials};
use crate::settings::PostgresqlSettings;
use crate::store::readiness::LastProbe;
use crate::store::{Assignment, AssignmentQuery, IssueOutcome, NonceKind, StoreError, StoredIdentity};

/// The threads that talk to the database.
const THREADS: usize = 2;

/// The database of the service. Clones share it.
#[derive(Clone)]
pub(crate) struct PostgresStore(Arc<Inner>);

struct Inner {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    connections: Arc<Connections>,
    /// For requests of devices, which are tried again outside the store.
    brief: Arc<Connections>,
    request_ids: NonceBatches,
    session_nonces: NonceBatches,
    identities: Batches<String, Vec<StoredIdentity>>,
    assignments: Batches<AssignmentQuery, Assignment>,
    issues: Batches<serials::Issue, IssueOutcome>,
    entries: Batches<log::Entry, ()>,
    ended: watch::Receiver<bool>,
    last_probe: LastProbe,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // The last clone may be dropped in a task of another runtime.
            runtime.shutdown_background();
        }
    }
}

impl PostgresStore {
    /// Creates the tables, or migrates those of an older version. Returns what was created.
    pub(in crate::store) fn create(url: &str, settings: &PostgresqlSettings) -> Result<String, StoreError> {
        let (target, store) = Self::connect(url, settings)?;
        let before = store.block_on(async {
            let mut client = store.connections().dedicated().await?;
            migrations::migrate(&mut client).await
        })?;
        match before {
            SchemaState::Missing | SchemaState::Older { .. } => {
                Ok(format!("the tables in the database {}", target.name()))
            }
            SchemaState::Latest => Err(StoreError::SchemaExists {
                database: target.name(),
            }),
            SchemaState::Newer { found } => Err(newer(&target, found)),
        }
    }

    /// Connects to the database, and migrates it if it has an older version. Creates no tables in
    /// an empty one.
    pub(in crate::store) fn open(url: &str, settings: &PostgresqlSettings) -> Result<Self, StoreError> {
        let (target, store) = Self::connect(url, settings)?;
        let state = store.block_on(async {
            let mut client = store.connections().dedicated().await?;
            match migrations::state(&client).await? {
                SchemaState::Older { .. } => migrations::migrate(&mut client).await,
                other => Ok(other),
            }
        })?;
        match state {
            SchemaState::Latest | SchemaState::Older { .. } => Ok(store),
            SchemaState::Missing => Err(StoreError::SchemaMissing {
                database: target.name(),
            }),
            SchemaState::Newer { found } => Err(newer(&target, found)),
        }
    }

    /// The version of the database, and whether it is the latest one.
    pub(in crate::store) fn check_version(
        url: &str,
        settings: &PostgresqlSettings,
    ) -> Result<(i64, bool), StoreError> {
        let (target, store) = Self::connect(url, settings)?;
        let state = store.block_on(async {
            let client = store.connections().dedicated().await?;
            migrations::state(&client).await
        })?;
        match state {
            SchemaState::Latest => Ok((migrations::LATEST.into(), true)),
            SchemaState::Older { found } => Ok((found.into(), false)),
            SchemaState::Missing => Err(StoreError::SchemaMissing {
                database: target.name(),
            }),
            SchemaState::Newer { found } => Err(newer(&target, found)),
        }
    }

    fn connect(url: &str, settings: &PostgresqlSettings) -> Result<(Target, Self), StoreError> {
        let target = Target::parse(url, settings)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("store-postgres")
            .enable_all()
            .build()
            .map_err(|error| StoreError::Failed(error.to_string()))?;
        let connections = Arc::new(Connections::new(&target, settings)?);
        let (ended, has_ended) = watch::channel(false);
        let brief = Arc::new(connections.brief());
        let (handle, shared) = (runtime.handle(), || Arc::clone(&brief));
        let store = Inner {
            request_ids: NonceBatches::start(NonceKind::Registration, handle, &brief, &ended),
            session_nonces: NonceBatches::start(NonceKind::Session, handle, &brief, &ended),
            identities: Batches::start(handle, identities::identity_batches(shared()), ended.clone()),
            assignments: Batches::start(handle, serials::assignment_batches(shared()), ended.clone()),
            issues: Batches::start(handle, serials::issue_batches(shared()), ended.clone()),
            entries: Batches::start(handle, log::entry_batches(shared()), ended),
            runtime: Some(runtime),
            connections,
            brief: Arc::clone(&brief),
            ended: has_ended,
            last_probe: LastProbe::default(),
        };
        Ok((target, Self(Arc::new(store))))
    }

    /// Closes the connections. Later reads and writes fail.
    pub(in crate::store) fn close(&self) {
        self.0.connections.close();
    }

    /// Waits for a fault in a task that writes. A lost database is not one: it may come back.
    pub(in crate::store) async fn failure(&self) -> StoreError {
        let mut ended = self.0.ended.clone();
        // The senders are dropped with the tasks.
        let _ = ended.wait_for(|ended| *ended).await;
        StoreError::Interrupted
    }

    /// A directory for large temporary files.
    pub(in crate::store) fn directory(&self) -> PathBuf {
        env::temp_dir()
    }

    pub(super) fn connections(&self) -> &Arc<Connections> {
        &self.0.connections
    }

    pub(super) fn nonces(&self, kind: NonceKind) -> &NonceBatches {
        match kind {
            NonceKind::Registration => &self.0.request_ids,
            NonceKind::Session => &self.0.session_nonces,
        }
    }

    pub(super) fn identities(&self) -> &Batches<String, Vec<StoredIdentity>> {
        &self.0.identities
    }

    pub(super) fn assignments(&self) -> &Batches<AssignmentQuery, Assignment> {
        &self.0.assignments
    }

    pub(super) fn issues(&self) -> &Batches<serials::Issue, IssueOutcome> {
        &self.0.issues
    }

    pub(super) fn entries(&self) -> &Batches<log::Entry, ()> {
        &self.0.entries
    }

    pub(super) fn last_probe(&self) -> &LastProbe {
        &self.0.last_probe
    }

    fn handle(&self) -> Option<&Handle> {
        self.0.runtime.as_ref().map(Runtime::handle)
    }

    /// Runs a future on the threads of the store; blocks the calling thread.
    pub(super) fn block_on<T>(
        &self,
        future: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        match self.handle() {
            Some(handle) => handle.block_on(future),
            None => Err(StoreError::Interrupted),
        }
    }

    /// Runs `work` on a connection, see [`Connections::run`]; blocks the calling thread.
    pub(super) fn run_blocking<T>(
        &self,
        repeat: Repeat,
        work: impl for<'c> Fn(&'c mut Object) -> Work<'c, T>,
    ) -> Result<T, StoreError> {
        self.block_on(self.connections().run(repeat, work))
    }

    /// As [`run_blocking`](Self::run_blocking), for a request that is tried again outside the store.
    pub(super) fn run_briefly<T>(
        &self,
        repeat: Repeat,
        work: impl for<'c> Fn(&'c mut Object) -> Work<'c, T>,
    ) -> Result<T, StoreError> {
        self.block_on(self.0.brief.run(repeat, work))
    }

    /// As [`run_blocking`](Self::run_blocking), to its end also if the caller no longer waits.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        repeat: Repeat,
        work: impl for<'c> Fn(&'c mut Object) -> Work<'c, T> + Send + Sync + 'static,
    ) -> Result<T, StoreError> {
        let connections = Arc::clone(self.connections());
        let Some(handle) = self.handle() else {
            return Err(StoreError::Interrupted);
        };
        let task = handle.spawn(async move { connections.run(repeat, work).await });
        task.await.unwrap_or(Err(StoreError::Interrupted))
    }
}

fn newer(target: &Target, found: u32) -> StoreError {
    StoreError::SchemaNewer {
        database: target.name(),
        found,
        latest: migrations::LATEST,
    }
}
