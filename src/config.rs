//! The gadget's settings: `$SNAP/hardware-identity.toml`, then the snap's configuration over it.
//!
//! Every setting is described in docs/settings.md.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;
use toml::de::{DeTable, DeValue};

use crate::algorithm::Algorithm;
use crate::hardware_id::HardwareIdSource;
use crate::public_key::DigestForm;
use crate::tpm::{PersistentHandle, Tcti};

/// The settings file in the gadget snap.
pub const FILE: &str = "hardware-identity.toml";
/// The name under which the snap's configuration holds settings.
pub const OPTION: &str = "hardware-identity";

/// The names of all settings, as in the file; `headers` is followed by the name of an HTTP header.
const NAMES: [&str; 13] = [
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
];
const HEADERS: &str = "device-service.headers.";

/// Far above any settings file.
const LARGEST: u64 = 64 * 1024;
const DEFAULT_WAIT: Duration = Duration::from_secs(60);
/// A hook has ten minutes in all; half of them for waiting leaves the rest for a slow TPM.
const LONGEST_WAIT: u64 = 300;

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

/// All settings, with their defaults.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Algorithm of a new identity.
    pub algorithm: Algorithm,
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
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            algorithm: Algorithm::default(),
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
        }
    }
}

impl Settings {
    /// Reads the file in `snap` (a gadget without one has the defaults), then `options`, the snap's
    /// configuration below
    /// `hardware-identity`, then `tcti`, the environment's variable TCTI.
    ///
    /// # Errors
    /// [`ConfigError`], which names the line, the option or the variable.
    pub fn load(
        snap: Option<&Path>,
        options: Option<&Value>,
        tcti: Option<&str>,
    ) -> Result<Settings, ConfigError> {
        let mut settings = Settings::default();
        if let Some(snap) = snap {
            settings.read_file(&snap.join(FILE))?;
        }
        if let Some(options) = options {
            settings.read_options(OPTION, options)?;
        }
        if let Some(tcti) = tcti {
            settings.tcti = tcti.parse().map_err(ConfigError::Variable)?;
        }
        Ok(settings)
    }

    fn read_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let unreadable = |reason| ConfigError::Unreadable {
            path: path.to_owned(),
            reason,
        };
        let text = match File::open(path).and_then(read_limited) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(unreadable(error)),
        };
        let table = DeTable::parse(&text).map_err(|error| Misplaced {
            offset: error.span().map_or(0, |span| span.start),
            problem: error.message().to_owned(),
        });
        table
            .and_then(|table| self.set_table("", table.get_ref()))
            .map_err(|Misplaced { offset, problem }| ConfigError::Line {
                path: path.to_owned(),
                line: text.bytes().take(offset).filter(|&byte| byte == b'\n').count() + 1,
                problem,
            })
    }

    fn set_table(&mut self, prefix: &str, table: &DeTable<'_>) -> Result<(), Misplaced> {
        for (key, value) in table {
            let name = format!("{prefix}{}", key.get_ref());
            let misplaced = |problem| Misplaced {
                offset: key.span().start,
                problem,
            };
            let outcome = match value.get_ref() {
                DeValue::Table(inner) => {
                    self.set_table(&format!("{name}."), inner)?;
                    continue;
                }
                DeValue::String(text) => self.set(&name, text),
                DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                    .map_err(|error| error.to_string())
                    .and_then(|number| self.set(&name, &number.to_string())),
                other => Err(format!(
                    "expected a text in quotes, not this kind of value: {}",
                    other.type_str()
                )),
            };
            outcome.map_err(|problem| misplaced(format!("`{name}`: {problem}")))?;
        }
        Ok(())
    }

    fn read_options(&mut self, option: &str, value: &Value) -> Result<(), ConfigError> {
        let name = option
            .strip_prefix(OPTION)
            .unwrap_or(option)
            .trim_start_matches('.');
        let outcome = match value {
            Value::Null => Ok(()),
            Value::Object(inner) => {
                for (key, value) in inner {
                    self.read_options(&format!("{option}.{key}"), value)?;
                }
                Ok(())
            }
            Value::String(text) => self.set(name, text),
            // `snap set` makes a number of whatever looks like one.
            Value::Number(number) if !number.is_f64() => self.set(name, &number.to_string()),
            other => Err(format!("expected a text (`snap set -s`), found {other}")),
        };
        outcome.map_err(|problem| ConfigError::Option {
            option: option.to_owned(),
            problem,
        })
    }

    /// Sets one setting from its text.
    fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        match name {
            "algorithm" => {
                self.algorithm = choice(
                    text,
                    &Algorithm::ALL.map(|algorithm| (algorithm.name(), algorithm)),
                )?;
            }
            "handle" => self.handle = handle(text)?,
            "digest-form" => {
                self.digest_form = choice(text, &[("text", DigestForm::Text), ("der", DigestForm::Der)])?;
            }
            "tcti" => self.tcti = text.parse()?,
            "tpm-wait" => self.tpm_wait = wait(text)?,
            "issuer-id" => self.issuer_id = Some(text.to_owned()),
            "manufacturer" => self.manufacturer = Some(text.to_owned()),
            "hardware-name" => self.hardware_name = Some(text.to_owned()),
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

/// What is wrong in a settings file, and how many bytes into it.
struct Misplaced {
    offset: usize,
    problem: String,
}

fn read_limited(file: File) -> io::Result<String> {
    let mut text = String::new();
    file.take(LARGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::Error::other(format!("it is larger than {LARGEST} bytes")));
    }
    Ok(text)
}

/// What is quoted in an error: snapd keeps 10 KiB of what a hook prints, from the end.
fn shortened(text: &str) -> String {
    const LONGEST: usize = 100;
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, String> {
    let chosen = choices.iter().find(|(name, _)| *name == text);
    chosen.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        format!(
            "`{}` is not allowed; allowed: {}",
            shortened(text),
            names.join(", ")
        )
    })
}

fn handle(text: &str) -> Result<PersistentHandle, String> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let number = match digits {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    number.ok().and_then(PersistentHandle::new).ok_or_else(|| {
        format!(
            "`{}` is no persistent handle; allowed: 0x{:08X} to 0x{:08X}",
            shortened(text),
            PersistentHandle::RANGE.start(),
            PersistentHandle::RANGE.end()
        )
    })
}

fn wait(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if seconds <= LONGEST_WAIT => Ok(Duration::from_secs(seconds)),
        _ => Err(format!(
            "`{}` is not allowed; allowed: seconds, 0 to {LONGEST_WAIT}",
            shortened(text)
        )),
    }
}

fn url(text: &str) -> Result<String, String> {
    if text.starts_with("https://") || text.starts_with("http://") {
        return Ok(text.to_owned());
    }
    Err(format!(
        "`{}` is not allowed; allowed: an address that begins with https:// or http://",
        shortened(text)
    ))
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
        assert_eq!(settings.algorithm, Algorithm::Rsa2048);
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
        assert_eq!(settings.algorithm, Algorithm::EcdsaP384);
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
