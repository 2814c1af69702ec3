//! The list of known endorsement keys: CSV, each line a digest or a certificate's serial number, and
//! optionally the hardware id of the device that the TPM was bought for.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use identity_key::{IdentityPublicKey, is_hardware_id};
use miette::Diagnostic;
use thiserror::Error;

use crate::certificate::EkCertificate;
use crate::digest::sha256;

/// The number of hexadecimal digits of SHA-256.
const DIGEST_DIGITS: usize = 64;
/// A serial number has at most 20 bytes (RFC 5280 section 4.1.2.2).
const MOST_SERIAL_DIGITS: usize = 40;

/// Why a list cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
pub enum EkListError {
    /// A line does not have the form.
    #[error("line {line} of the list of endorsement keys: {reason}")]
    #[diagnostic(
        code("ek-list-malformed"),
        help(
            "Write `DIGEST,HARDWARE-ID` or `SERIAL,HARDWARE-ID`, both in hexadecimal digits; the id is optional"
        )
    )]
    Malformed {
        /// Counted from 1.
        line: u64,
        /// The cause.
        reason: String,
    },
    /// Two lines are for one key.
    #[error("line {line} of the list of endorsement keys repeats an earlier one")]
    #[diagnostic(code("ek-list-duplicate"), help("Remove one of the two lines"))]
    Duplicate {
        /// Counted from 1.
        line: u64,
    },
}

/// The list does not admit a device.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
pub enum NotListed {
    /// The key is not in the list.
    #[error("the endorsement key with the SHA-256 {digest} is not in the list")]
    #[diagnostic(
        code("ek-not-listed"),
        help(
            "If you bought this TPM, add it to the list and start a new batch; otherwise take the device off the line"
        )
    )]
    Missing {
        /// SHA-256 of the key's SubjectPublicKeyInfo, in hexadecimal digits.
        digest: String,
    },
    /// The key is listed for another device.
    #[error("the list has this endorsement key for the hardware id {listed:?}")]
    #[diagnostic(
        code("ek-listed-for-other-device"),
        help("Find out which device has this TPM, and correct its hardware id or the list")
    )]
    OtherDevice {
        /// The hardware id in the list.
        listed: String,
    },
}

/// A list of endorsement keys.
#[derive(Clone, Debug, Default)]
pub struct EkList {
    /// Digests and serial numbers, which have different lengths, and the hardware ids.
    entries: HashMap<String, Option<String>>,
}

impl EkList {
    /// Reads CSV (RFC 4180). A line has a SHA-256 or a serial number, in hexadecimal digits that
    /// colons may separate, and optionally a hardware id. The SHA-256 is that of the
    /// SubjectPublicKeyInfo or of the certificate, both in DER. The first line may be a heading, whose
    /// first column has no digit; `#` starts a comment.
    ///
    /// A serial number is one of any issuer that the station trusts: two makers may give the same one
    /// to different TPMs. A digest names one TPM.
    ///
    /// # Errors
    /// [`EkListError`].
    pub fn read(text: &[u8]) -> Result<Self, EkListError> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .comment(Some(b'#'))
            .trim(csv::Trim::All)
            .from_reader(text);
        let mut list = EkList::default();
        for (number, record) in (1..).zip(reader.records()) {
            let record = record.map_err(|error| malformed(line_of(&error, number), &error.to_string()))?;
            let line = record.position().map_or(number, csv::Position::line);
            list.add(line, number == 1, &record)?;
        }
        Ok(list)
    }

    fn add(&mut self, line: u64, is_first: bool, record: &csv::StringRecord) -> Result<(), EkListError> {
        let key = record.get(0).unwrap_or_default();
        let Some(id) = key_id(key) else {
            // A digest with a typing error is not a heading.
            let is_heading = is_first && !key.bytes().any(|byte| byte.is_ascii_digit());
            return match is_heading {
                true => Ok(()),
                false => Err(malformed(line, "neither a SHA-256 nor a serial number")),
            };
        };
        let hardware_id = record.get(1).filter(|id| !id.is_empty());
        if record.len() > 2 {
            return Err(malformed(line, "more than two columns"));
        }
        if hardware_id.is_some_and(|id| !is_hardware_id(id)) {
            return Err(malformed(line, "not a hardware id"));
        }
        match self.entries.entry(id) {
            Entry::Occupied(_) => Err(EkListError::Duplicate { line }),
            Entry::Vacant(entry) => {
                entry.insert(hardware_id.map(str::to_owned));
                Ok(())
            }
        }
    }

    /// Checks that the list has the key for this device. A serial number counts only if the
    /// certificate is verified, as anybody can write one into a certificate of their own.
    ///
    /// # Errors
    /// [`NotListed`].
    pub fn check(
        &self,
        key: &IdentityPublicKey,
        certificate: Option<&EkCertificate>,
        is_verified: bool,
        hardware_id: &str,
    ) -> Result<(), NotListed> {
        let digest = hex::encode(sha256(key.der()));
        let certificate_digest = certificate.map(EkCertificate::sha256);
        let verified = certificate.filter(|_| is_verified);
        let serial = verified.map(|certificate| serial_digits(certificate.serial()));
        let mut found = [Some(digest.clone()), certificate_digest, serial]
            .into_iter()
            .flatten()
            .filter_map(|id| self.entries.get(&id))
            .peekable();
        if found.peek().is_none() {
            return Err(NotListed::Missing { digest });
        }
        // If the key has several lines, none may contradict.
        let other = found.flatten().find(|listed| *listed != hardware_id);
        other.map_or(Ok(()), |listed| {
            let listed = listed.clone();
            Err(NotListed::OtherDevice { listed })
        })
    }
}

/// A digest, or a serial number without leading zeros; `None` for anything else.
fn key_id(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|&c| c != ':').collect();
    let digits = digits.to_ascii_lowercase();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    match digits.len() {
        DIGEST_DIGITS => Some(digits),
        ..=MOST_SERIAL_DIGITS => Some(digits.trim_start_matches('0').to_owned()),
        _ => None,
    }
}

fn serial_digits(serial: &[u8]) -> String {
    hex::encode(serial).trim_start_matches('0').to_owned()
}

fn line_of(error: &csv::Error, number: u64) -> u64 {
    error.position().map_or(number, csv::Position::line)
}

fn malformed(line: u64, reason: &str) -> EkListError {
    EkListError::Malformed {
        line,
        reason: reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_serial_numbers_and_ids_are_read() {
        let digest = "AB".repeat(32);
        let text = format!("ek,hardware-id\n# bought in May\n{digest},SN-1\n0a:0B\n00ff,\"a,b\"\n");
        let list = EkList::read(text.as_bytes()).unwrap();
        let entry = |id: &str| list.entries.get(id).cloned();
        assert_eq!(entry(&"ab".repeat(32)), Some(Some("SN-1".to_owned())));
        assert_eq!(entry("a0b"), Some(None));
        assert_eq!(entry("ff"), Some(Some("a,b".to_owned())));
        assert_eq!(list.entries.len(), 3);
    }

    #[test]
    fn wrong_lines_are_named() {
        let digest = "a1".repeat(32);
        for (text, line) in [
            ("ek\nxyz\n".to_owned(), 2),
            // Not headings.
            (format!("{digest}g,SN-1\n"), 1),
            (format!("0x{digest}\n"), 1),
            (format!("{digest},SN-1,more\n"), 1),
            (format!("{digest},\u{7f}\n"), 1),
            (format!("{}\n{digest}0\n", digest), 2),
        ] {
            let error = EkList::read(text.as_bytes()).unwrap_err();
            assert!(
                matches!(error, EkListError::Malformed { line: found, .. } if found == line),
                "{text} {error:?}"
            );
        }
        let error = EkList::read(format!("{digest}\n{digest},A\n").as_bytes()).unwrap_err();
        assert_eq!(error, EkListError::Duplicate { line: 2 });
    }
}
