//! What the pages of the programs share: the look, and tables that a phone shows as cards.
#![forbid(unsafe_code)]

mod table;

pub use table::table;

/// The style sheet, in CSS. It needs no scripts, and has a dark form.
pub const STYLE: &str = include_str!("style.css");
