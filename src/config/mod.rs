//! The gadget's settings: `$SNAP/hardware-identity.toml`, then the snap's configuration, then the
//! environment variable `TCTI`. A later value overrides an earlier one.
//!
//! docs/settings.md describes every setting.

mod device_service;
mod error;
mod export;
mod file;
mod options;
mod set;
mod value;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use identity_key::{DigestForm, KeyKind};
use serde_json::Value;

use crate::factory::ExportTarget;
use crate::hardware_id::HardwareIdSource;
use crate::identity::{IdentityParameters, KeyBackend};
use crate::pkcs11::Pkcs11Settings;
use crate::snapctl::Shutdown;
use crate::tpm::{PersistentHandle, Tcti};

pub use error::{ConfigError, SettingError};
pub use export::MissingSettings;
pub use set::NAMES;

/// The name of the settings file in the gadget snap.
pub const FILE: &str = "hardware-identity.toml";
/// The option in the snap's configuration below which the settings are.
pub const OPTION: &str = "hardware-identity";

const DEFAULT_WAIT: Duration = Duration::from_secs(60);

/// The value that is proposed as serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposedSerial {
    /// The hardware id.
    HardwareId,
    /// The digest of the identity key.
    KeyDigest,
}

/// The options that prepare-device sets for snapd below `device-service`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceService {
    /// Base address of the model service; snapd appends `request-id` and `serial`.
    pub url: Option<String>,
    /// HTTP headers that snapd sends to the model service.
    pub headers: BTreeMap<String, String>,
    /// True if the device is not to ask for a serial (`device-service.access=offline`).
    pub offline: bool,
}

/// What install-device does on a factory boot after it made the identity.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Factory {
    /// The target of the export.
    pub export: Option<ExportTarget>,
    /// True if the evidence of an endorsement key is delivered with the export.
    pub evidence: bool,
    /// How the device shuts down after the installation. Unset, it boots into run mode.
    pub then: Option<Shutdown>,
}

/// All settings.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The keeper of the identity key.
    pub key_backend: KeyBackend,
    /// The kind of a new identity key.
    pub algorithm: KeyKind,
    /// The handle at which the key is persistent.
    pub handle: PersistentHandle,
    /// Module, token and PIN of the backend `pkcs11`.
    pub pkcs11: Pkcs11Settings,
    /// The form of the key digest of a new identity.
    pub digest_form: DigestForm,
    /// The TCTI: how to reach the TPM.
    pub tcti: Tcti,
    /// The time for all retries of a run.
    pub tpm_wait: Duration,
    /// The header `issuer-id` of an export.
    pub issuer_id: Option<String>,
    /// The header `manufacturer` of an export.
    pub manufacturer: Option<String>,
    /// The header `hardware-name` of an export.
    pub hardware_name: Option<String>,
    /// The source of the header `hardware-id` of an export.
    pub hardware_id: Option<HardwareIdSource>,
    /// The options for snapd about the model service.
    pub device_service: DeviceService,
    /// The serial number to propose.
    pub proposed_serial: Option<ProposedSerial>,
    /// What install-device does on a factory boot.
    pub factory: Factory,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            key_backend: KeyBackend::default(),
            algorithm: KeyKind::default(),
            handle: PersistentHandle::DEFAULT,
            pkcs11: Pkcs11Settings::default(),
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
    /// Reads the settings file in the directory `snap` (a gadget without one has the defaults),
    /// then
    /// `options`, the snap's configuration below `hardware-identity`, then `tcti`, the environment
    /// variable `TCTI`.
    ///
    /// Returns all errors; a setting with an error keeps the earlier value.
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
        if let Some(snap) = snap {
            settings.pkcs11.resolve(snap);
        }
        match tcti.map(str::parse).transpose() {
            Ok(Some(tcti)) => settings.tcti = tcti,
            Ok(None) => {}
            Err(error) => errors.push(ConfigError::Variable(error)),
        }
        (settings, errors)
    }

    /// The values that making and opening the identity need.
    pub fn identity(&self) -> IdentityParameters {
        IdentityParameters {
            backend: self.key_backend,
            kind: self.algorithm,
            digest_form: self.digest_form,
            handle: self.handle,
            tcti: self.tcti.clone(),
            pkcs11: self.pkcs11.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    fn first_error((settings, errors): (Settings, Vec<ConfigError>)) -> Result<Settings, ConfigError> {
        errors.into_iter().next().map_or(Ok(settings), Err)
    }

    fn load(file: &str, options: &Value, tcti: Option<&str>) -> Result<Settings, ConfigError> {
        let snap = tempfile::tempdir().unwrap();
        fs::write(snap.path().join(FILE), file).unwrap();
        first_error(Settings::read(Some(snap.path()), Some(options), tcti))
    }

    #[test]
    fn without_file_and_options_the_defaults_apply() {
        let settings = first_error(Settings::read(None, None, None)).unwrap();
        assert_eq!(settings.handle.to_string(), "0x81018C00");
        assert_eq!(settings.tcti.to_string(), "device:/dev/tpmrm0");
        assert_eq!(settings.tpm_wait, Duration::from_secs(60));
        let empty = tempfile::tempdir().unwrap();
        first_error(Settings::read(Some(empty.path()), Some(&Value::Null), None)).unwrap();
    }

    #[test]
    fn the_file_sets_every_setting() {
        let file = r#"
            key-backend = "software"
            algorithm = "rsa-2048"
            handle = 0x81018C01
            digest-form = "der"
            tcti = "swtpm:host=localhost,port=2321"
            tpm-wait = 5
            issuer-id = "a-brand"
            manufacturer = "Müller & Söhne"
            hardware-name = "box-1"
            hardware-id = "dmi:board_serial"
            [pkcs11]
            module = "usr/lib/libckteec.so.0"
            token = "board"
            pin-file = "/var/lib/pin"
            key-label = "identity"
            timeout = 30
            [device-service]
            url = "https://serial.example/v1/"
            headers = { X-Factory = "7" }
            access = "offline"
            [registration]
            proposed-serial = "key-digest"
            [factory]
            export = "console"
            evidence = "endorsement-key"
            then = "halt"
        "#;
        let settings = load(file, &json!({}), None).unwrap();
        assert_eq!(settings.key_backend, KeyBackend::Software);
        let module = settings.pkcs11.module.as_ref().unwrap();
        assert!(module.is_absolute() && module.ends_with("usr/lib/libckteec.so.0"));
        assert_eq!(settings.pkcs11.token.as_deref(), Some("board"));
        assert_eq!(
            settings.pkcs11.pin_file.as_deref(),
            Some(Path::new("/var/lib/pin"))
        );
        assert_eq!(settings.pkcs11.key_label, "identity");
        assert_eq!(settings.pkcs11.timeout, Duration::from_secs(30));
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
        assert!(settings.factory.export.is_some() && settings.factory.evidence);
        assert_eq!(settings.factory.then, Some(Shutdown::Halt));
    }

    #[test]
    fn options_override_the_file_and_the_variable_overrides_both() {
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

    /// The code of an error, and the line or option that it names.
    fn code_and_place(error: &ConfigError) -> (String, String) {
        let place = match error {
            ConfigError::Unreadable(_) => String::new(),
            ConfigError::Line { line, .. } => line.to_string(),
            ConfigError::Option { option, .. } => option.clone(),
            ConfigError::Variable(_) => "TCTI".to_owned(),
        };
        (failure::code(error), place)
    }

    fn check(error: Result<Settings, ConfigError>, code: &str, place: &str) {
        let found = code_and_place(&error.unwrap_err());
        assert_eq!(found, (code.to_owned(), place.to_owned()));
    }

    #[test]
    fn an_error_in_the_file_has_its_code_and_line() {
        for (file, line, code) in [
            (
                "algorithm = 'ecdsa-p256'\n\nalgoritm = 'x'\n",
                "3",
                "setting-unknown",
            ),
            ("algorithm = 'sha'\n", "1", "key-kind-unknown"),
            ("key-backend = 'hsm'\n", "1", "key-backend-unknown"),
            ("[device-service]\nurl = 7\n", "2", "setting-invalid"),
            ("device-service = 'x'\n", "1", "setting-unknown"),
            ("tpm-wait = 301\n", "1", "setting-invalid"),
            ("tpm-wait = 99999999999999999999\n", "1", "setting-invalid"),
            ("handle = 0x81800000\n", "1", "setting-invalid"),
            ("issuer-id = ['a']\n", "1", "setting-not-a-string"),
            ("tpm-wait = 1.5\n", "1", "setting-not-a-string"),
            ("hardware-id = ''\n", "1", "hardware-id-source-unknown"),
            ("tcti = 'tpm0'\n", "1", "tcti-invalid"),
            ("factory.export = 'usb'\n", "1", "export-target-invalid"),
            ("factory.evidence = 'yes'\n", "1", "setting-invalid"),
            ("tpm-wait = 1\nb = \n", "2", "settings-file-syntax"),
        ] {
            check(load(file, &json!({}), None), code, line);
        }
        let large = "#\n".repeat(40_000);
        check(load(&large, &json!({}), None), "settings-file-unreadable", "");
    }

    #[test]
    fn an_error_in_an_option_has_its_code_and_name() {
        for (options, option, code) in [
            (
                json!({"algoritm": "x"}),
                "hardware-identity.algoritm",
                "setting-unknown",
            ),
            (
                json!({"device-service": {"access": "online"}}),
                "hardware-identity.device-service.access",
                "setting-invalid",
            ),
            (
                json!({"tpm-wait": 1.5}),
                "hardware-identity.tpm-wait",
                "setting-not-a-string",
            ),
            (
                json!({"issuer-id": true}),
                "hardware-identity.issuer-id",
                "setting-not-a-string",
            ),
            (json!("x"), "hardware-identity", "setting-unknown"),
        ] {
            check(load("", &options, None), code, option);
        }
        check(load("", &json!({}), Some("tpm0")), "tcti-invalid", "TCTI");
    }
}
