//! The gadget's settings: `$SNAP/hardware-identity.toml`, then the snap's configuration over it.
//!
//! Every setting is described in docs/settings.md.

mod read;
mod value;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;

use crate::delivery::Target;
use crate::hardware_id::HardwareIdSource;
use crate::snapctl::Stop;
use crate::tpm::{PersistentHandle, Tcti};
use identity_key::DigestForm;
use identity_key::KeyKind;
use value::{account_id, choice, handle, hardware_name, not_empty, url, wait};

/// The settings file in the gadget snap.
pub const FILE: &str = "hardware-identity.toml";
/// The name under which the snap's configuration holds settings.
pub const OPTION: &str = "hardware-identity";

/// The names of all settings, as in the file; `headers` is followed by the name of an HTTP header.
const NAMES: [&str; 15] = [
    "algorithm",
    "handle",
    "digest-form",
    "tcti",
    "tpm-wait",
    "issuer-id",
    "manufacturer",
    "hardware-name",
    "hardware-id",
    "device-service.url",
    "device-service.headers.NAME",
    "device-service.access",
    "registration.proposed-serial",
    "factory.export",
    "factory.then",
];
const HEADERS: &str = "device-service.headers.";

const DEFAULT_WAIT: Duration = Duration::from_secs(60);

/// Why the settings cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file exists and cannot be read.
    #[error("the settings file {} cannot be read: {reason}. Correct it in the gadget and build the snap \
             again", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// A line of the file.
    #[error("{}, line {line}: {problem}. Correct it in the gadget and build the snap again", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong there.
        problem: String,
    },
    /// An option of the snap's configuration.
    #[error(
        "the option {option} of this snap: {problem}. Correct it with `snap set`, or remove it: `snap unset \
         GADGET {option}`"
    )]
    Option {
        /// Its name, with `hardware-identity.` in front.
        option: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The environment.
    #[error("the variable TCTI: {0}. Correct or unset it")]
    Variable(String),
}

/// What the proposed serial number is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposedSerial {
    /// The hardware id.
    HardwareId,
    /// The digest of the identity key.
    KeyDigest,
}

/// What prepare-device sets for snapd under `device-service`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceService {
    /// Base of the model service's addresses; snapd appends `request-id` and `serial`.
    pub url: Option<String>,
    /// HTTP headers that snapd sends to it.
    pub headers: BTreeMap<String, String>,
    /// Whether the device is to stay without a serial (`device-service.access=offline`).
    pub offline: bool,
}

/// What install-device does on a factory boot beyond making the identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Factory {
    /// Where the export goes, if anywhere.
    pub export: Option<Target>,
    /// How the device ends the installation, where it is not to go on.
    pub then: Option<Stop>,
}

/// All settings, with their defaults.
#[derive(Clone, Debug)]
pub struct Settings {
    /// KeyKind of a new identity.
    pub algorithm: KeyKind,
    /// Where the key is made persistent.
    pub handle: PersistentHandle,
    /// Form of the digest of a new identity.
    pub digest_form: DigestForm,
    /// The way to the TPM.
    pub tcti: Tcti,
    /// How long to wait in all for what passes by itself.
    pub tpm_wait: Duration,
    /// Header `issuer-id` of an export.
    pub issuer_id: Option<String>,
    /// Header `manufacturer` of an export.
    pub manufacturer: Option<String>,
    /// Header `hardware-name` of an export.
    pub hardware_name: Option<String>,
    /// Where the header `hardware-id` comes from.
    pub hardware_id: Option<HardwareIdSource>,
    /// What snapd is to be told of the model service.
    pub device_service: DeviceService,
    /// What the proposed serial number is made from, if one is to be proposed.
    pub proposed_serial: Option<ProposedSerial>,
    /// What install-device does on a factory boot.
    pub factory: Factory,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            algorithm: KeyKind::default(),
            handle: PersistentHandle::DEFAULT,
            digest_form: DigestForm::default(),
            tcti: Tcti::default(),
            tpm_wait: DEFAULT_WAIT,
            issuer_id: None,
            manufacturer: None,
            hardware_name: None,
            hardware_id: None,
            device_service: DeviceService::default(),
            proposed_serial: None,
            factory: Factory::default(),
        }
    }
}

impl Settings {
    /// Reads the file in `snap` (a gadget without one has the defaults), then `options`, the snap's
    /// configuration below
    /// `hardware-identity`, then `tcti`, the environment's variable TCTI.
    ///
    /// # Errors
    /// The first [`ConfigError`], which names the line, the option or the variable.
    pub fn load(
        snap: Option<&Path>,
        options: Option<&Value>,
        tcti: Option<&str>,
    ) -> Result<Settings, ConfigError> {
        let (settings, errors) = Settings::read(snap, options, tcti);
        errors.into_iter().next().map_or(Ok(settings), Err)
    }

    /// As [`load`](Self::load), but gives all that is wrong; a setting that is wrong stays as it was.
    pub fn read(
        snap: Option<&Path>,
        options: Option<&Value>,
        tcti: Option<&str>,
    ) -> (Settings, Vec<ConfigError>) {
        let mut settings = Settings::default();
        let mut errors = Vec::new();
        if let Some(snap) = snap {
            settings.read_file(&snap.join(FILE), &mut errors);
        }
        if let Some(options) = options {
            settings.read_options(OPTION, options, &mut errors);
        }
        match tcti.map(str::parse).transpose() {
            Ok(Some(tcti)) => settings.tcti = tcti,
            Ok(None) => {}
            Err(problem) => errors.push(ConfigError::Variable(problem)),
        }
        (settings, errors)
    }

    /// Sets one setting from its text.
    fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        match name {
            "algorithm" => {
                self.algorithm = choice(
                    text,
                    &KeyKind::OF_DEVICES.map(|algorithm| (algorithm.to_string(), algorithm)),
                )?;
            }
            "handle" => self.handle = handle(text)?,
            "digest-form" => {
                self.digest_form = choice(text, &[("text", DigestForm::Text), ("der", DigestForm::Der)])?;
            }
            "tcti" => self.tcti = text.parse()?,
            "tpm-wait" => self.tpm_wait = wait(text)?,
            "issuer-id" => self.issuer_id = Some(account_id(text)?),
            "manufacturer" => self.manufacturer = Some(not_empty(text)?),
            "hardware-name" => self.hardware_name = Some(hardware_name(text)?),
            "hardware-id" => self.hardware_id = Some(text.parse()?),
            "device-service.url" => self.device_service.url = Some(url(text)?),
            "device-service.access" => self.device_service.offline = choice(text, &[("offline", true)])?,
            "registration.proposed-serial" => {
                let choices = [
                    ("hardware-id", ProposedSerial::HardwareId),
                    ("key-digest", ProposedSerial::KeyDigest),
                ];
                self.proposed_serial = Some(choice(text, &choices)?);
            }
            "factory.export" => self.factory.export = Some(text.parse()?),
            "factory.then" => {
                self.factory.then = Some(choice(text, &Stop::ALL.map(|stop| (stop.name(), stop)))?);
            }
            _ => {
                let header = name
                    .strip_prefix(HEADERS)
                    .ok_or_else(|| format!("there is no such setting; there are {}", NAMES.join(", ")))?;
                // HTTP ignores case; snapd takes only lower case from base core26 on.
                self.device_service
                    .headers
                    .insert(header.to_ascii_lowercase(), text.to_owned());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    fn load(file: &str, options: &Value, tcti: Option<&str>) -> Result<Settings, ConfigError> {
        let snap = tempfile::tempdir().unwrap();
        fs::write(snap.path().join(FILE), file).unwrap();
        Settings::load(Some(snap.path()), Some(options), tcti)
    }

    #[test]
    fn without_file_and_options_the_defaults_stand() {
        let settings = Settings::load(None, None, None).unwrap();
        assert_eq!(settings.handle.to_string(), "0x81018C00");
        assert_eq!(settings.tcti.to_string(), "device:/dev/tpmrm0");
        assert_eq!(settings.tpm_wait, Duration::from_secs(60));
        let empty = tempfile::tempdir().unwrap();
        Settings::load(Some(empty.path()), Some(&Value::Null), None).unwrap();
    }

    #[test]
    fn the_file_sets_every_setting() {
        let file = r#"
            algorithm = "rsa-2048"
            handle = 0x81018C01
            digest-form = "der"
            tcti = "swtpm:host=localhost,port=2321"
            tpm-wait = 5
            issuer-id = "a-brand"
            manufacturer = "Müller & Söhne"
            hardware-name = "box-1"
            hardware-id = "dmi:board_serial"
            [device-service]
            url = "https://serial.example/v1/"
            headers = { X-Factory = "7" }
            access = "offline"
            [registration]
            proposed-serial = "key-digest"
        "#;
        let settings = load(file, &json!({}), None).unwrap();
        assert_eq!(settings.algorithm, KeyKind::RSA_2048);
        assert_eq!(settings.handle.to_string(), "0x81018C01");
        assert_eq!(settings.digest_form, DigestForm::Der);
        assert_eq!(settings.tcti.to_string(), "swtpm:host=localhost,port=2321");
        assert_eq!(settings.tpm_wait, Duration::from_secs(5));
        assert_eq!(settings.issuer_id.as_deref(), Some("a-brand"));
        assert_eq!(settings.manufacturer.as_deref(), Some("Müller & Söhne"));
        assert_eq!(settings.hardware_name.as_deref(), Some("box-1"));
        assert_eq!(settings.hardware_id, Some(HardwareIdSource::DmiBoardSerial));
        assert_eq!(
            settings.device_service.url.as_deref(),
            Some("https://serial.example/v1/")
        );
        assert_eq!(settings.device_service.headers["x-factory"], "7");
        assert!(settings.device_service.offline);
        assert_eq!(settings.proposed_serial, Some(ProposedSerial::KeyDigest));
    }

    #[test]
    fn options_stand_over_the_file_and_the_variable_over_both() {
        let file = "algorithm = 'ecdsa-p384'\ntcti = 'device:/dev/a'\n\
                    [device-service]\nheaders = { a = '1', b = '1' }\n";
        let options = json!({
            "handle": "0x81018C02", "hardware-id": 1234, "tcti": "device:/dev/b",
            "device-service": {"headers": {"b": "2"}},
        });
        let settings = load(file, &options, Some("device:/dev/c")).unwrap();
        assert_eq!(settings.algorithm, KeyKind::EcdsaP384);
        assert_eq!(settings.handle.to_string(), "0x81018C02");
        assert_eq!(
            settings.hardware_id,
            Some(HardwareIdSource::Literal("1234".to_owned()))
        );
        assert_eq!(settings.tcti.to_string(), "device:/dev/c");
        assert_eq!(settings.device_service.headers["a"], "1");
        assert_eq!(settings.device_service.headers["b"], "2");
        assert_eq!(
            load(file, &options, None).unwrap().tcti.to_string(),
            "device:/dev/b"
        );
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (file, line, problem) in [
            (
                "algorithm = 'ecdsa-p256'\n\nalgoritm = 'x'\n",
                "line 3",
                "no such setting; there are algorithm, ",
            ),
            (
                "algorithm = 'sha'\n",
                "line 1",
                "allowed: ecdsa-p256, ecdsa-p384, rsa-2048, rsa-3072",
            ),
            ("[device-service]\nurl = 7\n", "line 2", "https://"),
            ("device-service = 'x'\n", "line 1", "no such setting"),
            ("tpm-wait = 301\n", "line 1", "0 to 300"),
            ("handle = 0x81800000\n", "line 1", "0x81000000 to 0x817FFFFF"),
            ("issuer-id = ['a']\n", "line 1", "not this kind of value: array"),
            ("tpm-wait = 1.5\n", "line 1", "not this kind of value: float"),
            ("hardware-id = ''\n", "line 1", "empty"),
            ("tpm-wait = 1\nb = \n", "line 2", ""),
        ] {
            let error = load(file, &json!({}), None).unwrap_err().to_string();
            assert!(error.contains(line) && error.contains(problem), "{file}: {error}");
            assert!(error.contains("Correct it in the gadget"), "{error}");
        }
        let error = load(&"#\n".repeat(40_000), &json!({}), None)
            .unwrap_err()
            .to_string();
        assert!(error.contains("larger than 65536 bytes"), "{error}");
    }

    #[test]
    fn a_wrong_option_is_named() {
        for (options, option) in [
            (json!({"algoritm": "x"}), "hardware-identity.algoritm"),
            (
                json!({"device-service": {"access": "online"}}),
                "hardware-identity.device-service.access",
            ),
            (json!({"tpm-wait": 1.5}), "hardware-identity.tpm-wait"),
            (json!({"issuer-id": true}), "hardware-identity.issuer-id"),
            (json!("x"), "hardware-identity"),
        ] {
            let error = load("", &options, None).unwrap_err().to_string();
            assert!(error.contains(&format!("the option {option} ")), "{error}");
            assert!(
                error.contains(&format!("`snap unset GADGET {option}`")),
                "{error}"
            );
        }
        let error = load("", &json!({}), Some("tpm0")).unwrap_err().to_string();
        assert!(error.contains("variable TCTI"), "{error}");
    }
}
