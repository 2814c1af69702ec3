//! Signing: from a statement to an assertion, with whatever holds the key.

use crate::assertion::{Assertion, MAX_BODY, MAX_HEADERS, check_common};
use crate::encode::write_headers;
use crate::error::{DigestForm, HeaderProblem, Part, SignError};
use crate::fields::Fields;
use crate::key::PublicKey;
use crate::openpgp::SignaturePacket;
use crate::statement::Statement;
use crate::types;

/// The smallest RSA key that may sign, in bits. snapd has the same bound for keys held by GnuPG or a key
/// manager.
pub const MIN_SIGNING_BITS: usize = 4096;

/// What a signer reports when it fails.
pub type SignerError = Box<dyn std::error::Error + Send + Sync>;

/// A private RSA key, wherever it is kept.
///
/// Implementations that hold a bare RSA key let [`PendingSignature`](crate::PendingSignature) do the OpenPGP
/// framing; those that get a whole packet, as from GnuPG, read it with [`SignaturePacket::from_bytes`].
/// Several threads may sign at once.
/// [`Statement::sign`] verifies what a signer returns.
///
/// ```no_run
/// use std::process::Command;
///
/// use snap_assertions::{PublicKey, SignaturePacket, Signer, SignerError};
///
/// /// GnuPG, asked to sign a file.
/// struct GnuPg {
///     public: PublicKey,
/// }
///
/// impl Signer for GnuPg {
///     fn public_key(&self) -> &PublicKey {
///         &self.public
///     }
///
///     fn sign(&self, content: &[u8], _: u32) -> Result<SignaturePacket, SignerError> {
///         std::fs::write("content", content)?;
///         let mut gpg = Command::new("gpg");
///         gpg.args(["--personal-digest-preferences", "SHA512", "--output", "-"]);
///         let output = gpg.args(["--detach-sign", "content"]).output()?;
///         Ok(SignaturePacket::from_bytes(&output.stdout)?)
///     }
/// }
/// ```
pub trait Signer: Sync {
    /// The public key that verifies what this signer signs.
    fn public_key(&self) -> &PublicKey;

    /// Signs `content` with RSA, PKCS#1 v1.5 and SHA-512.
    ///
    /// `time` is the creation time to be written into the signature, in seconds since 1970-01-01T00:00:00Z. A
    /// signer that cannot set it may use the current time instead.
    ///
    /// # Errors
    /// Whatever keeps the key from being used.
    fn sign(&self, content: &[u8], time: u32) -> Result<SignaturePacket, SignerError>;
}

/// How to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignOptions {
    /// The creation time of the signature, in seconds since 1970-01-01T00:00:00Z. Key and time determine the
    /// signature.
    pub time: u32,
    /// The form that the key digest of a `hardware-identity` must have. snapd accepts [`DigestForm::Text`]
    /// only.
    pub digest_form: DigestForm,
}

impl SignOptions {
    /// Options for a signature made at `time`, in seconds since 1970-01-01T00:00:00Z, of what snapd would
    /// sign too.
    pub fn at(time: u32) -> Self {
        Self {
            time,
            digest_form: DigestForm::Text,
        }
    }

    /// Options for a signature made now, of what snapd would sign too.
    pub fn now() -> Self {
        let seconds = jiff::Timestamp::now().as_second();
        // An OpenPGP time reaches until 2106.
        Self::at(u32::try_from(seconds).unwrap_or(u32::MAX))
    }
}

impl Statement {
    /// Signs this statement, after all checks that snapd makes on its type.
    ///
    /// The headers `body-length` and `sign-key-sha3-384` are set; `format` and `revision` are left out where
    /// they are 0. For the same statement, key and time the result is the same, byte for byte, as snapd's.
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
    /// If the statement breaks a rule of its type or a limit of the format, if the key has less than
    /// [`MIN_SIGNING_BITS`] bits, if the signer fails, or if its signature does not verify.
    pub fn sign(&self, signer: &dyn Signer, options: &SignOptions) -> Result<Assertion, SignError> {
        let key = signer.public_key();
        if key.bits() < MIN_SIGNING_BITS {
            return Err(SignError::KeyTooSmall(key.bits()));
        }
        let unsigned = self.assemble(key.id(), options.digest_form)?;
        let content = unsigned.content.as_bytes();
        let signature = signer.sign(content, options.time).map_err(SignError::Signer)?;
        key.verify(content, &signature).map_err(SignError::BadSignature)?;
        Ok(Assertion {
            signature: signature.encode(),
            ..unsigned
        })
    }

    /// The content that [`sign`](Self::sign) signs when the key has the id `sign_key_id`, after the same
    /// checks.
    ///
    /// # Errors
    /// If the statement breaks a rule of its type or a limit of the format.
    pub fn content(&self, sign_key_id: &str, digest_form: DigestForm) -> Result<String, SignError> {
        Ok(self.assemble(sign_key_id, digest_form)?.content)
    }

    /// Makes all of the assertion but the signature.
    fn assemble(&self, sign_key_id: &str, digest_form: DigestForm) -> Result<Assertion, SignError> {
        let common = check_common(&self.headers)?;
        if common.format > common.kind.max_format() {
            let problem = HeaderProblem::UnsupportedFormat {
                found: common.format,
                supported: common.kind.max_format(),
            };
            return Err(Fields::of(&self.headers).error("format", problem).into());
        }
        // The checks see empty lists too, which the text cannot hold: snapd refuses empty constraints, say.
        let mut given = self.headers.clone();
        given.set("sign-key-sha3-384", sign_key_id)?;
        types::check(common.kind, &given, &self.body, digest_form)?;
        let (head, headers) = write_headers(self, &common, sign_key_id);
        // The limit counts the empty line after the headers.
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
