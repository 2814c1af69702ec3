//! Times in headers, as Go's `time.Parse` with the layout `time.RFC3339` reads them.

use jiff::civil::{DateTime, date};
use jiff::{SignedDuration, Timestamp};

/// Reads a time as Go does: `T` and `Z` in upper case and an offset with a colon, but also hours of
/// one digit, a comma before the fraction, and offsets up to 24 hours and 60 minutes. Digits after
/// the ninth of the fraction have no effect.
///
/// The years are 0 to 9999. Times after [`Timestamp::MAX`], which is in the last days of 9999,
/// become that one.
pub(super) fn parse_time(text: &str) -> Option<Timestamp> {
    let mut rest = Characters(text.as_bytes());
    let year = rest.number(4)?;
    let month = rest.after(b'-')?.number(2)?;
    let day = rest.after(b'-')?.number(2)?;
    let hour = rest.after(b'T')?.hour()?;
    let minute = rest.after(b':')?.number(2)?;
    let second = rest.after(b':')?.number(2)?;
    let nanosecond = rest.fraction()?;
    let offset = rest.offset()?;
    if !rest.0.is_empty() {
        return None;
    }
    let small = |number: i32| i8::try_from(number).ok();
    let local = DateTime::new(
        i16::try_from(year).ok()?,
        small(month)?,
        small(day)?,
        small(hour)?,
        small(minute)?,
        small(second)?,
        nanosecond,
    );
    let since_epoch = local.ok()?.duration_since(date(1970, 1, 1).at(0, 0, 0, 0)) - offset;
    // Year 0 is far from the first moment of the library, so that only late times are out of range.
    Some(Timestamp::from_duration(since_epoch).unwrap_or(Timestamp::MAX))
}

/// The characters that remain to be read.
struct Characters<'a>(&'a [u8]);

impl Characters<'_> {
    fn after(&mut self, separator: u8) -> Option<&mut Self> {
        self.0 = self.0.strip_prefix(&[separator])?;
        Some(self)
    }

    fn digit(&mut self) -> Option<i32> {
        let (first, rest) = self.0.split_first()?;
        let digit = char::from(*first).to_digit(10)?;
        self.0 = rest;
        i32::try_from(digit).ok()
    }

    fn number(&mut self, digits: u32) -> Option<i32> {
        (0..digits).try_fold(0, |sum, _| Some(sum * 10 + self.digit()?))
    }

    fn hour(&mut self) -> Option<i32> {
        let first = self.digit()?;
        Some(self.digit().map_or(first, |second| first * 10 + second))
    }

    /// The nanoseconds after a point or comma; 0 without one.
    fn fraction(&mut self) -> Option<i32> {
        let Some(rest) = self.0.strip_prefix(b".").or_else(|| self.0.strip_prefix(b",")) else {
            return Some(0);
        };
        self.0 = rest;
        let mut nanoseconds = self.digit()? * 100_000_000;
        let mut unit = 10_000_000;
        while let Some(digit) = self.digit() {
            nanoseconds += digit * unit;
            unit /= 10;
        }
        Some(nanoseconds)
    }

    fn offset(&mut self) -> Option<SignedDuration> {
        let (sign, rest) = self.0.split_first()?;
        self.0 = rest;
        let sign = match sign {
            b'Z' => return Some(SignedDuration::ZERO),
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let hours = self.number(2).filter(|hours| *hours <= 24)?;
        let minutes = self.after(b':')?.number(2).filter(|minutes| *minutes <= 60)?;
        Some(SignedDuration::from_mins(i64::from(
            sign * (hours * 60 + minutes),
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What snapd 2.77.1 accepts, and the same time in the usual form.
    #[test]
    fn times() {
        for (text, expected) in [
            ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
            ("2026-11-08T18:16:12.977431Z", "2026-11-08T18:16:12.977431Z"),
            ("2026-01-31T12:00:00+02:00", "2026-01-31T10:00:00Z"),
            ("2026-01-31T12:00:00.5-11:30", "2026-01-31T23:30:00.5Z"),
            ("2026-01-31T1:00:00Z", "2026-01-31T01:00:00Z"),
            ("2026-01-31T12:00:00,5Z", "2026-01-31T12:00:00.5Z"),
            (
                "2026-01-31T12:00:00.1234567899Z",
                "2026-01-31T12:00:00.123456789Z",
            ),
            ("2026-01-31T12:00:00+23:60", "2026-01-30T12:00:00Z"),
            ("2026-01-31T12:00:00-24:60", "2026-02-01T13:00:00Z"),
            ("2024-02-29T00:00:00-00:00", "2024-02-29T00:00:00Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("0000-01-01T00:00:00+24:60", "-000001-12-30T23:00:00Z"),
            ("9999-12-30T22:00:00Z", "9999-12-30T22:00:00Z"),
        ] {
            assert_eq!(parse_time(text), Some(expected.parse().unwrap()), "{text}");
        }
        for text in ["9999-12-31T23:59:59Z", "9999-12-31T23:59:59.5-24:60"] {
            assert_eq!(parse_time(text), Some(Timestamp::MAX), "{text}");
        }
    }

    /// What snapd 2.77.1 refuses.
    #[test]
    fn not_times() {
        for text in [
            "",
            "2026-01-31",
            "2026-01-31 12:00:00Z",
            "2026-01-31t12:00:00Z",
            "2026-01-31T12:00:00z",
            "2026-01-31T12:00:00",
            "2026-01-31T12:00Z",
            "2026-1-31T12:00:00Z",
            "2026-01-3T12:00:00Z",
            "2026-01-31T12:0:00Z",
            "2026-01-31T12:00:0Z",
            "2026-13-01T12:00:00Z",
            "2026-00-01T12:00:00Z",
            "2026-02-00T12:00:00Z",
            "2026-02-29T12:00:00Z",
            "2026-01-31T24:00:00Z",
            "2026-01-31T123:00:00Z",
            "2026-01-31T12:60:00Z",
            "2026-01-31T12:00:60Z",
            "2026-01-31T12:00:00.Z",
            "2026-01-31T12:00:00,Z",
            "2026-01-31T12:00:00:5Z",
            "2026-01-31T12:00:00+02",
            "2026-01-31T12:00:00+0200",
            "2026-01-31T12:00:00+2:00",
            "2026-01-31T12:00:00+25:00",
            "2026-01-31T12:00:00+24:61",
            "2026-01-31T12:00:00\u{2212}02:00",
            "2026-01-31T12:00:00Z[UTC]",
            "2026-01-31T12:00:00ZZ",
            "2026-01-31T12:00:00\u{c4}",
            "+2026-01-31T12:00:00Z",
            "10000-01-01T12:00:00Z",
            " 2026-01-31T12:00:00Z",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
