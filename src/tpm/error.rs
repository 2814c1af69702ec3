//! TPM errors: cause and advice.

use std::fmt;
use std::time::Duration;

use failure::Diagnostic;
use identity_key::KeyKind;
use thiserror::Error;

use super::PersistentHandle;

/// A hierarchy of the TPM that the identity needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hierarchy {
    /// The endorsement hierarchy, from whose seed the key is derived.
    Endorsement,
    /// The owner hierarchy, whose authorisation is needed to make objects persistent.
    Owner,
}

impl fmt::Display for Hierarchy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Hierarchy::Endorsement => "endorsement",
            Hierarchy::Owner => "owner (storage)",
        })
    }
}

/// Why the TPM cannot be used.
#[derive(Debug, Error, Diagnostic)]
pub enum TpmError {
    /// The device node does not exist (ENOENT).
    #[error("no TPM found: {node} does not exist")]
    #[diagnostic(
        code("tpm-missing"),
        help(
            "Switch the TPM on in the firmware settings (also called fTPM, PTT or Security Device), or \
             correct the setting `tcti`"
        )
    )]
    NodeMissing {
        /// Path of the node.
        node: String,
    },
    /// The device node may not be opened (EACCES, EPERM).
    #[error("cannot open the TPM at {node}: permission denied")]
    #[diagnostic(
        code("tpm-permission-denied"),
        help(
            "Connect the plug: `snap connect GADGET:tpm`, or for all devices a `connections:` entry in \
             gadget.yaml; in a shell, run the command as root"
        )
    )]
    PermissionDenied {
        /// Path of the node.
        node: String,
    },
    /// Another program has the device node open (EBUSY).
    #[error("the TPM at {node} is in use by another program")]
    #[diagnostic(
        code("tpm-in-use"),
        help(
            "Set `tcti` to device:/dev/tpmrm0, which programs share, or stop the other program (`fuser \
             {node}` shows it)"
        )
    )]
    NodeInUse {
        /// Path of the node.
        node: String,
    },
    /// The device node opens, but tpm2-tss cannot talk to it.
    #[error("the device {node} does not answer as a TPM does")]
    #[diagnostic(
        code("tpm-node-not-a-tpm"),
        help(
            "Set `tcti` to the TPM's node (as a rule device:/dev/tpmrm0); if it is this one, power the \
             device off and on"
        )
    )]
    NotATpm {
        /// Path of the node.
        node: String,
    },
    /// The TCTI library is not installed (TSS2_TCTI_RC_NOT_SUPPORTED).
    #[error("cannot find the library {library}, which connects to the TPM")]
    #[diagnostic(
        code("tcti-library-missing"),
        help(
            "Stage its package in the snap (libtss2-tcti-device0 or libtss2-tcti-device0t64), in \
             usr/lib/TRIPLET or on LD_LIBRARY_PATH"
        )
    )]
    LibraryMissing {
        /// The library's file name.
        library: String,
    },
    /// There is no TPM at the address of a network TCTI.
    #[error("no TPM answers at {tcti}")]
    #[diagnostic(
        code("tpm-no-answer"),
        help("Start the TPM, or correct the setting `tcti` or the variable TCTI")
    )]
    NoAnswer {
        /// The TCTI.
        tcti: String,
    },
    /// The TCTI failed in another way.
    #[error("cannot reach the TPM through {tcti}: {reason}")]
    #[diagnostic(
        code("tpm-unreachable"),
        help("Check the setting `tcti` and the variable TCTI")
    )]
    Unreachable {
        /// The TCTI.
        tcti: String,
        /// What tpm2-tss or the system said.
        reason: String,
    },
    /// The connection broke while a command was running.
    #[error("the connection to the TPM broke during {command}")]
    #[diagnostic(
        code("tpm-connection-lost"),
        help(
            "Look for TPM errors in the kernel log (`journalctl -k | grep -i tpm`); if a power cycle does \
             not fix them, the TPM is faulty"
        )
    )]
    ConnectionLost {
        /// The TPM command.
        command: &'static str,
    },
    /// A hierarchy is disabled: ehEnable or shEnable is clear (TPM 2.0 Library part 2, section
    /// 8.7).
    #[error("the {0} hierarchy of the TPM is disabled")]
    #[diagnostic(
        code("tpm-hierarchy-disabled"),
        help(
            "Enable it in the firmware settings (TPM or Trusted Computing menu), then power the device off \
             and on"
        )
    )]
    HierarchyDisabled(Hierarchy),
    /// A hierarchy has an authorisation value (TPM_RC_BAD_AUTH, TPM_RC_AUTH_FAIL).
    #[error(
        "the {0} hierarchy of the TPM has an authorisation value, so the hardware identity key cannot be made"
    )]
    #[diagnostic(
        code("tpm-authorisation-set"),
        help(
            "Empty it with `tpm2_changeauth`. Clearing the TPM in the firmware settings empties it too, but \
             an encrypted system then starts only with its recovery key"
        )
    )]
    AuthorisationSet(Hierarchy),
    /// Another key is at the persistent handle. It is never evicted.
    #[error("the persistent handle {handle} holds a key that is not this device's hardware identity")]
    #[diagnostic(
        code("tpm-handle-in-use"),
        help("Set `handle` to a free handle, for example `snap set GADGET hardware-identity.handle={next}`")
    )]
    HandleInUse {
        /// The handle from the settings.
        handle: PersistentHandle,
        /// The next handle, as a suggestion.
        next: PersistentHandle,
    },
    /// The TPM does not support the algorithm, curve, hash or key size.
    #[error("this TPM does not support {algorithm}")]
    #[diagnostic(
        code("tpm-algorithm-unsupported"),
        help("Set `algorithm` to one that this TPM supports ({supported}), or use another TPM")
    )]
    Unsupported {
        /// The kind of the key.
        algorithm: KeyKind,
        /// The kinds that the TPM supports, or `none of the others`.
        supported: String,
    },
    /// A transient error lasted longer than the retry budget.
    #[error(
        "the TPM still answered {command} with \"{reason}\" after {} s of retries",
        waited.as_secs()
    )]
    #[diagnostic(
        code("tpm-busy"),
        help(
            "Try again; if it comes back, raise the setting `tpm-wait`, and check that other programs leave \
             nothing in the TPM (`tpm2_getcap handles-transient`)"
        )
    )]
    StillBusy {
        /// The TPM command.
        command: &'static str,
        /// The TPM's answer.
        reason: String,
        /// The limit of the retry budget.
        waited: Duration,
    },
    /// A command had not ended at the deadline of the run.
    #[error(
        "the TPM did not answer during {command}: the limit for all TPM commands of a run is {} s",
        limit.as_secs()
    )]
    #[diagnostic(
        code("tpm-timeout"),
        help(
            "Power the device off and on, and look for TPM errors in the kernel log (`journalctl -k | grep \
             -i tpm`); if `tcti` names a network address, check the TPM there"
        )
    )]
    TimedOut {
        /// The TPM command, or the start of the connection.
        command: &'static str,
        /// The limit for all commands.
        limit: Duration,
    },
    /// TPM2_ActivateCredential refused a credential.
    #[error("the TPM refused the challenge: {0}")]
    #[diagnostic(
        code("challenge-refused"),
        help(
            "Answer the challenge on the device that it was made for; after a change of the TPM or the board, \
             export the device again"
        )
    )]
    CredentialRefused(String),
    /// The TPM answered with any other error.
    #[error("the TPM command {command} failed: {reason}")]
    #[diagnostic(
        code("tpm-command-failed"),
        help(
            "Power the device off and on; if it comes back, run `TSS2_LOG=all+trace hardware-identity show` \
             and report its output"
        )
    )]
    Failed {
        /// The TPM command.
        command: &'static str,
        /// The TPM's answer.
        reason: String,
    },
}

#[cfg(feature = "tpm")]
impl TpmError {
    /// Returns true if a retry may open the TPM.
    pub(super) fn is_transient(&self) -> bool {
        matches!(
            self,
            TpmError::NodeMissing { .. }
                | TpmError::NodeInUse { .. }
                | TpmError::NotATpm { .. }
                | TpmError::NoAnswer { .. }
        )
    }

    /// Another key is at the handle; suggests the next handle.
    pub(crate) fn handle_in_use(handle: PersistentHandle) -> Self {
        let next = handle.number() + 1;
        TpmError::HandleInUse {
            handle,
            next: PersistentHandle::new(next).unwrap_or(PersistentHandle::DEFAULT),
        }
    }
}

#[cfg(all(test, feature = "tpm"))]
mod tests {
    use super::*;

    #[test]
    fn a_tpm_that_may_appear_is_retried() {
        let node = String::new;
        for (error, transient) in [
            (TpmError::NodeMissing { node: node() }, true),
            (TpmError::NodeInUse { node: node() }, true),
            (TpmError::NotATpm { node: node() }, true),
            (TpmError::NoAnswer { tcti: node() }, true),
            // A person connects a plug or installs a library.
            (TpmError::PermissionDenied { node: node() }, false),
            (TpmError::LibraryMissing { library: node() }, false),
        ] {
            assert_eq!(error.is_transient(), transient, "{error}");
        }
    }
}
