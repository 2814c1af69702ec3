//! The schema, and the migrations to it.

use deadpool_postgres::ClientWrapper;
use refinery::{Migration, Runner};

use crate::store::StoreError;

/// The migrations, in their order.
const MIGRATIONS: &[(&str, &str)] = &[
    ("V1__tables", include_str!("schema/V1__tables.sql")),
    ("V2__log_by_index", include_str!("schema/V2__log_by_index.sql")),
    (
        "V3__device_sessions",
        include_str!("schema/V3__device_sessions.sql"),
    ),
];
/// The version after all migrations.
pub(super) const LATEST: u32 = MIGRATIONS.len() as u32;
/// The key of the lock that one process has while it migrates.
const LOCK: i64 = 0x6D6F_6465_6C31;

/// What the version of the schema demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SchemaState {
    Missing,
    Older {
        found: u32,
    },
    Latest,
    /// Another release of this program made it.
    Newer {
        found: u32,
    },
}

/// Compares the version of the schema with the migrations.
pub(super) async fn state(client: &ClientWrapper) -> Result<SchemaState, StoreError> {
    let history = "SELECT to_regclass('refinery_schema_history') IS NOT NULL";
    if !client.query_one(history, &[]).await?.try_get::<_, bool>(0)? {
        return Ok(SchemaState::Missing);
    }
    let last = "SELECT max(version) FROM refinery_schema_history";
    let last: Option<i32> = client.query_one(last, &[]).await?.try_get(0)?;
    let found = last.and_then(|last| u32::try_from(last).ok()).unwrap_or_default();
    Ok(match found {
        0 => SchemaState::Missing,
        found if found < LATEST => SchemaState::Older { found },
        found if found == LATEST => SchemaState::Latest,
        found => SchemaState::Newer { found },
    })
}

/// Applies all migrations that the database lacks, in one transaction. Of several processes, one
/// does it and the others wait. Returns the state before.
pub(super) async fn migrate(client: &mut ClientWrapper) -> Result<SchemaState, StoreError> {
    client.execute("SELECT pg_advisory_lock($1)", &[&LOCK]).await?;
    let before = state(client).await?;
    if let SchemaState::Missing | SchemaState::Older { .. } = before {
        let migrations: Result<Vec<_>, _> = MIGRATIONS
            .iter()
            .map(|(name, sql)| Migration::unapplied(name, sql))
            .collect();
        let runner = Runner::new(&migrations?).set_grouped(true);
        let client: &mut tokio_postgres::Client = client;
        runner.run_async(client).await?;
    }
    client.execute("SELECT pg_advisory_unlock($1)", &[&LOCK]).await?;
    Ok(before)
}
