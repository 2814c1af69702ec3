//! Tables: with a heading for each column on a screen, a card for each row on a phone.

use std::borrow::Cow;

use maud::{Markup, html};

/// The most bytes of HTML for a value in a list. A page has 50 rows with a few values each.
const MAX_VALUE: usize = 240;
/// The most bytes of HTML for a reason.
const MAX_REASON: usize = 800;

/// A table with one cell for each column in each row.
///
/// The roles are those that the elements have by default. Some browsers drop them if cells are laid
/// out as blocks.
pub(super) fn table<const N: usize>(columns: [&str; N], rows: impl Iterator<Item = [Markup; N]>) -> Markup {
    html! {
        table role="table" {
            thead role="rowgroup" {
                tr role="row" {
                    @for column in columns { th scope="col" role="columnheader" { (column) } }
                }
            }
            tbody role="rowgroup" {
                @for row in rows {
                    tr role="row" {
                        @for (column, cell) in columns.iter().zip(row) {
                            td role="cell" data-label=(column) { div { (cell) } }
                        }
                    }
                }
            }
        }
    }
}

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
        @if let Some(reason) = reason { p { (foreign_up_to(reason, MAX_REASON)) } }
    }
}
