//! The schemas of the two files, and the migrations to them.
//!
//! The version of a file is its `user_version`. refinery has a table of the migrations that it
//! applied too; files of releases without it get the table.

use std::path::{Path, PathBuf};

use refinery::{Migration, Runner, Target};
use rusqlite::Connection;

use super::files;
use crate::store::StoreError;

/// The oldest version that is migrated. Its schema is the first migration of a new file.
const BASELINE: i64 = 2;
/// The version after all migrations.
pub(super) const LATEST: i64 = 5;

/// One of the two files.
#[derive(Clone, Copy, Debug)]
pub(super) enum Schema {
    /// Nonces, serials and the log.
    Registrations,
    /// The imported hardware identities.
    Identities,
}

impl Schema {
    /// The names and the SQL. The first one makes the baseline.
    fn migrations(self) -> [(&'static str, &'static str); 4] {
        match self {
            Self::Registrations => [
                ("V2__registrations", include_str!("schema/registrations-2.sql")),
                ("V3__ledger", include_str!("schema/registrations-3.sql")),
                ("V4__lists", include_str!("schema/registrations-4.sql")),
                ("V5__device_sessions", include_str!("schema/registrations-5.sql")),
            ],
            Self::Identities => [
                ("V2__identities", include_str!("schema/identities-2.sql")),
                ("V3__hardware_ids", include_str!("schema/identities-3.sql")),
                ("V4__lists", include_str!("schema/identities-4.sql")),
                ("V5__same", include_str!("schema/identities-5.sql")),
            ],
        }
    }

    fn runner(self) -> Result<Runner, StoreError> {
        let migrations: Result<Vec<_>, _> = (BASELINE..)
            .zip(self.migrations())
            // The version changes with the schema.
            .map(|(version, (name, sql))| {
                Migration::unapplied(name, &format!("{sql}\nPRAGMA user_version = {version};"))
            })
            .collect();
        Ok(Runner::new(&migrations?).set_grouped(true))
    }

    /// Applies all migrations that the file lacks, in one transaction.
    pub(super) fn migrate(self, connection: &mut Connection) -> Result<(), StoreError> {
        let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let known = connection.table_exists(None, "refinery_schema_history")?;
        if version > 0 && !known {
            let earlier = self.runner()?.set_target(Target::FakeVersion(version));
            earlier.run(connection)?;
        }
        self.runner()?.run(connection)?;
        Ok(())
    }
}

/// What the version of a file demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VersionState {
    Latest,
    /// It has to be migrated from this version.
    Older(i64),
}

/// Compares the version of the file at `path` with the supported ones.
pub(super) fn check_version(connection: &Connection, path: &Path) -> Result<VersionState, StoreError> {
    match connection.pragma_query_value(None, "user_version", |row| row.get(0))? {
        LATEST => Ok(VersionState::Latest),
        0 => Err(StoreError::Empty {
            path: path.to_owned(),
        }),
        found @ BASELINE..LATEST => Ok(VersionState::Older(found)),
        found => Err(StoreError::Version {
            path: path.to_owned(),
            found,
            oldest: BASELINE,
            latest: LATEST,
        }),
    }
}

/// Copies the file at `path` as it is before its migration to the latest version, beside it.
pub(super) fn back_up_before(connection: &Connection, path: &Path) -> Result<PathBuf, StoreError> {
    let copy = path.with_extension(format!("before-{LATEST}.sqlite"));
    files::copy_database(connection, &copy)?;
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_migrations_lead_to_the_latest_version() {
        for schema in [Schema::Registrations, Schema::Identities] {
            let mut connection = Connection::open_in_memory().unwrap();
            schema.migrate(&mut connection).unwrap();
            let state = check_version(&connection, Path::new("")).unwrap();
            assert_eq!(state, VersionState::Latest, "{schema:?}");
        }
    }
}
