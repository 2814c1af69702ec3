//! SHA3-384 digests in headers: base64url without padding.

use aws_lc_rs::digest::{Context, SHA3_384};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

/// The digest of the concatenated `parts`.
pub(crate) fn sha3_384(parts: &[&[u8]]) -> String {
    let mut hash = Context::new(&SHA3_384);
    for part in parts {
        hash.update(part);
    }
    BASE64_URL_SAFE_NO_PAD.encode(hash.finish())
}

/// Returns true if `text` has the form of a digest.
pub(crate) fn is_digest(text: &str) -> bool {
    BASE64_URL_SAFE_NO_PAD
        .decode(text)
        .is_ok_and(|bytes| bytes.len() == 48)
}
