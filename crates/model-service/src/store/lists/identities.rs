//! The list of identities, and the history of one.

use super::super::serials::IDENTITY_DEVICE;
use super::super::{Backend, Change, Store, StoreError, TimeRange};
use super::{Columns, Conditions, FromColumns, ListQuery, Listing, PageRequest, Row, containing};

/// Which identities are listed.
#[derive(Clone, Debug, Default)]
pub(crate) struct IdentityFilter {
    /// In an id, a name or the digest, in any case.
    pub(crate) text: Option<String>,
    pub(crate) hardware_name: Option<String>,
    pub(crate) issuer: Option<String>,
    pub(crate) blocked: Option<bool>,
    /// That the device has a serial.
    pub(crate) registered: Option<bool>,
    /// The number of the import.
    pub(crate) lot: Option<i64>,
    /// When the identity was imported.
    pub(crate) imported: TimeRange,
}

/// An identity in a list.
#[derive(Debug)]
pub(crate) struct IdentityEntry {
    pub(crate) id: i64,
    pub(crate) issuer: String,
    pub(crate) digest: String,
    /// The digest of the key's DER bytes.
    pub(crate) key_digest: String,
    pub(crate) revision: u64,
    pub(crate) hardware_id: String,
    pub(crate) hardware_name: String,
    pub(crate) manufacturer: String,
    /// The time of the import, in seconds since the epoch.
    pub(crate) imported: i64,
    /// The number of the import.
    pub(crate) lot: i64,
    pub(crate) blocked: bool,
    pub(crate) registered: bool,
}

impl FromColumns for IdentityEntry {
    fn read<C: Columns>(columns: &mut C) -> Result<Self, C::Error> {
        Ok(Self {
            id: columns.integer()?,
            issuer: columns.text()?,
            digest: columns.text()?,
            key_digest: columns.text()?,
            revision: columns.count()?,
            hardware_id: columns.text()?,
            hardware_name: columns.text()?,
            manufacturer: columns.text()?,
            imported: columns.integer()?,
            lot: columns.integer()?,
            blocked: columns.flag()?,
            registered: columns.flag()?,
        })
    }
}

impl Row for IdentityEntry {
    fn id(&self) -> i64 {
        self.id
    }
}

/// What was stored of an identity and happened to it.
#[derive(Debug)]
pub(crate) struct IdentityHistory {
    /// The assertions, oldest first.
    pub(crate) assertions: Vec<StoredAssertion>,
    /// Changes of the identity and of serials that it had, newest first.
    pub(crate) changes: Vec<Change>,
}

/// An assertion for an identity, as it is stored now.
#[derive(Debug)]
pub(crate) struct StoredAssertion {
    pub(crate) issuer: String,
    pub(crate) digest: String,
    /// The time of its import, in seconds since the epoch.
    pub(crate) imported: i64,
    /// The number of its import.
    pub(crate) lot: i64,
    pub(crate) assertion: String,
}

impl StoredAssertion {
    /// Finds those with a digest of the key's DER bytes.
    pub(in crate::store) const QUERY: &str = "SELECT issuer, digest, imported, import, text
         FROM identities JOIN identity_texts USING (id) WHERE key_digest = ?1 ORDER BY id";
}

impl FromColumns for StoredAssertion {
    fn read<C: Columns>(columns: &mut C) -> Result<Self, C::Error> {
        Ok(Self {
            issuer: columns.text()?,
            digest: columns.text()?,
            imported: columns.integer()?,
            lot: columns.integer()?,
            assertion: columns.text()?,
        })
    }
}

const BLOCKED: &str = "key_digest IN (SELECT key_digest FROM blocked_identities)";

impl IdentityFilter {
    pub(in crate::store) fn query(&self) -> ListQuery {
        let is_registered = format!(
            "EXISTS (SELECT 1 FROM serials WHERE serials.device = '{IDENTITY_DEVICE}' || identities.key_digest)"
        );
        let mut conditions = Conditions::default();
        if let Some(text) = self.text.as_deref().filter(|text| !text.is_empty()) {
            let parameter = conditions.parameter(containing(text).as_str());
            let columns = ["hardware_id", "digest", "issuer", "hardware_name", "manufacturer"];
            let like = columns.map(|column| format!("lower({column}) LIKE {parameter} ESCAPE '\\'"));
            conditions.add(&like.join(" OR "));
        }
        conditions.with_some("hardware_name = {}", self.hardware_name.as_deref());
        conditions.with_some("issuer = {}", self.issuer.as_deref());
        if let Some(blocked) = self.blocked {
            conditions.add(&either(blocked, BLOCKED));
        }
        if let Some(registered) = self.registered {
            conditions.add(&either(registered, &is_registered));
        }
        conditions.with_some("import = {}", self.lot);
        // The times of imports have an index, those of identities have none.
        let TimeRange { since, until } = self.imported;
        conditions.with_some("import IN (SELECT number FROM imports WHERE time >= {})", since);
        conditions.with_some("import IN (SELECT number FROM imports WHERE time < {})", until);
        ListQuery {
            columns: format!(
                "id, issuer, digest, key_digest, revision, hardware_id, hardware_name, manufacturer, imported, \
                 import, {BLOCKED}, {is_registered}"
            ),
            from: "identities",
            id: "id",
            conditions,
        }
    }
}

fn either(wanted: bool, condition: &str) -> String {
    match wanted {
        true => condition.to_owned(),
        false => format!("NOT ({condition})"),
    }
}

impl Store {
    /// Lists identities.
    pub(crate) async fn list_identities(
        &self,
        filter: IdentityFilter,
        page: PageRequest,
    ) -> Result<Listing<IdentityEntry>, StoreError> {
        self.list(filter.query(), page).await
    }

    /// The history of the identity with this digest of the key's DER bytes.
    pub(crate) async fn identity_history(&self, key_digest: &str) -> Result<IdentityHistory, StoreError> {
        match &self.0 {
            Backend::Sqlite(store) => store.identity_history(key_digest).await,
            Backend::Postgres(store) => store.identity_history(key_digest).await,
        }
    }
}
