//! `hardware-identity sign`: a heap of exports becomes signed hardware-identity assertions.
//!
//! Everything is checked before anything is signed. In between the exports stand in a temporary file, so that
//! what is signed is what was checked, and the memory stays small whatever the size of the heap.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Seek as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{anyhow, bail, ensure};
use clap::Args;
use jiff::Timestamp;
use rayon::prelude::*;
use snap_assertions::{Assertion, DigestForm, SignOptions, Signer, Statement};

use crate::batch::{Batch, Place, Problem};
use crate::explain::Explain as _;
use crate::exports::{Exports, Input};
use crate::output::folder_of;
use crate::progress;
use crate::signed::Signed;
use crate::signing_key::SignerArguments;

/// Exports that are signed before the next are read, for each thread: enough to keep all threads at work.
const CHUNK: usize = 64;

/// Signs exports: makes hardware-identity assertions of them
#[derive(Args, Debug)]
pub(crate) struct Arguments {
    #[command(flatten)]
    signer: SignerArguments,
    /// Write one stream of assertions to FILE, whole or not at all, in place of stdout
    #[arg(long, short, value_name = "FILE", conflicts_with = "output_dir")]
    output: Option<PathBuf>,
    /// Write one file for each device to DIR, named for its hardware id
    #[arg(long, value_name = "DIR")]
    output_dir: Option<PathBuf>,
    /// The assertions' revision, higher than that of earlier assertions for the same keys
    #[arg(long, value_name = "N")]
    revision: Option<u64>,
    /// Time of signing, in place of now: RFC 3339, such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    timestamp: Option<Timestamp>,
    /// How many signatures to make at a time; the number of cores by default
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Sign the good exports where others are wrong; the exit status is 1 all the same
    #[arg(long)]
    keep_going: bool,
    /// Exports: files, directories with .json files, or - for stdin, which is also the default
    #[arg(value_name = "INPUT")]
    inputs: Vec<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let time = arguments.timestamp.unwrap_or_else(Timestamp::now);
    let seconds = u32::try_from(time.as_second()).map_err(|_| {
        anyhow!(
            "{time} is no time for a signature, which is from 1970 to 2106. Correct --timestamp or the clock"
        )
    })?;
    let signer = arguments.signer.open()?;
    let checked = Checked::read(arguments, time)?;
    if checked.bad > 0 && !arguments.keep_going {
        bail!(
            "{} of {} exports cannot be signed, so nothing was signed. Correct them, or sign the others with \
             --keep-going",
            checked.bad,
            checked.bad + checked.good
        );
    }
    ensure!(
        checked.good > 0,
        "there is nothing to sign. Give exports as files, directories or on stdin"
    );
    if checked.form == DigestForm::Der {
        eprintln!(
            "hardware-identity: warning: these assertions have the key digest in the DER form, which snapd \
             refuses (`snap ack`)."
        );
    }
    let options = SignOptions {
        time: seconds,
        digest_form: checked.form,
    };
    // Until here an interrupt ends the program at once: there was nothing to tidy up.
    let stop = stop_on_signal()?;
    let mut signed = Signed::create(arguments.output.as_deref(), arguments.output_dir.as_deref())?;
    let (good, bad) = (checked.good, checked.bad);
    sign_all(
        checked,
        signer.as_ref(),
        &options,
        arguments.jobs,
        &stop,
        &mut signed,
    )
    .map_err(|error| anyhow!("{error}. {}", signed.remains()))?;
    signed.finish()?;
    ensure!(
        bad == 0,
        "{good} exports were signed, {bad} were left out. Correct those and sign them"
    );
    Ok(())
}

/// Set when the user or the system wants the program to end; what was written so far is then removed.
fn stop_on_signal() -> anyhow::Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed))
        .explain("signals cannot be handled", "Run it in an ordinary shell")?;
    Ok(stop)
}

fn check_stop(stop: &AtomicBool) -> anyhow::Result<()> {
    ensure!(!stop.load(Ordering::Relaxed), "interrupted");
    Ok(())
}

/// The exports that passed all checks, as JSON lines in a temporary file.
struct Checked {
    file: File,
    form: DigestForm,
    good: u64,
    bad: u64,
}

impl Checked {
    fn read(arguments: &Arguments, time: Timestamp) -> anyhow::Result<Self> {
        let inputs = Input::all(&arguments.inputs)?;
        let mut batch = Batch::new(arguments.revision, time);
        let mut file = BufWriter::new(temporary_file(arguments)?);
        let (mut good, mut bad) = (0, 0);
        for (number, input) in inputs.iter().enumerate() {
            for export in Exports::new(input.open()?) {
                let place = |line: u64| Place {
                    input: u32::try_from(number).unwrap_or(u32::MAX),
                    line: u32::try_from(line).unwrap_or(u32::MAX),
                };
                let (line, taken) = match export {
                    Ok(export) => (export.line, batch.take(&export.json, place(export.line))),
                    Err(error) => (
                        error.line,
                        Err(vec![
                            format!("{}; nothing after it was read", error.problem).into(),
                        ]),
                    ),
                };
                match taken {
                    Ok(statement) => {
                        good += 1;
                        write_line(&mut file, &statement).explain(TEMPORARY_FILE, MAKE_ROOM)?;
                    }
                    Err(problems) => {
                        bad += 1;
                        for problem in problems {
                            report(&inputs, place(line), &problem);
                        }
                    }
                }
            }
        }
        let mut file = file
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .explain(TEMPORARY_FILE, MAKE_ROOM)?;
        file.rewind().explain(TEMPORARY_FILE, MAKE_ROOM)?;
        Ok(Checked {
            file,
            form: batch.form(),
            good,
            bad,
        })
    }
}

const TEMPORARY_FILE: &str = "the temporary file for the checked exports cannot be used";
const MAKE_ROOM: &str = "Make room on its disk, or name another with TMPDIR";

/// Without a name, so that nothing is left of it however this program ends.
fn temporary_file(arguments: &Arguments) -> anyhow::Result<File> {
    // Beside the output, which has room for the assertions; /tmp may be a memory file system.
    let output = arguments.output.as_deref().map(folder_of);
    match output
        .or(arguments.output_dir.as_deref())
        .filter(|folder| folder.is_dir())
    {
        Some(folder) => tempfile::tempfile_in(folder),
        None => tempfile::tempfile(),
    }
    .explain(TEMPORARY_FILE, MAKE_ROOM)
}

fn write_line(file: &mut impl io::Write, statement: &Statement) -> io::Result<()> {
    serde_json::to_writer(&mut *file, statement)?;
    file.write_all(b"\n")
}

fn report(inputs: &[Input], place: Place, problem: &Problem) {
    let shown = |place: Place| match inputs.get(place.input as usize) {
        Some(input) => format!("{input}:{}", place.line),
        None => place.line.to_string(),
    };
    let other = problem.other.map(|other| format!(": {}", shown(other)));
    eprintln!("{}: {}{}.", shown(place), problem.text, other.unwrap_or_default());
}

fn sign_all(
    checked: Checked,
    signer: &dyn Signer,
    options: &SignOptions,
    jobs: Option<usize>,
    stop: &AtomicBool,
    signed: &mut Signed,
) -> anyhow::Result<()> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(jobs.unwrap_or(0))
        .build()
        .explain("the threads for signing cannot be started", "Lower --jobs")?;
    let bar = progress::bar(checked.good, "signing");
    let mut lines = BufReader::new(checked.file).lines();
    loop {
        let chunk: Vec<String> = lines
            .by_ref()
            .take(CHUNK * pool.current_num_threads())
            .collect::<io::Result<_>>()
            .explain(TEMPORARY_FILE, MAKE_ROOM)?;
        if chunk.is_empty() {
            return Ok(());
        }
        let assertions: Vec<anyhow::Result<Assertion>> = pool.install(|| {
            chunk
                .par_iter()
                .map(|line| {
                    check_stop(stop)?;
                    let assertion = sign_one(line, signer, options)?;
                    bar.inc(1);
                    Ok(assertion)
                })
                .collect()
        });
        for assertion in assertions {
            signed.write(&assertion?)?;
        }
    }
}

fn sign_one(line: &str, signer: &dyn Signer, options: &SignOptions) -> anyhow::Result<Assertion> {
    let statement = Statement::from_json(line).explain(TEMPORARY_FILE, MAKE_ROOM)?;
    statement.sign(signer, options).map_err(|error| {
        let hardware_id = statement.headers.get_str("hardware-id").unwrap_or_default();
        anyhow!(
            "the export with the hardware id {hardware_id:?} was not signed, and no output written: {error}"
        )
    })
}
