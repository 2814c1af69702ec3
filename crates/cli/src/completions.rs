//! `hardware-identity completions`: completion scripts for shells.

use clap::Args;
use clap_complete::Shell;

use crate::error::ToolError;
use crate::output;

/// Print the completion script of a shell
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionsArguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

const EXAMPLES: &str = "\
Example:
  hardware-identity completions bash >~/.local/share/bash-completion/completions/hardware-identity";

pub(crate) fn run(arguments: &CompletionsArguments, command: &mut clap::Command) -> Result<(), ToolError> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, command, "hardware-identity", &mut script);
    Ok(output::write(None, &String::from_utf8_lossy(&script))?)
}
