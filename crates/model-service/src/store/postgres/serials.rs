//! Serials in PostgreSQL.

use std::collections::HashSet;
use std::sync::Arc;

use tokio_postgres::Row;

use super::batches::RunBatch;
use super::connections::{Connections, Repeat};
use super::database::PostgresStore;
use super::log::storable_entry;
use super::{bigint, storable};
use crate::store::{IssueOutcome, IssuedSerial, LastIssued, LogEntry, SerialNumber, StoreError};

const RECORD: &str =
    "SELECT place, outcome FROM record_issues($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,
    $13, $14, $15, $16, $17)";

/// Which of a batch whose result was lost are recorded.
const IS_RECORDED: &str = "
    SELECT EXISTS (
        SELECT FROM issued i JOIN serials s USING (brand, model, serial)
        WHERE (i.brand, i.model, i.serial, i.revision, i.text, s.device)
            = (w.brand, w.model, w.serial, w.revision, w.text, w.device)
    )
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[])
        WITH ORDINALITY AS w (brand, model, serial, revision, text, device, place)
    ORDER BY w.place";

/// An issued serial to record with its log entry.
pub(super) struct Issue {
    issued: IssuedSerial,
    /// What the ledger gets.
    event: String,
    entry: LogEntry,
    kept: i64,
}

impl PostgresStore {
    pub(in crate::store) fn find_holder(&self, number: &SerialNumber) -> Result<Option<String>, StoreError> {
        let find = "SELECT device FROM serials WHERE brand = $1 AND model = $2 AND serial = $3";
        self.find_text(find, [&number.brand, &number.model, &number.serial])
    }

    pub(in crate::store) fn find_serial(
        &self,
        brand: &str,
        model: &str,
        device: &str,
    ) -> Result<Option<String>, StoreError> {
        let find = "SELECT serial FROM serials WHERE brand = $1 AND model = $2 AND device = $3";
        self.find_text(find, [brand, model, device])
    }

    fn find_text(&self, find: &'static str, keys: [&str; 3]) -> Result<Option<String>, StoreError> {
        let keys = keys.map(storable);
        self.run_blocking(Repeat::Always, |client| {
            let [one, two, three] = keys.clone();
            Box::pin(async move {
                let statement = client.prepare_cached(find).await?;
                let row = client.query_opt(&statement, &[&one, &two, &three]).await?;
                row.map(|row| row.try_get(0)).transpose()
            })
        })
    }

    pub(in crate::store) fn find_last_issued(
        &self,
        number: &SerialNumber,
        device_key: &str,
        sign_key: &str,
    ) -> Result<Option<LastIssued>, StoreError> {
        let find = "SELECT revision, CASE WHEN device_key = $4 AND sign_key = $5 THEN text END FROM issued
             WHERE brand = $1 AND model = $2 AND serial = $3 ORDER BY revision DESC LIMIT 1";
        let keys = [&number.brand, &number.model, &number.serial, device_key, sign_key];
        let keys = keys.map(storable);
        self.run_blocking(Repeat::Always, |client| {
            let [brand, model, serial, device_key, sign_key] = keys.clone();
            Box::pin(async move {
                let statement = client.prepare_cached(find).await?;
                let row = client
                    .query_opt(&statement, &[&brand, &model, &serial, &device_key, &sign_key])
                    .await?;
                row.as_ref().map(last_issued).transpose()
            })
        })
    }

    pub(in crate::store) fn record_issue(
        &self,
        issued: IssuedSerial,
        entry: LogEntry,
        log_limit: i64,
    ) -> Result<IssueOutcome, StoreError> {
        let event =
            serde_json::to_string(&issued.event()).map_err(|error| StoreError::Failed(error.to_string()))?;
        self.issues().run_blocking(Issue {
            issued,
            event,
            entry: storable_entry(&entry),
            kept: log_limit,
        })
    }
}

fn last_issued(row: &Row) -> Result<LastIssued, tokio_postgres::Error> {
    Ok(LastIssued {
        revision: row.try_get::<_, i64>(0)?.unsigned_abs(),
        assertion: row.try_get(1)?,
    })
}

/// Records the issues of a batch. Of two for the same serial or device, the second one is a
/// conflict, and its request tries again.
pub(super) fn issue_batches(connections: Arc<Connections>) -> RunBatch<Issue, IssueOutcome> {
    Box::new(move |batch| {
        let connections = Arc::clone(&connections);
        Box::pin(async move {
            let firsts = firsts(&batch);
            let mut outcomes = vec![IssueOutcome::Conflict; batch.len()];
            let recorded = match record(&connections, &batch, &firsts).await {
                // It may be committed. What the database does not have is like a conflict: its
                // request tries again, and finds what others recorded.
                Err(StoreError::Interrupted) => are_recorded(&connections, &batch, &firsts).await?,
                other => other?,
            };
            for (index, outcome) in firsts.into_iter().zip(recorded) {
                outcomes[index] = outcome;
            }
            Ok(outcomes)
        })
    })
}

/// The places of the issues without those for a serial or a device that an earlier one has.
fn firsts(batch: &[Issue]) -> Vec<usize> {
    let (mut serials, mut devices) = (HashSet::new(), HashSet::new());
    let is_first = |place: &usize| {
        let IssuedSerial { number, device, .. } = &batch[*place].issued;
        serials.insert(number) & devices.insert((&number.brand, &number.model, device))
    };
    (0..batch.len()).filter(is_first).collect()
}

async fn record(
    connections: &Connections,
    batch: &Arc<Vec<Issue>>,
    places: &[usize],
) -> Result<Vec<IssueOutcome>, StoreError> {
    connections
        .run(Repeat::AfterRollback, |client| {
            let (batch, places) = (Arc::clone(batch), places.to_vec());
            Box::pin(async move {
                let chosen: Vec<_> = places.iter().map(|place| &batch[*place]).collect();
                let text = |field: fn(&Issue) -> &str| -> Vec<&str> {
                    chosen.iter().map(|issue| field(issue)).collect()
                };
                let identities: Vec<_> = chosen.iter().map(|issue| issue.issued.identity()).collect();
                let times: Vec<_> = chosen.iter().map(|issue| issue.entry.time).collect();
                let kept = chosen.iter().map(|issue| issue.kept).min().unwrap_or_default();
                let statement = client.prepare_cached(RECORD).await?;
                let rows = client
                    .query(
                        &statement,
                        &[
                            &text(|issue| &issue.issued.number.brand),
                            &text(|issue| &issue.issued.number.model),
                            &text(|issue| &issue.issued.number.serial),
                            &text(|issue| &issue.issued.device),
                            &revisions(&chosen),
                            &identities,
                            &text(|issue| &issue.issued.device_key),
                            &text(|issue| &issue.issued.sign_key),
                            &text(|issue| &issue.issued.assertion),
                            &text(|issue| &issue.event),
                            &times,
                            &text(|issue| &issue.entry.address),
                            &text(|issue| &issue.entry.brand),
                            &text(|issue| &issue.entry.model),
                            &text(|issue| &issue.entry.serial),
                            &text(|issue| &issue.entry.device),
                            &kept,
                        ],
                    )
                    .await?;
                rows.iter().map(outcome).collect()
            })
        })
        .await
}

fn revisions(issues: &[&Issue]) -> Vec<i64> {
    issues.iter().map(|issue| bigint(issue.issued.revision)).collect()
}

/// The rows come in the order of the places.
fn outcome(row: &Row) -> Result<IssueOutcome, tokio_postgres::Error> {
    Ok(match row.try_get(1)? {
        "recorded" => IssueOutcome::Recorded,
        "blocked" => IssueOutcome::Blocked,
        _ => IssueOutcome::Conflict,
    })
}

async fn are_recorded(
    connections: &Connections,
    batch: &Arc<Vec<Issue>>,
    places: &[usize],
) -> Result<Vec<IssueOutcome>, StoreError> {
    connections
        .run(Repeat::Always, |client| {
            let (batch, places) = (Arc::clone(batch), places.to_vec());
            Box::pin(async move {
                let chosen: Vec<_> = places.iter().map(|place| &batch[*place]).collect();
                let text = |field: fn(&Issue) -> &str| -> Vec<&str> {
                    chosen.iter().map(|issue| field(issue)).collect()
                };
                let statement = client.prepare_cached(IS_RECORDED).await?;
                let rows = client
                    .query(
                        &statement,
                        &[
                            &text(|issue| &issue.issued.number.brand),
                            &text(|issue| &issue.issued.number.model),
                            &text(|issue| &issue.issued.number.serial),
                            &revisions(&chosen),
                            &text(|issue| &issue.issued.assertion),
                            &text(|issue| &issue.issued.device),
                        ],
                    )
                    .await?;
                let recorded = |row: &Row| {
                    Ok(match row.try_get(0)? {
                        true => IssueOutcome::Recorded,
                        false => IssueOutcome::Conflict,
                    })
                };
                rows.iter().map(recorded).collect()
            })
        })
        .await
}
