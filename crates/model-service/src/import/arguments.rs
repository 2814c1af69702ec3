//! The command line of `import`.

use std::path::PathBuf;

use clap::Args;

/// Arguments of `import`.
#[derive(Args, Debug)]
pub struct ImportArguments {
    /// Settings file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// Compare the identities with the proofs in LEDGER, which `hardware-identity sign --ledger` wrote at
    /// the issuer's station, and report which have one; no proof, or one of another key, is a warning
    #[arg(long, value_name = "LEDGER")]
    pub(crate) proofs: Option<PathBuf>,
    /// Refuse identities without a proof in the ledger of --proofs
    #[arg(long, requires = "proofs")]
    pub(crate) require_proofs: bool,
    /// Streams of signed assertions; - is stdin
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,
}
