//! The address of the client of a request.

use std::net::IpAddr;

/// The address that a request came from, an extension of the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);
