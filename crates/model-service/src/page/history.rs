//! Changes by administrators, in the histories of identities and serials.

use maud::{Markup, html};
use pages::table;

use super::cells::{counted, foreign, foreign_up_to, time};
use super::serial;
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
            @let caption = caption(changes.len() as u64, ["change", "changes"]);
            (table(&caption, ["Time", "Change", "Reason", "By"], changes.iter().take(SHOWN).map(cells)))
        }
    }
}

/// The caption of a part of a history. It is only seen if there is more.
pub(super) fn caption(number: u64, noun: [&str; 2]) -> Markup {
    let all = counted(number, noun);
    html! {
        @if number > SHOWN as u64 {
            "The last " (SHOWN) " of " (all)
        } @else {
            span.unseen { (all) }
        }
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
