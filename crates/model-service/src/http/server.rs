//! Listening, TLS, and an end that leaves nothing half done.

use std::fs::File;
use std::io::{self, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

use super::linger::{Linger, Unread, Watched};
use super::{Peer, router};
use crate::explain::Explain as _;
use crate::secret::read_private;
use crate::service::Service;
use crate::settings::{Settings, Tls};

/// How long requests may still take after a signal to stop.
const LAST_REQUESTS: Duration = Duration::from_secs(10);
/// After an error that a full table of file descriptors, say, would give again at once.
const AFTER_ERROR: Duration = Duration::from_millis(100);

/// Serves until SIGTERM or SIGINT, then lets running requests end.
pub(crate) async fn serve(settings: &Settings, service: Arc<Service>) -> anyhow::Result<()> {
    let tls = settings.tls.as_ref().map(acceptor).transpose()?;
    let in_use = "Check `listen` in the settings, and that nothing else uses the port";
    let listener = TcpListener::bind(settings.listen)
        .await
        .explain(format_args!("{} cannot be listened on", settings.listen), in_use)?;
    let address = listener
        .local_addr()
        .explain("the address is not known", in_use)?;
    if tls.is_none() && !address.ip().is_loopback() {
        tracing::warn!("others than this machine can connect, and without TLS; set [tls] in the settings");
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    announce(address, tls.is_some())?;
    let server = Server {
        tls,
        time: Duration::from_secs(service.limits.request_seconds.into()),
        connections: Arc::new(Semaphore::new(service.limits.connections as usize)),
        graceful: GracefulShutdown::new(),
        router: router(service),
    };
    tokio::select! {
        () = server.accept(&listener) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    drop(listener);
    tracing::info!("stopping");
    if timeout(LAST_REQUESTS, server.graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests had not ended and were dropped");
    }
    Ok(())
}

/// Says where the service is, in a line by itself for whoever started it.
fn announce(address: SocketAddr, tls: bool) -> io::Result<()> {
    let scheme = if tls { "https" } else { "http" };
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "listening on {scheme}://{address}/")?;
    stdout.flush()
}

fn acceptor(files: &Tls) -> anyhow::Result<TlsAcceptor> {
    let name = files.certificate.display();
    let next = "Check [tls] in the settings";
    let certificates = read_certificates(&files.certificate)
        .explain(format_args!("{name} holds no certificates in PEM"), next)?;
    ensure!(!certificates.is_empty(), "{name} holds no certificate. {next}");
    let key = PrivateKeyDer::from_pem_slice(read_private(&files.key)?.as_bytes()).explain(
        format_args!("{} holds no private key in PEM", files.key.display()),
        next,
    )?;
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, key))
        .explain("TLS cannot be set up", next)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn read_certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let reader = BufReader::new(File::open(file)?);
    Ok(CertificateDer::pem_reader_iter(reader).collect::<Result<_, _>>()?)
}

struct Server {
    tls: Option<TlsAcceptor>,
    /// For a handshake, for the head of a request, and between two requests.
    time: Duration,
    connections: Arc<Semaphore>,
    graceful: GracefulShutdown,
    router: Router,
}

impl Server {
    async fn accept(&self, listener: &TcpListener) {
        loop {
            // Further connections wait in the system's queue.
            let Ok(permit) = Arc::clone(&self.connections).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, peer)) => self.spawn(stream, peer, permit),
                Err(error) => {
                    tracing::warn!("a connection was not accepted: {error}");
                    sleep(AFTER_ERROR).await;
                }
            }
        }
    }

    fn spawn(&self, stream: TcpStream, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        // Answers are small, and a device waits for them.
        let _ = stream.set_nodelay(true);
        let connection = Connection {
            router: self.router.clone(),
            peer: Peer(peer.ip().to_canonical()),
            time: self.time,
            watcher: self.graceful.watcher(),
        };
        let tls = self.tls.clone();
        tokio::spawn(async move {
            let _permit = permit;
            match tls {
                None => connection.serve(stream).await,
                Some(tls) => match timeout(connection.time, tls.accept(stream)).await {
                    Ok(Ok(stream)) => connection.serve(stream).await,
                    Ok(Err(error)) => tracing::debug!("TLS: {error}"),
                    Err(_) => tracing::debug!("TLS: no handshake in time"),
                },
            }
        });
    }
}

struct Connection {
    router: Router,
    peer: Peer,
    time: Duration,
    watcher: Watcher,
}

impl Connection {
    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self {
            router,
            peer,
            time,
            watcher,
        } = self;
        let unread = Unread::default();
        let stream = Linger::new(stream, unread.clone(), time);
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(|body| Body::new(Watched::new(body, unread.clone())));
            request.extensions_mut().insert(peer);
            // A router is always ready.
            router.clone().call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(time)
            // A client that has sent everything may close its half at once.
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!("a connection broke: {error}");
        }
    }
}
