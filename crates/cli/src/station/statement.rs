//! The statement that is signed for a device in line: which of its headers the device chooses.

use clap::Args;
use identity_key::{DigestForm, IdentityPublicKey};
use jiff::Timestamp;
use snap_assertions::{Headers, Statement};

use super::clock::now;
use super::error::DeviceRefusal;
use crate::export_checks::{CheckedExport, Defaults};

/// The revision of each assertion. snapd leaves out the header if it is this one.
const REVISION: &str = "0";
/// The time and the key in the content that is compared. They are as long as those of a signature.
const TIMESTAMP: &str = "1970-01-01T00:00:00.000Z";
const SIGN_KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The headers that the devices of a line do not choose.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct LineHeaders {
    /// The account of the issuer, which is that of the signing key. Devices with another `issuer-id` are
    /// refused. Needed unless --collect is given
    #[arg(long, value_name = "ACCOUNT-ID", required_unless_present = "collect")]
    issuer_id: Option<String>,
    /// The `hardware-name` of the devices; devices with another one are refused. Repeat the flag if several
    /// kinds of hardware are on the line. Needed unless --collect is given
    #[arg(long, value_name = "NAME", required_unless_present = "collect")]
    hardware_name: Vec<String>,
    /// The `manufacturer` of the devices; devices with another one are refused
    #[arg(long, value_name = "TEXT")]
    manufacturer: Option<String>,
}

impl LineHeaders {
    /// Refuses a header that this line does not have.
    fn check(&self, headers: &Headers) -> Result<(), DeviceRefusal> {
        for (name, expected) in [
            ("issuer-id", self.issuer_id.as_slice()),
            ("hardware-name", &self.hardware_name),
            ("manufacturer", self.manufacturer.as_slice()),
        ] {
            let found = headers.get_str(name).unwrap_or_default();
            if !expected.is_empty() && !expected.iter().any(|expected| expected == found) {
                return Err(DeviceRefusal::OtherHeader {
                    name,
                    found: found.to_owned(),
                    expected: expected.join(", "),
                });
            }
        }
        match headers.get_str("revision") {
            None | Some(REVISION) => Ok(()),
            Some(revision) => Err(DeviceRefusal::Revision(revision.to_owned())),
        }
    }
}

/// A statement that can be signed.
#[derive(Debug)]
pub(super) struct LineStatement {
    /// With the time of the station.
    pub(super) statement: Statement,
    pub(super) hardware_id: String,
    pub(super) key: IdentityPublicKey,
    pub(super) digest_form: DigestForm,
    /// SHA-256 of the content with a fixed time and key, in hexadecimal digits: it is the same if a
    /// device comes again with the same headers.
    pub(super) headers_sha256: String,
}

impl LineStatement {
    /// Checks the JSON of an export as `sign` does, and against the headers of the line.
    pub(super) fn new(export: &str, line: &LineHeaders) -> Result<Self, DeviceRefusal> {
        let defaults = Defaults {
            revision: None,
            time: Timestamp::now(),
            // The proof shows the backend.
            required_backend: None,
        };
        let export = CheckedExport::new(export, &defaults);
        let digest_form = export.digest_form();
        if let Some(problem) = export.problems.into_iter().next() {
            return Err(problem.into());
        }
        let malformed = || DeviceRefusal::Malformed("the export has no identity".to_owned());
        let (hardware_id, key) = export.identity.ok_or_else(malformed)?;
        let digest_form = digest_form.ok_or_else(malformed)?;
        let mut statement = Statement::from_json(&export.statement).map_err(|_| malformed())?;
        line.check(&statement.headers)?;
        let mut set_time = |time: String| {
            let set = statement.headers.set("timestamp", time);
            set.map(|()| statement.clone()).map_err(|_| malformed())
        };
        let compared = set_time(TIMESTAMP.to_owned())?;
        let content = compared
            .content(SIGN_KEY, digest_form)
            .map_err(DeviceRefusal::Statement)?;
        Ok(LineStatement {
            statement: set_time(now())?,
            hardware_id,
            key,
            digest_form,
            headers_sha256: ledger_chain::sha256(content.as_bytes()),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const EXPORT: &str = include_str!("../../../snap-assertions/tests/vectors/hardware-identity-p256.json");

    fn headers() -> LineHeaders {
        LineHeaders {
            issuer_id: Some("acme".to_owned()),
            hardware_name: vec!["edge-box-1".to_owned(), "edge-box-2".to_owned()],
            manufacturer: Some("Acme Geräte GmbH".to_owned()),
        }
    }

    fn export(changed: &[(&str, &str)]) -> String {
        let mut export: Value = serde_json::from_str(EXPORT).unwrap();
        for (name, value) in changed {
            export[name] = json!(value);
        }
        export.to_string()
    }

    fn code(changed: &[(&str, &str)]) -> String {
        failure::code(&LineStatement::new(&export(changed), &headers()).unwrap_err())
    }

    #[test]
    fn the_device_does_not_choose_time_and_revision() {
        for changed in [
            &[][..],
            &[("revision", "0"), ("timestamp", "2999-01-01T00:00:00Z")],
        ] {
            let line = LineStatement::new(&export(changed), &headers()).unwrap();
            let timestamp = line.statement.headers.get_str("timestamp").unwrap();
            assert_eq!(timestamp.len(), TIMESTAMP.len());
            let distance = Timestamp::now().duration_since(timestamp.parse().unwrap());
            assert!(distance.as_hours().abs() < 1, "{timestamp}");
        }
        for revision in ["1", "9000000000"] {
            assert_eq!(code(&[("revision", revision)]), "lot-revision-set");
        }
    }

    #[test]
    fn the_headers_are_those_of_the_line() {
        for changed in [
            &[("issuer-id", "other"), ("authority-id", "other")][..],
            &[("hardware-name", "edge-box-3")],
            &[("manufacturer", "Other")],
        ] {
            assert_eq!(code(changed), "lot-header-differs");
            LineStatement::new(&export(changed), &LineHeaders::default()).unwrap();
        }
        // Both are the account of the issuer.
        assert_eq!(code(&[("authority-id", "other")]), "header-differs");
    }

    #[test]
    fn a_statement_that_cannot_be_signed_is_refused() {
        let unpinned = LineHeaders::default();
        let long = export(&[("manufacturer", &"m".repeat(140_000))]);
        let refusal = LineStatement::new(&long, &unpinned).unwrap_err();
        assert_eq!(failure::code(&refusal), "statement-too-long");
    }

    #[test]
    fn the_digest_is_that_of_the_headers_without_the_time() {
        let digest = |changed| {
            let line = LineStatement::new(&export(changed), &headers()).unwrap();
            line.headers_sha256
        };
        let first = digest(&[]);
        assert_eq!(
            digest(&[("timestamp", "2026-01-01T00:00:00Z"), ("revision", "0")]),
            first
        );
        assert_ne!(digest(&[("hardware-name", "edge-box-1")]), first);
    }
}
