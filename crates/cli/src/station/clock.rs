//! The times in the files of a lot.

use jiff::Timestamp;

/// Now in RFC 3339, with milliseconds, so that the strings have the order of the times.
pub(super) fn now() -> String {
    format!("{:.3}", Timestamp::now())
}
