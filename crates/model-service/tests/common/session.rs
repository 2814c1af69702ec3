//! A device's requests for a session, as snapd sends them.

use std::fs;

use jiff::Timestamp;
use serde_json::{Value, json};
use snap_assertions::Signer as _;

use super::device::Device;
use super::http::{Answer, Request};
use super::{Bench, Service, model, sign, signer};

pub const NONCES: &str = "/api/v1/snaps/auth/nonces";
pub const SESSIONS: &str = "/api/v1/snaps/auth/sessions";

/// Switches the sessions of the models with hardware identities on.
pub fn switch_on(bench: &Bench) {
    let settings = fs::read_to_string(bench.path("settings.toml")).unwrap();
    let off = "provisioning = \"hardware-identity\"\n";
    let settings = settings.replace(off, &format!("{off}device-sessions = true\n"));
    bench.write("settings.toml", settings.as_bytes());
}

/// A serial of the brand for the key `device`, which the service does not know.
pub fn serial_by(account: &str, key: &str, serial: &str) -> String {
    let device = signer("device").public_key();
    let headers = json!({
        "type": "serial", "authority-id": account, "brand-id": "brand-acme", "model": "edge-box",
        "serial": serial, "device-key": device.encode(), "device-key-sha3-384": device.id(),
        "timestamp": "2026-01-01T00:00:00Z",
    });
    sign(headers, key)
}

/// A device that asks for sessions.
#[derive(Clone)]
pub struct SessionDevice {
    /// The number of its serial.
    pub number: String,
    pub serial: String,
    pub model: String,
    /// The key that signs requests.
    pub key: &'static str,
    /// The header `timestamp`.
    pub time: String,
}

impl SessionDevice {
    /// A device with this serial assertion.
    pub fn new(number: &str, serial: &str) -> Self {
        Self {
            number: number.to_owned(),
            serial: serial.to_owned(),
            model: model("edge-box"),
            key: "device",
            time: Timestamp::from_second(Timestamp::now().as_second())
                .unwrap()
                .to_string(),
        }
    }

    /// Registers a device first.
    pub fn registered(service: &Service, device: &Device, number: &str) -> Self {
        let answer = device.register(service, number);
        device.accepts(&answer);
        Self::new(number, &answer.body)
    }

    /// The JSON object that asks for a session.
    pub fn body(&self, nonce: &str) -> Value {
        let request = sign(
            json!({
                "type": "device-session-request", "brand-id": "brand-acme", "model": "edge-box",
                "serial": self.number, "nonce": nonce, "timestamp": self.time,
            }),
            self.key,
        );
        json!({
            "device-session-request": request, "serial-assertion": self.serial, "model-assertion": self.model,
        })
    }

    pub fn ask_with(&self, service: &Service, nonce: &str) -> Answer {
        let request = Request::post(SESSIONS, self.body(nonce).to_string());
        service.send(&request.header("content-type", "application/json"))
    }

    pub fn ask(&self, service: &Service) -> Answer {
        self.ask_with(service, &session_nonce(service))
    }

    /// Gets a session.
    #[track_caller]
    pub fn session(&self, service: &Service) -> String {
        let answer = self.ask(service);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        answer.json()["macaroon"].as_str().unwrap().to_owned()
    }
}

/// A nonce as snapd asks for it.
#[track_caller]
pub fn session_nonce(service: &Service) -> String {
    let answer = service.send(&Request::post(NONCES, "").header("accept", "application/json"));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    answer.json()["nonce"].as_str().unwrap().to_owned()
}

/// Asks for the protected resource.
pub fn resource(service: &Service, session: &str) -> Answer {
    let value = format!("Macaroon root=\"{session}\"");
    service.send(&Request::get("/api/v1/device").header("Snap-Device-Authorization", &value))
}
