//! The directory of a batch: its secret key, and what its devices are checked against. A later `sign`
//! checks them against the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use der::pem::{self, LineEnding};
use files::FileError;
use jiff::Timestamp;
use miette::Diagnostic;
use residency::{BatchKey, EkList, EkListError, EkTime, Station, TrustError, TrustedRoots};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use super::challenge::{EkTimeChoice, TrustArguments};

/// The files of a batch. The last one is written last, so a directory with it is complete.
const KEY: &str = "key";
const ROOTS: &str = "roots.pem";
const LIST: &str = "ek-list.csv";
const SETTINGS: &str = "batch.json";
/// The ledger of a batch that is signed without another one.
const LEDGER: &str = "ledger.jsonl";
const TYPE: &str = "hardware-identity-batch";
const VERSION: u32 = 1;
/// Size limits in bytes: a root, all roots of a batch, and the list of a million devices.
const LARGEST_ROOT: u64 = 1 << 20;
const LARGEST_ROOTS: u64 = 16 << 20;
const LARGEST_LIST: u64 = 128 << 20;
const LARGEST_SETTINGS: u64 = 64 << 10;

/// Why a batch cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum BatchError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    #[error("{} cannot be used: {reason}", path.display())]
    #[diagnostic(forward(reason))]
    Root { path: PathBuf, reason: TrustError },
    #[error("there are no certificates in {}", .0.display())]
    #[diagnostic(
        code("ek-roots-missing"),
        help("Put the certificates of the makers of your TPMs there, in PEM or DER")
    )]
    NoRoots(PathBuf),
    #[error("{} cannot be used: {reason}", path.display())]
    #[diagnostic(forward(reason))]
    List { path: PathBuf, reason: EkListError },
    #[error("the batch has neither roots of the makers of TPMs nor a list of endorsement keys")]
    #[diagnostic(code("ek-trust-missing"), help("Start a batch with --ek-roots or --ek-list"))]
    NoTrust,
    #[error("the batch {} was started with other values of {flag}", path.display())]
    #[diagnostic(
        code("batch-settings-differ"),
        help("Start a batch in another directory, or leave out --ek-roots, --ek-list and --ek-time")
    )]
    Differs { path: PathBuf, flag: &'static str },
    #[error("{} is not a batch: {reason}", path.display())]
    #[diagnostic(
        code("batch-damaged"),
        help(
            "Name the directory that `hardware-identity challenge --batch` made, or put it back from a copy"
        )
    )]
    Damaged { path: PathBuf, reason: String },
    #[error("the system returned no random numbers")]
    #[diagnostic(
        code("no-random-numbers"),
        help("Check the random number generator of the kernel")
    )]
    Random,
}

/// The settings of a batch.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct BatchSettings {
    #[serde(rename = "type")]
    file_type: String,
    version: u32,
    /// The public name of the batch, which challenges have too.
    id: String,
    /// RFC 3339.
    created: String,
    ek_time: EkTimeChoice,
    /// SHA-256 of the files.
    #[serde(skip_serializing_if = "Option::is_none")]
    roots_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ek_list_sha256: Option<String>,
}

/// A batch that exists.
#[derive(Debug)]
pub(crate) struct ProofBatch {
    pub(crate) station: Station,
    pub(crate) id: String,
}

/// What a batch trusts, as in its files.
#[derive(Default)]
struct BatchTrust {
    roots: Option<String>,
    list: Option<Vec<u8>>,
}

impl ProofBatch {
    /// Opens the batch in a directory.
    pub(super) fn open(directory: &Path) -> Result<Self, BatchError> {
        let settings = BatchSettings::read(directory)?;
        let trust = BatchTrust {
            roots: settings
                .roots_sha256
                .as_ref()
                .map(|_| files::read_text(&directory.join(ROOTS), LARGEST_ROOTS))
                .transpose()?,
            list: settings
                .ek_list_sha256
                .as_ref()
                .map(|_| files::read(&directory.join(LIST), LARGEST_LIST))
                .transpose()?,
        };
        settings.check(directory, &trust)?;
        let key = files::read_private(&directory.join(KEY), 256, false)?;
        let key = hex::decode(key.trim_ascii()).ok().map(Zeroizing::new);
        let key = key.and_then(|key| BatchKey::from_bytes(&key));
        let key = key
            .filter(|key| key.id() == settings.id)
            .ok_or_else(|| damaged(directory, "the key is not that of its settings"))?;
        ProofBatch::new(directory, key, &trust, settings.ek_time)
    }

    /// The public name of the batch in a directory, which needs no key.
    pub(crate) fn id_in(directory: &Path) -> Result<String, BatchError> {
        Ok(BatchSettings::read(directory)?.id)
    }

    /// Opens the batch, or makes it if the directory has none.
    pub(crate) fn open_or_create(directory: &Path, arguments: &TrustArguments) -> Result<Self, BatchError> {
        let given = BatchTrust::read(arguments)?;
        if directory.join(SETTINGS).exists() {
            let settings = BatchSettings::read(directory)?;
            settings.refuse_others(directory, &given, arguments.ek_time)?;
            return ProofBatch::open(directory);
        }
        if given.roots.is_none() && given.list.is_none() {
            return Err(BatchError::NoTrust);
        }
        let key = BatchKey::generate().map_err(|_| BatchError::Random)?;
        let ek_time = arguments.ek_time.unwrap_or(EkTimeChoice::Now);
        // Nothing is stored of a batch that cannot be used.
        let batch = ProofBatch::new(directory, key.clone(), &given, ek_time)?;
        write(directory, &key, &given, ek_time)?;
        Ok(batch)
    }

    fn new(
        directory: &Path,
        key: BatchKey,
        trust: &BatchTrust,
        ek_time: EkTimeChoice,
    ) -> Result<Self, BatchError> {
        let roots = trust.roots.as_ref().map(|roots| {
            TrustedRoots::read_file(roots.as_bytes())
                .and_then(|roots| TrustedRoots::new(&roots))
                .map_err(|reason| BatchError::Root {
                    path: directory.join(ROOTS),
                    reason,
                })
        });
        let list = trust.list.as_ref().map(|list| {
            EkList::read(list).map_err(|reason| BatchError::List {
                path: directory.join(LIST),
                reason,
            })
        });
        let id = key.id();
        let station = Station::new(key, roots.transpose()?, list.transpose()?, ek_time.time());
        Ok(ProofBatch { station, id })
    }
}

/// The ledger of a batch that is signed without another one.
pub(crate) fn ledger_in(directory: &Path) -> PathBuf {
    directory.join(LEDGER)
}

fn write(
    directory: &Path,
    key: &BatchKey,
    trust: &BatchTrust,
    ek_time: EkTimeChoice,
) -> Result<(), BatchError> {
    fs::create_dir_all(directory).map_err(|reason| FileError::Unwritable {
        path: directory.to_owned(),
        reason,
    })?;
    let digits = 2 * key.as_bytes().len();
    let mut line = Zeroizing::new(vec![b'\n'; digits + 1]);
    hex::encode_to_slice(key.as_bytes(), &mut line[..digits])
        .map_err(|error| damaged(directory, &error.to_string()))?;
    files::write(&directory.join(KEY), &line, 0o600)?;
    if let Some(roots) = &trust.roots {
        files::write(&directory.join(ROOTS), roots.as_bytes(), 0o644)?;
    }
    if let Some(list) = &trust.list {
        files::write(&directory.join(LIST), list, 0o644)?;
    }
    let settings = BatchSettings {
        file_type: TYPE.to_owned(),
        version: VERSION,
        id: key.id(),
        created: Timestamp::now().to_string(),
        ek_time,
        roots_sha256: trust.roots_sha256(),
        ek_list_sha256: trust.list_sha256(),
    };
    let json =
        serde_json::to_string_pretty(&settings).map_err(|error| damaged(directory, &error.to_string()))?;
    Ok(files::write(&directory.join(SETTINGS), json.as_bytes(), 0o644)?)
}

impl BatchSettings {
    fn read(directory: &Path) -> Result<Self, BatchError> {
        let path = directory.join(SETTINGS);
        let json = files::read(&path, LARGEST_SETTINGS)?;
        let settings: BatchSettings =
            serde_json::from_slice(&json).map_err(|error| damaged(&path, &error.to_string()))?;
        match settings.file_type == TYPE && settings.version == VERSION {
            true => Ok(settings),
            false => Err(damaged(&path, "another type or version")),
        }
    }

    /// Checks that the files of the batch are complete and unchanged.
    fn check(&self, directory: &Path, trust: &BatchTrust) -> Result<(), BatchError> {
        match (&self.roots_sha256, &self.ek_list_sha256) == (&trust.roots_sha256(), &trust.list_sha256()) {
            true => Ok(()),
            false => Err(damaged(directory, "its roots or its list were changed")),
        }
    }

    /// Refuses other values than those the batch was started with; none are needed again.
    fn refuse_others(
        &self,
        directory: &Path,
        given: &BatchTrust,
        ek_time: Option<EkTimeChoice>,
    ) -> Result<(), BatchError> {
        let flag = if given.roots.is_some() && given.roots_sha256() != self.roots_sha256 {
            "--ek-roots"
        } else if given.list.is_some() && given.list_sha256() != self.ek_list_sha256 {
            "--ek-list"
        } else if ek_time.is_some_and(|time| time != self.ek_time) {
            "--ek-time"
        } else {
            return Ok(());
        };
        let path = directory.to_owned();
        Err(BatchError::Differs { path, flag })
    }
}

impl BatchTrust {
    fn read(arguments: &TrustArguments) -> Result<Self, BatchError> {
        Ok(BatchTrust {
            roots: match arguments.ek_roots.as_slice() {
                [] => None,
                paths => Some(read_roots(paths)?),
            },
            list: match &arguments.ek_list {
                None => None,
                Some(path) => Some(files::read(path, LARGEST_LIST)?),
            },
        })
    }

    fn roots_sha256(&self) -> Option<String> {
        self.roots.as_ref().map(|roots| sha256(roots.as_bytes()))
    }

    fn list_sha256(&self) -> Option<String> {
        self.list.as_ref().map(|list| sha256(list))
    }
}

/// The certificates in these files and in the files in these directories, as PEM.
fn read_roots(paths: &[PathBuf]) -> Result<String, BatchError> {
    let mut text = String::new();
    for path in paths {
        let mut certificates = Vec::new();
        for file in files_at(path)? {
            let content = files::read(&file, LARGEST_ROOT)?;
            let read = TrustedRoots::read_file(&content);
            certificates.extend(read.map_err(|reason| BatchError::Root { path: file, reason })?);
        }
        if certificates.is_empty() {
            return Err(BatchError::NoRoots(path.clone()));
        }
        for der in certificates {
            let pem = pem::encode_string("CERTIFICATE", LineEnding::LF, &der);
            text.push_str(&pem.map_err(|error| damaged(path, &error.to_string()))?);
        }
    }
    Ok(text)
}

/// The file, or the regular files in the directory in the order of their names, without hidden ones.
fn files_at(path: &Path) -> Result<Vec<PathBuf>, BatchError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable = |reason| FileError::Unreadable {
        path: path.to_owned(),
        reason,
    };
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if !is_hidden && entry.path().is_file() {
            found.push(entry.path());
        }
    }
    found.sort();
    Ok(found)
}

impl EkTimeChoice {
    fn time(self) -> EkTime {
        match self {
            EkTimeChoice::Now => EkTime::Now,
            EkTimeChoice::Issued => EkTime::Issued,
            EkTimeChoice::At(time) => {
                let since_1970 = u64::try_from(time.as_second()).unwrap_or(0);
                EkTime::At(Duration::from_secs(since_1970))
            }
        }
    }
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn damaged(path: &Path, reason: &str) -> BatchError {
    BatchError::Damaged {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}
