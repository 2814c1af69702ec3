//! The TLS certificate: whether it can be used with its key, and how long.

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_cert::Certificate;
use x509_cert::der::{self, Decode as _};

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

/// The end of the validity.
fn not_after(certificate: &[u8]) -> der::Result<Timestamp> {
    let validity = Certificate::from_der(certificate)?.tbs_certificate.validity;
    let seconds = validity.not_after.to_unix_duration().as_secs();
    Ok(Timestamp::from_second(seconds.try_into().unwrap_or(i64::MAX)).unwrap_or(Timestamp::MAX))
}
