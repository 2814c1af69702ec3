//! The proof of each export that `sign --require-proof` signs.

use std::path::{Path, PathBuf};

use clap::Args;
use files::FileError;
use ledger_chain::Fingerprint;
use miette::Diagnostic;
use residency::{
    Answer, AnswerError, ClaimedIdentity, CredentialError, EvidenceError, EvidenceMessage, LARGEST_EVIDENCE,
    LARGEST_MESSAGE, MessageError, VerifiedEvidence, names,
};
use serde::Serialize;
use thiserror::Error;

use super::batch::{BatchError, ProofBatch, ledger_in};
use super::record::RecordedProofs;
use crate::error::ToolError;
use crate::export_checks::CheckedExport;
use crate::export_reader::{Input, Location};
use crate::fingerprint::UniqueFingerprints;

/// The proof of an assertion in the ledger that was signed without one.
pub(crate) const UNPROVEN: &str = "\"none\"";

/// Sign only keys that are proven to live in a genuine TPM.
#[derive(Args, Debug)]
pub(crate) struct ProofArguments {
    /// Sign only keys that the TPM of their device has proven to hold: each NAME.json needs
    /// NAME.evidence.json beside it and NAME.answer.json in --answers
    #[arg(
        long,
        requires = "batch",
        requires = "answers",
        help_heading = "Proof of TPMs"
    )]
    require_proof: bool,
    /// The directory of the batch that `challenge` made
    #[arg(
        long,
        value_name = "DIR",
        requires = "require_proof",
        help_heading = "Proof of TPMs"
    )]
    batch: Option<PathBuf>,
    /// The directory with the answers of the devices
    #[arg(
        long,
        value_name = "DIR",
        requires = "require_proof",
        help_heading = "Proof of TPMs"
    )]
    answers: Option<PathBuf>,
    /// Sign exports without an answer too, and mark them in the ledger; a wrong answer is still refused.
    /// Needs --require-proof or --ledger
    #[arg(long, requires = "record", help_heading = "Proof of TPMs")]
    allow_unproven: bool,
}

impl ProofArguments {
    /// The ledger to use if the command line names none: a proof is always recorded.
    pub(crate) fn ledger(&self) -> Option<PathBuf> {
        self.batch.as_deref().map(ledger_in)
    }

    /// Opens the batch, if the command line names one.
    pub(crate) fn open_batch(&self) -> Result<Option<ProofBatch>, BatchError> {
        self.batch.as_deref().map(ProofBatch::open).transpose()
    }

    /// Returns true if the exports are compared with the proofs in the ledger.
    pub(crate) fn needs_record(&self) -> bool {
        self.require_proof || self.allow_unproven
    }

    /// The checks against the batch, and against the proofs in the ledger, which it reads.
    pub(crate) fn checks(
        &self,
        batch: Option<ProofBatch>,
        ledger: Option<&Path>,
        revision: Option<u64>,
    ) -> Result<(ProofChecks, ProofComparison), ToolError> {
        let recorded = ledger.map(RecordedProofs::read).transpose()?.unwrap_or_default();
        let allow_unproven = self.allow_unproven;
        let comparison = ProofComparison {
            batch: batch.as_ref().map(|batch| batch.id.clone()).unwrap_or_default(),
            allow_unproven,
            revision,
            recorded,
            keys: UniqueFingerprints::default(),
        };
        let checks = ProofChecks {
            batch,
            answers: self.answers.clone().unwrap_or_default(),
            allow_unproven,
        };
        Ok((checks, comparison))
    }
}

/// Why a device is not proven.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum ProofProblem {
    #[error("no evidence can be beside an export on stdin")]
    #[diagnostic(
        code("evidence-on-stdin"),
        help("Pass the exports as files or directories, one export per file, with the evidence beside them")
    )]
    Stdin,
    #[error("the export has no evidence: {} does not exist", .0.display())]
    #[diagnostic(
        code("evidence-missing"),
        help(
            "Export the device with --with-evidence, one export per file, and put both files into one directory"
        )
    )]
    NoEvidence(PathBuf),
    #[error("the device has not answered its challenge: {} does not exist", .0.display())]
    #[diagnostic(
        code("answer-missing"),
        help(
            "Run `hardware-identity activate` on the device, and put the answer into the directory of --answers"
        )
    )]
    NoAnswer(PathBuf),
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    #[error("cannot read {}: {reason}", path.display())]
    #[diagnostic(forward(reason))]
    Message { path: PathBuf, reason: MessageError },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Evidence(#[from] EvidenceError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Credential(#[from] CredentialError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Answer(#[from] AnswerError),
    #[error("another device has the same TPM (first at {first})")]
    #[diagnostic(
        code("duplicate-tpm"),
        help(
            "Find out which device has this TPM, and take the other off the line; with --keep-going, the first \
             is accepted"
        )
    )]
    DuplicateTpm { first: String },
    #[error("line {line} of the ledger has this TPM for another device or key")]
    #[diagnostic(
        code("tpm-recorded"),
        help(
            "Find out which device has this TPM; if the hardware id in the ledger was wrong, sign with another --ledger"
        )
    )]
    TpmRecorded { line: u64 },
    #[error("line {line} of the ledger has a proof of this identity key for another device or TPM")]
    #[diagnostic(
        code("identity-key-recorded"),
        help(
            "Find out which device has this key; if the hardware id in the ledger was wrong, sign with another --ledger"
        )
    )]
    KeyRecorded { line: u64 },
    #[error("line {line} of the ledger has a proof of this device, with the revision {revision}")]
    #[diagnostic(
        code("proof-recorded"),
        help(
            "Use the assertion that was signed then; if that run failed or its output is lost, sign with \
             --revision {next}"
        )
    )]
    Recorded {
        line: u64,
        /// The highest one in the ledger.
        revision: u64,
        /// The lowest one that is accepted.
        next: u64,
    },
}

/// Adds an endorsement key, of which this is the SHA-256, to those of the batch; `show` names a
/// location.
pub(super) fn add_endorsement_key(
    keys: &mut UniqueFingerprints,
    key: &[u8; 32],
    location: Location,
    show: impl Fn(Location) -> String,
) -> Result<(), ProofProblem> {
    match keys.add(Fingerprint::of_digest(key), location) {
        None => Ok(()),
        Some(first) => Err(ProofProblem::DuplicateTpm { first: show(first) }),
    }
}

/// The identity that an export claims, and the evidence beside it.
pub(super) fn evidence_for<'a>(
    input: &Input,
    export: &'a CheckedExport,
) -> Result<(ClaimedIdentity<'a>, EvidenceMessage), ProofProblem> {
    let (Input::File(path), Some((hardware_id, key))) = (input, &export.identity) else {
        return Err(ProofProblem::Stdin);
    };
    let path = path.with_extension("evidence.json");
    let json = match files::read(&path, LARGEST_EVIDENCE) {
        Err(error) if error.is_not_found() => return Err(ProofProblem::NoEvidence(path)),
        read => read?,
    };
    let message = EvidenceMessage::read(&json).map_err(|reason| ProofProblem::Message { path, reason })?;
    Ok((ClaimedIdentity { hardware_id, key }, message))
}

/// The proof of an assertion, as in the ledger.
#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct ProofMembers<'a> {
    batch: &'a str,
    template: &'static str,
    /// SHA-256 of the endorsement key's SubjectPublicKeyInfo.
    ek_sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    ek_certificate_sha256: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root_sha256: Option<&'a str>,
    key_name: String,
}

impl<'a> ProofMembers<'a> {
    pub(crate) fn new(batch: &'a str, evidence: &'a VerifiedEvidence) -> Self {
        ProofMembers {
            batch,
            template: evidence.template.name(),
            ek_sha256: hex::encode(evidence.endorsement_key_sha256()),
            ek_certificate_sha256: evidence.certificate.as_deref(),
            root_sha256: evidence.root.as_deref(),
            key_name: hex::encode(&evidence.key_name),
        }
    }
}

/// A device that proved its key.
pub(crate) struct Proven {
    evidence: VerifiedEvidence,
    hardware_id: String,
}

/// The checks of a run of `sign` that need no other export.
pub(crate) struct ProofChecks {
    batch: Option<ProofBatch>,
    answers: PathBuf,
    allow_unproven: bool,
}

/// The checks that compare a proof with those before it, in the batch and in the ledger.
pub(crate) struct ProofComparison {
    batch: String,
    allow_unproven: bool,
    /// Of a second assertion for a device, if one is wanted.
    revision: Option<u64>,
    recorded: RecordedProofs,
    keys: UniqueFingerprints,
}

/// What the checks in parallel found: a proof, nothing to check, or a problem.
pub(crate) type ProofCheck = Result<Option<Proven>, ProofProblem>;

impl ProofChecks {
    /// The checks of one export that need no other.
    pub(crate) fn check(&self, input: &Input, export: &CheckedExport) -> ProofCheck {
        let Some(batch) = &self.batch else {
            return Ok(None);
        };
        let answer = match self.answer_for(input) {
            Err(ProofProblem::NoAnswer(_)) if self.allow_unproven => return Ok(None),
            answer => answer,
        };
        // What is wrong with the evidence explains why there is no answer.
        let (identity, message) = evidence_for(input, export)?;
        let evidence = batch.station.verify(identity, &message)?;
        batch.station.check(identity, &evidence, &answer?)?;
        let hardware_id = identity.hardware_id.to_owned();
        Ok(Some(Proven {
            evidence,
            hardware_id,
        }))
    }

    fn answer_for(&self, input: &Input) -> Result<Answer, ProofProblem> {
        let Input::File(export) = input else {
            return Err(ProofProblem::Stdin);
        };
        let name = export.with_extension("answer.json");
        let path = self.answers.join(name.file_name().unwrap_or_default());
        let json = match files::read(&path, LARGEST_MESSAGE) {
            Err(error) if error.is_not_found() => return Err(ProofProblem::NoAnswer(path)),
            read => read?,
        };
        Answer::read(&json).map_err(|reason| ProofProblem::Message { path, reason })
    }
}

impl ProofComparison {
    /// Compares a proof with those before it. Returns the member of the ledger as JSON; empty if
    /// nothing is to be recorded.
    pub(crate) fn compare(
        &mut self,
        checked: ProofCheck,
        export: &CheckedExport,
        location: Location,
        show: impl Fn(Location) -> String,
    ) -> Result<String, ProofProblem> {
        let Some(proven) = checked? else {
            return self.compare_unproven(export);
        };
        let evidence = &proven.evidence;
        let key = evidence.endorsement_key_sha256();
        add_endorsement_key(&mut self.keys, &key, location, show)?;
        let members = ProofMembers::new(&self.batch, evidence);
        let (ek, name) = (&members.ek_sha256, &members.key_name);
        self.recorded
            .compare(ek, name, &proven.hardware_id, self.revision)?;
        // Strings can always be written.
        Ok(serde_json::to_string(&members).unwrap_or_default())
    }

    /// Compares an export without a proof: its key may be one that another device has proven.
    fn compare_unproven(&self, export: &CheckedExport) -> Result<String, ProofProblem> {
        if !self.allow_unproven {
            return Ok(String::new());
        }
        if let Some((hardware_id, key)) = &export.identity {
            for name in names(key) {
                self.recorded
                    .compare_unproven(&hex::encode(name), hardware_id, self.revision)?;
            }
        }
        Ok(UNPROVEN.to_owned())
    }
}
