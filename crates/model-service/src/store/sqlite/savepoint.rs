//! A part of a transaction that is kept or undone as a whole.

use rusqlite::Connection;

/// Runs `work` in a savepoint. What it changed is undone if it fails, and the transaction goes on.
pub(super) fn in_savepoint<T, E: From<rusqlite::Error>>(
    connection: &Connection,
    work: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    connection.execute_batch("SAVEPOINT part")?;
    let result = work();
    if result.is_err() {
        connection.execute_batch("ROLLBACK TO part")?;
    }
    connection.execute_batch("RELEASE part")?;
    result
}
