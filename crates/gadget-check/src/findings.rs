//! All findings: their codes, severities and texts, one enum per topic.
//!
//! The attributes of a variant hold what is wrong (`error`), the code, the fix (`help`) and the
//! severity; the function `why` below each enum holds what happens on the device. A check chooses
//! the place, and can make an error a warning. docs/check-gadget.md lists every code.

mod hooks;
mod interfaces;
mod libraries;
mod metadata;
mod programs;
mod project;
mod scripts;
mod settings;
mod token;
mod values;

pub(crate) use hooks::HookFinding;
pub(crate) use interfaces::InterfaceFinding;
pub(crate) use libraries::{LibraryFinding, LibraryFix};
pub(crate) use metadata::MetadataFinding;
pub(crate) use programs::ProgramFinding;
pub(crate) use project::ProjectFinding;
pub(crate) use scripts::ScriptFinding;
pub(crate) use settings::SettingsFinding;
pub(crate) use token::TokenFinding;
pub(crate) use values::ValueFinding;
