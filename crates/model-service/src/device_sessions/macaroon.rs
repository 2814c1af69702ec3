//! The macaroon of a session. Its identifier says which device it is for; its caveat, when it ends.
//!
//! Who has a macaroon can add caveats, so that nothing but restrictions is in them. A device, or a
//! service that passes its session on, can add an earlier end. Other caveats are refused.

use jiff::Timestamp;
use libmacaroon::{Caveat, Format, Macaroon, MacaroonKey, Verifier};
use serde::{Deserialize, Serialize};

use super::VerifiedDevice;
use super::error::SessionError;

/// Begins the caveat with the end of a session: RFC 3339 follows.
const TIME_BEFORE: &str = "time-before ";

/// A hint for people who look at a macaroon. It is not authenticated.
const LOCATION: &str = "model-service";

/// The identifier of a macaroon, in JSON.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Identifier {
    /// Tells macaroons for sessions from those for other purposes, if the key ever has any.
    device_session: u32,
    brand_id: String,
    model: String,
    serial: String,
    device_key_sha3_384: String,
}

/// The version of [`Identifier`].
const VERSION: u32 = 1;

/// Makes the macaroon of a session in the binary format 2, in base64.
pub(super) fn make(
    key: &MacaroonKey,
    device: &VerifiedDevice,
    expires: Timestamp,
) -> Result<String, SessionError> {
    let identifier = Identifier {
        device_session: VERSION,
        brand_id: device.brand_id.clone(),
        model: device.model.clone(),
        serial: device.serial.clone(),
        device_key_sha3_384: device.device_key_sha3_384.clone(),
    };
    // A structure of strings and a number is always valid JSON.
    let identifier = serde_json::to_string(&identifier).unwrap_or_default();
    let made = Macaroon::create(Some(LOCATION), key, identifier).and_then(|mut macaroon| {
        macaroon.add_first_party_caveat(format!("{TIME_BEFORE}{expires}"))?;
        macaroon.serialize(Format::V2)
    });
    made.map_err(SessionError::NotMade)
}

/// Verifies the macaroon of a session at `now`. Returns the device and the earliest end.
pub(super) fn verify(
    key: &MacaroonKey,
    session: &str,
    now: Timestamp,
) -> Result<VerifiedDevice, SessionError> {
    let macaroon = Macaroon::deserialize(session).map_err(|_| SessionError::NeedsRefresh)?;
    let mut verifier = Verifier::default();
    verifier.satisfy_general(move |caveat| end(caveat).is_some_and(|end| now < end));
    verifier
        .verify(&macaroon, key, &[])
        .map_err(|_| SessionError::NeedsRefresh)?;
    let identifier: Identifier =
        serde_json::from_slice(macaroon.identifier()).map_err(|_| SessionError::NeedsRefresh)?;
    let ends = macaroon.caveats().iter().filter_map(Caveat::as_first_party);
    let expires = ends.filter_map(|caveat| end(caveat.predicate())).min();
    match (identifier.device_session, expires) {
        (VERSION, Some(expires)) => Ok(VerifiedDevice {
            brand_id: identifier.brand_id,
            model: identifier.model,
            serial: identifier.serial,
            device_key_sha3_384: identifier.device_key_sha3_384,
            expires: Some(expires.to_string()),
        }),
        _ => Err(SessionError::NeedsRefresh),
    }
}

/// The end that a caveat sets, if it sets one.
fn end(caveat: &[u8]) -> Option<Timestamp> {
    let caveat = std::str::from_utf8(caveat).ok()?;
    caveat.strip_prefix(TIME_BEFORE)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn device() -> VerifiedDevice {
        VerifiedDevice {
            brand_id: "brand".to_owned(),
            model: "model".to_owned(),
            serial: "serial \"1\"".to_owned(),
            device_key_sha3_384: "key".to_owned(),
            expires: None,
        }
    }

    /// The session that a holder makes of one by adding caveats.
    fn with_caveats(session: &str, caveats: &[&str]) -> String {
        let mut macaroon = Macaroon::deserialize(session).unwrap();
        for caveat in caveats {
            macaroon.add_first_party_caveat(caveat).unwrap();
        }
        macaroon.serialize(Format::V2).unwrap()
    }

    #[test]
    fn a_session_is_for_its_device_until_it_ends() {
        let key = MacaroonKey::from([7; 32]);
        let session = make(&key, &device(), time("2026-11-21T12:00:00Z")).unwrap();
        let verified = verify(&key, &session, time("2026-11-21T11:59:59Z")).unwrap();
        let expected = VerifiedDevice {
            expires: Some("2026-11-21T12:00:00Z".to_owned()),
            ..device()
        };
        assert_eq!(verified, expected);
        for (key, session, now) in [
            ([7; 32], session.as_str(), "2026-11-21T12:00:00Z"),
            ([8; 32], &session, "2026-11-21T11:00:00Z"),
            ([7; 32], "", "2026-11-21T11:00:00Z"),
            ([7; 32], &session[..session.len() - 4], "2026-11-21T11:00:00Z"),
        ] {
            let found = verify(&MacaroonKey::from(key), session, time(now));
            assert!(matches!(found, Err(SessionError::NeedsRefresh)), "{found:?}");
        }
    }

    /// Made with pymacaroons 0.13.0, with the key as it is.
    const OF_PYMACAROONS: &str = concat!(
        "AgENbW9kZWwtc2VydmljZQJreyJkZXZpY2Utc2Vzc2lvbiI6MSwiYnJhbmQtaWQiOiJicmFuZCIsIm1vZGVsIjoi",
        "bW9kZWwiLCJzZXJpYWwiOiJzZXJpYWwgXCIxXCIiLCJkZXZpY2Uta2V5LXNoYTMtMzg0Ijoia2V5In0AAiB0aW1l",
        "LWJlZm9yZSAyMDI2LTExLTIxVDEyOjAwOjAwWgAABiDVEcnnCDIK0GQfJshTAm1_EGRBrEFtLFOconmw1Yz3Xw",
    );

    #[test]
    fn sessions_are_macaroons_as_other_libraries_make_them() {
        let key = MacaroonKey::from([7; 32]);
        let session = make(&key, &device(), time("2026-11-21T12:00:00Z")).unwrap();
        assert_eq!(session.trim_end_matches('='), OF_PYMACAROONS);
        verify(&key, OF_PYMACAROONS, time("2026-11-21T11:00:00Z")).unwrap();
    }

    #[test]
    fn caveats_only_restrict() {
        let key = MacaroonKey::from([7; 32]);
        let session = make(&key, &device(), time("2026-11-21T12:00:00Z")).unwrap();
        let now = time("2026-11-21T11:00:00Z");
        let shorter = with_caveats(&session, &["time-before 2026-11-21T11:30:00Z"]);
        let verified = verify(&key, &shorter, now).unwrap();
        assert_eq!(verified.expires.as_deref(), Some("2026-11-21T11:30:00Z"));
        let longer = with_caveats(&session, &["time-before 2036-01-01T00:00:00Z"]);
        let verified = verify(&key, &longer, now).unwrap();
        assert_eq!(verified.expires.as_deref(), Some("2026-11-21T12:00:00Z"));
        for caveats in [
            ["time-before 2026-11-21T10:00:00Z"],
            ["serial = other"],
            ["time-before tomorrow"],
        ] {
            let found = verify(&key, &with_caveats(&session, &caveats), now);
            assert!(found.is_err(), "{caveats:?}");
        }
    }

    #[test]
    fn a_macaroon_without_an_end_or_for_something_else_is_not_a_session() {
        let key = MacaroonKey::from([7; 32]);
        let now = time("2026-11-21T11:00:00Z");
        let session = make(&key, &device(), Timestamp::MAX).unwrap();
        let identifier = Macaroon::deserialize(&session).unwrap().identifier().to_vec();
        let endless = Macaroon::create(None, &key, &identifier).unwrap();
        assert!(verify(&key, &endless.serialize(Format::V2).unwrap(), now).is_err());
        let mut other = Macaroon::create(None, &key, "{}").unwrap();
        other
            .add_first_party_caveat("time-before 2036-01-01T00:00:00Z")
            .unwrap();
        assert!(verify(&key, &other.serialize(Format::V2).unwrap(), now).is_err());
    }
}
