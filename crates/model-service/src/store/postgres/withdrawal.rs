//! Taking back in PostgreSQL: blocked hardware identities and released serials.

use std::sync::Arc;

use deadpool_postgres::Transaction;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::connections::Repeat;
use super::database::PostgresStore;
use super::ledger::{append_change, json};
use super::storable;
use crate::store::{
    Authorship, Event, IdentityState, ImportedIdentity, SerialNumber, StoreError, identity_device,
};

/// Waits for the issues that are being committed, and lets no others begin.
const LOCK_BLOCKS: &str = "LOCK TABLE blocked_identities IN EXCLUSIVE MODE";

impl PostgresStore {
    pub(in crate::store) fn find_identity(&self, digest: &str) -> Result<Option<IdentityState>, StoreError> {
        let digest = storable(digest);
        self.run_blocking(Repeat::Always, |client| {
            let digest = digest.clone();
            Box::pin(async move {
                let transaction = client.transaction().await?;
                identity_state(&transaction, &digest).await
            })
        })
    }

    pub(in crate::store) fn block_identity(
        &self,
        key_digest: String,
        now: i64,
        authorship: Authorship,
    ) -> Result<bool, StoreError> {
        let block = "INSERT INTO blocked_identities VALUES ($1, $2, $3) ON CONFLICT (key_digest) DO NOTHING";
        let reason = storable(&authorship.reason);
        let event = json(&Event::block(key_digest.clone(), now, authorship))?;
        self.change(
            LOCK_BLOCKS,
            block,
            vec![Box::new(key_digest), Box::new(now), Box::new(reason)],
            event,
        )
    }

    pub(in crate::store) fn unblock_identity(
        &self,
        key_digest: String,
        authorship: Authorship,
    ) -> Result<bool, StoreError> {
        let unblock = "DELETE FROM blocked_identities WHERE key_digest = $1";
        let event = json(&Event::unblock(key_digest.clone(), authorship))?;
        self.change(LOCK_BLOCKS, unblock, vec![Box::new(key_digest)], event)
    }

    pub(in crate::store) fn release_serial(
        &self,
        number: SerialNumber,
        authorship: Authorship,
    ) -> Result<bool, StoreError> {
        // The event names the device, which may change until the row is deleted.
        let Some(device) = self.find_holder(&number)? else {
            return Ok(false);
        };
        let release = "DELETE FROM serials WHERE brand = $1 AND model = $2 AND serial = $3 AND device = $4";
        let event = json(&Event::release(number.clone(), device.clone(), authorship))?;
        let SerialNumber { brand, model, serial } = number;
        self.change(
            "",
            release,
            vec![
                Box::new(brand),
                Box::new(model),
                Box::new(serial),
                Box::new(device),
            ],
            event,
        )
    }

    /// Runs a statement and records the event, in one transaction. Returns false if the statement
    /// changed nothing; then nothing is recorded.
    fn change(
        &self,
        lock: &'static str,
        statement: &'static str,
        values: Vec<Box<dyn ToSql + Send + Sync>>,
        event: String,
    ) -> Result<bool, StoreError> {
        let shared = Arc::new((values, event));
        self.run_blocking(Repeat::AfterRollback, |client| {
            let shared = Arc::clone(&shared);
            Box::pin(async move {
                let (values, event) = shared.as_ref();
                let transaction = client.transaction().await?;
                transaction.batch_execute(lock).await?;
                let values: Vec<&(dyn ToSql + Sync)> =
                    values.iter().map(|value| value.as_ref() as _).collect();
                let changed = transaction.execute(statement, &values).await? > 0;
                if changed {
                    append_change(&transaction, event).await?;
                }
                transaction.commit().await?;
                Ok(changed)
            })
        })
    }
}

async fn identity_state(transaction: &Transaction<'_>, digest: &str) -> Result<Option<IdentityState>, Error> {
    // A blocked identity need not be imported any more, after a restore.
    let find = "SELECT key_digest FROM identities WHERE digest = $1 OR key_digest = $1
         UNION SELECT key_digest FROM blocked_identities WHERE key_digest = $1 LIMIT 1";
    let Some(row) = transaction.query_opt(find, &[&digest]).await? else {
        return Ok(None);
    };
    let key_digest: String = row.try_get(0)?;
    let identities = "SELECT issuer, digest, revision, hardware_id, hardware_name, manufacturer
         FROM identities WHERE key_digest = $1 ORDER BY id";
    let identities = transaction.query(identities, &[&key_digest]).await?;
    let blocked = "SELECT time, reason FROM blocked_identities WHERE key_digest = $1";
    let blocked = transaction.query_opt(blocked, &[&key_digest]).await?;
    let serials = "SELECT brand, model, serial FROM serials WHERE device = $1 ORDER BY brand, model, serial";
    let serials = transaction
        .query(serials, &[&identity_device(&key_digest)])
        .await?;
    Ok(Some(IdentityState {
        identities: identities.iter().map(read_identity).collect::<Result<_, _>>()?,
        blocked: blocked
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .transpose()?,
        serials: serials.iter().map(read_number).collect::<Result<_, _>>()?,
        key_digest,
    }))
}

fn read_identity(row: &Row) -> Result<ImportedIdentity, Error> {
    Ok(ImportedIdentity {
        issuer: row.try_get(0)?,
        digest: row.try_get(1)?,
        revision: row.try_get::<_, i64>(2)?.unsigned_abs(),
        hardware_id: row.try_get(3)?,
        hardware_name: row.try_get(4)?,
        manufacturer: row.try_get(5)?,
    })
}

fn read_number(row: &Row) -> Result<SerialNumber, Error> {
    Ok(SerialNumber {
        brand: row.try_get(0)?,
        model: row.try_get(1)?,
        serial: row.try_get(2)?,
    })
}
