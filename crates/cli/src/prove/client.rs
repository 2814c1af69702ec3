//! A station over HTTP and TLS, known by the pin of its key. No CA has to sign its certificate.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::StationLink;
use super::error::ProveFailure;
use crate::exchange::{
    ANSWER_PATH, CHALLENGE_PATH, DeviceRequest, LARGEST_RESPONSE, LONGEST_RESULT, RemoteProblem,
};
use crate::pin::Pin;
use crate::token::Token;

/// The times for a connection and for a challenge.
const CONNECT: Duration = Duration::from_secs(10);
const CHALLENGE: Duration = Duration::from_secs(30);

/// The address of a station.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StationAddress {
    host: String,
    port: u16,
}

impl FromStr for StationAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let uri: Uri = text.parse().ok()?;
            let is_bare =
                uri.scheme_str() == Some("https") && matches!(uri.path(), "" | "/") && uri.query().is_none();
            // A user name would be sent to nobody.
            let has_user = uri.authority()?.as_str().contains('@');
            (is_bare && !has_user).then_some(StationAddress {
                host: uri.host()?.trim_matches(['[', ']']).to_owned(),
                port: uri.port_u16()?,
            })
        };
        read().ok_or_else(|| "expected https://HOST:PORT".to_owned())
    }
}

impl fmt::Display for StationAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// The station. Each request has a connection of its own.
pub(super) struct StationClient {
    address: StationAddress,
    token: Token,
    connector: TlsConnector,
    verifier: Arc<PinVerifier>,
    runtime: Runtime,
}

impl StationClient {
    pub(super) fn new(address: StationAddress, pin: Pin, token: Token) -> Result<Self, ProveFailure> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = Arc::new(PinVerifier {
            pin,
            other: Mutex::default(),
            provider: Arc::clone(&provider),
        });
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(ProveFailure::invalid)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>)
            .with_no_client_auth();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(StationClient {
            address,
            token,
            connector: TlsConnector::from(Arc::new(config)),
            verifier,
            runtime: runtime.map_err(ProveFailure::NotStarted)?,
        })
    }

    async fn post(&self, path: &str, body: String) -> Result<(StatusCode, Vec<u8>), ProveFailure> {
        let stream = timeout(CONNECT, self.connect())
            .await
            .map_err(|_| self.too_slow(CONNECT))?
            .map_err(|error| self.not_connected(&error))?;
        let unreachable = |error: hyper::Error| self.unreachable(&error);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(unreachable)?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(HOST, self.address.to_string())
            .header(AUTHORIZATION, format!("Bearer {}", self.token.as_str()))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(ProveFailure::invalid)?;
        let response = sender.send_request(request).await.map_err(unreachable)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST_RESPONSE)
            .collect()
            .await;
        connection.abort();
        let body = body.map_err(|error| self.unreachable(&error))?;
        Ok((status, body.to_bytes().to_vec()))
    }

    async fn connect(&self) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let StationAddress { host, port } = &self.address;
        let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
        let stream = TcpStream::connect((host.as_str(), *port)).await?;
        // The station waits for the end of the request.
        stream.set_nodelay(true)?;
        self.connector.connect(name, stream).await
    }

    fn not_connected(&self, error: &io::Error) -> ProveFailure {
        let other = self
            .verifier
            .other
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match other {
            Some(found) => ProveFailure::Pin {
                station: self.address.to_string(),
                found,
            },
            None => self.unreachable(error),
        }
    }

    fn unreachable(&self, reason: &dyn fmt::Display) -> ProveFailure {
        ProveFailure::Unreachable {
            station: self.address.to_string(),
            reason: reason.to_string(),
        }
    }

    fn too_slow(&self, time: Duration) -> ProveFailure {
        ProveFailure::TooSlow {
            station: self.address.to_string(),
            seconds: time.as_secs(),
        }
    }
}

impl StationLink for StationClient {
    fn send(&mut self, request: &DeviceRequest) -> Result<Vec<u8>, ProveFailure> {
        let (path, time) = match request.answer {
            None => (CHALLENGE_PATH, CHALLENGE),
            Some(_) => (ANSWER_PATH, LONGEST_RESULT),
        };
        let sent = self
            .runtime
            .block_on(async { timeout(time, self.post(path, request.to_json())).await });
        let (status, body) = sent.map_err(|_| self.too_slow(time))??;
        if status == StatusCode::OK {
            return Ok(body);
        }
        let Some(problem) = RemoteProblem::read(&body) else {
            return Err(ProveFailure::Invalid(format!("HTTP status {status}")));
        };
        match status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            true => Err(ProveFailure::NotServed(problem)),
            false => Err(ProveFailure::Refused(problem)),
        }
    }
}

/// Accepts the certificate whose key has the pin, whatever else is in it.
#[derive(Debug)]
struct PinVerifier {
    pin: Pin,
    /// Another pin that a station had.
    other: Mutex<Option<Pin>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let found = Pin::of(certificate)?;
        if found == self.pin {
            return Ok(ServerCertVerified::assertion());
        }
        *self.other.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_that_of_a_host_and_a_port() {
        for (text, expected) in [
            ("https://station:8660", "station:8660"),
            ("https://192.0.2.1:8660/", "192.0.2.1:8660"),
            ("https://[2001:db8::1]:8660", "[2001:db8::1]:8660"),
        ] {
            assert_eq!(text.parse::<StationAddress>().unwrap().to_string(), expected);
        }
        for text in [
            "http://station:8660",
            "https://station",
            "https://station:1/path",
            "https://a@station:1",
            "station:1",
        ] {
            assert!(text.parse::<StationAddress>().is_err(), "{text}");
        }
    }
}
