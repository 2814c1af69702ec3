//! Forms: the filters of a list, and the reason of a change.

use maud::{Markup, html};

use super::filter::Filter;
use super::frame;
use super::session::Session;

/// A form with the filters of the list at `address`, and a link to the list as CSV.
pub(super) fn filters(address: &str, filter: &Filter, fields: &Markup) -> Markup {
    html! {
        form.sheet method="get" action=(address) role="search" {
            div.filters { (fields) }
            div.actions {
                button { "Show" }
                @if !filter.is_empty() { a href=(address) { "Clear filters" } }
                a.csv href={ (address) ".csv" (filter.query(None)) } { "Download as CSV" }
            }
        }
    }
}

/// A field for text that the entries contain.
pub(super) fn search(label: &str, value: &str) -> Markup {
    html! {
        div.wide {
            label for="q" { (label) }
            input #q type="search" name="q" value=(value);
        }
    }
}

/// A field for a text that the entries have.
pub(super) fn text(name: &str, label: &str, value: &str) -> Markup {
    html! {
        div {
            label for=(name) { (label) }
            input id=(name) name=(name) value=(value);
        }
    }
}

/// Two fields for the first and the last day.
pub(super) fn days(filter: &Filter) -> Markup {
    html! {
        @for (name, label, value) in [("from", "From", &filter.from), ("to", "To", &filter.to)] {
            div {
                label for=(name) { (label) }
                input id=(name) type="date" name=(name) value=(value);
            }
        }
    }
}

/// A choice between options, each with its value and its name. The first one is for all. A value
/// that is none of the options becomes one.
pub(super) fn choice(name: &str, label: &str, value: &str, options: &[(&str, &str)]) -> Markup {
    let known = options.iter().any(|(option, _)| *option == value);
    html! {
        div {
            label for=(name) { (label) }
            select id=(name) name=(name) {
                @for (option, text) in options {
                    option value=(option) selected[*option == value] { (text) }
                }
                @if !known { option value=(value) selected { (value) } }
            }
        }
    }
}

/// A form for a change, with its reason. `hidden` has further fields.
pub(super) fn change(
    session: &Session,
    address: &str,
    hidden: &[(&str, &str)],
    label: &str,
    button: &str,
) -> Markup {
    html! {
        form method="post" action=(address) {
            (frame::csrf(session))
            @for (name, value) in hidden { input type="hidden" name=(name) value=(value); }
            label for="reason" { (label) }
            div.field {
                input #reason name="reason" required maxlength="1000" autocomplete="off";
                button { (button) }
            }
        }
    }
}
