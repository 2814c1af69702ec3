//! A model service: devices register with it to get their serial assertions.
//!
//! A bench or CI starts it with one command on SQLite; a brand runs replicas of it for its fleet on
//! PostgreSQL. docs/model-service.md describes its behaviour.
//!
//! | module | content |
//! |---|---|
//! | `serial_keys` | keys that sign serials, in this process and outside it |
//! | `logging` | the log on stderr |
//! | `spawn` | threads that may block |
//! | `settings`, `secret`, `tokens`, `account_keys`, `models` | the operator's input |
//! | `metrics` | what is counted while the service runs |
//! | `buckets`, `recent` | how often something may happen, or is found out |
//! | `waiting` | requests that wait while the database or a key is away |
//! | `store` | the database: nonces, identities, serials, the log; the ledger |
//! | `registration` | from a serial-request to a serial assertion, with every check |
//! | `device_sessions` | sessions of devices that have a serial |
//! | `import` | hardware identities: verified, then stored all or none |
//! | `service` | the running service, made of the modules above |
//! | `http` | the server, limits, the addresses for programs, errors as statuses |
//! | `page` | the page for people |
//! | `reload` | the settings, read again on SIGHUP |
//! | `check` | everything that a start needs, without a start |
//! | `init` | a new directory for a bench |
//! | `admin` | commands of the administrator |
//! | `message`, `error` | texts of errors; errors of the commands and exit statuses |
//!
//! A module uses only modules above it in this table, and `message`. The commands (`reload`, `check`,
//! `admin`) also use `error`.
#![forbid(unsafe_code)]

mod account_keys;
mod admin;
mod buckets;
mod check;
mod device_sessions;
mod error;
mod http;
mod import;
mod init;
mod logging;
mod message;
mod metrics;
mod models;
mod page;
mod recent;
mod registration;
mod reload;
mod secret;
mod serial_keys;
mod service;
mod settings;
mod spawn;
mod store;
mod tokens;
mod waiting;

use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{panic, process, thread};

use tokio::signal::unix::{SignalKind, signal};

use crate::http::{ServeError, Server, TrustedProxies};
use crate::import::{ImportCounts, ImportReport, Importer, Input, LedgerProofs, ReportLine};
use crate::page::Page;
use crate::reload::Reloader;
use crate::service::{Service, open_importer};
use crate::settings::Settings;
use crate::store::{ImportOrigin, WRITER_THREAD};

pub use admin::{
    IdentityChange, backup, change_identity, init_store, migrate_store, release_serial, restore,
    show_identity, verify_ledger,
};
pub use check::check;
pub use error::Error;
pub use import::ImportArguments;
pub use init::InitArguments;
pub use logging::{LogFormat, start_log};

/// Makes everything that a bench needs in a new directory.
///
/// # Errors
/// [`Error::Init`].
pub fn init(arguments: &InitArguments) -> Result<(), Error> {
    Ok(init::run(arguments)?)
}

/// Serves with the settings in `file` until SIGTERM or SIGINT. Starts the log, with `log_format`
/// instead of the setting if it is given.
///
/// Prints `listening on URL` on stdout as soon as it accepts connections.
///
/// # Errors
/// [`Error`], if the settings or the files that they name cannot be used, or the database is
/// replaced meanwhile.
pub fn serve(file: &Path, log_format: Option<LogFormat>) -> Result<(), Error> {
    let settings = Settings::read(file)?;
    start_log(log_format.unwrap_or(settings.log_format));
    abort_if_writer_panics();
    let service = Arc::new(Service::open(&settings)?);
    let page = page::routes(Page::open(&settings, Arc::clone(&service))?);
    let store = service.store.clone();
    let reloader = Reloader::new(file.to_owned(), &settings, Arc::clone(&service));
    let proxies = Arc::new(TrustedProxies {
        networks: settings.trusted_proxies.clone(),
        header: settings.forwarded_header,
    });
    let routers = http::routers(&service, page, &proxies, settings.operator_listen.is_some());
    let server = Server::new(&settings, routers, proxies)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Error::Threads)?;
    let served = runtime.block_on(async {
        let hangups = signal(SignalKind::hangup()).map_err(ServeError::Signals)?;
        tokio::spawn(Arc::new(reloader).run(hangups));
        server.run(store.failure()).await
    });
    // Waits for registrations and imports, which run in threads that may block.
    service.stop_imports();
    drop(runtime);
    let closed = store.close();
    served?;
    Ok(closed?)
}

/// Signs with one key for the service that started this process, until stdin ends.
///
/// # Errors
/// [`Error::SigningProcess`] if the service sends something else than jobs, or is gone.
pub fn sign_serials() -> Result<(), Error> {
    serial_keys::run_agent().map_err(Error::SigningProcess)
}

/// A panic ends only the request that it came in. In the thread that writes the database it ends
/// the service: a restart is better than a service that cannot write.
fn abort_if_writer_panics() {
    let show = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        show(panic);
        if thread::current().name() == Some(WRITER_THREAD) {
            process::abort();
        }
    }));
}

/// Imports assertions, all or none, and prints a line for each.
///
/// # Errors
/// [`Error::ImportRefused`] if an assertion is refused; other variants if the settings, the inputs or
/// the proofs cannot be used, or the database fails.
pub fn import(arguments: &ImportArguments) -> Result<(), Error> {
    let settings = Settings::read(&arguments.config)?;
    let read = |ledger: &PathBuf| LedgerProofs::read(ledger, arguments.require_proofs);
    let proofs = arguments.proofs.as_ref().map(read).transpose()?;
    let compared = proofs.is_some();
    let inputs: Vec<_> = arguments
        .files
        .iter()
        .map(|path| Input::open(path))
        .collect::<Result<_, _>>()?;
    let importer = Importer {
        proofs,
        ..open_importer(&settings)?
    };
    let names: Vec<_> = inputs.iter().filter_map(|input| input.name.as_deref()).collect();
    let origin = ImportOrigin::new(admin::command(), &names.join(", "));
    let report = importer.run(inputs, &origin);
    let closed = importer.store.close();
    let report = report?;
    closed?;
    let counts = report.counts;
    print(report).map_err(Error::Stdout)?;
    if !counts.stored() {
        return Err(Error::ImportRefused {
            refused: counts.refused,
            total: counts.total(),
        });
    }
    let ImportCounts {
        new,
        replaced,
        present,
        older,
        warnings,
        proven,
        ..
    } = counts;
    let proofs = match compared {
        true => format!(", {proven} with a recorded proof"),
        false => String::new(),
    };
    eprintln!(
        "model-service: {new} new, {replaced} replaced, {present} already imported, {older} older than the stored one, {warnings} with a warning{proofs}"
    );
    Ok(())
}

fn print(report: ImportReport) -> io::Result<()> {
    let mut stdout = BufWriter::new(io::stdout().lock());
    for line in report.lines() {
        print_line(&mut stdout, &line?)?;
    }
    stdout.flush()
}

fn print_line(out: &mut impl io::Write, line: &ReportLine) -> io::Result<()> {
    let input = line.input.as_deref().unwrap_or_default();
    write!(out, "{input}:{}: {}", line.number, line.outcome.name())?;
    if let Some(id) = &line.hardware_id {
        write!(out, " {id:?}")?;
    }
    if let Some(proof) = line.proof {
        write!(out, " (proof: {})", proof.name())?;
    }
    match &line.reason {
        Some(reason) => writeln!(out, ": {reason}"),
        None => writeln!(out),
    }
}
