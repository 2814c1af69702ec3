//! What goes wrong with a TPM: each message says what happened, then what to do.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use thiserror::Error;
use tss_esapi::constants::response_code::Tss2ResponseCodeKind as Kind;

use super::PersistentHandle;
use identity_key::KeyKind;

/// A hierarchy of the TPM that the identity needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hierarchy {
    /// The key is derived from its seed.
    Endorsement,
    /// Its authorisation lets objects be made persistent.
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

/// What went wrong with the TPM.
#[derive(Debug, Error)]
pub enum Error {
    /// There is no device node (ENOENT).
    #[error(
        "there is no TPM: {node} does not exist. Switch the TPM on in the firmware settings (it may be \
         called fTPM, PTT or Security Device), or name another one with the setting `tcti`"
    )]
    NodeMissing {
        /// Path of the node.
        node: String,
    },
    /// The device node may not be opened (EACCES, EPERM).
    #[error(
        "the TPM at {node} may not be opened: permission denied. Connect the plug: `snap connect \
         GADGET:tpm`, or for all devices a `connections:` entry in gadget.yaml; in a shell run it as \
         root"
    )]
    NodeNotReadable {
        /// Path of the node.
        node: String,
    },
    /// Another program holds the device node.
    #[error(
        "the TPM at {node} is in use by another program. Use /dev/tpmrm0 (the setting `tcti`), which \
         programs share, or stop the other program (`fuser {node}` shows it)"
    )]
    NodeBusy {
        /// Path of the node.
        node: String,
    },
    /// The device node opens, and tpm2-tss still cannot talk to it.
    #[error(
        "the device {node} does not answer as a TPM does. Name the TPM's node with the setting `tcti` \
         (usually /dev/tpmrm0); if this is the one, power the device off and on"
    )]
    NodeSilent {
        /// Path of the node.
        node: String,
    },
    /// TCTI error 0xA0015.
    #[error(
        "the library {library} for talking to the TPM was not found. Stage the package that holds it in the \
         snap (libtss2-tcti-device0 or libtss2-tcti-device0t64), in usr/lib/TRIPLET or on LD_LIBRARY_PATH"
    )]
    LibraryMissing {
        /// The library's file name.
        library: String,
    },
    /// Nothing answers where a network TCTI points.
    #[error("no TPM answers at {tcti}. Start it, or correct the setting `tcti` or the variable TCTI")]
    NoAnswer {
        /// The TCTI as configured.
        tcti: String,
    },
    /// The TCTI failed in some other way.
    #[error(
        "the TPM cannot be reached through {tcti} ({reason}). Check the setting `tcti` and the variable TCTI"
    )]
    Unusable {
        /// The TCTI as configured.
        tcti: String,
        /// What tpm2-tss or the system said.
        reason: String,
    },
    /// The connection ended while a command was under way.
    #[error(
        "the connection to the TPM broke during {command}. Look for TPM errors in the kernel log \
         (`journalctl -k | grep -i tpm`); if they stay after a power cycle, the TPM is faulty"
    )]
    ConnectionLost {
        /// The TPM command.
        command: &'static str,
    },
    /// ehEnable or shEnable is clear.
    #[error(
        "the {0} hierarchy of the TPM is disabled. Enable it in the firmware settings (TPM or Trusted \
         Computing menu), then power the device off and on"
    )]
    HierarchyDisabled(Hierarchy),
    /// 0x9A2: a password was set.
    #[error(
        "the {0} hierarchy of the TPM has an authorisation value that someone set, so the hardware identity \
         key cannot be made. Empty it with `tpm2_changeauth`; clearing the TPM in the firmware settings \
         empties it too, but an encrypted system then starts only with its recovery key"
    )]
    AuthorisationSet(Hierarchy),
    /// The handle holds something else.
    #[error(
        "the persistent handle {handle} holds a key that is not this device's hardware identity; it was left \
         alone. Choose a free handle with the setting `handle`, for example `snap set GADGET \
         hardware-identity.handle={other}`"
    )]
    SlotTaken {
        /// The handle from the settings.
        handle: PersistentHandle,
        /// A neighbour to suggest.
        other: PersistentHandle,
    },
    /// The TPM does not know the algorithm, curve, hash or key size.
    #[error(
        "this TPM does not support {algorithm}; it supports {supported}. Choose another with the setting \
         `algorithm`, or another TPM"
    )]
    Unsupported {
        /// What was asked for.
        algorithm: KeyKind,
        /// Names of those that it supports, or `none of the others`.
        supported: String,
    },
    /// A transient answer that did not pass in time.
    #[error(
        "the TPM still answered {command} with \"{reason}\" after {} s of waiting. The next attempt may \
         succeed; if this comes back, raise the setting `tpm-wait`, and see that other programs leave \
         nothing in the TPM (`tpm2_getcap handles-transient`)", waited.as_secs()
    )]
    StillBusy {
        /// The TPM command.
        command: &'static str,
        /// The answer in words.
        reason: String,
        /// The whole time of waiting.
        waited: Duration,
    },
    /// Any other answer.
    #[error(
        "the TPM refused {command}: {reason}. Power the device off and on; if it comes back, run \
         `TSS2_LOG=all+trace hardware-identity show` and report what it prints"
    )]
    Refused {
        /// The TPM command.
        command: &'static str,
        /// The answer in words.
        reason: String,
    },
}

impl Error {
    /// Whether waiting may help where the TPM could not be opened.
    pub(super) fn may_appear(&self) -> bool {
        matches!(
            self,
            Error::NodeMissing { .. }
                | Error::NodeBusy { .. }
                | Error::NodeSilent { .. }
                | Error::NoAnswer { .. }
        )
    }

    /// The handle is taken; suggests its neighbour.
    pub(crate) fn slot_taken(handle: PersistentHandle) -> Self {
        let next = handle.number() + 1;
        Error::SlotTaken {
            handle,
            other: PersistentHandle::new(next).unwrap_or(PersistentHandle::DEFAULT),
        }
    }
}

/// The answers that pass by themselves: ESYS repeats the first three five times, at once; nobody repeats the
/// others.
pub(super) fn is_transient(kind: Option<Kind>) -> bool {
    matches!(
        kind,
        Some(
            Kind::Retry
                | Kind::Testing
                | Kind::Yielded
                | Kind::NvRate
                | Kind::NvUnavailable
                | Kind::ObjectMemory
                | Kind::SessionMemory
                | Kind::ContextGap
        )
    )
}

/// The answer in words, with its code, as `tpm2_rc_decode` takes it.
pub(super) fn in_words(error: tss_esapi::Error) -> String {
    let text = error.to_string();
    let first_sentence = text.split(". ").next().unwrap_or(&text);
    let tss_esapi::Error::Tss2Error(code) = error else {
        return text;
    };
    // The code itself is only to be had from the text of the error below.
    let code = code.source().map(|code| code.to_string()).unwrap_or_default();
    match code.rsplit(' ').next() {
        Some(number) => format!("{first_sentence} ({number})"),
        None => first_sentence.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tpm_is_waited_for_where_it_may_appear() {
        let node = String::new;
        for (error, waited_for) in [
            (Error::NodeMissing { node: node() }, true),
            (Error::NodeBusy { node: node() }, true),
            (Error::NodeSilent { node: node() }, true),
            (Error::NoAnswer { tcti: node() }, true),
            // A plug is connected by a person, and a library does not come by itself.
            (Error::NodeNotReadable { node: node() }, false),
            (Error::LibraryMissing { library: node() }, false),
        ] {
            assert_eq!(error.may_appear(), waited_for, "{error}");
        }
    }
}
