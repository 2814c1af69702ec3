//! The models whose devices get serials, with what is needed to provide them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use snap_assertions::{LocalSigner, Signer as _};

use crate::explain::Explain as _;
use crate::secret::{Secret, read_private};
use crate::settings::{ModelSettings, Provisioning, Settings};
use crate::trust::{AccountKeys, LastVerified};

/// What devices of a model show, and what issuers' word counts.
pub(crate) enum Proving {
    /// A signature under a hardware identity of one of these issuers.
    HardwareIdentity(Vec<String>),
    /// A shared secret.
    ApiKey(Secret),
}

/// A model known to this service.
pub(crate) struct KnownModel {
    pub(crate) brand: String,
    pub(crate) name: String,
    pub(crate) proving: Proving,
    pub(crate) signer: Arc<LocalSigner>,
    /// The account that the signer's key belongs to.
    pub(crate) authority: String,
    /// The model assertion that came last: all devices of an image send the same one.
    pub(crate) last: LastVerified,
}

impl KnownModel {
    pub(crate) fn provisioning(&self) -> Provisioning {
        match self.proving {
            Proving::HardwareIdentity(_) => Provisioning::HardwareIdentity,
            Proving::ApiKey(_) => Provisioning::ApiKey,
        }
    }
}

/// All of them.
pub(crate) struct Models(Vec<KnownModel>);

impl Models {
    /// Reads the keys and secrets that the settings name.
    pub(crate) fn read(settings: &Settings, account_keys: &AccountKeys) -> anyhow::Result<Self> {
        let mut signers: HashMap<&Path, Arc<LocalSigner>> = HashMap::new();
        let mut models = Vec::new();
        for model in &settings.models {
            let file = model.serial_key.as_path();
            let signer = match signers.get(file) {
                Some(signer) => Arc::clone(signer),
                None => Arc::new(read_signer(file)?),
            };
            signers.insert(file, Arc::clone(&signer));
            models.push(known_model(model, signer, account_keys)?);
        }
        Ok(Self(models))
    }

    pub(crate) fn find(&self, brand: &str, name: &str) -> Option<&KnownModel> {
        self.0
            .iter()
            .find(|model| model.brand == brand && model.name == name)
    }
}

fn read_signer(file: &Path) -> anyhow::Result<LocalSigner> {
    let pem = read_private(file)?;
    LocalSigner::from_pem(&pem).explain(
        format_args!("{} cannot sign serials", file.display()),
        "Check `serial-key` in the settings",
    )
}

fn known_model(
    model: &ModelSettings,
    signer: Arc<LocalSigner>,
    account_keys: &AccountKeys,
) -> anyhow::Result<KnownModel> {
    let key = signer.public_key().id();
    let account_key = account_keys.get(key).with_context(|| {
        format!(
            "{} holds the key {key}, for which there is no account-key. Name the file with it in `account-keys`",
            model.serial_key.display()
        )
    })?;
    ensure!(
        account_key.is_valid_at(jiff::Timestamp::now()),
        "the account-key of {} is not valid now, so that no device would take a serial signed with it. Use a valid key",
        model.serial_key.display()
    );
    Ok(KnownModel {
        brand: model.brand_id.clone(),
        name: model.model.clone(),
        proving: match &model.api_key_file {
            Some(file) => Proving::ApiKey(Secret::read(file)?),
            None => Proving::HardwareIdentity(
                model
                    .issuers
                    .clone()
                    .unwrap_or_else(|| vec![model.brand_id.clone()]),
            ),
        },
        authority: account_key.account_id().to_owned(),
        last: LastVerified::default(),
        signer,
    })
}
