//! The timestamps of record and assertion.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The device's clock, RFC 3339 in UTC with whole seconds, such as `2026-08-21T07:30:00Z`.
pub fn utc_now() -> String {
    let now = OffsetDateTime::now_utc();
    let now = now.replace_nanosecond(0).unwrap_or(now);
    // Fails only for years that RFC 3339 cannot write.
    now.format(&Rfc3339).unwrap_or_default()
}
