//! The key in a token behind a PKCS#11 module: a secure element, OP-TEE, an HSM.
//!
//! A module is a library of its vendor. It runs in a process of its own (`agent`), which is this
//! program again: a module can hang or crash, and the hook then still ends with an error.
//!
//! | module | contents |
//! |---|---|
//! | `settings` | which module, token and PIN |
//! | `process` | the process, seen from the hook |
//! | `agent` | the process itself |
//! | `message` | what the two say to each other |
//! | `token` | the key in the token |
//! | `encoding` | public keys and signatures of tokens |
//! | `error` | errors: cause and advice |

#[cfg(feature = "pkcs11")]
mod agent;
#[cfg(feature = "pkcs11")]
mod encoding;
#[cfg(feature = "pkcs11")]
mod error;
#[cfg(feature = "pkcs11")]
mod message;
#[cfg(feature = "pkcs11")]
mod module_file;
#[cfg(feature = "pkcs11")]
mod process;
mod reference;
mod settings;
#[cfg(feature = "pkcs11")]
mod token;

#[cfg(feature = "pkcs11")]
pub(crate) use agent::run as run_agent;
#[cfg(feature = "pkcs11")]
pub use error::Pkcs11Error;
#[cfg(feature = "pkcs11")]
pub(crate) use message::FoundKey;
#[cfg(feature = "pkcs11")]
pub use process::AgentFailure;
#[cfg(feature = "pkcs11")]
pub(crate) use process::TokenProcess;
pub use reference::{KeyAddress, TokenKeyReference};
pub use settings::{ModuleUnset, Pkcs11Settings};

/// The argument with which a program of this project runs as the process for a module.
#[cfg(feature = "pkcs11")]
pub(crate) const AGENT: &str = "use-pkcs11-token";
