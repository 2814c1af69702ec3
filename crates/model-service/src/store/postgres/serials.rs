//! Serials in PostgreSQL.

use std::collections::HashSet;
use std::sync::Arc;

use tokio_postgres::Row;

use super::batches::RunBatch;
use super::connections::{Connections, Repeat};
use super::database::PostgresStore;
use super::ledger::json;
use super::log::storable_entry;
use super::{bigint, storable};
use crate::store::{
    Assignment, AssignmentQuery, IssueOutcome, IssuedSerial, LastIssued, LogEntry, SerialNumber, StoreError,
};

const RECORD: &str =
    "SELECT place, outcome FROM record_issues($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12,
    $13, $14, $15, $16, $17)";

/// In the order of the queries. A device and a serial have few rows, so that their indices need not
/// find the brand and the model too: the planner could choose the index of the other for these alone.
const ASSIGNMENTS: &str = "
    SELECT held.serial, holder.device, last.revision, last.text
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
        WITH ORDINALITY AS q (brand, model, device, wanted, device_key, sign_key, place)
    LEFT JOIN LATERAL (
        SELECT s.serial FROM serials s
        WHERE s.device = q.device AND (s.brand, s.model) IS NOT DISTINCT FROM (q.brand, q.model) LIMIT 1
    ) AS held ON true
    LEFT JOIN LATERAL (
        SELECT s.device FROM serials s
        WHERE s.serial = q.wanted AND (s.brand, s.model) IS NOT DISTINCT FROM (q.brand, q.model)
            AND held.serial IS NULL
        LIMIT 1
    ) AS holder ON true
    LEFT JOIN LATERAL (
        SELECT i.revision, CASE WHEN i.device_key = q.device_key AND i.sign_key = q.sign_key THEN i.text END AS text
        FROM issued i
        WHERE i.serial = coalesce(held.serial, q.wanted) AND i.brand = q.brand AND i.model = q.model
        ORDER BY i.revision DESC LIMIT 1
    ) AS last ON true
    ORDER BY q.place";

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
        let find = "SELECT device FROM serials WHERE serial = $1 AND brand = $2 AND model = $3";
        let keys = [&number.serial, &number.brand, &number.model].map(|key| storable(key));
        self.run_briefly(Repeat::Always, |client| {
            let [serial, brand, model] = keys.clone();
            Box::pin(async move {
                let statement = client.prepare_cached(find).await?;
                let row = client.query_opt(&statement, &[&serial, &brand, &model]).await?;
                row.map(|row| row.try_get(0)).transpose()
            })
        })
    }

    pub(in crate::store) fn find_assignment(&self, query: AssignmentQuery) -> Result<Assignment, StoreError> {
        self.assignments().run_blocking(AssignmentQuery {
            wanted: query.wanted.as_deref().map(storable),
            ..query
        })
    }

    pub(in crate::store) fn record_issue(
        &self,
        issued: IssuedSerial,
        entry: LogEntry,
        log_limit: i64,
    ) -> Result<IssueOutcome, StoreError> {
        self.issues().run_blocking(Issue {
            event: json(&issued.event())?,
            issued,
            entry: storable_entry(&entry),
            kept: log_limit,
        })
    }
}

/// Looks up the assignments of a batch.
pub(super) fn assignment_batches(connections: Arc<Connections>) -> RunBatch<AssignmentQuery, Assignment> {
    Box::new(move |batch| {
        let connections = Arc::clone(&connections);
        Box::pin(async move {
            connections
                .run(Repeat::Always, |client| {
                    let batch = Arc::clone(&batch);
                    Box::pin(async move {
                        let text = |field: fn(&AssignmentQuery) -> &String| -> Vec<&str> {
                            batch.iter().map(|query| field(query).as_str()).collect()
                        };
                        let wanted: Vec<_> = batch.iter().map(|query| query.wanted.as_deref()).collect();
                        let statement = client.prepare_cached(ASSIGNMENTS).await?;
                        let rows = client
                            .query(
                                &statement,
                                &[
                                    &text(|query| &query.brand),
                                    &text(|query| &query.model),
                                    &text(|query| &query.device),
                                    &wanted,
                                    &text(|query| &query.device_key),
                                    &text(|query| &query.sign_key),
                                ],
                            )
                            .await?;
                        rows.iter().map(assignment).collect()
                    })
                })
                .await
        })
    })
}

fn assignment(row: &Row) -> Result<Assignment, tokio_postgres::Error> {
    let last = match row.try_get::<_, Option<i64>>(2)? {
        Some(revision) => Some(LastIssued {
            revision: revision.unsigned_abs(),
            assertion: row.try_get(3)?,
        }),
        None => None,
    };
    Ok(Assignment {
        serial: row.try_get(0)?,
        holder: row.try_get(1)?,
        last,
    })
}

/// Records the issues of a batch. Of two for the same serial or device, the second one is a
/// conflict, and its request tries again.
pub(super) fn issue_batches(connections: Arc<Connections>) -> RunBatch<Issue, IssueOutcome> {
    Box::new(move |batch| {
        let connections = Arc::clone(&connections);
        Box::pin(async move {
            let mut outcomes = vec![IssueOutcome::Conflict; batch.len()];
            let firsts = Firsts::of(batch);
            let recorded = match record(&connections, &firsts).await {
                // It may be committed. What the database does not have is like a conflict: its
                // request tries again, and finds what others recorded.
                Err(error @ StoreError::ResultUnknown(_)) => {
                    tracing::warn!("issued serials are looked up: {error}");
                    are_recorded(&connections, &firsts).await?
                }
                other => other?,
            };
            for (index, outcome) in firsts.places.into_iter().zip(recorded) {
                outcomes[index] = outcome;
            }
            Ok(outcomes)
        })
    })
}

/// The issues of a batch without those for a serial or a device that an earlier one has.
#[derive(Clone)]
struct Firsts {
    batch: Arc<Vec<Issue>>,
    places: Vec<usize>,
}

impl Firsts {
    fn of(batch: Arc<Vec<Issue>>) -> Self {
        let (mut serials, mut devices) = (HashSet::new(), HashSet::new());
        let is_first = |place: &usize| {
            let IssuedSerial { number, device, .. } = &batch[*place].issued;
            serials.insert(number) & devices.insert((&number.brand, &number.model, device))
        };
        let places = (0..batch.len()).filter(is_first).collect();
        Self { batch, places }
    }

    /// A value of each issue.
    fn column<'a, T>(&'a self, value: impl FnMut(&'a Issue) -> T) -> Vec<T> {
        let issues = self.places.iter().map(|place| &self.batch[*place]);
        issues.map(value).collect()
    }

    fn texts(&self, text: impl Fn(&Issue) -> &str) -> Vec<&str> {
        self.column(text)
    }

    fn revisions(&self) -> Vec<i64> {
        self.column(|issue| bigint(issue.issued.revision))
    }
}

async fn record(connections: &Connections, firsts: &Firsts) -> Result<Vec<IssueOutcome>, StoreError> {
    connections
        .run(Repeat::AfterRollback, |client| {
            let firsts = firsts.clone();
            Box::pin(async move {
                let kept = firsts.column(|issue| issue.kept).into_iter().min();
                let statement = client.prepare_cached(RECORD).await?;
                let rows = client
                    .query(
                        &statement,
                        &[
                            &firsts.texts(|issue| &issue.issued.number.brand),
                            &firsts.texts(|issue| &issue.issued.number.model),
                            &firsts.texts(|issue| &issue.issued.number.serial),
                            &firsts.texts(|issue| &issue.issued.device),
                            &firsts.revisions(),
                            &firsts.column(|issue| issue.issued.identity()),
                            &firsts.texts(|issue| &issue.issued.device_key),
                            &firsts.texts(|issue| &issue.issued.sign_key),
                            &firsts.texts(|issue| &issue.issued.assertion),
                            &firsts.texts(|issue| &issue.event),
                            &firsts.column(|issue| issue.entry.time),
                            &firsts.texts(|issue| &issue.entry.address),
                            &firsts.texts(|issue| &issue.entry.brand),
                            &firsts.texts(|issue| &issue.entry.model),
                            &firsts.texts(|issue| &issue.entry.serial),
                            &firsts.texts(|issue| &issue.entry.device),
                            &kept.unwrap_or_default(),
                        ],
                    )
                    .await?;
                rows.iter().map(outcome).collect()
            })
        })
        .await
}

/// The rows come in the order of the places.
fn outcome(row: &Row) -> Result<IssueOutcome, tokio_postgres::Error> {
    Ok(match row.try_get(1)? {
        "recorded" => IssueOutcome::Recorded,
        "blocked" => IssueOutcome::Blocked,
        _ => IssueOutcome::Conflict,
    })
}

async fn are_recorded(connections: &Connections, firsts: &Firsts) -> Result<Vec<IssueOutcome>, StoreError> {
    connections
        .run(Repeat::Always, |client| {
            let firsts = firsts.clone();
            Box::pin(async move {
                let statement = client.prepare_cached(IS_RECORDED).await?;
                let rows = client
                    .query(
                        &statement,
                        &[
                            &firsts.texts(|issue| &issue.issued.number.brand),
                            &firsts.texts(|issue| &issue.issued.number.model),
                            &firsts.texts(|issue| &issue.issued.number.serial),
                            &firsts.revisions(),
                            &firsts.texts(|issue| &issue.issued.assertion),
                            &firsts.texts(|issue| &issue.issued.device),
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
