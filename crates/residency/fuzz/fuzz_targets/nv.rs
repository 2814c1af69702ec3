//! Finds certificates in arbitrary contents of NV indices: the first byte is the number of indices.
#![no_main]

use libfuzzer_sys::fuzz_target;
use residency::{EkList, certificates_in, cut_certificate};

fuzz_target!(|data: &[u8]| {
    let Some((&count, content)) = data.split_first() else {
        return;
    };
    let size = (content.len() / usize::from(count.max(1))).max(1);
    let found = certificates_in(content.chunks(size));
    assert!(found.len() <= 8);
    for certificate in found {
        assert_eq!(cut_certificate(&certificate), Some(certificate.as_slice()));
    }
    let _ = EkList::read(content);
});
