//! The requests of snapd to the model service, and how snapd treats the answers.
//!
//! Source: prepareSerialRequest, submitSerialRequest and retryBadStatus in snapd's
//! handlers_serial.go (2.77).

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::Value;
use ureq::http::Uri;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, RequestBuilder};

use super::gadget::Gadget;

/// Time limit of snapd's HTTP client for a whole request.
const TIME_LIMIT: Duration = Duration::from_secs(30);
const ASSERTIONS: &str = "application/x.ubuntu.assertion";
/// The user agent of snapd, with the name of the testbed. A service can check it.
const USER_AGENT: &str = "snapd/2.77 (series 16; testbed)";
/// Size limit in bytes of an answer. No serial is as large; snapd does not have a limit.
pub(crate) const MAX_ANSWER: u64 = 16 << 20;

/// The result of a run of request-serial without a serial.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The change fails.
    Final(anyhow::Error),
    /// A transient error: request-serial runs again after a pause.
    Transient(anyhow::Error),
    /// The service has accepted the request for later: request-serial runs again after a pause,
    /// with the same request.
    Accepted,
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Failure::Final(error)
    }
}

pub(super) struct Service<'a> {
    agent: Agent,
    base: String,
    gadget: &'a Gadget,
}

struct Answer {
    status: u16,
    content_type: String,
    body: Vec<u8>,
}

impl<'a> Service<'a> {
    pub(super) fn new(gadget: &'a Gadget, certificates: &Path) -> Result<Self> {
        let (base, is_https) = base_url(&gadget.url)?;
        Ok(Service {
            agent: agent(is_https, certificates)?,
            base,
            gadget,
        })
    }

    pub(super) fn serial_url(&self) -> String {
        format!("{}serial", self.base)
    }

    /// Requests the nonce.
    pub(super) fn request_id(&self, log: &mut dyn FnMut(&str)) -> Result<String, Failure> {
        let url = format!("{}request-id", self.base);
        let request = self.with_headers(self.agent.post(&url));
        let answer = request.send_empty().and_then(Answer::read);
        let answer = answer.map_err(|error| {
            let is_transient = is_transient(&error);
            let error = unreachable(&url, &error);
            match is_transient {
                true => Failure::Transient(error),
                false => Failure::Final(error),
            }
        })?;
        log(&format!("    POST {url}: {}", answer.status));
        if answer.status != 200 {
            return Err(answer.refusal(&url));
        }
        // snapd reads only the first JSON value, and retries if it cannot, as for a broken
        // connection.
        let mut values = serde_json::Deserializer::from_slice(&answer.body).into_iter::<Value>();
        match values.next() {
            Some(Ok(Value::Object(fields))) => match fields.get("request-id") {
                None | Some(Value::Null) => Ok(String::new()),
                Some(Value::String(id)) => Ok(id.clone()),
                Some(_) => Err(unreadable(&url)),
            },
            _ => Err(unreadable(&url)),
        }
    }

    /// Sends the serial-request. The answer is a stream of assertions.
    pub(super) fn submit(&self, stream: &str, log: &mut dyn FnMut(&str)) -> Result<Vec<u8>, Failure> {
        let url = self.serial_url();
        let request = self
            .agent
            .post(&url)
            .header("Snap-Device-Capabilities", "serial-stream");
        let request = self.with_headers(request);
        let answer = request
            .content_type(ASSERTIONS)
            .send(stream)
            .and_then(Answer::read);
        let answer = answer.map_err(|error| Failure::Transient(unreachable(&url, &error)))?;
        log(&format!("    POST {url}: {}", answer.status));
        match answer.status {
            200 | 201 => Ok(answer.body),
            202 => Err(Failure::Accepted),
            _ => Err(answer.refusal(&url)),
        }
    }

    fn with_headers<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        let headers = self.gadget.headers.iter();
        headers.fold(request, |request, (name, value)| {
            request.header(name.as_str(), value.as_str())
        })
    }
}

impl Answer {
    fn read(mut response: ureq::http::Response<ureq::Body>) -> Result<Self, ureq::Error> {
        let content_type = response.headers().get("content-type");
        Ok(Answer {
            status: response.status().as_u16(),
            content_type: content_type
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned(),
            body: response
                .body_mut()
                .with_config()
                .limit(MAX_ANSWER)
                .read_to_vec()?,
        })
    }

    /// The failure for a status that is not a success. Above 500 it is transient. Otherwise the
    /// change fails, with the message of the answer if snapd can read it.
    fn refusal(&self, url: &str) -> Failure {
        let status = self.status;
        if status > 500 {
            return Failure::Transient(anyhow!(
                "{url} answered {status}. Read the log of the service, or try again later"
            ));
        }
        Failure::Final(match self.message() {
            Some(message) => anyhow!("{url} refused with {status}: {message}"),
            None => anyhow!(
                "{url} answered {status}, without a message that snapd can read. Read the log of the service"
            ),
        })
    }

    /// The message that snapd shows: `message`, else the message of the first entry of
    /// `error_list`. snapd requires exactly this content type.
    fn message(&self) -> Option<String> {
        if self.content_type != "application/json" {
            return None;
        }
        let answer: Value = serde_json::from_slice(&self.body).ok()?;
        let own = answer["message"].as_str().filter(|message| !message.is_empty());
        let message = own.or_else(|| answer["error_list"][0]["message"].as_str())?;
        Some(message.to_owned()).filter(|message| !message.is_empty())
    }
}

/// The address with a slash at its end. The flag is true for https.
pub(crate) fn base_url(url: &str) -> Result<(String, bool)> {
    ensure!(
        !url.is_empty(),
        "the option device-service.url is not set; snapd would ask Canonical's store, but the testbed \
         cannot. Set the option, or give --device-service-url"
    );
    let wrong = || {
        format!(
            "the device-service.url {url:?} is not an address of a service. Give http://HOST:PORT/ or \
             https://HOST/"
        )
    };
    let parsed: Uri = url.parse().with_context(wrong)?;
    let (Some(scheme), Some(authority)) = (parsed.scheme_str(), parsed.authority()) else {
        bail!(wrong());
    };
    ensure!(["http", "https"].contains(&scheme), wrong());
    // Like Go's ResolveReference, this drops a query.
    let slash = if parsed.path().ends_with('/') { "" } else { "/" };
    Ok((
        format!("{scheme}://{authority}{}{slash}", parsed.path()),
        scheme == "https",
    ))
}

/// An HTTP client like snapd's, with these CA certificates for https.
pub(crate) fn agent(is_https: bool, certificates: &Path) -> Result<Agent> {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(TIME_LIMIT))
        .user_agent(USER_AGENT)
        // A new connection for each request: a pooled one could break, which would be a fault
        // of the testbed.
        .max_idle_connections(0);
    if is_https {
        config = config.tls_config(tls(certificates)?);
    }
    Ok(config.build().into())
}

fn tls(certificates: &Path) -> Result<TlsConfig> {
    let name = certificates.display();
    let pem = fs::read(certificates)
        .with_context(|| format!("cannot read the certificates {name}; give --certificates"))?;
    let roots: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    ensure!(
        !roots.is_empty(),
        "{name} does not contain a certificate; give a PEM file as --certificates"
    );
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&roots))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .build())
}

/// Returns true if snapd retries the request for a nonce after this error
/// (httputil.ShouldRetryError). Unknown host names, and wrong certificates or addresses, are
/// permanent errors.
fn is_transient(error: &ureq::Error) -> bool {
    use ureq::Error::{ConnectionFailed, Io, Protocol, Timeout};
    matches!(error, Io(_) | Timeout(_) | ConnectionFailed | Protocol(_))
}

fn unreachable(url: &str, error: &ureq::Error) -> anyhow::Error {
    let error: &dyn std::fmt::Display = match error {
        ureq::Error::Io(error) => error,
        other => other,
    };
    anyhow!("no answer to POST {url}: {error}. Check that the service runs there and can be reached")
}

fn unreadable(url: &str) -> Failure {
    Failure::Transient(anyhow!(
        "the answer of {url} is not {{\"request-id\": \"…\"}}. Check that it is the address of a model \
         service"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_addresses_end_with_a_slash() {
        for (url, base) in [
            ("http://localhost:8650", "http://localhost:8650/"),
            ("http://localhost:8650/v1", "http://localhost:8650/v1/"),
            ("https://h/v1/?q=1", "https://h/v1/"),
        ] {
            assert_eq!(base_url(url).unwrap().0, base);
        }
        for url in ["", "localhost:8650", "ftp://h/", "/v1/", "http://a b/"] {
            assert!(base_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn messages_are_read_as_in_snapd() {
        let message = |content_type: &str, body: &str| {
            let answer = Answer {
                status: 400,
                content_type: content_type.to_owned(),
                body: body.into(),
            };
            answer.message()
        };
        let json = "application/json";
        let list = r#"{"message":"","error_list":[{"message":"two"}]}"#;
        assert_eq!(message(json, r#"{"message":"one"}"#).as_deref(), Some("one"));
        assert_eq!(message(json, list).as_deref(), Some("two"));
        assert_eq!(message("application/json; charset=utf-8", list), None);
        assert_eq!(message(json, r#"{"error-list":[{"message":"two"}]}"#), None);
        assert_eq!(message(json, "text"), None);
    }
}
