//! snapd's session with its store: a nonce, a request that the device key signs, a session, and
//! requests with it.
//!
//! Source: snapd's store/auth.go and store/store.go (2.77): the addresses, the headers, and when a
//! session is got again. The error messages are the testbed's own.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};
use snap_assertions::types::Serial;
use snap_assertions::{Assertion, LocalSigner, SignOptions, Signer as _, Statement};
use ureq::Agent;

use crate::onboard::device_key;
use crate::onboard::model::DeviceModel;
use crate::onboard::serial;
use crate::onboard::service::{MAX_ANSWER, agent, base_url};

/// The file name of the session in the directory of the device.
const FILE: &str = "session";
/// How often snapd sends a request again with a new session.
const REFRESHES: usize = 4;

/// The options of a request with a session.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory of a device that [`onboard`](crate::onboard) has registered.
    pub directory: PathBuf,
    /// The file with the serial assertion.
    pub serial: PathBuf,
    /// The file with the model assertion.
    pub model: PathBuf,
    /// The base address of the store.
    pub store_url: String,
    /// The resource that is requested, relative to the address of the store.
    pub resource: String,
    /// The file with the CA certificates (PEM) for an https store.
    pub certificates: PathBuf,
}

/// Requests a resource with the session of the device, and gets a session before if the device has
/// none or the store asks for a new one. Returns the body of the answer. `log` gets one line for
/// each request.
///
/// # Errors
/// If the store refuses, with its message, or cannot be reached.
pub fn request(options: &Options, log: &mut dyn FnMut(&str)) -> Result<String> {
    let client = Client::new(options)?;
    let file = options.directory.join(FILE);
    let mut session = match fs::read_to_string(&file) {
        Ok(session) => session,
        Err(_) => client.new_session(None, &file, log)?,
    };
    let url = client.url(options.resource.trim_start_matches('/'));
    for refreshes in 0.. {
        let authorization = authorization(&session);
        let request = client
            .agent
            .get(&url)
            .header("Snap-Device-Authorization", authorization);
        let answer = Answer::read(request.call(), &url)?;
        log(&format!("GET {url}: {}", answer.status));
        if !answer.wants_refresh() || refreshes == REFRESHES {
            return answer.success(&url);
        }
        log("the store asks for a new session");
        session = client.new_session(Some(&session), &file, log)?;
    }
    bail!("the store asks for a new session again and again")
}

fn authorization(session: &str) -> String {
    format!("Macaroon root=\"{session}\"")
}

struct Client {
    agent: Agent,
    base: String,
    key: LocalSigner,
    serial: Assertion,
    model: DeviceModel,
}

impl Client {
    fn new(options: &Options) -> Result<Self> {
        let (base, is_https) = base_url(&options.store_url)?;
        let key = options.directory.join(device_key::FILE);
        ensure!(
            key.exists(),
            "{} does not have a device key. Register the device first, with testbed onboard \
             --device-folder",
            options.directory.display()
        );
        let name = options.serial.display();
        let stream =
            fs::read(&options.serial).with_context(|| format!("cannot read {name}; check --serial"))?;
        let serial = serial::read(&stream)
            .map_err(|_| anyhow!("{name} does not contain one serial; check --serial"))?;
        Ok(Self {
            agent: agent(is_https, &options.certificates)?,
            base,
            key: device_key::ensure(&options.directory)?.0,
            serial,
            model: DeviceModel::read(&options.model)?,
        })
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Gets a session and stores it with the device.
    fn new_session(&self, old: Option<&str>, file: &Path, log: &mut dyn FnMut(&str)) -> Result<String> {
        let url = self.url("api/v1/snaps/auth/nonces");
        let request = self.agent.post(&url).header("Accept", "application/json");
        let answer = Answer::read(request.send_empty(), &url)?;
        log(&format!("POST {url}: {}", answer.status));
        let nonce = answer.field("nonce", &[200], &url)?;
        let body = json!({
            "device-session-request": self.sign(&nonce)?.to_string(),
            "serial-assertion": self.serial.to_string(),
            "model-assertion": self.model.assertion.to_string(),
        });
        let url = self.url("api/v1/snaps/auth/sessions");
        let mut request = self
            .agent
            .post(&url)
            .header("Accept", "application/json")
            .content_type("application/json");
        if let Some(old) = old {
            request = request.header("X-Device-Authorization", authorization(old));
        }
        let answer = Answer::read(request.send(body.to_string()), &url)?;
        log(&format!(
            "POST {url}, request signed with the device key: {}",
            answer.status
        ));
        let session = answer.field("macaroon", &[200, 202], &url)?;
        let mut options = OpenOptions::new();
        let opened = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(file);
        opened
            .and_then(|mut file| file.write_all(session.as_bytes()))
            .with_context(|| format!("cannot write {}; check its directory", file.display()))?;
        Ok(session)
    }

    fn sign(&self, nonce: &str) -> Result<Assertion> {
        let serial = Serial::try_from(&self.serial)?;
        ensure!(
            serial.device_key() == self.key.public_key(),
            "the serial is for another device key. Give the serial of this device as --serial"
        );
        let statement: Statement = serde_json::from_value(json!({
            "type": "device-session-request", "brand-id": serial.brand_id(), "model": serial.model(),
            "serial": serial.serial(), "nonce": nonce,
            "timestamp": Timestamp::from_second(Timestamp::now().as_second())?.to_string(),
        }))?;
        Ok(statement.sign(&self.key, &SignOptions::now())?)
    }
}

struct Answer {
    status: u16,
    /// The header `WWW-Authenticate`.
    authenticate: String,
    body: String,
}

impl Answer {
    fn read(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>, url: &str) -> Result<Self> {
        let read = |mut response: ureq::http::Response<ureq::Body>| {
            let authenticate = response.headers().get("www-authenticate");
            Ok(Self {
                authenticate: authenticate
                    .and_then(|value| value.to_str().ok())
                    .unwrap_or_default()
                    .to_owned(),
                status: response.status().as_u16(),
                body: response
                    .body_mut()
                    .with_config()
                    .limit(MAX_ANSWER)
                    .read_to_string()?,
            })
        };
        response.and_then(read).map_err(|error| {
            anyhow!("no answer from {url}: {error}. Check that the store runs there and can be reached")
        })
    }

    /// Returns true if snapd gets a new session after this answer.
    fn wants_refresh(&self) -> bool {
        self.status == 401 && self.authenticate.contains("refresh_device_session=1")
    }

    fn success(self, url: &str) -> Result<String> {
        match self.status {
            200 => Ok(self.body),
            _ => Err(self.refusal(url)),
        }
    }

    /// A string of the JSON object of an answer with one of these statuses.
    fn field(&self, name: &str, statuses: &[u16], url: &str) -> Result<String> {
        if !statuses.contains(&self.status) {
            return Err(self.refusal(url));
        }
        let json: Value = serde_json::from_str(&self.body).unwrap_or_default();
        match json[name].as_str() {
            Some(value) if !value.is_empty() => Ok(value.to_owned()),
            _ => bail!(
                "the answer of {url} is not {{\"{name}\": \"…\"}}. Check that it is the address of a store"
            ),
        }
    }

    fn refusal(&self, url: &str) -> anyhow::Error {
        let json: Value = serde_json::from_str(&self.body).unwrap_or_default();
        match json["message"].as_str() {
            Some(message) => anyhow!("{url} refused with {}: {message}", self.status),
            None => anyhow!("{url} answered {}. Read the log of the store", self.status),
        }
    }
}
