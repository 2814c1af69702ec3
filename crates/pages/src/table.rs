//! Tables: with a heading for each column on a screen, a card for each row on a phone.

use maud::{Markup, html};

/// A table with one cell for each column in each row. The first cell names the row.
///
/// The roles are those that the elements have by default. Some browsers drop them if cells are laid
/// out as blocks.
pub fn table<const N: usize>(
    caption: &Markup,
    columns: [&str; N],
    rows: impl Iterator<Item = [Markup; N]>,
) -> Markup {
    html! {
        table role="table" {
            caption { (caption) }
            thead role="rowgroup" {
                tr role="row" {
                    @for column in columns { th scope="col" role="columnheader" { (column) } }
                }
            }
            tbody role="rowgroup" {
                @for row in rows {
                    tr role="row" {
                        @for (index, (column, cell)) in columns.iter().zip(row).enumerate() {
                            @if index == 0 {
                                th scope="row" role="rowheader" data-label=(column) { div { (cell) } }
                            } @else {
                                td role="cell" data-label=(column) { div { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}
