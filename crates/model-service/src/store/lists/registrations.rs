//! The list of registrations, refused ones too, as far as the log goes back.

use super::super::{LogEntry, Store, StoreError, TimeRange};
use super::{Columns, Conditions, FromColumns, ListQuery, Listing, PageRequest, Row};

/// A class of outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutcomeClass {
    Issued,
    Repeated,
    Refused,
}

impl OutcomeClass {
    /// The number in the schemas.
    pub(in crate::store) fn number(self) -> i64 {
        match self {
            Self::Issued => 0,
            Self::Repeated => 1,
            Self::Refused => 2,
        }
    }
}

/// Which registrations are listed.
#[derive(Clone, Debug, Default)]
pub(crate) struct RegistrationFilter {
    /// The exact id.
    pub(crate) id: Option<i64>,
    pub(crate) class: Option<OutcomeClass>,
    /// `issued`, `repeated` or the code of an error.
    pub(crate) outcome: Option<String>,
    pub(crate) brand: Option<String>,
    pub(crate) model: Option<String>,
    pub(crate) serial: Option<String>,
    /// The key digest that the request named, or the id of the device key.
    pub(crate) device: Option<String>,
    pub(crate) time: TimeRange,
    /// The number of the import that brought the identity.
    pub(crate) lot: Option<i64>,
}

/// A registration in a list.
#[derive(Debug)]
pub(crate) struct LoggedRegistration {
    pub(crate) id: i64,
    pub(crate) entry: LogEntry,
}

impl FromColumns for LoggedRegistration {
    fn read<C: Columns>(columns: &mut C) -> Result<Self, C::Error> {
        Ok(Self {
            id: columns.integer()?,
            entry: LogEntry {
                time: columns.integer()?,
                address: columns.text()?,
                brand: columns.text()?,
                model: columns.text()?,
                serial: columns.text()?,
                device: columns.text()?,
                outcome: columns.text()?,
                reason: columns.text()?,
            },
        })
    }
}

impl Row for LoggedRegistration {
    fn id(&self) -> i64 {
        self.id
    }
}

impl RegistrationFilter {
    pub(in crate::store) fn query(&self) -> ListQuery {
        let mut conditions = Conditions::default();
        conditions.with_some("id = {}", self.id);
        conditions.with_some("class = {}", self.class.map(OutcomeClass::number));
        for (condition, value) in [
            ("outcome = {}", &self.outcome),
            ("brand = {}", &self.brand),
            ("model = {}", &self.model),
            ("serial = {}", &self.serial),
            ("device = {}", &self.device),
        ] {
            conditions.with_some(condition, value.as_deref());
        }
        conditions.within("time", self.time);
        // The plus keeps SQLite from reading the whole lot for each registration.
        conditions.with_some(
            "EXISTS (SELECT 1 FROM identities \
             WHERE identities.digest = registrations.device AND +identities.import = {})",
            self.lot,
        );
        ListQuery {
            columns: "id, time, address, brand, model, serial, device, outcome, reason".to_owned(),
            from: "registrations",
            id: "id",
            conditions,
        }
    }
}

impl Store {
    /// Lists registrations in the log.
    pub(crate) async fn list_registrations(
        &self,
        filter: RegistrationFilter,
        page: PageRequest,
    ) -> Result<Listing<LoggedRegistration>, StoreError> {
        self.list(filter.query(), page).await
    }

    /// The registration with this id, if it is still in the log.
    pub(crate) async fn find_registration(&self, id: i64) -> Result<Option<LoggedRegistration>, StoreError> {
        let filter = RegistrationFilter {
            id: Some(id),
            ..RegistrationFilter::default()
        };
        let page = PageRequest {
            after: None,
            limit: 1,
            counted: false,
        };
        Ok(self.list_registrations(filter, page).await?.rows.pop())
    }
}
