//! Errors of modules and tokens: cause and advice.

use std::path::PathBuf;

use cryptoki::error::Error;
use miette::Diagnostic;

/// Why a token or its PKCS#11 module cannot be used.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum TokenError {
    /// The library cannot be loaded.
    #[error("cannot load the PKCS#11 module {}: {reason}", module.display())]
    #[diagnostic(
        code("pkcs11-module-not-loaded"),
        help(
            "Check the path of the module (module-path in a URI, the setting `pkcs11.module`), and that the \
             libraries that it needs are installed"
        )
    )]
    NotLoaded {
        /// The library.
        module: PathBuf,
        /// What is wrong with it.
        reason: Error,
    },
    /// The library refuses to start.
    #[error("cannot initialise the PKCS#11 module {}: {reason}", module.display())]
    #[diagnostic(
        code("pkcs11-module-not-initialised"),
        help("Check the configuration of the module and its environment variables")
    )]
    NotInitialised {
        /// The library.
        module: PathBuf,
        /// The error of the module.
        reason: Error,
    },
    /// The library does not list its tokens.
    #[error("cannot list the tokens of the PKCS#11 module {}: {reason}", module.display())]
    #[diagnostic(code("pkcs11-tokens-unreadable"), help("Check that the device is connected"))]
    NoTokenList {
        /// The library.
        module: PathBuf,
        /// The error of the module.
        reason: Error,
    },
    /// No token is the wanted one.
    #[error("no token of the PKCS#11 module {} is the wanted one; it has {tokens}", module.display())]
    #[diagnostic(
        code("pkcs11-token-unknown"),
        help(
            "Check label and serial number of the token (token= and serial= in a URI, the setting \
             `pkcs11.token`), and that the device is connected"
        )
    )]
    NoToken {
        /// The library.
        module: PathBuf,
        /// Labels and serial numbers of its tokens.
        tokens: String,
    },
    /// Several tokens can be the wanted one.
    #[error("several tokens of the PKCS#11 module {} can be the wanted one: {tokens}", module.display())]
    #[diagnostic(
        code("pkcs11-token-ambiguous"),
        help("Name one of them (token=LABEL or serial=NUMBER in a URI, the setting `pkcs11.token`)")
    )]
    ManyTokens {
        /// The library.
        module: PathBuf,
        /// Labels and serial numbers of these tokens.
        tokens: String,
    },
    /// The token has no session left.
    #[error("cannot open a session with the token: {0}")]
    #[diagnostic(code("pkcs11-no-session"), help("Check that no other program uses the token"))]
    NoSession(Error),
    /// The token refuses the PIN.
    #[error("the PIN of the token {0:?} is wrong")]
    #[diagnostic(
        code("pkcs11-pin-wrong"),
        help("Check the PIN before you try again: a token locks itself after a few wrong PINs")
    )]
    WrongPin(String),
    /// The token refuses every PIN.
    #[error("the token {0:?} is locked after too many wrong PINs")]
    #[diagnostic(
        code("pkcs11-pin-locked"),
        help("Set a new PIN with the vendor's tool and the PIN of the security officer")
    )]
    Locked(String),
    /// The token refuses the login for another reason.
    #[error("the token {label:?} refuses the login: {reason}")]
    #[diagnostic(
        code("pkcs11-login-refused"),
        help("Check the state of the token with the vendor's tool")
    )]
    NoLogin {
        /// The label of the token.
        label: String,
        /// The error of the module.
        reason: Error,
    },
    /// The objects of the token cannot be read.
    #[error("cannot read the keys of the token {label:?}: {reason}")]
    #[diagnostic(
        code("pkcs11-keys-unreadable"),
        help("Check the state of the token with the vendor's tool")
    )]
    Unreadable {
        /// The label of the token.
        label: String,
        /// The error of the module.
        reason: Error,
    },
}
