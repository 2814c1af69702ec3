//! `hardware-identity completions`: what a shell needs to complete command lines.

use clap::Args;
use clap_complete::Shell;

use crate::output;

/// Prints the completions for a shell, to be put where that shell looks for them
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments, command: &mut clap::Command) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, command, "hardware-identity", &mut script);
    output::write(None, &String::from_utf8(script)?)
}
