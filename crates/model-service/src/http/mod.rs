//! HTTP: the server, the addresses for programs, and errors as HTTP statuses.

mod admin;
mod authorization;
mod body;
mod connections;
mod device;
mod error;
mod import;
mod linger;
mod peer;
mod query;
mod rate;
mod router;
mod server;
mod status;

pub(crate) use error::RequestError;
pub(crate) use import::{import_result, start_import};
pub(crate) use peer::Peer;
pub(crate) use router::router;
pub(crate) use server::ServeError;
pub(crate) use server::Server;
pub(crate) use status::{log_detail, status};
