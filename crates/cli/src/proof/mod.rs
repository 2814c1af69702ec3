//! The station's side of the proof that an identity key lives in a genuine TPM, in batches: challenges
//! for exports with evidence, and the check of the answers before `sign` signs.

mod batch;
mod challenge;
mod check;
mod record;

pub(crate) use batch::{BatchError, ProofBatch, ledger_in};
pub(crate) use challenge::{ChallengeArguments, ChallengeFailure, TrustArguments, run};
pub(crate) use check::{ProofArguments, ProofChecks, ProofComparison, ProofMembers, ProofProblem};
pub(crate) use record::RecordedProofs;
