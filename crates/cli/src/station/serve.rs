//! `hardware-identity station serve`: devices over the network.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use failure::Status;
use miette::Diagnostic;
use thiserror::Error;
use tokio::net::TcpListener;

use super::LineArguments;
use super::http::{self, StationService};
use super::limits::MOST_RESULTS;
use super::server::Server;
use super::tls::{self, TlsError};
use crate::error::ToolError;
use crate::output;
use crate::token::{Token, TokenError};

/// The threads that check and sign. [`MOST_RESULTS`] of them may wait for signatures.
const THREADS: usize = MOST_RESULTS + 4;
/// How long running signatures may take after a signal.
const LAST_SIGNATURES: Duration = Duration::from_secs(10);

/// Prove devices over the network: HTTP with TLS and a token, and a page with the state of the lot
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct ServeArguments {
    /// The address to listen on, such as 192.0.2.1:8660; with port 0 the system chooses one
    #[arg(long, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// The file with the token that devices send
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// The file with the password of the page, for any user name; without it the station has no page. It
    /// must not be the token: a browser does not know the pin, and sends it to whoever answers
    #[arg(long, value_name = "FILE")]
    page_password_file: Option<PathBuf>,
    #[command(flatten)]
    line: LineArguments,
    /// The certificate of the station in PEM; without it the station makes a key and a certificate in the
    /// directory of the batch at its first start
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The private key of the certificate in PEM
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  hardware-identity station serve --listen 192.0.2.1:8660 --token-file token --batch batch-7 \\
    --ek-roots tpm-roots/ --expect lot-7.csv --issuer-id your-account-id --hardware-name example-box \\
    --key issuer.pem --output signed.assert --ledger station.jsonl
  hardware-identity station serve --listen 192.0.2.1:8660 --token-file token --batch batch-7 \\
    --ek-roots tpm-roots/ --collect collected

It prints its address and its pin, and ends at SIGTERM or SIGINT. Refused devices have a line on stderr:
HARDWARE-ID: CAUSE. ADVICE. [CODE]";

/// Why a station does not serve.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum ServeFailure {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Tls(#[from] TlsError),
    #[error("the password of the page is the token")]
    #[diagnostic(
        code("page-password-is-token"),
        help("Create another one with `openssl rand -hex 32`: a browser sends it to whoever answers")
    )]
    PasswordIsToken,
    #[error("cannot listen on {address}: {reason}")]
    #[diagnostic(
        code("station-cannot-listen"),
        help("Check --listen, and that no other program uses the port")
    )]
    Listen { address: SocketAddr, reason: io::Error },
    #[error("cannot run the station: {0}")]
    #[diagnostic(
        code("station-not-run"),
        help("Check the limits of this user on threads and open files")
    )]
    Runtime(io::Error),
}

impl ServeFailure {
    pub(crate) fn status(&self) -> Status {
        match self {
            ServeFailure::Token(_) | ServeFailure::Tls(_) | ServeFailure::PasswordIsToken => Status::BadInput,
            ServeFailure::Listen { .. } => Status::Service,
            ServeFailure::Runtime(_) => Status::Internal,
        }
    }
}

pub(super) fn run(arguments: &ServeArguments) -> Result<(), ToolError> {
    let token = Token::read(&arguments.token_file).map_err(ServeFailure::from)?;
    let password = arguments.page_password_file.as_deref().map(Token::read);
    let password = password.transpose().map_err(ServeFailure::from)?;
    if password
        .as_ref()
        .is_some_and(|password| password.matches(token.as_str().as_bytes()))
    {
        return Err(ServeFailure::PasswordIsToken.into());
    }
    let station = arguments.line.open(true)?;
    let given = arguments.tls_certificate.clone().zip(arguments.tls_key.clone());
    let (certificate, key) = tls::files(station.directory(), given).map_err(ServeFailure::from)?;
    let (acceptor, pin) = tls::acceptor(&certificate, &key).map_err(ServeFailure::from)?;
    let router = http::router(Arc::new(StationService::new(station, token, password)));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(THREADS)
        .build()
        .map_err(ServeFailure::Runtime)?;
    let served = runtime.block_on(async {
        let server = Server::new(acceptor, router).map_err(ServeFailure::Runtime)?;
        let (listener, address) = listen(arguments.listen).await?;
        output::write(None, &format!("listening on https://{address}/\npin {pin}\n"))?;
        server.run(listener).await;
        Ok(())
    });
    // A device whose signature takes longer comes again.
    runtime.shutdown_timeout(LAST_SIGNATURES);
    served
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeFailure> {
    let listen = async {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    listen
        .await
        .map_err(|reason| ServeFailure::Listen { address, reason })
}
