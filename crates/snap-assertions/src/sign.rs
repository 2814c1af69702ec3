//! Signatures on statements, with a key in memory, in an HSM or behind another program.

use identity_key::DigestForm;
use miette::Diagnostic;
use thiserror::Error;

use crate::assertion::{Assertion, MAX_BODY, MAX_HEADERS, Part, check_common};
use crate::encode::write_headers;
use crate::fields::{Fields, HeaderError, HeaderProblem};
use crate::key::{PublicKey, WrongSignature};
use crate::openpgp::SignaturePacket;
use crate::statement::Statement;
use crate::types;

/// The smallest RSA key that may sign, in bits. snapd has the same limit for keys in GnuPG or a key
/// manager.
pub const MIN_SIGNING_BITS: usize = 4096;

/// The error of a [`Signer`], with its own code and advice.
pub type SignerError = Box<dyn Diagnostic + Send + Sync>;

/// Why a statement was not signed.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum SignError {
    /// A header breaks a rule.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Header(#[from] HeaderError),
    /// A part is longer than the format allows.
    #[error("the {part} has {found} bytes, but at most {limit} are allowed")]
    #[diagnostic(code("statement-too-long"), help("Shorten the {part}"))]
    TooLong {
        /// The part.
        part: Part,
        /// Its length in bytes.
        found: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The key has less than [`MIN_SIGNING_BITS`] bits.
    #[error("the signing key has {0} bits, but at least 4096 are needed")]
    #[diagnostic(
        code("signing-key-too-small"),
        help(
            "Sign with a larger key: `openssl genrsa -out KEY.pem 4096` or `snap create-key NAME` makes one"
        )
    )]
    KeyTooSmall(usize),
    /// The signer failed.
    #[error("cannot sign: {0}")]
    #[diagnostic(transparent)]
    Signer(SignerError),
    /// The signer returned a signature that its public key does not verify.
    #[error("the signer returned a signature that its public key does not verify")]
    #[diagnostic(
        code("signer-signature-wrong"),
        help("Check that the private key of the signer belongs to its public key")
    )]
    BadSignature(WrongSignature),
}

/// A private RSA key.
///
/// An implementation with a bare RSA key uses [`PendingSignature`](crate::PendingSignature) for the
/// OpenPGP packet. One that gets a whole packet, as from GnuPG, reads it with
/// [`SignaturePacket::from_bytes`]. Several threads may sign at the same time. [`Statement::sign`]
/// verifies each signature, unless the signer does so itself.
///
/// ```no_run
/// use std::io;
/// use std::process::{Command, Output};
///
/// use miette::Diagnostic;
/// use snap_assertions::{PublicKey, SignaturePacket, Signer, SignerError};
/// use thiserror::Error;
///
/// #[derive(Debug, Error, Diagnostic)]
/// #[error("cannot run gpg: {0}")]
/// #[diagnostic(code("gpg-failed"), help("Check that gpg is installed"))]
/// struct GpgFailed(io::Error);
///
/// struct GnuPg {
///     public: PublicKey,
/// }
///
/// impl GnuPg {
///     fn run(&self, content: &[u8]) -> io::Result<Output> {
///         std::fs::write("content", content)?;
///         let mut gpg = Command::new("gpg");
///         gpg.args(["--personal-digest-preferences", "SHA512", "--output", "-"]);
///         gpg.args(["--detach-sign", "content"]).output()
///     }
/// }
///
/// impl Signer for GnuPg {
///     fn public_key(&self) -> &PublicKey {
///         &self.public
///     }
///
///     fn sign(&self, content: &[u8], _: u32) -> Result<SignaturePacket, SignerError> {
///         let output = self.run(content).map_err(GpgFailed)?;
///         Ok(SignaturePacket::from_bytes(&output.stdout)?)
///     }
/// }
/// ```
pub trait Signer: Sync {
    /// The public key that verifies what this signer signs.
    fn public_key(&self) -> &PublicKey;

    /// Signs `content` with RSA, PKCS#1 v1.5 and SHA-512.
    ///
    /// `time` is the creation time of the signature, in seconds since 1970-01-01T00:00:00Z. A
    /// signer that cannot set it may use the current time.
    ///
    /// # Errors
    /// If the key cannot sign.
    fn sign(&self, content: &[u8], time: u32) -> Result<SignaturePacket, SignerError>;

    /// Returns true if [`sign`](Self::sign) checks the result of the RSA operation with the public
    /// key, and fails if it is wrong.
    fn verifies_itself(&self) -> bool {
        false
    }
}

/// Options of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignOptions {
    /// The creation time of the signature, in seconds since 1970-01-01T00:00:00Z. The same
    /// statement, key and time give the same signature.
    pub time: u32,
    /// The form that the key digest of a `hardware-identity` must have. snapd accepts only
    /// [`DigestForm::Text`].
    pub digest_form: DigestForm,
}

impl SignOptions {
    /// Options with the creation time `time`, in seconds since 1970-01-01T00:00:00Z, and the digest
    /// form that snapd accepts.
    pub fn at(time: u32) -> Self {
        Self {
            time,
            digest_form: DigestForm::Text,
        }
    }

    /// Options with the current time and the digest form that snapd accepts.
    pub fn now() -> Self {
        let seconds = jiff::Timestamp::now().as_second();
        // OpenPGP times end in 2106.
        Self::at(u32::try_from(seconds).unwrap_or(u32::MAX))
    }
}

impl Statement {
    /// Signs this statement after all checks that snapd makes on its type.
    ///
    /// Sets the headers `body-length` and `sign-key-sha3-384`, and leaves out `format` and
    /// `revision` if they are 0. The result for a statement, key and time is the same as snapd's,
    /// byte for byte.
    ///
    /// ```
    /// use snap_assertions::{LocalSigner, SignOptions, Statement};
    ///
    /// let signer = LocalSigner::from_der(include_bytes!("../tests/vectors/issuer.pk8"))?;
    /// let json = include_str!("../tests/vectors/hardware-identity-p256.json");
    /// let statement = Statement::from_json(json)?;
    /// let assertion = statement.sign(&signer, &SignOptions::at(1_795_284_029))?;
    /// assert_eq!(
    ///     assertion.to_string(),
    ///     include_str!("../tests/vectors/hardware-identity-p256.assert")
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// If the statement breaks a rule of its type or a limit of the format, if the key has less
    /// than [`MIN_SIGNING_BITS`] bits, if the signer fails, or if its signature is wrong.
    pub fn sign(&self, signer: &dyn Signer, options: &SignOptions) -> Result<Assertion, SignError> {
        let key = signer.public_key();
        if key.bits() < MIN_SIGNING_BITS {
            return Err(SignError::KeyTooSmall(key.bits()));
        }
        let unsigned = self.assemble(key.id(), options.digest_form)?;
        let content = unsigned.content.as_bytes();
        let signature = signer.sign(content, options.time).map_err(SignError::Signer)?;
        if !signer.verifies_itself() {
            key.verify(content, &signature).map_err(SignError::BadSignature)?;
        }
        Ok(Assertion {
            signature: signature.encode(),
            ..unsigned
        })
    }

    /// The content that [`sign`](Self::sign) signs with the key `sign_key_id`, after the same
    /// checks.
    ///
    /// # Errors
    /// If the statement breaks a rule of its type or a limit of the format.
    pub fn content(&self, sign_key_id: &str, digest_form: DigestForm) -> Result<String, SignError> {
        Ok(self.assemble(sign_key_id, digest_form)?.content)
    }

    /// Makes the assertion without its signature.
    fn assemble(&self, sign_key_id: &str, digest_form: DigestForm) -> Result<Assertion, SignError> {
        let common = check_common(&self.headers)?;
        if common.format > common.kind.max_format() {
            let problem = HeaderProblem::UnsupportedFormat {
                found: common.format,
                supported: common.kind.max_format(),
            };
            return Err(Fields::of(&self.headers).error("format", problem).into());
        }
        // Checks the headers before empty lists are left out: snapd refuses, for example, empty
        // constraints.
        let mut given = self.headers.clone();
        given.replace("sign-key-sha3-384", sign_key_id.into());
        types::check(common.kind, &given, &self.body, digest_form)?;
        let (head, headers) = write_headers(self, &common, sign_key_id);
        // The limit includes the empty line after the headers.
        check_length(Part::Headers, head.len() + 2, MAX_HEADERS)?;
        check_length(Part::Body, self.body.len(), MAX_BODY)?;
        let mut content = head;
        if !self.body.is_empty() {
            content.push_str("\n\n");
            content.push_str(&self.body);
        }
        Ok(Assertion {
            kind: common.kind,
            headers,
            revision: common.revision,
            format: common.format,
            body: content.len() - self.body.len()..content.len(),
            content,
            signature: String::new(),
        })
    }
}

fn check_length(part: Part, found: usize, limit: usize) -> Result<(), SignError> {
    match found <= limit {
        true => Ok(()),
        false => Err(SignError::TooLong { part, found, limit }),
    }
}
