//! Findings about the PKCS#11 module and its token.

use std::borrow::Cow;

use miette::Diagnostic;
use thiserror::Error;

use crate::finding::FindingKind;

#[derive(Debug, Error, Diagnostic)]
pub(crate) enum TokenFinding {
    #[error("the snap has no file {module}")]
    #[diagnostic(
        code("module-missing"),
        help("Stage the vendor's library, or correct the path; a relative path is one in the snap")
    )]
    ModuleMissing { module: String },
    #[error("{module} is not a shared library")]
    #[diagnostic(code("module-not-library"), help("Name the vendor's PKCS#11 library"))]
    ModuleNotLibrary { module: String },
    #[error("{module} is for another architecture than the hooks")]
    #[diagnostic(
        code("module-architecture"),
        help("Stage the library for the architecture of the snap")
    )]
    ModuleArchitecture { module: String },
    #[error("{module} is neither in the snap nor in its base")]
    #[diagnostic(
        code("module-outside"),
        severity(Warning),
        help("Stage the vendor's library, and name it by its path in the snap: usr/lib/…")
    )]
    ModuleOutside { module: String },
    #[error("the hook {hook} has no plug with which a PKCS#11 module reaches a token")]
    #[diagnostic(
        code("token-plug-missing"),
        severity(Warning),
        help(
            "Add the plug that the token needs: tee for OP-TEE, raw-usb for a USB token, custom-device for another \
             device node"
        )
    )]
    NoPlug { hook: &'static str },
}

impl FindingKind for TokenFinding {
    fn why(&self) -> Cow<'static, str> {
        match self {
            TokenFinding::ModuleMissing { .. }
            | TokenFinding::ModuleNotLibrary { .. }
            | TokenFinding::ModuleArchitecture { .. } => {
                "the hooks cannot load the module, and the device gets no identity"
            }
            TokenFinding::ModuleOutside { .. } => {
                "the hooks see only the files of the snap and of its base, and those of content snaps and layouts"
            }
            TokenFinding::NoPlug { .. } => "AppArmor then denies access to the token",
        }
        .into()
    }
}
