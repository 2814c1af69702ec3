//! The proofs in the ledger of the issuer's station: which keys a TPM has proven to hold.

use std::collections::HashSet;
use std::path::Path;

use ledger_chain::{ChainError, ChainReader, Fingerprint, SignedLine};
use serde::{Deserialize, Serialize};

use super::error::RefusalReason;

/// What a ledger has for an identity.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ProofStatus {
    /// A proof of this key for this hardware-id.
    Recorded,
    /// No proof for this hardware-id.
    None,
    /// A proof for this hardware-id, of another key.
    OtherKey,
}

impl ProofStatus {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::None => "none",
            Self::OtherKey => "other-key",
        }
    }

    /// Why the identity is refused, or what the warning about it is.
    pub(super) fn problem(self) -> Option<RefusalReason> {
        match self {
            Self::Recorded => None,
            Self::None => Some(RefusalReason::NoProof),
            Self::OtherKey => Some(RefusalReason::ProofOfOtherKey),
        }
    }
}

/// The proofs in a ledger.
#[derive(Debug, Default)]
pub(crate) struct LedgerProofs {
    hardware_ids: HashSet<Fingerprint>,
    /// Of hardware-id and key digest together.
    identities: HashSet<Fingerprint>,
    /// True if identities without a proof are refused.
    pub(super) required: bool,
}

impl LedgerProofs {
    /// Reads the ledger that `hardware-identity sign` wrote, and checks its chain.
    ///
    /// # Errors
    /// If the file cannot be read, or at the first wrong line.
    pub(crate) fn read(ledger: &Path, required: bool) -> Result<Self, ChainError> {
        let mut proofs = Self {
            required,
            ..Self::default()
        };
        ChainReader::default().read(ledger, |line| {
            let line = SignedLine::read(line).map_err(|error| error.to_string())?;
            if line.activation().is_some() {
                proofs
                    .hardware_ids
                    .insert(Fingerprint::of_strings(&[&line.hardware_id]));
                let identity = Fingerprint::of_strings(&[&line.hardware_id, &line.key_digest]);
                proofs.identities.insert(identity);
            }
            Ok(())
        })?;
        Ok(proofs)
    }

    pub(super) fn status(&self, hardware_id: &str, key_digest: &str) -> ProofStatus {
        if self
            .identities
            .contains(&Fingerprint::of_strings(&[hardware_id, key_digest]))
        {
            ProofStatus::Recorded
        } else if self
            .hardware_ids
            .contains(&Fingerprint::of_strings(&[hardware_id]))
        {
            ProofStatus::OtherKey
        } else {
            ProofStatus::None
        }
    }
}
