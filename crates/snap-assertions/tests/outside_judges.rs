//! openssl and GnuPG, which do not use this library, agree with it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{assertion, options, signer, statement};
use snap_assertions::{LocalSigner, PublicKey, SignaturePacket, Signer, SignerError, Statement, decode};

/// Runs a program and returns its standard output; its standard error is the error.
fn run(command: &mut Command, input: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    child.stdin.take().ok_or("no stdin")?.write_all(input)?;
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    Ok(output.stdout)
}

#[test]
fn openssl_verifies_a_signature_taken_from_an_assertion() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let signed = statement(&assertion("hardware-identity-p384"))
        .sign(&signer("issuer"), &options())
        .unwrap();
    let packet = signed.signature().unwrap().to_bytes();
    // The hashed part is the first 12 bytes of the body, the signature the last 512.
    let signature = file("signature", &packet[packet.len() - 512..]);
    let trailer = [4, 0xff, 0, 0, 0, 12];
    let data = [signed.content().as_bytes(), &packet[3..15], &trailer].concat();
    let key = file("key.der", &signer("issuer").public_key().to_spki_der());
    let verify = |data: &Path| {
        let mut openssl = Command::new("openssl");
        openssl
            .args(["dgst", "-sha512", "-keyform", "DER", "-verify"])
            .arg(&key);
        run(openssl.arg("-signature").arg(&signature).arg(data), b"")
    };
    assert_eq!(verify(&file("data", &data)).unwrap(), b"Verified OK\n");
    assert!(verify(&file("data", &[&data[1..], b"x"].concat())).is_err());
}

/// A separate GnuPG home with one RSA key. Stops its agent when dropped.
struct GnuPg {
    home: tempfile::TempDir,
    public: PublicKey,
}

impl GnuPg {
    fn new() -> Self {
        let home = tempfile::Builder::new().prefix("gpg").tempdir_in("/tmp").unwrap();
        let generate = [
            "--passphrase",
            "",
            "--quick-generate-key",
            "default",
            "rsa4096",
            "sign",
            "never",
        ];
        run(gpg(home.path()).args(generate), b"").unwrap();
        // The first packet of an export is the primary key. Assertions contain the base64 text of
        // the byte 01 and the packet.
        let export = run(gpg(home.path()).arg("--export"), b"").unwrap();
        let length = 3 + usize::from(u16::from_be_bytes([export[1], export[2]]));
        let packet = [&[1], &export[..length]].concat();
        use base64::Engine;
        let text = base64::prelude::BASE64_STANDARD.encode(packet);
        Self {
            home,
            public: PublicKey::decode(&text).unwrap(),
        }
    }
}

fn gpg(home: &Path) -> Command {
    let mut gpg = Command::new("gpg");
    gpg.arg("--homedir")
        .arg(home)
        .args(["--batch", "--no-tty", "--quiet", "--pinentry-mode", "loopback"]);
    gpg
}

impl Drop for GnuPg {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(self.home.path())
            .args(["--kill", "all"])
            .status();
    }
}

impl Signer for GnuPg {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, content: &[u8], _: u32) -> Result<SignaturePacket, SignerError> {
        let arguments = ["--personal-digest-preferences", "SHA512", "--detach-sign"];
        let packet = run(gpg(self.home.path()).args(arguments), content)?;
        Ok(SignaturePacket::from_bytes(&packet)?)
    }
}

#[test]
fn gnupg_signs_and_verifies() {
    let gnupg = GnuPg::new();
    let given: Statement = statement(&assertion("hardware-identity-p256"));
    let signed = given.sign(&gnupg, &options()).unwrap();
    let decoded = decode(signed.to_string().as_bytes()).unwrap();
    decoded.verify(gnupg.public_key()).unwrap();
    assert!(decoded.verify(signer("issuer").public_key()).is_err());
    // GnuPG adds subpackets and uses the old packet format; the assertion has the new one, as snapd
    // writes it.
    let packet = decoded.signature().unwrap().to_bytes();
    assert_eq!((packet[0], packet.len() > 540), (0xc2, true));

    // GnuPG accepts the packet.
    let folder = tempfile::tempdir().unwrap();
    let (signature, data) = (folder.path().join("signature"), folder.path().join("data"));
    std::fs::write(&signature, &packet).unwrap();
    std::fs::write(&data, decoded.content()).unwrap();
    run(
        gpg(gnupg.home.path()).arg("--verify").arg(&signature).arg(&data),
        b"",
    )
    .unwrap();
    std::fs::write(&data, "something else").unwrap();
    assert!(
        run(
            gpg(gnupg.home.path()).arg("--verify").arg(&signature).arg(&data),
            b""
        )
        .is_err()
    );
}

#[test]
fn gnupg_reads_the_native_packet() {
    let home = tempfile::Builder::new().prefix("gpg").tempdir_in("/tmp").unwrap();
    let native: LocalSigner = signer("issuer");
    let packet = native.sign(b"content", 1_795_284_029).unwrap().to_bytes();
    let listing = run(gpg(home.path()).arg("--list-packets"), &packet).unwrap();
    let listing = String::from_utf8(listing).unwrap();
    for part in [
        "version 4, created 1795284029, md5len 0, sigclass 0x00",
        "digest algo 10",
        "data: [4096 bits]",
    ] {
        // GnuPG counts only the significant bits.
        let part = part.trim_end_matches("[4096 bits]");
        assert!(listing.contains(part), "{listing}");
    }
}
