//! Listening, TLS and a graceful end.

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, header};
use failure::Diagnostic;
use files::FileError;
use futures_util::future::join_all;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use listenfd::ListenFd;
use rustls::ServerConfig;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sd_notify::NotifyState;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

use super::client::TrustedProxies;
use super::linger::{Linger, TrackedBody, UnreadBody};
use super::listener::Endpoint;
use super::peer::Peer;
use super::router::{Routers, overloaded};
use crate::secret::read_private;
use crate::settings::{Limits, Settings, Tls};
use crate::store::StoreError;

/// The largest file of certificates, in bytes.
const MAX_CERTIFICATES: u64 = 1024 * 1024;
/// How long running requests may take after a signal to stop.
const LAST_REQUESTS: Duration = Duration::from_secs(10);
/// The pause after an error that would repeat at once, such as a full table of file
/// descriptors.
const AFTER_ERROR: Duration = Duration::from_millis(100);
/// Connections beyond the limits that get a response at a time. More of them are closed at once.
const REFUSALS: usize = 64;
/// The time to refuse a connection.
const REFUSAL: Deadlines = Deadlines {
    head: Duration::from_secs(2),
    write: Duration::from_secs(2),
    age: Duration::from_secs(2),
};
/// The pause between two lines in the log about refused connections.
const BETWEEN_WARNINGS: Duration = Duration::from_secs(60);

/// Why the server cannot start.
#[derive(Debug, Error, Diagnostic)]
pub enum ServeError {
    /// The address cannot be used.
    #[error("cannot listen on {address}: {reason}")]
    #[diagnostic(
        code("cannot-listen"),
        help(
            "Check `listen` and `operator-listen` in the settings, and that no other program uses the port"
        )
    )]
    Listen {
        /// The address in the settings.
        address: SocketAddr,
        /// What the system said.
        reason: io::Error,
    },
    /// The certificate or the key cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    /// The file has no certificate in PEM.
    #[error("{} has no certificate in PEM", path.display())]
    #[diagnostic(
        code("tls-certificate-missing"),
        help("Check `certificate` under [tls] in the settings")
    )]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The certificates cannot be read.
    #[error("cannot read the certificates in {}: {reason}", path.display())]
    #[diagnostic(
        code("tls-certificate-invalid"),
        help("Check `certificate` under [tls] in the settings")
    )]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong with the PEM text.
        reason: pem::Error,
    },
    /// The file has no private key in PEM.
    #[error("cannot read a private key in PEM from {}: {reason}", path.display())]
    #[diagnostic(code("tls-key-invalid"), help("Check `key` under [tls] in the settings"))]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with the PEM text.
        reason: pem::Error,
    },
    /// The certificate and the key cannot be used together.
    #[error("cannot use the TLS certificate with its key: {0}")]
    #[diagnostic(
        code("tls-unusable"),
        help("Check `certificate` and `key` under [tls] in the settings")
    )]
    Tls(rustls::Error),
    /// The system refuses a handler for SIGTERM or SIGINT.
    #[error("cannot wait for signals: {0}")]
    #[diagnostic(
        code("signals-unavailable"),
        help("Check the limits of this user, and try again")
    )]
    Signals(io::Error),
    /// The database was replaced while the service used it.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    /// The line with the address cannot be written.
    #[error("cannot write to stdout: {0}")]
    #[diagnostic(
        code("stdout-unwritable"),
        help("Check where stdout leads and that it has room")
    )]
    Stdout(io::Error),
}

/// A server that is not yet listening.
pub(crate) struct Server {
    endpoints: Vec<Endpoint>,
    proxies: Arc<TrustedProxies>,
    tls: Option<TlsAcceptor>,
    deadlines: Deadlines,
    refusals: Arc<Semaphore>,
    graceful: GracefulShutdown,
    /// The router for connections beyond the limits.
    overloaded: Router,
}

/// The longest times of a connection.
#[derive(Clone, Copy)]
struct Deadlines {
    /// For a handshake, for the head of a request, and between two requests.
    head: Duration,
    /// For a pause of the client while it reads a response.
    write: Duration,
    /// For the whole connection.
    age: Duration,
}

impl Deadlines {
    fn new(limits: &Limits) -> Self {
        let seconds = |limit: u32| Duration::from_secs(limit.into());
        Self {
            head: seconds(limits.request_seconds),
            write: seconds(limits.write_seconds),
            age: seconds(limits.connection_seconds),
        }
    }
}

impl Server {
    /// Reads the certificate and the key.
    pub(crate) fn new(
        settings: &Settings,
        routers: Routers,
        proxies: Arc<TrustedProxies>,
    ) -> Result<Self, ServeError> {
        Ok(Self {
            endpoints: Endpoint::all(settings, routers),
            proxies,
            tls: settings.tls.as_ref().map(acceptor).transpose()?,
            deadlines: Deadlines::new(&settings.limits),
            refusals: Arc::new(Semaphore::new(REFUSALS)),
            graceful: GracefulShutdown::new(),
            overloaded: overloaded(),
        })
    }

    /// Serves until SIGTERM or SIGINT, or until `failure` has an error; then waits for running
    /// requests.
    pub(crate) async fn run(self, failure: impl Future<Output = StoreError>) -> Result<(), ServeError> {
        let listeners = self.listen().await?;
        let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signals)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signals)?;
        self.announce(&listeners).map_err(ServeError::Stdout)?;
        notify(NotifyState::Ready);
        let accepting = self.endpoints.iter().zip(&listeners);
        let accepting = accepting.map(|(endpoint, (listener, _))| self.accept(endpoint, listener));
        let result = tokio::select! {
            _ = join_all(accepting) => Ok(()),
            _ = terminate.recv() => Ok(()),
            _ = interrupt.recv() => Ok(()),
            error = failure => Err(error.into()),
        };
        drop(listeners);
        notify(NotifyState::Stopping);
        tracing::info!("stopping");
        if timeout(LAST_REQUESTS, self.graceful.shutdown()).await.is_err() {
            tracing::warn!("some requests had not ended and were dropped");
        }
        result
    }

    /// Listens on all addresses. Sockets that systemd passes are in the order of the endpoints.
    async fn listen(&self) -> Result<Vec<(TcpListener, SocketAddr)>, ServeError> {
        let mut passed = ListenFd::from_env();
        let mut listeners = Vec::new();
        for (index, endpoint) in self.endpoints.iter().enumerate() {
            let (listener, address) = endpoint.bind(&mut passed, index).await?;
            if self.tls.is_none() && !address.ip().is_loopback() {
                tracing::warn!("other machines can connect, and without TLS; set [tls] in the settings");
            }
            listeners.push((listener, address));
        }
        Ok(listeners)
    }

    /// Prints each address on a line of its own, for the program that started the service.
    fn announce(&self, listeners: &[(TcpListener, SocketAddr)]) -> io::Result<()> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let mut stdout = io::stdout().lock();
        for (Endpoint { purpose, .. }, (_, address)) in self.endpoints.iter().zip(listeners) {
            writeln!(stdout, "listening {purpose}on {scheme}://{address}/")?;
        }
        stdout.flush()
    }

    async fn accept(&self, endpoint: &Endpoint, listener: &TcpListener) {
        let mut warned: Option<Instant> = None;
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!("a connection was not accepted: {error}");
                    sleep(AFTER_ERROR).await;
                    continue;
                }
            };
            let peer = Peer(peer.ip().to_canonical());
            if let Some(open) = endpoint.open.admit(peer.0, self.proxies.contains(peer.0)) {
                self.spawn(stream, peer, open, &endpoint.router, self.deadlines);
                continue;
            }
            if warned.is_none_or(|last| last.elapsed() >= BETWEEN_WARNINGS) {
                tracing::warn!(address = %peer.0, "too many connections; this one and others are refused");
                warned = Some(Instant::now());
            }
            if let Ok(permit) = Arc::clone(&self.refusals).try_acquire_owned() {
                self.spawn(stream, peer, permit, &self.overloaded, REFUSAL);
            }
        }
    }

    /// Serves a connection, which holds `permit` until it ends.
    fn spawn(
        &self,
        stream: TcpStream,
        peer: Peer,
        permit: impl Send + 'static,
        router: &Router,
        deadlines: Deadlines,
    ) {
        // Responses are small, and a device waits for them.
        let _ = stream.set_nodelay(true);
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(deadlines.write));
        let stream = Box::pin(stream);
        let connection = Connection {
            router: router.clone(),
            peer,
            deadlines,
            watcher: self.graceful.watcher(),
        };
        let tls = self.tls.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let served = timeout(deadlines.age, async {
                match tls {
                    None => connection.serve(stream).await,
                    Some(tls) => match timeout(deadlines.head, tls.accept(stream)).await {
                        Ok(Ok(stream)) => connection.serve(stream).await,
                        Ok(Err(error)) => tracing::debug!("TLS: {error}"),
                        Err(_) => tracing::debug!("TLS: handshake timed out"),
                    },
                }
            });
            if served.await.is_err() {
                tracing::debug!("a connection was open for too long");
            }
        });
    }
}

/// Tells systemd the state, if it wants to know.
fn notify(state: NotifyState<'_>) {
    if let Err(error) = sd_notify::notify(&[state]) {
        tracing::warn!("systemd was not notified: {error}");
    }
}

/// Checks that the certificate and the key can be used.
pub(crate) fn check_tls(settings: &Tls) -> Result<(), ServeError> {
    acceptor(settings).map(drop)
}

fn acceptor(settings: &Tls) -> Result<TlsAcceptor, ServeError> {
    let certificates = read_certificates(&settings.certificate)?;
    let key = read_private(&settings.key)?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|reason| ServeError::Key {
        path: settings.key.clone(),
        reason,
    })?;
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(certificates, key))
        .map_err(ServeError::Tls)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ServeError> {
    let content = files::read(path, MAX_CERTIFICATES)?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&content)
        .collect::<Result<_, _>>()
        .map_err(|reason| ServeError::Certificate {
            path: path.to_owned(),
            reason,
        })?;
    match certificates.is_empty() {
        true => Err(ServeError::NoCertificate {
            path: path.to_owned(),
        }),
        false => Ok(certificates),
    }
}

struct Connection {
    router: Router,
    peer: Peer,
    deadlines: Deadlines,
    watcher: Watcher,
}

impl Connection {
    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self {
            router,
            peer,
            deadlines: Deadlines { head, age, .. },
            watcher,
        } = self;
        // A request after that could be cut off by the end of the connection.
        let last = Instant::now() + age.saturating_sub(head);
        let unread = UnreadBody::default();
        let stream = Linger::new(stream, unread.clone(), head);
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(|body| Body::new(TrackedBody::new(body, unread.clone())));
            request.extensions_mut().insert(peer);
            // A router is always ready.
            let response = router.clone().call(request);
            async move {
                let mut response = response.await?;
                if Instant::now() >= last {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(header::CONNECTION, close);
                }
                Ok::<_, Infallible>(response)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(head)
            // A client that has sent everything may close its half at once.
            .half_close(true)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!("a connection broke: {error}");
        }
    }
}
