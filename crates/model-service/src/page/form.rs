//! Forms: the filters of a list, and the reason of a change.

use maud::{Markup, html};

use super::cells::{encoded, shortened};
use super::frame;
use super::session::Session;

/// The most bytes of HTML of a text that is searched for, when it is shown again.
pub(super) const MAX_SEARCH: usize = 1000;

/// A form that filters the list at `address`.
pub(super) fn filters(address: &str, active: bool, fields: &Markup) -> Markup {
    html! {
        form.sheet method="get" action=(address) role="search" {
            div.fields {
                (fields)
                button { "Show" }
                @if active { a href=(address) { "Clear filters" } }
            }
        }
    }
}

/// A field for text that the entries contain.
pub(super) fn search(label: &str, value: &str) -> Markup {
    html! {
        div.wide {
            label for="q" { (label) }
            input #q type="search" name="q" value=(shortened(value, MAX_SEARCH));
        }
    }
}

/// A field for a text that the entries have.
pub(super) fn text(name: &str, label: &str, value: &str) -> Markup {
    html! {
        div {
            label for=(name) { (label) }
            input id=(name) name=(name) value=(shortened(value, MAX_SEARCH));
        }
    }
}

/// A field for a day.
pub(super) fn day(name: &str, label: &str, value: &str) -> Markup {
    html! {
        div {
            label for=(name) { (label) }
            input id=(name) type="date" name=(name) value=(shortened(value, MAX_SEARCH));
        }
    }
}

/// A choice between options, each with its value and its name. The first one is for all.
pub(super) fn choice(name: &str, label: &str, value: &str, options: &[(&str, &str)]) -> Markup {
    html! {
        div {
            label for=(name) { (label) }
            select id=(name) name=(name) {
                @for (option, text) in options {
                    option value=(option) selected[*option == value] { (text) }
                }
            }
        }
    }
}

/// A query string with the fields that are not empty, `?` included.
pub(super) fn query(fields: &[(&str, &str)]) -> String {
    let fields = fields.iter().filter(|(_, value)| !value.is_empty());
    let fields: Vec<_> = fields
        .map(|(name, value)| format!("{name}={}", encoded(value)))
        .collect();
    match fields.is_empty() {
        true => String::new(),
        false => format!("?{}", fields.join("&")),
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
            div.fields {
                input #reason name="reason" required maxlength="1000" placeholder="For example: stolen, ticket 17";
                button { (button) }
            }
        }
    }
}
