//! The exports of a command line, checked in parallel and taken in their order.

use std::iter;

use files::FileError;

use crate::error::ToolError;
use crate::export_checks::{CheckedExport, Defaults};
use crate::export_reader::{ExportReader, Input, Location, RawExport, UnreadableExport};
use crate::pipeline::{self, Workers};

/// The number of exports that a thread checks at a time.
const GROUP: usize = 32;

/// Checks each export of the inputs, passes the good ones to `prove`, which runs in parallel, and hands
/// all to `take` in their order.
///
/// # Errors
/// If an input cannot be opened, and the errors of `take`.
pub(crate) fn check_exports<P: Send>(
    inputs: &[Input],
    defaults: &Defaults,
    prove: impl Fn(&Input, &CheckedExport) -> P + Sync,
    mut take: impl FnMut(Location, CheckedExport, Option<P>) -> Result<(), ToolError>,
) -> Result<(), ToolError> {
    let workers = Workers {
        count: 0,
        group: GROUP,
    };
    let check = |export: Result<LocatedExport, FileError>| {
        export.map(|(location, export)| {
            let checked = match export {
                Ok(export) => CheckedExport::new(&export.json, defaults),
                Err(error) => CheckedExport::unreadable(error.reason),
            };
            let input = inputs.get(location.input as usize);
            let good = input.filter(|_| checked.problems.is_empty());
            let proof = good.map(|input| prove(input, &checked));
            (location, checked, proof)
        })
    };
    pipeline::run(located_exports(inputs), workers, check, |checked| {
        let (location, export, proof) = checked?;
        take(location, export, proof)
    })
}

type LocatedExport = (Location, Result<RawExport, UnreadableExport>);

/// The exports of all inputs; each input is opened when the one before has ended.
fn located_exports(inputs: &[Input]) -> impl Iterator<Item = Result<LocatedExport, FileError>> + Send {
    type Exports<'a> = Box<dyn Iterator<Item = Result<LocatedExport, FileError>> + Send + 'a>;
    inputs.iter().zip(0..).flat_map(|(input, number)| -> Exports<'_> {
        let located = move |export: Result<RawExport, UnreadableExport>| {
            let line = match &export {
                Ok(export) => export.line,
                Err(error) => error.line,
            };
            let location = Location {
                input: number,
                line: u32::try_from(line).unwrap_or(u32::MAX),
            };
            Ok((location, export))
        };
        match input.open() {
            Ok(reader) => Box::new(ExportReader::new(reader).map(located)),
            Err(error) => Box::new(iter::once(Err(error))),
        }
    })
}

/// The name of a location in messages: FILE:LINE.
pub(crate) fn show(inputs: &[Input], location: Location) -> String {
    match inputs.get(location.input as usize) {
        Some(input) => format!("{input}:{}", location.line),
        None => location.line.to_string(),
    }
}
