//! The ledger in PostgreSQL: a table.

use deadpool_postgres::Transaction;
use tokio_postgres::{Client, Error};

use crate::store::{Event, StoreError, identity_device};

/// The event, as JSON.
pub(super) fn json(event: &Event) -> Result<String, StoreError> {
    serde_json::to_string(event).map_err(|error| StoreError::Failed(error.to_string()))
}

/// Adds an event, as JSON.
pub(super) async fn append(client: &Client, event: &str) -> Result<(), Error> {
    let add = "INSERT INTO ledger (event) VALUES (($1::text)::json)";
    client.execute(add, &[&event]).await.map(drop)
}

/// Adds a change by an administrator, as JSON, here and to the changes.
pub(super) async fn append_change(transaction: &Transaction<'_>, event: &str) -> Result<(), Error> {
    let add = "
        WITH noted AS (INSERT INTO ledger (event) VALUES (($1::text)::json) RETURNING event)
        INSERT INTO changes (time, kind, device, brand, model, serial, reason, author)
        SELECT epoch_seconds(), event ->> 'kind',
            coalesce(event ->> 'device', $2 || (event ->> 'key-digest')),
            coalesce(event ->> 'brand', ''), coalesce(event ->> 'model', ''),
            coalesce(event ->> 'serial', ''), event ->> 'reason', event ->> 'by'
        FROM noted";
    transaction
        .execute(add, &[&event, &identity_device("")])
        .await
        .map(drop)
}
