//! The models whose devices get serials, with their keys and secrets.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use failure::Diagnostic;
use files::FileError;
use jiff::Timestamp;
use regex::Regex;
use snap_assertions::{LocalSigner, PrivateKeyError, Signer as _};
use thiserror::Error;

use crate::account_keys::{AccountKeys, LastVerified};
use crate::secret::{Secret, SecretError, read_private};
use crate::serial_keys::{RemoteSigner, SerialKeyError, SerialKeySource, SerialSigner, SigningLimits};
use crate::settings::{ModelSettings, Provisioning, SerialSource, Settings};

/// Concurrent registrations for each core: while some wait for the disk, others sign. With half as
/// many the cores are idle at times, which costs 8 % of the registrations; more make the slowest
/// devices wait longer (`cargo bench --bench load`).
const REGISTRATIONS_PER_CORE: usize = 16;

/// The number of registrations, and so of signatures, at a time.
pub(crate) fn concurrent_registrations() -> usize {
    REGISTRATIONS_PER_CORE * thread::available_parallelism().map_or(1, usize::from)
}

/// The limits of the keys that sign serials.
pub(crate) fn signing_limits(settings: &Settings) -> SigningLimits {
    SigningLimits {
        seconds: settings.limits.signature_seconds,
        concurrent: concurrent_registrations(),
    }
}

/// Why a model in the settings cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub enum ModelsError {
    /// A key file cannot be read, or others than its owner can use it.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    /// The API key cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Secret(#[from] SecretError),
    /// A key that is not in a PEM file cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    SerialKeySource(#[from] SerialKeyError),
    /// The file is not a private key that can sign serials.
    #[error("cannot sign serials with {}: {reason}", path.display())]
    #[diagnostic(code("serial-key-invalid"), help("Check `serial-key` in the settings"))]
    SerialKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with the key.
        reason: PrivateKeyError,
    },
    /// `serial-pattern` is not a regular expression.
    #[error("`serial-pattern` {pattern:?} is not a regular expression: {reason}")]
    #[diagnostic(
        code("serial-pattern-invalid"),
        help("Correct it; docs/model-service.md describes the syntax")
    )]
    SerialPattern {
        /// The setting.
        pattern: String,
        /// The problem, on one line.
        reason: String,
    },
    /// No file in `account-keys` has the account-key of the key.
    #[error("no account-key is known for the key {key} in {place}")]
    #[diagnostic(
        code("serial-key-without-account-key"),
        help("Add the file with its account-key to `account-keys` in the settings")
    )]
    NoAccountKey {
        /// Where the key is stored.
        place: String,
        /// The id of the key.
        key: String,
    },
    /// The account-key is not valid now, so no device would accept a serial signed with the key.
    #[error("the account-key of the key in {place} is not valid now")]
    #[diagnostic(
        code("account-key-expired"),
        help("Set `serial-key` in the settings of the model service to a key whose account-key is valid")
    )]
    AccountKeyExpired {
        /// Where the key is stored.
        place: String,
    },
}

/// How the devices of a model prove that they may have a serial.
pub(crate) enum Authentication {
    /// A signature with the key of a hardware identity, by one of the issuers and with one of the
    /// hardware names.
    HardwareIdentity {
        /// Account ids.
        issuers: Vec<String>,
        /// The names of the hardware that the model is for.
        hardware_names: Vec<String>,
    },
    /// A shared secret.
    ApiKey(Secret),
}

/// Which serial a device gets that has none.
pub(crate) enum SerialRule {
    /// The hardware id of its identity, and no other.
    HardwareId,
    /// The serial that it proposes.
    Proposed {
        /// What the proposal must match.
        pattern: Option<SerialPattern>,
    },
}

/// The pattern of the serials of a model.
pub(crate) struct SerialPattern {
    pattern: String,
    whole: Regex,
}

impl SerialPattern {
    fn read(pattern: &str) -> Result<Self, ModelsError> {
        let anchored = || Regex::new(&format!(r"\A(?:{pattern})\z"));
        // Alone first: `a)|(b` is valid only between the parentheses.
        let whole =
            Regex::new(pattern)
                .and_then(|_| anchored())
                .map_err(|error| ModelsError::SerialPattern {
                    pattern: pattern.to_owned(),
                    // The error has several lines, with the place marked; a log keeps one line.
                    reason: error.to_string().trim().replace('\n', " "),
                })?;
        Ok(Self {
            pattern: pattern.to_owned(),
            whole,
        })
    }

    /// Returns true if the pattern matches the whole serial.
    pub(crate) fn matches(&self, serial: &str) -> bool {
        self.whole.is_match(serial)
    }
}

impl fmt::Display for SerialPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pattern)
    }
}

/// A model in the settings.
pub(crate) struct KnownModel {
    pub(crate) brand: String,
    pub(crate) name: String,
    pub(crate) authentication: Authentication,
    pub(crate) serial_rule: SerialRule,
    pub(crate) signer: Arc<SerialSigner>,
    /// The account that the signer's key belongs to.
    pub(crate) authority: String,
    /// The model assertion that was verified last. All devices of an image send the same one.
    pub(crate) last_verified: LastVerified,
    /// Its devices get sessions.
    pub(crate) device_sessions: bool,
}

impl KnownModel {
    pub(crate) fn provisioning(&self) -> Provisioning {
        match self.authentication {
            Authentication::HardwareIdentity { .. } => Provisioning::HardwareIdentity,
            Authentication::ApiKey(_) => Provisioning::ApiKey,
        }
    }
}

/// The models in the settings.
pub(crate) struct Models {
    models: Vec<KnownModel>,
    /// The keys that sign serials, each once.
    signers: HashMap<SerialKeySource, Arc<SerialSigner>>,
}

impl Models {
    /// Reads the keys and secrets that the settings name. Keys outside this process that `former`
    /// has are not opened again.
    pub(crate) fn read(
        settings: &Settings,
        account_keys: &AccountKeys,
        former: Option<&Self>,
    ) -> Result<Self, ModelsError> {
        let mut known = Self {
            models: Vec::new(),
            signers: HashMap::new(),
        };
        let limits = signing_limits(settings);
        for model in &settings.models {
            let source = &model.serial_key;
            let signer = match known.signers.get(source) {
                Some(signer) => Arc::clone(signer),
                None => match former.and_then(|former| former.kept_signer(source)) {
                    Some(signer) => signer,
                    None => Arc::new(open_signer(source, limits)?),
                },
            };
            known.signers.insert(source.clone(), Arc::clone(&signer));
            known.models.push(known_model(model, signer, account_keys)?);
        }
        Ok(known)
    }

    /// A key that need not be opened again: a file may have another content now.
    fn kept_signer(&self, source: &SerialKeySource) -> Option<Arc<SerialSigner>> {
        let signer = self.signers.get(source)?;
        let kept = matches!(**signer, SerialSigner::Remote(_)) && !signer.is_lost_for_good();
        kept.then(|| Arc::clone(signer))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &KnownModel> {
        self.models.iter()
    }

    pub(crate) fn find(&self, brand: &str, name: &str) -> Option<&KnownModel> {
        self.models
            .iter()
            .find(|model| model.brand == brand && model.name == name)
    }

    /// The number of models.
    pub(crate) fn count(&self) -> usize {
        self.models.len()
    }

    /// Checks that all keys can sign; blocks the calling thread, at most for the time limit of a
    /// signature by each of them.
    pub(crate) fn check_signers(&self) -> Result<(), SerialKeyError> {
        self.signers.values().try_for_each(|signer| signer.check())
    }
}

/// Opens a key that signs serials.
pub(crate) fn open_signer(
    source: &SerialKeySource,
    limits: SigningLimits,
) -> Result<SerialSigner, ModelsError> {
    Ok(match source {
        SerialKeySource::Pem(path) => SerialSigner::Local(read_signer(path)?),
        SerialKeySource::Remote(source) => SerialSigner::Remote(RemoteSigner::open(source, limits)?),
    })
}

fn read_signer(path: &Path) -> Result<LocalSigner, ModelsError> {
    let content = read_private(path)?;
    let pem = std::str::from_utf8(&content).map_err(|_| FileError::NotUtf8 {
        path: path.to_owned(),
    })?;
    LocalSigner::from_pem(pem).map_err(|reason| ModelsError::SerialKey {
        path: path.to_owned(),
        reason,
    })
}

/// Checks the settings of a model and reads its secrets.
pub(crate) fn known_model(
    model: &ModelSettings,
    signer: Arc<SerialSigner>,
    account_keys: &AccountKeys,
) -> Result<KnownModel, ModelsError> {
    let key = signer.public_key().id();
    let account_key = account_keys.get(key).ok_or_else(|| ModelsError::NoAccountKey {
        place: model.serial_key.to_string(),
        key: key.to_owned(),
    })?;
    if !account_key.is_valid_at(Timestamp::now()) {
        return Err(ModelsError::AccountKeyExpired {
            place: model.serial_key.to_string(),
        });
    }
    let brand = || vec![model.brand_id.clone()];
    let name = || vec![model.model.clone()];
    Ok(KnownModel {
        brand: model.brand_id.clone(),
        name: model.model.clone(),
        authentication: match &model.api_key_file {
            Some(path) => Authentication::ApiKey(Secret::read(path)?),
            None => Authentication::HardwareIdentity {
                issuers: model.issuers.clone().unwrap_or_else(brand),
                hardware_names: model.hardware_names.clone().unwrap_or_else(name),
            },
        },
        serial_rule: match model.serial_source() {
            SerialSource::HardwareId => SerialRule::HardwareId,
            SerialSource::Proposed => SerialRule::Proposed {
                pattern: model
                    .serial_pattern
                    .as_deref()
                    .map(SerialPattern::read)
                    .transpose()?,
            },
        },
        authority: account_key.account_id().to_owned(),
        last_verified: LastVerified::default(),
        device_sessions: model.device_sessions,
        signer,
    })
}
