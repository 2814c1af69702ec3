//! Listening: on an address, or on a socket that systemd passes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use listenfd::ListenFd;
use tokio::net::TcpListener;

use super::connections::OpenConnections;
use super::router::Routers;
use super::server::ServeError;
use crate::settings::Settings;

/// An address to listen on, and what is there.
pub(super) struct Endpoint {
    address: SocketAddr,
    /// Who it is for, in the line that announces it.
    pub(super) purpose: &'static str,
    pub(super) router: Router,
    pub(super) open: Arc<OpenConnections>,
}

impl Endpoint {
    /// Those that the settings name: that of devices first.
    pub(super) fn all(settings: &Settings, routers: Routers) -> Vec<Self> {
        let endpoint = |address, purpose, router| Self {
            address,
            purpose,
            router,
            open: OpenConnections::new(&settings.limits),
        };
        let devices = endpoint(settings.listen, "", routers.devices);
        let operators = settings.operator_listen.zip(routers.operators);
        let operators = operators.map(|(address, router)| endpoint(address, "for operators ", router));
        [Some(devices), operators].into_iter().flatten().collect()
    }

    /// Listens on the address, unless systemd passes a socket with this index.
    pub(super) async fn bind(
        &self,
        passed: &mut ListenFd,
        index: usize,
    ) -> Result<(TcpListener, SocketAddr), ServeError> {
        let listen = async {
            let listener = match passed.take_tcp_listener(index) {
                Ok(Some(listener)) => {
                    listener.set_nonblocking(true)?;
                    TcpListener::from_std(listener)?
                }
                Ok(None) => TcpListener::bind(self.address).await?,
                Err(error) => return Err(error),
            };
            let address = listener.local_addr()?;
            Ok((listener, address))
        };
        listen.await.map_err(|reason: io::Error| ServeError::Listen {
            address: self.address,
            reason,
        })
    }
}
