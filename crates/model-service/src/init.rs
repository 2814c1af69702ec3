//! `model-service init`: everything that a bench needs, in a new directory.

use std::fs::{self, DirBuilder, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use clap::Args;
use der::SecretDocument;
use der::pem::LineEnding;
use failure::Diagnostic;
use files::FileError;
use jiff::Timestamp;
use serde_json::{Value, json};
use snap_assertions::{LocalSigner, SignOptions, Signer as _, Statement};
use thiserror::Error;

use crate::secret::{RandomError, random_token};
use crate::settings::{Settings, SettingsError};
use crate::store::{Store, StoreError};

/// The permission bits of all files: they are for their owner alone.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;
const SETTINGS: &str = "model-service.toml";

/// Why `init` cannot make the directory. Nothing of it is left.
#[derive(Debug, Error, Diagnostic)]
pub enum InitError {
    /// Something else is at the path.
    #[error("{} exists and is not an empty directory", path.display())]
    #[diagnostic(
        code("directory-not-empty"),
        help("Name a directory that does not exist; nothing is overwritten")
    )]
    NotEmpty {
        /// The path.
        path: PathBuf,
    },
    /// The system refuses a directory.
    #[error("cannot create the directory {}: {reason}", path.display())]
    #[diagnostic(
        code("directory-not-created"),
        help("Name a directory that does not exist, in one that can be written")
    )]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// A file cannot be written.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    /// A key cannot be generated or encoded.
    #[error("cannot generate the key {name}")]
    #[diagnostic(code("key-not-generated"), help("Try again"))]
    Key {
        /// The name of the key.
        name: &'static str,
    },
    /// The headers of an assertion are not valid.
    #[error("cannot sign {file}: {reason}")]
    #[diagnostic(
        code("bench-name-invalid"),
        help("Correct --brand-id, --issuer-id or --model")
    )]
    Sign {
        /// The file of the assertion.
        file: String,
        /// The header that is wrong.
        reason: String,
    },
    /// The settings that were written cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Settings(#[from] SettingsError),
    /// The database cannot be created.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    /// The system has no random numbers.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Random(#[from] RandomError),
    /// The last line cannot be printed.
    #[error("cannot write to stdout: {0}")]
    #[diagnostic(
        code("stdout-unwritable"),
        help("Check where stdout leads and that it has room")
    )]
    Stdout(io::Error),
}

/// Makes everything that a bench needs: keys, accounts, account-keys, two models, secrets and
/// settings
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub struct InitArguments {
    /// Account id of the brand
    #[arg(long, value_name = "ID", default_value = "example-brand")]
    brand_id: String,
    /// Account id of the issuer of hardware identities
    #[arg(long, value_name = "ID", default_value = "example-issuer")]
    issuer_id: String,
    /// Name of the model; a second one, provisioned by API key, ends in -api-key
    #[arg(long, value_name = "NAME", default_value = "example-box")]
    model: String,
    /// URL of an empty PostgreSQL database, postgres://USER@HOST:PORT/NAME; SQLite by default
    #[arg(
        long,
        value_name = "URL",
        default_value = "model-service.sqlite",
        hide_default_value = true
    )]
    database: String,
    /// Directory to make; an empty one may exist
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  model-service init bench
  model-service init --brand-id my-brand --issuer-id my-issuer --model my-box bench
  model-service init --database postgres://me@db.example/fleet bench";

/// Makes the directory, complete or not at all, and prints the next command.
pub(crate) fn run(arguments: &InitArguments) -> Result<(), InitError> {
    let directory = arguments.directory.as_path();
    let failed = |reason| InitError::Directory {
        path: directory.to_owned(),
        reason,
    };
    let taken = fs::read_dir(directory).map_or(directory.exists(), |mut entries| entries.next().is_some());
    if taken {
        return Err(InitError::NotEmpty {
            path: directory.to_owned(),
        });
    }
    let parent = files::directory_of(directory);
    let new = tempfile::Builder::new()
        .prefix(".model-service-")
        .permissions(Permissions::from_mode(DIRECTORY_MODE))
        .tempdir_in(parent)
        .map_err(failed)?;
    let bench = Bench {
        directory: new.path(),
        arguments,
        now: Timestamp::from_second(Timestamp::now().as_second())
            .unwrap_or_default()
            .to_string(),
    };
    bench.fill()?;
    fs::rename(new.path(), directory).map_err(failed)?;
    // It was renamed, so there is nothing to remove.
    let _ = new.keep();
    files::sync_directory(parent).map_err(failed)?;
    let name = directory.display();
    let next = format!("{name} is ready: model-service serve --config {name}/{SETTINGS}");
    writeln!(io::stdout(), "{next}").map_err(InitError::Stdout)
}

struct Bench<'a> {
    directory: &'a Path,
    arguments: &'a InitArguments,
    /// The time of all assertions, in the format of RFC 3339.
    now: String,
}

impl Bench<'_> {
    fn fill(&self) -> Result<(), InitError> {
        for name in ["keys", "assertions", "secrets"] {
            let path = self.directory.join(name);
            DirBuilder::new()
                .mode(DIRECTORY_MODE)
                .create(&path)
                .map_err(|reason| InitError::Directory { path, reason })?;
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
        self.write(SETTINGS, &self.settings())?;
        let settings = Settings::read(&self.directory.join(SETTINGS))?;
        Store::create(&settings)?;
        Ok(())
    }

    fn key(&self, name: &'static str) -> Result<LocalSigner, InitError> {
        let failed = || InitError::Key { name };
        let der: Result<Pkcs8V1Der<'_>, Unspecified> =
            KeyPair::generate(KeySize::Rsa4096).and_then(|pair| pair.as_der());
        let der = der.map_err(|_| failed())?;
        let pem = SecretDocument::try_from(der.as_ref())
            .and_then(|document| document.to_pem("PRIVATE KEY", LineEnding::LF))
            .map_err(|_| failed())?;
        self.write(&format!("keys/{name}.pem"), &pem)?;
        LocalSigner::from_der(der.as_ref()).map_err(|_| failed())
    }

    fn account(&self, name: &str, id: &str, key: &LocalSigner) -> Result<(), InitError> {
        let headers = json!({
            "type": "account", "authority-id": id, "account-id": id, "display-name": id,
            "validation": "unproven", "timestamp": self.now,
        });
        self.sign(&format!("{name}.account"), headers, key)
    }

    /// An account-key for `key`, signed with `authority`. On a bench without a store the account
    /// signs its own account-keys.
    fn account_key(
        &self,
        name: &str,
        account: &str,
        key: &LocalSigner,
        authority: &LocalSigner,
    ) -> Result<(), InitError> {
        let public = key.public_key();
        let headers = json!({
            "type": "account-key", "authority-id": account, "account-id": account, "name": name,
            "public-key-sha3-384": public.id(), "since": self.now, "body": public.encode(),
        });
        self.sign(&format!("{name}.account-key"), headers, authority)
    }

    fn model(&self, name: &str, brand: &LocalSigner) -> Result<(), InitError> {
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

    fn sign(&self, file: &str, statement: Value, key: &LocalSigner) -> Result<(), InitError> {
        let failed = |reason| InitError::Sign {
            file: file.to_owned(),
            reason,
        };
        let statement: Statement =
            serde_json::from_value(statement).map_err(|error| failed(error.to_string()))?;
        let signed = statement
            .sign(key, &SignOptions::now())
            .map_err(|error| failed(error.to_string()))?;
        self.write(&format!("assertions/{file}"), &signed.to_string())
    }

    fn write(&self, name: &str, text: &str) -> Result<(), InitError> {
        Ok(files::write(
            &self.directory.join(name),
            text.as_bytes(),
            FILE_MODE,
        )?)
    }

    /// The ids were accepted in assertions, so that nothing in them needs quoting.
    fn settings(&self) -> String {
        let InitArguments {
            brand_id,
            issuer_id,
            model,
            database,
            ..
        } = self.arguments;
        format!(
            r#"# Settings of the model service. docs/model-service.md lists all settings. Paths are relative to the directory
# of this file.
listen = "127.0.0.1:8650"
database = {database:?}
account-keys = ["assertions/brand.account-key", "assertions/issuer.account-key", "assertions/serial.account-key"]
import-token-file = "secrets/import-token"
page-password-file = "secrets/page-password"

[[model]]
brand-id = "{brand_id}"
model = "{model}"
provisioning = "hardware-identity"
issuers = ["{issuer_id}"]
device-sessions = true
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
