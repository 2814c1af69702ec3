//! `hardware-identity check-gadget --project`: findings and lines to add for snapcraft projects,
//! and the projects of docs/gadget-authors.md from the page to a registered device.

#![allow(clippy::panic, clippy::unwrap_used)]

mod findings;
mod onboarding;
mod page;
mod prime;
mod project;
mod shapes;
