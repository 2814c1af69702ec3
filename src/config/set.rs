//! Sets one setting by its name.

use identity_key::{DigestForm, UnknownKind, is_account_id, is_hardware_name, is_manufacturer};

use super::device_service::{is_header_name, is_header_value, is_url};
use super::value::{choice, handle, path, string, timeout, wait};
use super::{ProposedSerial, SettingError, Settings};
use crate::identity::UnknownBackend;
use crate::quote::shortened;
use crate::snapctl::Shutdown;

/// The names of all settings, as in the settings file; `NAME` stands for the name of an HTTP
/// header.
pub const NAMES: [&str; 22] = [
    "key-backend",
    "algorithm",
    "handle",
    "digest-form",
    "tcti",
    "tpm-wait",
    "pkcs11.module",
    "pkcs11.token",
    "pkcs11.pin-file",
    "pkcs11.key-label",
    "pkcs11.timeout",
    "issuer-id",
    "manufacturer",
    "hardware-name",
    "hardware-id",
    "device-service.url",
    "device-service.headers.NAME",
    "device-service.access",
    "registration.proposed-serial",
    "factory.export",
    "factory.evidence",
    "factory.then",
];
const HEADERS: &str = "device-service.headers.";

impl Settings {
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        match name {
            "algorithm" => self.algorithm = value.parse().map_err(|_| UnknownKind(shortened(value)))?,
            "key-backend" => {
                self.key_backend = value.parse().map_err(|_| UnknownBackend(shortened(value)))?;
            }
            "tcti" => self.tcti = value.parse()?,
            "hardware-id" => self.hardware_id = Some(value.parse()?),
            "factory.export" => self.factory.export = Some(value.parse()?),
            _ => match name.strip_prefix(HEADERS) {
                Some(header) => self.set_header(header, value)?,
                None => self.set_checked(name, value)?,
            },
        }
        Ok(())
    }

    fn set_header(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        // HTTP ignores case; from base core26 on, snapd takes only lower case.
        let header = name.to_ascii_lowercase();
        if !is_header_name(&header) {
            return Err(SettingError::HeaderName(shortened(name)));
        }
        if !is_header_value(value) {
            return Err(SettingError::HeaderValue(header));
        }
        self.device_service.headers.insert(header, value.to_owned());
        Ok(())
    }

    /// Sets a setting whose allowed values fit into a phrase.
    fn set_checked(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        let allowed = match name {
            "handle" => "a handle from 0x81000000 to 0x817FFFFF",
            "digest-form" => "text or der",
            "tpm-wait" => "0 to 300 seconds",
            "pkcs11.module" | "pkcs11.pin-file" => "the path of a file",
            "pkcs11.token" => "the label or the serial number of a token",
            "pkcs11.key-label" => "visible characters, without a space at either end",
            "pkcs11.timeout" => "1 to 240 seconds",
            "issuer-id" => {
                "an account id: 2 to 28 lower-case letters, digits and dashes, or 32 letters and digits"
            }
            "manufacturer" => "visible characters, without a space at either end",
            "hardware-name" => "letters and digits, with single dashes between them",
            "device-service.url" => {
                "an http:// or https:// address without spaces, such as https://serial.example/v1/"
            }
            "device-service.access" => "offline",
            "registration.proposed-serial" => "hardware-id or key-digest",
            "factory.evidence" => "endorsement-key",
            "factory.then" => "halt or poweroff",
            _ => return Err(SettingError::Unknown(shortened(name))),
        };
        self.try_set(name, value).ok_or_else(|| SettingError::Invalid {
            name: name.to_owned(),
            value: shortened(value),
            allowed,
        })
    }

    fn try_set(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "handle" => self.handle = handle(value)?,
            "digest-form" => {
                self.digest_form = choice(value, &[("text", DigestForm::Text), ("der", DigestForm::Der)])?;
            }
            "tpm-wait" => self.tpm_wait = wait(value)?,
            "pkcs11.module" => self.pkcs11.module = path(value)?,
            "pkcs11.pin-file" => self.pkcs11.pin_file = path(value)?,
            "pkcs11.token" => self.pkcs11.token = string(value, !value.is_empty())?,
            "pkcs11.key-label" => self.pkcs11.key_label = string(value, is_manufacturer(value))??,
            "pkcs11.timeout" => self.pkcs11.timeout = timeout(value)?,
            "issuer-id" => self.issuer_id = string(value, is_account_id(value))?,
            "manufacturer" => self.manufacturer = string(value, is_manufacturer(value))?,
            "hardware-name" => self.hardware_name = string(value, is_hardware_name(value))?,
            "device-service.url" => self.device_service.url = string(value, is_url(value))?,
            "device-service.access" => self.device_service.offline = choice(value, &[("offline", true)])?,
            "registration.proposed-serial" => {
                let choices = [
                    ("hardware-id", ProposedSerial::HardwareId),
                    ("key-digest", ProposedSerial::KeyDigest),
                ];
                self.proposed_serial = Some(choice(value, &choices)?);
            }
            "factory.evidence" => self.factory.evidence = choice(value, &[("endorsement-key", true)])?,
            "factory.then" => {
                let choices = Shutdown::ALL.map(|shutdown| (shutdown.name(), shutdown));
                self.factory.then = Some(choice(value, &choices)?);
            }
            _ => return None,
        }
        Some(())
    }
}
