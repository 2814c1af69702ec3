//! HTTP: the server, the addresses for programs, and errors as HTTP statuses.

mod authorization;
mod body;
mod client;
mod connections;
mod device;
mod error;
mod import;
mod linger;
mod listener;
mod observe;
mod openapi;
mod operators;
mod peer;
mod query;
mod rate;
mod router;
mod server;
mod sessions;
mod state;
mod status;

pub(crate) use client::TrustedProxies;
pub(crate) use error::RequestError;
pub(crate) use import::{import_result, start_import};
pub(crate) use operators::{
    CsvRow, IdentityItem, ImportItem, NonceItem, RefusalCode, RegistrationItem, SerialItem, write_csv,
};
pub(crate) use peer::Peer;
pub(crate) use router::routers;
pub(crate) use server::ServeError;
pub(crate) use server::{Server, check_tls};
pub(crate) use status::{log_detail, status};
