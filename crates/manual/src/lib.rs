//! The manual pages of the programs in `man/`, made from their command lines.
//!
//! A test of each program compares them. `UPDATE_MAN=1 cargo test man` writes them.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::{env, fs, io, iter};

use clap::Command;
use clap_mangen::Man;

/// The pages of the program and its visible subcommands that are not as the command line makes
/// them. With the environment variable `UPDATE_MAN` it writes all pages first.
///
/// # Errors
/// If a page cannot be made or written.
pub fn outdated(program: Command) -> io::Result<Vec<PathBuf>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../man");
    let mut program = program.disable_help_subcommand(true);
    program.build();
    let mut outdated = Vec::new();
    for command in with_subcommands(&program) {
        let name = command.get_display_name().unwrap_or(command.get_name());
        let file = directory.join(format!("{name}.1"));
        let mut page = Vec::new();
        Man::new(command.clone()).title(name).render(&mut page)?;
        if env::var_os("UPDATE_MAN").is_some() {
            fs::write(&file, &page)?;
        }
        if fs::read(&file).unwrap_or_default() != page {
            outdated.push(file);
        }
    }
    Ok(outdated)
}

/// The command and, at any depth, its visible subcommands.
fn with_subcommands(command: &Command) -> Vec<Command> {
    let visible = command.get_subcommands().filter(|command| !command.is_hide_set());
    iter::once(command.clone())
        .chain(visible.flat_map(with_subcommands))
        .collect()
}
