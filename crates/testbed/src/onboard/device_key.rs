//! The device key: generated once and stored with the device.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context, Result};
use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use der::SecretDocument;
use der::pem::LineEnding;
use snap_assertions::LocalSigner;

/// The file name of the key in the directory of the device: PKCS#8 in PEM.
pub(crate) const FILE: &str = "device-key.pem";

/// The device key, and its origin for the log.
pub(crate) fn ensure(directory: &Path) -> Result<(LocalSigner, &'static str)> {
    let file = directory.join(FILE);
    if file.exists() {
        let pem = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let key = LocalSigner::from_pem(&pem);
        let key =
            key.with_context(|| format!("{} is damaged; delete it to get a new key", file.display()))?;
        return Ok((key, "the device already has its key"));
    }
    let (key, pem) = generate()?;
    let mut options = OpenOptions::new();
    let opened = options.write(true).create_new(true).mode(0o600).open(&file);
    opened
        .and_then(|mut file| file.write_all(pem.as_bytes()))
        .with_context(|| format!("cannot write {}; check its directory", file.display()))?;
    Ok((key, "generated an RSA-4096 key"))
}

/// A new key of the size that snapd uses (keyLength in handlers_serial.go), and its PEM encoding.
pub(super) fn generate() -> Result<(LocalSigner, String)> {
    const FAILED: &str = "cannot generate an RSA key; try again";
    let pair = KeyPair::generate(KeySize::Rsa4096).context(FAILED)?;
    let der: Pkcs8V1Der<'_> = pair.as_der().context(FAILED)?;
    let document = SecretDocument::try_from(der.as_ref()).context(FAILED)?;
    let pem = document.to_pem("PRIVATE KEY", LineEnding::LF).context(FAILED)?;
    let key = LocalSigner::from_der(der.as_ref()).context(FAILED)?;
    Ok((key, pem.to_string()))
}
