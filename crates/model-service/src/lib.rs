//! A reference model service: what a device registers with to get its serial assertion.
//!
//! It answers as the real one is known to, so that gadgets, factories and CI can be tried without it; it is small
//! and correct rather than a store. docs/model-service.md describes what it does from the outside.
//!
//! | module | is for |
//! |---|---|
//! | `settings`, `secret`, `trust`, `models` | what the operator gives: settings, secrets, account-keys, models |
//! | `service` | the running service, made of them |
//! | `store` | the database: nonces, identities, serials, the log |
//! | `registration` | from a serial-request to a serial assertion, and every check on the way |
//! | `import` | hardware identities, verified, then stored all or none |
//! | `http` | listening, TLS, limits, the addresses for programs |
//! | `page` | the page for people |
//! | `refusal` | every reason to say no |
//! | `init` | a first folder for a bench |
#![forbid(unsafe_code)]

mod explain;
mod http;
mod import;
mod init;
mod models;
mod page;
mod refusal;
mod registration;
mod secret;
mod service;
mod settings;
mod store;
mod trust;

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{panic, process};

use anyhow::ensure;
use tokio::runtime::Handle;

use crate::explain::Explain as _;
use crate::import::{Counts, Line};
use crate::service::{Service, importer};
use crate::settings::Settings;

pub use init::InitArguments;

/// Makes all that a bench needs in a new folder.
///
/// # Errors
/// Where the folder is not empty or cannot be made, or where an id breaks a rule of assertions.
pub fn init(arguments: &InitArguments) -> anyhow::Result<()> {
    init::run(arguments)
}

/// Serves with the settings in `file` until SIGTERM or SIGINT.
///
/// A line `listening on URL` on stdout says where, as soon as connections are taken.
///
/// # Errors
/// Where the settings, or what they name, cannot be used.
pub fn serve(file: &Path) -> anyhow::Result<()> {
    let settings = Settings::read(file)?;
    end_if_own_threads_panic();
    let service = Arc::new(Service::open(&settings)?);
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .explain("threads cannot be started", "Check the limits of this user")?
        .block_on(http::serve(&settings, service))
}

/// A panic ends the request that it came in. In a thread that all depend on, the one that writes, it ends the
/// service: it is better started again than alive without it.
fn end_if_own_threads_panic() {
    let show = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        show(panic);
        let of_a_request = Handle::try_current().is_ok() || rayon::current_thread_index().is_some();
        if !of_a_request {
            process::abort();
        }
    }));
}

/// Imports the assertions in `inputs` (`-` is stdin), all or none, and prints a line for each.
///
/// # Errors
/// Where one of them is refused, or the settings or files cannot be used.
pub fn import(file: &Path, inputs: &[PathBuf]) -> anyhow::Result<()> {
    let importer = importer(&Settings::read(file)?)?;
    let open = |path: &PathBuf| -> anyhow::Result<import::Input> {
        let reader: Box<dyn BufRead + Send> = match path.to_str() {
            Some("-") => Box::new(BufReader::new(io::stdin())),
            _ => Box::new(BufReader::new(
                File::open(path).explain(path.display(), "Check the path")?,
            )),
        };
        Ok((Some(path.display().to_string()), reader))
    };
    let inputs = inputs.iter().map(open).collect::<anyhow::Result<_>>()?;
    let report = importer
        .run(inputs)
        .explain("nothing was imported", "Try again")?;
    let counts = report.counts;
    let mut stdout = BufWriter::new(io::stdout().lock());
    for line in report.lines() {
        print_line(&mut stdout, &line?).explain("stdout cannot be written", "Check where it leads")?;
    }
    stdout.flush()?;
    let Counts {
        new,
        replaced,
        present,
        older,
        refused,
    } = counts;
    ensure!(
        counts.stored(),
        "nothing was imported: {refused} of {} assertions were refused. Correct or remove them, and import again",
        new + replaced + present + older + refused
    );
    eprintln!(
        "model-service: {new} new, {replaced} replaced, {present} already there, {older} older than what is there."
    );
    Ok(())
}

fn print_line(out: &mut impl io::Write, line: &Line) -> io::Result<()> {
    let input = line.input.as_deref().unwrap_or_default();
    write!(out, "{input}:{}: {}", line.number, line.outcome.name())?;
    if let Some(id) = &line.hardware_id {
        write!(out, " {id:?}")?;
    }
    match &line.reason {
        Some(reason) => writeln!(out, ": {reason}"),
        None => writeln!(out),
    }
}
