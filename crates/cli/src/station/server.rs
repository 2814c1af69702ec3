//! Connections: TLS, their limits, and a graceful end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

use super::limits::{OpenConnection, OpenConnections};
use crate::exchange::LONGEST_RESULT;

/// The time for a handshake, for the head of a request, and between two requests.
const HEAD: Duration = Duration::from_secs(10);
/// The longest pause of a client that reads a response.
const WRITE: Duration = Duration::from_secs(10);
/// The longest time of a connection.
const CONNECTION: Duration = LONGEST_RESULT;
/// How long running requests may take after a signal.
const LAST_REQUESTS: Duration = Duration::from_secs(10);
/// The pause after an error that would repeat at once, such as a full table of file descriptors.
const AFTER_ERROR: Duration = Duration::from_millis(100);

/// A server that is not yet accepting connections.
pub(super) struct Server {
    tls: TlsAcceptor,
    router: Router,
    open: Arc<OpenConnections>,
    graceful: GracefulShutdown,
    signals: [Signal; 2],
}

impl Server {
    pub(super) fn new(tls: TlsAcceptor, router: Router) -> io::Result<Self> {
        Ok(Server {
            tls,
            router,
            open: Arc::default(),
            graceful: GracefulShutdown::new(),
            signals: [signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?],
        })
    }

    /// Serves until SIGTERM or SIGINT, then waits for running requests.
    pub(super) async fn run(mut self, listener: TcpListener) {
        loop {
            let [terminate, interrupt] = &mut self.signals;
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
            };
            let Ok((stream, peer)) = accepted else {
                sleep(AFTER_ERROR).await;
                continue;
            };
            // A connection beyond the limits is closed; a device tries again.
            if let Some(open) = self.open.admit(peer.ip().to_canonical()) {
                self.spawn(stream, open);
            }
        }
        drop(listener);
        let _ = timeout(LAST_REQUESTS, self.graceful.shutdown()).await;
    }

    fn spawn(&self, stream: TcpStream, open: OpenConnection) {
        // Responses are small, and a device waits for them.
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(WRITE));
        let (tls, router, watcher) = (self.tls.clone(), self.router.clone(), self.graceful.watcher());
        tokio::spawn(async move {
            let _open = open;
            // Broken connections are the business of the device.
            let _ = timeout(CONNECTION, serve(Box::pin(stream), &tls, router, watcher)).await;
        });
    }
}

async fn serve(
    stream: std::pin::Pin<Box<TimeoutStream<TcpStream>>>,
    tls: &TlsAcceptor,
    router: Router,
    watcher: Watcher,
) {
    let Ok(Ok(stream)) = timeout(HEAD, tls.accept(stream)).await else {
        return;
    };
    let service = service_fn(move |request: Request<Incoming>| router.clone().call(request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    let _ = watcher.watch(connection).await;
}
