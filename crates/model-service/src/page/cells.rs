//! Values in tables and lists: text of others, digests, times, counts, outcomes.

use std::borrow::Cow;

use jiff::Timestamp;
use maud::{Markup, html};

/// The most bytes of HTML for a value in a list. A page has 50 rows with a few values each.
const MAX_VALUE: usize = 240;
/// The most bytes of HTML for a reason.
const MAX_REASON: usize = 800;
/// The longest reason that is shown at once, in bytes.
const SHORT_REASON: usize = 80;
/// Characters of a digest at its beginning and at its end when it is cut.
const DIGEST_ENDS: (usize, usize) = (8, 6);

/// Text from a client or an issuer, shortened if it is long. Its writing direction does not affect
/// the text around it.
pub(super) fn foreign(text: &str) -> Markup {
    foreign_up_to(text, MAX_VALUE)
}

/// Text from a client or an issuer, of at most `limit` bytes of HTML.
pub(super) fn foreign_up_to(text: &str, limit: usize) -> Markup {
    html! { bdi { (shortened(text, limit)) } }
}

/// The beginning of a text, of at most `limit` bytes when maud has escaped it.
pub(super) fn shortened(text: &str, limit: usize) -> Cow<'_, str> {
    let mut size = 0;
    for (place, letter) in text.char_indices() {
        size += match letter {
            '&' => "&amp;".len(),
            '<' | '>' => "&lt;".len(),
            '"' => "&quot;".len(),
            other => other.len_utf8(),
        };
        if size > limit {
            return format!("{}…", &text[..place]).into();
        }
    }
    text.into()
}

/// An outcome and its reason.
pub(super) fn outcome(good: bool, name: &str, reason: Option<&str>) -> Markup {
    let kind = if good { "good" } else { "bad" };
    html! {
        span.outcome.(kind) { (name) }
        @if let Some(reason) = reason { (cut_reason(&sentence(reason, name))) }
    }
}

/// A reason, of which a click shows all if it is long.
fn cut_reason(reason: &str) -> Markup {
    let text = foreign_up_to(reason, MAX_REASON);
    html! {
        @if reason.len() > SHORT_REASON {
            details.reason { summary { (text) } }
        } @else {
            p.reason { (text) }
        }
    }
}

/// Cause and advice of an error as sentences, without the code, which is shown elsewhere.
pub(super) fn sentence(message: &str, code: &str) -> String {
    let code = format!("[{code}]");
    let message = message.strip_suffix(&code).unwrap_or(message).trim_end();
    let mut letters = message.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

/// A digest or another long id, cut in the middle, with the whole one behind a button that works
/// without scripts. `address` is that of its page. A script adds a button that copies it.
pub(super) fn digest(digest: &str, address: Option<&str>) -> Markup {
    let cut = cut(digest);
    let whole = shortened(digest, MAX_VALUE);
    html! {
        @if cut == whole {
            (linked(&cut, address))
        } @else {
            div.digest {
                (linked(&cut, address))
                details {
                    summary aria-label={ "All of " (cut) } { "…" }
                    code { (whole) }
                }
            }
        }
    }
}

fn linked(text: &str, address: Option<&str>) -> Markup {
    html! {
        @if let Some(address) = address {
            a href=(address) { code { (text) } }
        } @else {
            code { (text) }
        }
    }
}

fn cut(digest: &str) -> Cow<'_, str> {
    let (start, end) = DIGEST_ENDS;
    let letters = digest.chars().count();
    if letters <= start + end + 2 {
        return shortened(digest, MAX_VALUE);
    }
    let head: String = digest.chars().take(start).collect();
    let tail: String = digest.chars().skip(letters - end).collect();
    format!("{head}…{tail}").into()
}

/// A time in UTC, from seconds since the epoch.
pub(super) fn time(seconds: i64) -> Markup {
    let time = Timestamp::from_second(seconds).unwrap_or_default().to_string();
    let (day, rest) = time.split_once('T').unwrap_or((&time, ""));
    html! { time datetime=(time) { span { (day) } " " span { (rest.trim_end_matches('Z')) } } }
}

/// A number with commas between its thousands.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `number` and a noun, which is given in the singular and in the plural.
pub(super) fn counted(number: u64, [one, many]: [&str; 2]) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// Text, percent-encoded for a query string.
pub(super) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    let encode = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_have_commas() {
        let texts = [0, 7, 999, 1000, 5000, 1_234_567].map(count);
        assert_eq!(texts, ["0", "7", "999", "1,000", "5,000", "1,234,567"]);
    }

    #[test]
    fn digests_keep_their_ends() {
        assert_eq!(cut(&"x".repeat(16)), "x".repeat(16));
        assert_eq!(cut("0123456789abcdefghijklmnopqrstuvwxyz"), "01234567…uvwxyz");
        assert_eq!(cut("ää𝄞äääääöööööüüüüüüü"), "ää𝄞äääää…üüüüüü");
    }
}
