//! The TLS certificate: whether it can be used with its key, and how long.

use der::asn1::{AnyRef, GeneralizedTime, UtcTime};
use der::{Decode as _, SliceReader, Tag, TagNumber};
use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::report::CheckReport;
use super::{CheckProblem, is_soon};
use crate::http::check_tls;
use crate::settings::Tls;

pub(super) fn check(tls: &Tls, report: &mut CheckReport) {
    if let Err(error) = check_tls(tls) {
        return report.error("tls", &error);
    }
    // That of the service is the first one.
    let certificate = CertificateDer::from_pem_file(&tls.certificate).ok();
    match certificate.and_then(|certificate| not_after(&certificate).ok()) {
        Some(until) if is_soon(until) => report.warning("tls", &CheckProblem::CertificateExpires { until }),
        Some(until) => report.good(
            "tls",
            format!("{}, valid until {until}", tls.certificate.display()),
        ),
        None => report.good("tls", tls.certificate.display().to_string()),
    }
}

/// The end of the validity (RFC 5280, section 4.1).
fn not_after(certificate: &[u8]) -> der::Result<Timestamp> {
    let mut reader = SliceReader::new(certificate)?;
    let certificate = AnyRef::decode(&mut reader)?;
    let mut parts = SliceReader::new(certificate.value())?;
    let mut fields = SliceReader::new(AnyRef::decode(&mut parts)?.value())?;
    let version = Tag::ContextSpecific {
        constructed: true,
        number: TagNumber(0),
    };
    if Tag::peek(&fields)? == version {
        AnyRef::decode(&mut fields)?;
    }
    // serialNumber, signature, issuer
    for _ in 0..3 {
        AnyRef::decode(&mut fields)?;
    }
    let mut validity = SliceReader::new(AnyRef::decode(&mut fields)?.value())?;
    AnyRef::decode(&mut validity)?;
    let end = match Tag::peek(&validity)? {
        Tag::UtcTime => UtcTime::decode(&mut validity)?.to_unix_duration(),
        _ => GeneralizedTime::decode(&mut validity)?.to_unix_duration(),
    };
    let seconds = i64::try_from(end.as_secs()).unwrap_or(i64::MAX);
    Ok(Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX))
}
