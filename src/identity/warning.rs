//! Identity warnings: conditions to report although the operation succeeded.

use failure::Diagnostic;
use identity_key::{DigestForm, KeyKind};
use thiserror::Error;

/// A condition to report although the operation succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
pub enum IdentityWarning {
    /// The setting `algorithm` differs from the kind of the key.
    #[error(
        "the setting `algorithm` is {setting}, but the hardware identity is {identity} and never changes"
    )]
    #[diagnostic(code("algorithm-ignored"), help("Set `algorithm` back to {identity}"))]
    AlgorithmIgnored {
        /// The kind of the key.
        identity: KeyKind,
        /// The setting.
        setting: KeyKind,
    },
    /// The setting `digest-form` differs from the recorded form.
    #[error(
        "the setting `digest-form` is {setting}, but the key digest stays in the form {recorded}, which the \
         issuer has"
    )]
    #[diagnostic(
        code("digest-form-ignored"),
        help("Set `digest-form` back to {recorded}")
    )]
    DigestFormIgnored {
        /// The recorded form.
        recorded: DigestForm,
        /// The setting.
        setting: DigestForm,
    },
    /// The key could not be made persistent.
    #[error(
        "the TPM has no space for another persistent object, so each run derives the key again, which is slow"
    )]
    #[diagnostic(
        code("tpm-storage-full"),
        help("Free a persistent handle that is not needed (`tpm2_getcap handles-persistent`)")
    )]
    NotPersistent,
}
