//! The model service as snapd speaks to it, and what snapd makes of its answers.
//!
//! Source: prepareSerialRequest, submitSerialRequest and retryBadStatus in snapd's handlers_serial.go (2.77).

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

/// Of snapd's HTTP client, for a whole request.
const TIME_LIMIT: Duration = Duration::from_secs(30);
const ASSERTIONS: &str = "application/x.ubuntu.assertion";
/// What snapd says it is; a service may look at it.
const USER_AGENT: &str = "snapd/2.77 (series 16; testbed)";
/// More than any serial; snapd has no limit.
const MAX_ANSWER: u64 = 16 << 20;

/// How a run of request-serial did not lead to a serial.
#[derive(Debug)]
pub(super) enum Failure {
    /// The change fails.
    Final(anyhow::Error),
    /// request-serial runs again after a pause.
    Passing(anyhow::Error),
    /// It runs again as well, to send the same request: the service has accepted it for later.
    Later,
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
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(TIME_LIMIT))
            .user_agent(USER_AGENT)
            // Each request on a connection of its own: a pooled one that broke would be a failure of the testbed.
            .max_idle_connections(0);
        if is_https {
            config = config.tls_config(tls(certificates)?);
        }
        Ok(Service {
            agent: config.build().into(),
            base,
            gadget,
        })
    }

    pub(super) fn serial_url(&self) -> String {
        format!("{}serial", self.base)
    }

    /// Asks for the nonce.
    pub(super) fn request_id(&self, log: &mut dyn FnMut(&str)) -> Result<String, Failure> {
        let url = format!("{}request-id", self.base);
        let request = self.with_headers(self.agent.post(&url));
        let answer = request.send_empty().and_then(Answer::read);
        let answer = answer.map_err(|error| {
            let is_final = !may_pass(&error);
            let error = unreachable(&url, &error);
            match is_final {
                true => Failure::Final(error),
                false => Failure::Passing(error),
            }
        })?;
        log(&format!("    POST {url}: {}", answer.status));
        if answer.status != 200 {
            return Err(answer.refusal(&url));
        }
        // snapd reads the first value and no further, and takes what is none for a broken connection.
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

    /// Sends the serial-request; the answer is a stream of assertions.
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
        let answer = answer.map_err(|error| Failure::Passing(unreachable(&url, &error)))?;
        log(&format!("    POST {url}: {}", answer.status));
        match answer.status {
            200 | 201 => Ok(answer.body),
            202 => Err(Failure::Later),
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

    /// Above 500 it may pass; up to there the change fails, with the message of the error list if there is one.
    fn refusal(&self, url: &str) -> Failure {
        let status = self.status;
        if status > 500 {
            return Failure::Passing(anyhow!(
                "{url} answered {status}. See the service's log, or try again later"
            ));
        }
        let next = "Correct what it refuses; its log may say more";
        Failure::Final(match self.message() {
            Some(message) => anyhow!("{url} refused with {status}: {message}"),
            None => anyhow!("{url} answered {status}, without a message that snapd can read. {next}"),
        })
    }

    /// What snapd shows: `message`, else that of the first entry of `error_list`; and only if the content type is
    /// exactly this.
    fn message(&self) -> Option<String> {
        if self.content_type != "application/json" {
            return None;
        }
        let answer: Value = serde_json::from_slice(&self.body).ok()?;
        let own = answer["message"].as_str().filter(|text| !text.is_empty());
        let text = own.or_else(|| answer["error_list"][0]["message"].as_str())?;
        Some(text.to_owned()).filter(|text| !text.is_empty())
    }
}

/// The address with a slash at its end, and whether it is an https one.
fn base_url(url: &str) -> Result<(String, bool)> {
    ensure!(
        !url.is_empty(),
        "the gadget sets no device-service.url, so snapd would ask Canonical's store, which the testbed does not. Set the option, or \
         give --device-service-url"
    );
    let wrong = || {
        format!(
            "the device-service.url {url:?} is no address of a service. Give http://HOST:PORT/ or https://…"
        )
    };
    let parsed: Uri = url.parse().with_context(wrong)?;
    let (Some(scheme), Some(authority)) = (parsed.scheme_str(), parsed.authority()) else {
        bail!(wrong());
    };
    ensure!(["http", "https"].contains(&scheme), wrong());
    // A query is lost, as in Go's ResolveReference.
    let slash = if parsed.path().ends_with('/') { "" } else { "/" };
    Ok((
        format!("{scheme}://{authority}{}{slash}", parsed.path()),
        scheme == "https",
    ))
}

fn tls(certificates: &Path) -> Result<TlsConfig> {
    let name = certificates.display();
    let pem = fs::read(certificates)
        .with_context(|| format!("cannot read the certificates {name}; give --certificates"))?;
    let roots: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(one)) => Some(one),
            _ => None,
        })
        .collect();
    ensure!(
        !roots.is_empty(),
        "{name} holds no certificate; give --certificates a PEM file"
    );
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&roots))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .build())
}

/// Whether snapd takes the failure to get a nonce for a passing one (httputil.ShouldRetryError): not a name that is
/// unknown, nor a certificate or an address that is wrong.
fn may_pass(error: &ureq::Error) -> bool {
    use ureq::Error::{ConnectionFailed, Io, Protocol, Timeout};
    matches!(error, Io(_) | Timeout(_) | ConnectionFailed | Protocol(_))
}

fn unreachable(url: &str, error: &ureq::Error) -> anyhow::Error {
    let error: &dyn std::fmt::Display = match error {
        ureq::Error::Io(error) => error,
        other => other,
    };
    anyhow!("POST {url} got no answer: {error}. Check that the service runs there and can be reached")
}

fn unreadable(url: &str) -> Failure {
    Failure::Passing(anyhow!(
        "{url} answered with something else than {{\"request-id\": \"…\"}}. Check that it is a model service's address"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_addresses() {
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
    fn messages_as_snapd_finds_them() {
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
