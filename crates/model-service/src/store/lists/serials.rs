//! The list of serials, and the history of one.

use super::super::{Backend, Change, SerialNumber, Store, StoreError, TimeRange};
use super::{Columns, Conditions, FromColumns, ListQuery, Listing, PageRequest, Row};

/// Which serials are listed.
#[derive(Clone, Debug, Default)]
pub(crate) struct SerialFilter {
    pub(crate) brand: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) serial: Option<String>,
    /// The name of the device that has it.
    pub(crate) device: Option<String>,
    /// That a device has it; released ones are not held.
    pub(crate) held: Option<bool>,
    /// When the last assertion was issued.
    pub(crate) issued: TimeRange,
}

/// A serial in a list, which is ordered by the last assertion for each.
#[derive(Debug)]
pub(crate) struct SerialEntry {
    pub(crate) id: i64,
    pub(crate) number: SerialNumber,
    /// The name of the device that has it; `None` if it was released.
    pub(crate) device: Option<String>,
    /// The revision of the last assertion.
    pub(crate) revision: u64,
    /// The time of the last assertion, in seconds since the epoch; 0 if it is not known.
    pub(crate) issued: i64,
    /// The id of the device key of the last assertion.
    pub(crate) device_key: String,
}

impl FromColumns for SerialEntry {
    fn read<C: Columns>(columns: &mut C) -> Result<Self, C::Error> {
        Ok(Self {
            id: columns.integer()?,
            number: SerialNumber {
                brand: columns.text()?,
                model: columns.text()?,
                serial: columns.text()?,
            },
            device: columns.optional_text()?,
            revision: columns.count()?,
            issued: columns.integer()?,
            device_key: columns.text()?,
        })
    }
}

impl Row for SerialEntry {
    fn id(&self) -> i64 {
        self.id
    }
}

/// What was issued for a serial and happened to it.
#[derive(Debug)]
pub(crate) struct SerialHistory {
    /// The name of the device that has it; `None` if it was released.
    pub(crate) device: Option<String>,
    /// Newest first; not empty.
    pub(crate) assertions: Vec<IssuedAssertion>,
    /// Releases, newest first.
    pub(crate) changes: Vec<Change>,
}

/// An assertion that was issued for a serial.
#[derive(Debug)]
pub(crate) struct IssuedAssertion {
    pub(crate) revision: u64,
    /// Seconds since the epoch; 0 if it is not known.
    pub(crate) time: i64,
    /// The id of the device key.
    pub(crate) device_key: String,
    /// The id of the key that signed it.
    pub(crate) sign_key: String,
    pub(crate) assertion: String,
}

impl IssuedAssertion {
    /// Finds those for a serial, brand and model.
    pub(in crate::store) const QUERY: &str = "SELECT revision, time, device_key, sign_key, text FROM issued
         WHERE serial = ?1 AND brand = ?2 AND model = ?3 ORDER BY revision DESC";
}

impl FromColumns for IssuedAssertion {
    fn read<C: Columns>(columns: &mut C) -> Result<Self, C::Error> {
        Ok(Self {
            revision: columns.count()?,
            time: columns.integer()?,
            device_key: columns.text()?,
            sign_key: columns.text()?,
            assertion: columns.text()?,
        })
    }
}

impl SerialFilter {
    pub(in crate::store) fn query(&self) -> ListQuery {
        let mut conditions = Conditions::default();
        for (condition, value) in [
            ("issued.brand = {}", &self.brand),
            ("issued.model = {}", &self.model),
            ("issued.serial = {}", &self.serial),
            (
                "(issued.serial, issued.brand, issued.model) IN \
                 (SELECT serial, brand, model FROM serials WHERE device = {})",
                &self.device,
            ),
        ] {
            conditions.with_some(condition, value.as_deref());
        }
        match self.held {
            Some(true) => conditions.add("serials.device IS NOT NULL"),
            Some(false) => conditions.add("serials.device IS NULL"),
            None => {}
        }
        conditions.within("issued.time", self.issued);
        conditions.add(
            "NOT EXISTS (SELECT 1 FROM issued AS later WHERE later.serial = issued.serial \
             AND later.brand = issued.brand AND later.model = issued.model \
             AND later.revision > issued.revision)",
        );
        ListQuery {
            columns:
                "issued.id, issued.brand, issued.model, issued.serial, serials.device, issued.revision, \
                      issued.time, issued.device_key"
                    .to_owned(),
            from: "issued LEFT JOIN serials ON serials.serial = issued.serial \
                   AND serials.brand = issued.brand AND serials.model = issued.model",
            id: "issued.id",
            conditions,
        }
    }
}

impl Store {
    /// Lists serials for which an assertion was issued.
    pub(crate) async fn list_serials(
        &self,
        filter: SerialFilter,
        page: PageRequest,
    ) -> Result<Listing<SerialEntry>, StoreError> {
        self.list(filter.query(), page).await
    }

    /// The history of a serial; `None` if none was issued.
    pub(crate) async fn serial_history(
        &self,
        number: &SerialNumber,
    ) -> Result<Option<SerialHistory>, StoreError> {
        match &self.0 {
            Backend::Sqlite(store) => store.serial_history(number).await,
            Backend::Postgres(store) => store.serial_history(number).await,
        }
    }
}
