//! Changes by administrators, in the histories of identities and serials.

use maud::{Markup, html};

use super::cells::{counted, foreign, foreign_up_to, time};
use super::serial;
use super::table::table;
use crate::store::{Change, ChangeKind};

/// The most entries of a history that are shown.
pub(super) const SHOWN: usize = 10;
/// The most bytes of HTML for a reason.
const MAX_REASON: usize = 6000;

/// The changes, newest first.
pub(super) fn changes(changes: &[Change]) -> Markup {
    html! {
        h2 { "Changes by administrators" }
        @if changes.is_empty() {
            p.hint { "None are recorded. The ledger has those from before version 4 of the database." }
        } @else {
            @let caption = shown(changes.len(), ["change", "changes"]);
            (table(&html! { (caption) }, ["Time", "Change", "Reason", "By"], changes.iter().take(SHOWN).map(cells)))
        }
    }
}

/// As `The last 10 of 12 changes`.
pub(super) fn shown(number: usize, noun: [&str; 2]) -> String {
    let all = counted(number as u64, noun);
    match number > SHOWN {
        true => format!("The last {SHOWN} of {all}"),
        false => all,
    }
}

fn cells(change: &Change) -> [Markup; 4] {
    [
        time(change.time),
        match change.kind {
            ChangeKind::IdentityBlocked => html! { "blocked" },
            ChangeKind::IdentityUnblocked => html! { "unblocked" },
            ChangeKind::SerialReleased => html! { "released " (serial::link(&change.number)) },
        },
        foreign_up_to(&change.reason, MAX_REASON),
        foreign(&change.by),
    ]
}
