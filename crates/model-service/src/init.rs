//! `model-service init`: all that a bench needs, made in a folder that has nothing in it.

use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::ensure;
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use clap::Args;
use der::SecretDocument;
use der::pem::LineEnding;
use jiff::Timestamp;
use serde_json::{Value, json};
use snap_assertions::{Assertion, LocalSigner, SignOptions, Signer as _, Statement};

use crate::explain::Explain as _;
use crate::secret::random_token;

/// Makes all that a bench needs: keys, accounts, account-keys, two models, secrets and settings
#[derive(Args, Debug)]
pub struct InitArguments {
    /// Account id of the brand
    #[arg(long, value_name = "ID", default_value = "example-brand")]
    brand_id: String,
    /// Account id of the issuer of hardware identities
    #[arg(long, value_name = "ID", default_value = "example-issuer")]
    issuer_id: String,
    /// Name of the model; a second one, provisioned by API key, has -api-key at its end
    #[arg(long, value_name = "NAME", default_value = "example-box")]
    model: String,
    /// Folder to make; it may exist if it is empty
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

/// Fills the folder, whole or not at all, and says what to do with it.
pub(crate) fn run(arguments: &InitArguments) -> anyhow::Result<()> {
    let folder = arguments.folder.as_path();
    let name = folder.display();
    let next = "Name a folder that does not exist yet, in one that you may write";
    let taken = fs::read_dir(folder).map_or(folder.exists(), |mut entries| entries.next().is_some());
    ensure!(
        !taken,
        "{name} is there and is not an empty folder, and nothing is overwritten. {next}"
    );
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    let new = tempfile::Builder::new()
        .prefix(".model-service-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(parent.unwrap_or(Path::new(".")))
        .explain(format_args!("{name} cannot be made"), next)?;
    Bench {
        folder: new.path(),
        arguments,
        now: Timestamp::from_second(Timestamp::now().as_second())?.to_string(),
    }
    .fill()?;
    fs::rename(new.path(), folder).explain(format_args!("{name} cannot be made"), next)?;
    // It was renamed, so there is nothing to remove.
    let _ = new.keep();
    println!("{name} is ready: model-service serve --config {name}/{SETTINGS}");
    Ok(())
}

const SETTINGS: &str = "model-service.toml";

struct Bench<'a> {
    folder: &'a Path,
    arguments: &'a InitArguments,
    /// RFC 3339.
    now: String,
}

impl Bench<'_> {
    fn fill(&self) -> anyhow::Result<()> {
        for folder in ["keys", "assertions", "secrets"] {
            DirBuilder::new()
                .mode(0o700)
                .create(self.folder.join(folder))
                .explain(format_args!("the folder {folder} cannot be made"), MAKE_ROOM)?;
        }
        let InitArguments {
            brand_id,
            issuer_id,
            model,
            ..
        } = self.arguments;
        let (brand, issuer, serial) = (self.key("brand")?, self.key("issuer")?, self.key("serial")?);
        self.account("brand", brand_id, &brand)?;
        self.account("issuer", issuer_id, &issuer)?;
        self.account_key("brand", brand_id, &brand, &brand)?;
        self.account_key("issuer", issuer_id, &issuer, &issuer)?;
        self.account_key("serial", brand_id, &serial, &brand)?;
        self.model(model, &brand)?;
        self.model(&format!("{model}-api-key"), &brand)?;
        for secret in ["import-token", "page-password", "api-key"] {
            self.write(&format!("secrets/{secret}"), &format!("{}\n", random_token()?))?;
        }
        self.write(SETTINGS, &self.settings())
    }

    fn key(&self, name: &str) -> anyhow::Result<LocalSigner> {
        let failed = format!("the key {name} cannot be made");
        let pair = KeyPair::generate(KeySize::Rsa4096).explain(&failed, "Try again")?;
        let der: Pkcs8V1Der<'_> = pair.as_der().explain(&failed, "Try again")?;
        let pem = SecretDocument::try_from(der.as_ref())
            .and_then(|document| document.to_pem("PRIVATE KEY", LineEnding::LF))
            .explain(&failed, "Try again")?;
        self.write(&format!("keys/{name}.pem"), &pem)?;
        Ok(LocalSigner::from_der(der.as_ref())?)
    }

    fn account(&self, name: &str, id: &str, key: &LocalSigner) -> anyhow::Result<()> {
        let headers = json!({
            "type": "account", "authority-id": id, "account-id": id, "display-name": id,
            "validation": "unproven", "timestamp": self.now,
        });
        self.sign(&format!("{name}.account"), headers, key)
    }

    /// The word of `authority`, which for the store's own root on a bench is the account itself.
    fn account_key(
        &self,
        name: &str,
        account: &str,
        key: &LocalSigner,
        authority: &LocalSigner,
    ) -> anyhow::Result<()> {
        let public = key.public_key();
        let headers = json!({
            "type": "account-key", "authority-id": account, "account-id": account, "name": name,
            "public-key-sha3-384": public.id(), "since": self.now, "body": public.encode(),
        });
        self.sign(&format!("{name}.account-key"), headers, authority)
    }

    fn model(&self, name: &str, brand: &LocalSigner) -> anyhow::Result<()> {
        let brand_id = &self.arguments.brand_id;
        let headers = json!({
            "type": "model", "authority-id": brand_id, "brand-id": brand_id, "series": "16", "model": name,
            "architecture": "amd64", "base": "core24", "grade": "dangerous", "timestamp": self.now,
            "snaps": [
                { "name": "example-gadget", "type": "gadget", "default-channel": "latest/stable" },
                { "name": "pc-kernel", "type": "kernel", "default-channel": "24/stable" },
            ],
        });
        self.sign(&format!("{name}.model"), headers, brand)
    }

    fn sign(&self, file: &str, statement: Value, key: &LocalSigner) -> anyhow::Result<()> {
        let statement: Statement = serde_json::from_value(statement)?;
        let signed: Assertion = statement.sign(key, &SignOptions::now()).explain(
            format_args!("{file} cannot be signed"),
            "Correct the ids and names that were given",
        )?;
        self.write(&format!("assertions/{file}"), &signed.to_string())
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let written = options
            .open(self.folder.join(name))
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
        written.explain(format_args!("{name} cannot be written"), MAKE_ROOM)
    }

    /// The ids are what assertions may hold, so that nothing in them has to be quoted.
    fn settings(&self) -> String {
        let InitArguments {
            brand_id,
            issuer_id,
            model,
            ..
        } = self.arguments;
        format!(
            r#"# Settings of the model service. docs/model-service.md has all of them. Paths start at this file's folder.
listen = "127.0.0.1:8650"
database = "model-service.sqlite"
account-keys = ["assertions/brand.account-key", "assertions/issuer.account-key", "assertions/serial.account-key"]
import-token-file = "secrets/import-token"
page-password-file = "secrets/page-password"

[[model]]
brand-id = "{brand_id}"
model = "{model}"
provisioning = "hardware-identity"
issuers = ["{issuer_id}"]
serial-key = "keys/serial.pem"

[[model]]
brand-id = "{brand_id}"
model = "{model}-api-key"
provisioning = "api-key"
api-key-file = "secrets/api-key"
serial-key = "keys/serial.pem"
"#
        )
    }
}

const MAKE_ROOM: &str = "Make room on its disk";
