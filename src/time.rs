//! The timestamps of record and export.

use time::OffsetDateTime;

/// The device's clock in UTC with whole seconds, by RFC 3339, such as `2026-08-21T07:30:00Z`.
pub fn utc_now() -> String {
    rfc3339(OffsetDateTime::now_utc())
}

/// Written by hand: the library's formatter would enlarge each hook.
fn rfc3339(time: OffsetDateTime) -> String {
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_in_rfc_3339() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (1_709_210_096, "2024-02-29T12:34:56Z"),
            (4_102_444_799, "2099-12-31T23:59:59Z"),
        ] {
            let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap();
            assert_eq!(rfc3339(time), expected);
        }
    }
}
