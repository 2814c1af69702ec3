//! The list of imports. The number of one is the lot of the identities that it brought.

use super::super::{Store, StoreError, TimeRange};
use super::{Columns, Conditions, FromColumns, ListQuery, Listing, PageRequest, Row};

/// Which imports are listed.
#[derive(Clone, Debug, Default)]
pub(crate) struct ImportFilter {
    /// The exact number.
    pub(crate) number: Option<i64>,
    pub(crate) time: TimeRange,
}

/// An import.
#[derive(Debug)]
pub(crate) struct Import {
    pub(crate) number: i64,
    /// Seconds since the epoch.
    pub(crate) time: i64,
    /// Who imported, as in the ledger; empty if it is not known.
    pub(crate) by: String,
    /// The name of the file or files; empty if it is not known.
    pub(crate) name: String,
    /// Identities that were not stored before.
    pub(crate) new: u64,
    pub(crate) replaced: u64,
    pub(crate) present: u64,
    pub(crate) older: u64,
}

impl FromColumns for Import {
    fn read<C: Columns>(columns: &mut C) -> Result<Self, C::Error> {
        Ok(Self {
            number: columns.integer()?,
            time: columns.integer()?,
            by: columns.text()?,
            name: columns.text()?,
            new: columns.count()?,
            replaced: columns.count()?,
            present: columns.count()?,
            older: columns.count()?,
        })
    }
}

impl Row for Import {
    fn id(&self) -> i64 {
        self.number
    }
}

impl ImportFilter {
    pub(in crate::store) fn query(&self) -> ListQuery {
        let mut conditions = Conditions::default();
        conditions.with_some("number = {}", self.number);
        conditions.within("time", self.time);
        ListQuery {
            columns: "number, time, author, name, added, replaced, present, older".to_owned(),
            from: "imports",
            id: "number",
            conditions,
        }
    }
}

impl Store {
    /// Lists imports.
    pub(crate) async fn list_imports(
        &self,
        filter: ImportFilter,
        page: PageRequest,
    ) -> Result<Listing<Import>, StoreError> {
        self.list(filter.query(), page).await
    }

    /// The import with this number.
    pub(crate) async fn find_import(&self, number: i64) -> Result<Option<Import>, StoreError> {
        let filter = ImportFilter {
            number: Some(number),
            ..ImportFilter::default()
        };
        let page = PageRequest {
            after: None,
            limit: 1,
            counted: false,
        };
        Ok(self.list_imports(filter, page).await?.rows.pop())
    }
}
