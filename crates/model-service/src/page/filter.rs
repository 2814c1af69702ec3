//! The filters of a list and its place in the list, from the query of the address.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;

use super::cells::encoded;
use super::error::PageError;
use super::list::ROWS;
use crate::store::{Cursor, PageRequest, TimeRange};

/// The longest value of a filter, in characters. No link of a page is much longer.
const MAX_VALUE: usize = 500;

/// The filters of all lists; each list has some of them. Empty ones filter nothing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Filter {
    /// Text that entries contain.
    pub(super) q: String,
    pub(super) outcome: String,
    /// `MODEL` or `BRAND/MODEL`.
    pub(super) model: String,
    pub(super) serial: String,
    pub(super) device: String,
    pub(super) hardware: String,
    pub(super) issuer: String,
    pub(super) state: String,
    /// The number of an import.
    pub(super) lot: String,
    /// The first day, as `2026-11-25`.
    pub(super) from: String,
    /// The last day.
    pub(super) to: String,
    /// The cursor at which the page begins.
    after: String,
}

impl Filter {
    fn fields(&self) -> [(&'static str, &str); 11] {
        [
            ("q", &self.q),
            ("outcome", &self.outcome),
            ("model", &self.model),
            ("serial", &self.serial),
            ("device", &self.device),
            ("hardware", &self.hardware),
            ("issuer", &self.issuer),
            ("state", &self.state),
            ("lot", &self.lot),
            ("from", &self.from),
            ("to", &self.to),
        ]
    }

    /// Returns true if the list shows all entries.
    pub(super) fn is_empty(&self) -> bool {
        self.fields().iter().all(|(_, value)| value.trim().is_empty())
    }

    /// The query string with these filters and a cursor, `?` included.
    pub(super) fn query(&self, after: Option<Cursor>) -> String {
        let after = after.map(|cursor| cursor.to_string()).unwrap_or_default();
        let fields = self.fields().into_iter().chain([("after", after.as_str())]);
        query(fields)
    }

    /// Refuses values that are longer than any value can be.
    pub(super) fn check(&self) -> Result<(), PageError> {
        let long = |(_, value): &(&str, &str)| value.chars().nth(MAX_VALUE).is_some();
        match self.fields().iter().find(|field| long(field)) {
            Some((name, _)) => Err(PageError::InvalidFilter { name }),
            None => Ok(()),
        }
    }

    /// Brand and name in `model`.
    pub(super) fn brand_and_model(&self) -> (Option<String>, Option<String>) {
        match self.model.split_once('/') {
            Some((brand, model)) => (some(brand), some(model)),
            None => (None, some(&self.model)),
        }
    }

    /// The state, which is one of the options of the form.
    pub(super) fn state(&self, options: &[(&str, &str)]) -> Result<&str, PageError> {
        match options.iter().any(|(state, _)| *state == self.state) {
            true => Ok(&self.state),
            false => Err(PageError::InvalidFilter { name: "state" }),
        }
    }

    pub(super) fn lot(&self) -> Result<Option<i64>, PageError> {
        let lot = some(&self.lot).map(|text| text.parse());
        lot.transpose()
            .map_err(|_| PageError::InvalidFilter { name: "lot" })
    }

    /// From the first second of the first day to the last second of the last day.
    pub(super) fn time(&self) -> Result<TimeRange, PageError> {
        Ok(TimeRange {
            since: begin_of_day("from", &self.from, 0)?,
            until: begin_of_day("to", &self.to, 1)?,
        })
    }

    pub(super) fn page(&self) -> Result<PageRequest, PageError> {
        let after = some(&self.after).map(|text| Cursor::parse(&text));
        Ok(PageRequest {
            after: after.transpose()?,
            limit: ROWS,
            counted: true,
        })
    }
}

/// A query string with the fields that are not empty, `?` included.
pub(super) fn query<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let fields = fields.into_iter().filter(|(_, value)| !value.trim().is_empty());
    let fields: Vec<_> = fields
        .map(|(name, value)| format!("{name}={}", encoded(value.trim())))
        .collect();
    match fields.is_empty() {
        true => String::new(),
        false => format!("?{}", fields.join("&")),
    }
}

/// A filter that is not empty.
pub(super) fn some(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// When the day `text`, or the day `later` days after it, begins in UTC.
fn begin_of_day(name: &'static str, text: &str, later: i32) -> Result<Option<i64>, PageError> {
    let Some(text) = some(text) else {
        return Ok(None);
    };
    let day: Option<Date> = text.parse().ok();
    let begin = day
        .and_then(|day| day.checked_add(jiff::Span::new().days(later)).ok())
        .and_then(|day| day.to_zoned(TimeZone::UTC).ok());
    match begin {
        Some(begin) => Ok(Some(begin.timestamp().as_second())),
        None => Err(PageError::InvalidFilter { name }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_whole() {
        let filter = Filter {
            from: "1970-01-02".to_owned(),
            to: " 1970-01-02".to_owned(),
            ..Filter::default()
        };
        let TimeRange { since, until } = filter.time().unwrap();
        assert_eq!((since, until), (Some(86_400), Some(2 * 86_400)));
        for wrong in ["today", "2026-02-30", "9999-12-31"] {
            let filter = Filter {
                to: wrong.to_owned(),
                ..Filter::default()
            };
            assert!(filter.time().is_err(), "{wrong}");
        }
    }

    #[test]
    fn links_keep_the_filters() {
        let filter = Filter {
            q: "a&b c".to_owned(),
            lot: " ".to_owned(),
            ..Filter::default()
        };
        assert_eq!(filter.query(None), "?q=a%26b%20c");
        assert_eq!(Filter::default().query(None), "");
    }
}
