//! Cuts and reads arbitrary bytes as an EK certificate, and verifies what is one.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use residency::{EkCertificate, EkTime, TrustedRoots, cut_certificate};

static ROOTS: LazyLock<TrustedRoots> = LazyLock::new(|| {
    let file = include_bytes!("../../tests/vectors/swtpm-ca-issuer.pem");
    let roots = TrustedRoots::read_file(file).expect("a certificate");
    TrustedRoots::new(&roots).expect("a root")
});

fuzz_target!(|data: &[u8]| {
    let cut = cut_certificate(data);
    if let Ok(certificate) = EkCertificate::read(data) {
        assert_eq!(Some(certificate.der()), cut);
        // Cut already.
        assert_eq!(EkCertificate::read(certificate.der()).as_ref(), Ok(&certificate));
        let _ = ROOTS.verify(&certificate, &[data.to_vec()], EkTime::Issued);
    }
    if let Ok(roots) = TrustedRoots::read_file(data) {
        let _ = TrustedRoots::new(&roots);
    }
});
