//! Tables: with a heading for each column on a screen, a card for each row on a phone.

use maud::{Markup, html};

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

/// Text from a client or an issuer. Its writing direction does not affect the text around it.
pub(super) fn foreign(text: &str) -> Markup {
    html! { bdi { (text) } }
}

/// An outcome and its reason.
pub(super) fn outcome(good: bool, name: &str, reason: Option<&str>) -> Markup {
    let kind = if good { "good" } else { "bad" };
    html! {
        span.outcome.(kind) { (name) }
        @if let Some(reason) = reason { p { (foreign(reason)) } }
    }
}
