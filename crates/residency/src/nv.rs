//! EK certificates in the content of NV indices: padded, with a header in front, one after another.
//!
//! A certificate is cut out at its outer SEQUENCE and never encoded again: some manufacturers sign
//! encodings that are not canonical.

/// The largest certificate, in bytes. NV indices have at most 2048 bytes.
const LARGEST: usize = 4096;
/// The largest number of certificates.
const MOST: usize = 8;
/// TPMs from before the current profile put TCG_PCCLIENT_STORED_CERT in front: a tag, a type, and a
/// length in two bytes. The tag of a full certificate in two bytes may follow (TCG PC Client Specific
/// Implementation Specification for Conventional BIOS, section 7.4).
const STORED_CERTIFICATE: [u8; 3] = [0x10, 0x01, 0x00];
const FULL_CERTIFICATE: [u8; 2] = [0x10, 0x02];
const SEQUENCE: u8 = 0x30;

/// The certificate at the start of the content of an NV index, or of any bytes that a device sent.
/// What follows it, padding as a rule, is left out. `None` if no complete SEQUENCE starts there.
pub fn cut_certificate(content: &[u8]) -> Option<&[u8]> {
    let content = match content.strip_prefix(&STORED_CERTIFICATE) {
        Some(rest) => rest.get(2..)?,
        None => content,
    };
    let content = content.strip_prefix(&FULL_CERTIFICATE).unwrap_or(content);
    content.get(..sequence_length(content)?)
}

/// The certificates in the NV indices of a chain, in their order. They follow each other with or
/// without padding, and one may start in an index and end in the next.
pub fn certificates_in<'a>(indices: impl IntoIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let mut certificates = Vec::new();
    let mut rest: Vec<u8> = Vec::new();
    for content in indices {
        rest.extend(content);
        while certificates.len() < MOST {
            let Some(start) = rest.iter().position(|&byte| byte == SEQUENCE) else {
                rest.clear();
                break;
            };
            rest.drain(..start);
            match (cut_certificate(&rest).map(<[u8]>::to_vec), is_too_large(&rest)) {
                (Some(certificate), _) => {
                    rest.drain(..certificate.len());
                    certificates.push(certificate);
                }
                // Not the start of a certificate.
                (None, true) => drop(rest.drain(..1)),
                // It may end in the next index.
                (None, false) => break,
            }
        }
    }
    certificates
}

/// The length of the SEQUENCE with its header, `None` if the header is incomplete or the length is
/// not that of a certificate. DER writes it in as few bytes as possible, but that is for the parser to
/// check.
fn sequence_length(bytes: &[u8]) -> Option<usize> {
    let (header, content) = match bytes {
        [SEQUENCE, length @ 0..=0x7f, ..] => (2, usize::from(*length)),
        [SEQUENCE, 0x81, length, ..] => (3, usize::from(*length)),
        [SEQUENCE, 0x82, high, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
        _ => return None,
    };
    Some(header + content).filter(|&length| length <= LARGEST)
}

/// Returns true if no certificate starts here, however many bytes follow.
fn is_too_large(bytes: &[u8]) -> bool {
    bytes.len() >= 4 && sequence_length(bytes).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CERTIFICATE: &[u8] = &[0x30, 0x03, 1, 2, 3];

    #[test]
    fn a_certificate_is_cut_to_its_length() {
        for (before, after) in [
            (&[][..], &[][..]),
            (&[], &[0xff; 99]),
            (&[], &[0; 99]),
            (&[0x10, 0x01, 0x00, 0, 5], &[0]),
            (&[0x10, 0x01, 0x00, 0, 7, 0x10, 0x02], &[]),
        ] {
            let content = [before, CERTIFICATE, after].concat();
            assert_eq!(cut_certificate(&content), Some(CERTIFICATE), "{content:?}");
        }
        for content in [
            &[][..],
            &[0x30],
            &[0x30, 0x03, 1, 2],
            &[0x30, 0x82, 0xff, 0xff, 0],
            &[0x30, 0x80, 0, 0],
            &[0xff; 20],
            &[0x10, 0x01, 0x00],
        ] {
            assert_eq!(cut_certificate(content), None, "{content:?}");
        }
    }

    #[test]
    fn a_chain_may_be_padded_and_cross_indices() {
        let other: &[u8] = &[0x30, 0x02, 4, 5];
        for indices in [
            vec![CERTIFICATE.to_vec(), other.to_vec()],
            vec![[CERTIFICATE, other].concat()],
            vec![[CERTIFICATE, &[0xff; 9]].concat(), [other, &[0; 5]].concat()],
            vec![vec![0x30], vec![0x03, 1, 2], [&[3], other].concat()],
        ] {
            let found = certificates_in(indices.iter().map(Vec::as_slice));
            assert_eq!(found, [CERTIFICATE, other], "{indices:?}");
        }
        assert!(certificates_in([&[0x30; 5000][..]]).len() <= MOST);
    }
}
