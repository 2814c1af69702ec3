//! Paths from EK certificates to roots.

use std::fs;
use std::process::Command;
use std::time::Duration;

use residency::{CertificateError, EkCertificate, EkTime, TrustedRoots, VerificationError};

use crate::certificates::{
    CLIENT_AUTH, EK_USAGE, Key, Template, attribute, ca, common_name, extension, sequence, tlv, usage,
};
use crate::{now, vector};

fn swtpm_roots() -> TrustedRoots {
    let read = |name| TrustedRoots::read_file(&vector(name)).unwrap();
    TrustedRoots::new(&[read("swtpm-ca-root.pem"), read("swtpm-ca-issuer.pem")].concat()).unwrap()
}

fn verify(
    roots: &TrustedRoots,
    ek: &[u8],
    chain: &[Vec<u8>],
    time: EkTime,
) -> Result<String, VerificationError> {
    roots.verify(&EkCertificate::read(ek).unwrap(), chain, time)
}

/// A root, any number of CAs below it, and an EK certificate. All but the root in the order from the
/// EK certificate's issuer up.
struct Chain {
    root: Vec<u8>,
    intermediates: Vec<Vec<u8>>,
    ek: Vec<u8>,
}

impl Chain {
    fn new(length: usize, change: impl FnOnce(&mut Template)) -> Self {
        let mut issuer = (Key::new(), "CA 0".to_owned());
        let root = Template::new(&issuer.1, &issuer.1, issuer.0.public(), &[ca()]).sign(&issuer.0);
        let mut intermediates = Vec::new();
        for number in 1..=length {
            let key = Key::new();
            let name = format!("CA {number}");
            let template = Template::new(&name, &issuer.1, key.public(), &[ca()]);
            intermediates.insert(0, template.sign(&issuer.0));
            issuer = (key, name);
        }
        let mut template = Template::new("", &issuer.1, Key::new().public(), &[usage(&[EK_USAGE])]);
        template.subject = sequence(&[]);
        change(&mut template);
        Chain {
            root,
            intermediates,
            ek: template.sign(&issuer.0),
        }
    }

    fn roots(&self) -> TrustedRoots {
        TrustedRoots::new(std::slice::from_ref(&self.root)).unwrap()
    }

    fn verify(&self) -> Result<String, VerificationError> {
        verify(&self.roots(), &self.ek, &self.intermediates, now())
    }
}

/// subjectAltName as the TCG wants it: a directoryName with manufacturer, model and version.
fn tpm_name() -> Vec<u8> {
    let part = |last: u8, value: &str| {
        let attribute = sequence(&[
            &[6, 5, 0x67, 0x81, 0x05, 0x02, last],
            &tlv(0x0c, &[value.as_bytes()]),
        ]);
        tlv(0x31, &[&attribute])
    };
    let name = sequence(&[&part(1, "id:53544D20"), &part(2, "TPM"), &part(3, "id:0001")]);
    extension(17, true, &sequence(&[&tlv(0xa4, &[&name])]))
}

#[test]
fn the_vectors_lead_to_their_root() {
    let root = hex::encode(
        identity_key::Hash::Sha256.digest(&TrustedRoots::read_file(&vector("swtpm-ca-root.pem")).unwrap()[0]),
    );
    for name in ["ek-L-1.der", "ek-L-2.der", "ek-H-3.der"] {
        assert_eq!(
            verify(&swtpm_roots(), &vector(name), &[], now()),
            Ok(root.clone()),
            "{name}"
        );
        let read = EkCertificate::read(&vector(name)).unwrap();
        assert_eq!(read.der(), vector(name));
    }
    for name in ["unknown-ca-L-1.der", "unknown-ca-L-2.der"] {
        let refused = verify(&swtpm_roots(), &vector(name), &[], now());
        assert_eq!(refused, Err(VerificationError::Untrusted), "{name}");
    }
}

#[test]
fn the_issuer_may_come_from_the_device_or_be_the_root() {
    let file = |name| TrustedRoots::read_file(&vector(name)).unwrap();
    let issuer = file("swtpm-ca-issuer.pem");
    let root = TrustedRoots::new(&file("swtpm-ca-root.pem")).unwrap();
    let ek = vector("ek-L-2.der");
    assert_eq!(verify(&root, &ek, &[], now()), Err(VerificationError::Untrusted));
    assert!(verify(&root, &ek, &issuer, now()).is_ok());
    assert!(verify(&TrustedRoots::new(&issuer).unwrap(), &ek, &[], now()).is_ok());
}

#[test]
fn padding_headers_and_garbage_are_cut_off() {
    let ek = vector("ek-L-1.der");
    let length = u16::try_from(ek.len()).unwrap().to_be_bytes();
    for (before, after) in [
        (vec![], vec![0xff; 1600 - ek.len()]),
        (vec![], vec![0; 1600 - ek.len()]),
        (vec![], b"garbage \x30\x82\x01\x00".to_vec()),
        ([vec![0x10, 0x01, 0x00], length.to_vec()].concat(), vec![0xff; 10]),
    ] {
        let content = [before, ek.clone(), after].concat();
        let read = EkCertificate::read(&content).unwrap();
        assert_eq!(read.der(), ek);
        assert!(swtpm_roots().verify(&read, &[], now()).is_ok());
    }
    for length in 0..ek.len() {
        assert!(EkCertificate::read(&ek[..length]).is_err(), "{length}");
    }
}

#[test]
fn intermediates_need_no_usage_and_may_come_in_any_order() {
    for length in 0..=2 {
        let mut chain = Chain::new(length, |_| {});
        chain.verify().unwrap();
        chain.intermediates.reverse();
        chain.verify().unwrap();
        // All of them known to the station.
        let all = [vec![chain.root.clone()], chain.intermediates.clone()].concat();
        verify(&TrustedRoots::new(&all).unwrap(), &chain.ek, &[], now()).unwrap();
        if length > 0 {
            chain.intermediates.pop();
            assert_eq!(chain.verify(), Err(VerificationError::Untrusted));
        }
    }
}

/// openssl builds the same paths.
#[test]
fn openssl_agrees() {
    let chain = Chain::new(2, |template| template.extensions.push(tpm_name()));
    let directory = tempfile::tempdir().unwrap();
    let pem = |name: &str, certificates: &[Vec<u8>]| {
        let pem = certificates
            .iter()
            .map(|der| der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, der).unwrap());
        fs::write(directory.path().join(name), pem.collect::<String>()).unwrap();
    };
    pem("root.pem", std::slice::from_ref(&chain.root));
    pem("chain.pem", &chain.intermediates);
    pem("ek.pem", std::slice::from_ref(&chain.ek));
    let arguments = [
        "verify",
        "-CAfile",
        "root.pem",
        "-untrusted",
        "chain.pem",
        "ek.pem",
    ];
    let output = Command::new("openssl")
        .current_dir(directory.path())
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    chain.verify().unwrap();
}

#[test]
fn a_critical_subject_alternative_name_is_accepted() {
    Chain::new(1, |template| template.extensions.push(tpm_name()))
        .verify()
        .unwrap();
}

#[test]
fn a_name_out_of_der_order_is_accepted() {
    // DER sorts a SET OF: the longer attribute comes last.
    let (long, short) = (attribute(10, "a long organisation"), attribute(3, "CN"));
    let unordered = sequence(&[&tlv(0x31, &[&long, &short])]);
    let in_subject = Chain::new(1, |template| template.subject = unordered.clone());
    in_subject.verify().unwrap();
    // The name of an issuer too.
    let (root, issuer) = (Key::new(), Key::new());
    let mut ca_certificate = Template::new("", "root", issuer.public(), &[ca()]);
    ca_certificate.subject = unordered.clone();
    let mut ek = Template::new("ek", "", Key::new().public(), &[usage(&[EK_USAGE])]);
    ek.issuer = unordered;
    let chain = Chain {
        root: Template::new("root", "root", root.public(), &[ca()]).sign(&root),
        intermediates: vec![ca_certificate.sign(&root)],
        ek: ek.sign(&issuer),
    };
    chain.verify().unwrap();
}

#[test]
fn the_usage_of_ek_certificates_is_required() {
    for usages in [vec![], vec![usage(&[CLIENT_AUTH])]] {
        let chain = Chain::new(1, |template| template.extensions = usages);
        assert_eq!(chain.verify(), Err(VerificationError::Usage));
    }
    Chain::new(1, |template| {
        template.extensions = vec![usage(&[CLIENT_AUTH, EK_USAGE])]
    })
    .verify()
    .unwrap();
}

#[test]
fn expiry_follows_the_policy() {
    let chain = Chain::new(1, |template| {
        template.validity = ["200101000000Z", "240101000000Z"]
    });
    assert!(
        matches!(chain.verify(), Err(VerificationError::Expired(date)) if date.starts_with("2024-01-01"))
    );
    let at = |seconds| {
        verify(
            &chain.roots(),
            &chain.ek,
            &chain.intermediates,
            EkTime::At(Duration::from_secs(seconds)),
        )
    };
    // 2022.
    at(1_650_000_000).unwrap();
    assert!(matches!(
        at(1_500_000_000),
        Err(VerificationError::NotYetValid(_))
    ));
    verify(&chain.roots(), &chain.ek, &chain.intermediates, EkTime::Issued).unwrap();
}

/// Each certificate could have been issued by each other one, so that there are very many paths.
#[test]
fn a_search_for_a_path_is_bounded() {
    let keys: Vec<_> = (0..8).map(|_| Key::new()).collect();
    let certificate = |key: &Key| Template::new("CA", "CA", key.public(), &[ca()]).sign(&keys[0]);
    let mut chain = Chain::new(0, |template| template.issuer = common_name("CA"));
    chain.intermediates = keys.iter().map(certificate).collect();
    assert!(chain.verify().is_err());
}

#[test]
fn an_end_entity_does_not_issue() {
    let mut chain = Chain::new(0, |_| {});
    let (root, device) = (Key::new(), Key::new());
    chain.root = Template::new("root", "root", root.public(), &[ca()]).sign(&root);
    let ek = Template::new("device", "root", device.public(), &[usage(&[EK_USAGE])]);
    chain.intermediates = vec![ek.sign(&root)];
    chain.ek = Template::new("fake", "device", Key::new().public(), &[usage(&[EK_USAGE])]).sign(&device);
    assert!(matches!(chain.verify(), Err(VerificationError::Invalid(_))));
}

#[test]
fn an_unknown_critical_extension_is_refused() {
    let chain = Chain::new(0, |template| {
        template.extensions.push(extension(99, true, &[5, 0]))
    });
    assert!(matches!(chain.verify(), Err(VerificationError::Invalid(_))));
}

#[test]
fn rsa_keys_for_oaep_are_read() {
    // The same key, with id-RSAES-OAEP as its algorithm.
    let plain = EkCertificate::read(&vector("ek-L-1.der")).unwrap();
    let rsa_encryption = [
        0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0,
    ];
    let oaep = [
        0x30, 0x0d, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 7, 0x30, 0,
    ];
    let info = plain.public_key().der().to_vec();
    assert_eq!(info[4..19], rsa_encryption);
    let info = [&info[..4], &oaep, &info[19..]].concat();
    let chain = Chain::new(0, |template| template.public_key = info);
    chain.verify().unwrap();
    assert_eq!(
        EkCertificate::read(&chain.ek).unwrap().public_key(),
        plain.public_key()
    );
}

#[test]
fn keys_that_no_template_makes_are_refused() {
    let ed25519 = sequence(&[&sequence(&[&[6, 3, 0x2b, 0x65, 0x70]]), &tlv(3, &[&[0; 33]])]);
    let chain = Chain::new(0, |template| template.public_key = ed25519);
    assert_eq!(EkCertificate::read(&chain.ek), Err(CertificateError::Kind));
}

#[test]
fn files_with_roots_are_pem_or_der() {
    assert_eq!(TrustedRoots::read_file(&vector("ek-L-1.der")).unwrap().len(), 1);
    let two = [vector("swtpm-ca-root.pem"), vector("swtpm-ca-issuer.pem")].concat();
    assert_eq!(TrustedRoots::read_file(&two).unwrap().len(), 2);
    for content in [
        &b""[..],
        b"README",
        b"\x30\x80",
        b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
    ] {
        assert!(TrustedRoots::read_file(content).is_err());
    }
    assert!(TrustedRoots::new(&[common_name("not a certificate")]).is_err());
}
