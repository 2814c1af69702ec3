//! Exports in files, directories or stdin: single JSON objects, JSON lines or streams of objects.

use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use files::FileError;
use miette::Diagnostic;
use serde::Deserialize as _;
use serde_json::error::Category;
use serde_json::value::RawValue;
use thiserror::Error;

/// Size limit of an export in bytes. The headers of an assertion have at most 128 KiB.
const SIZE_LIMIT: u64 = 256 * 1024;
/// The messages of a proof may be beside the exports.
const OTHER_FILES: [&str; 3] = [".evidence.json", ".challenge.json", ".answer.json"];
/// Buffer sizes in bytes.
const BUFFER: usize = 64 * 1024;
const SMALLEST_BUFFER: usize = 1024;

/// Why the inputs of a command line cannot be read.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum InputError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] FileError),
    #[error("there are no files *.json in {}", .0.display())]
    #[diagnostic(code("no-exports-in-directory"), help("Check the directory"))]
    NoExports(PathBuf),
}

/// A file with exports or assertions, or stdin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Stdin,
    File(PathBuf),
}

impl Input {
    /// The inputs of a command line: a directory names the `.json` files in it, in the order of their
    /// names and without the messages of a proof; no path names stdin.
    pub(crate) fn all(paths: &[PathBuf]) -> Result<Vec<Input>, InputError> {
        if paths.is_empty() {
            return Ok(vec![Input::Stdin]);
        }
        let mut inputs = Vec::new();
        for path in paths {
            match path.is_dir() {
                true => inputs.extend(files_in(path)?.into_iter().map(Input::File)),
                false => inputs.push(Input::named(path)),
            }
        }
        Ok(inputs)
    }

    /// The file of this name, or stdin for `-`.
    pub(crate) fn named(path: &Path) -> Self {
        match path == Path::new("-") {
            true => Input::Stdin,
            false => Input::File(path.to_owned()),
        }
    }

    /// # Errors
    /// If it is not a regular file (a named FIFO would block) or cannot be read.
    pub(crate) fn open(&self) -> Result<Box<dyn BufRead + Send>, FileError> {
        Ok(match self {
            Input::Stdin => Box::new(BufReader::with_capacity(BUFFER, io::stdin())),
            Input::File(path) => {
                let file = files::open(path)?;
                // Most files have one export, and there can be a million of them.
                let length = file.metadata().map_or(u64::MAX, |metadata| metadata.len());
                let length = usize::try_from(length).unwrap_or(BUFFER).saturating_add(1);
                Box::new(BufReader::with_capacity(
                    length.clamp(SMALLEST_BUFFER, BUFFER),
                    file,
                ))
            }
        })
    }
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Input::Stdin => f.write_str("stdin"),
            Input::File(path) => write!(f, "{}", path.display()),
        }
    }
}

fn files_in(directory: &Path) -> Result<Vec<PathBuf>, InputError> {
    let list = || -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let path = entry.path();
            let name = entry_name(&path);
            let is_export = name.ends_with(".json") && !OTHER_FILES.iter().any(|end| name.ends_with(end));
            // The directory has the type; only a link needs a call of its own.
            let is_file = || entry.file_type().is_ok_and(|kind| kind.is_file()) || path.is_file();
            if is_export && is_file() {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    };
    let files = list().map_err(|reason| FileError::Unreadable {
        path: directory.to_owned(),
        reason,
    })?;
    match files.is_empty() {
        true => Err(InputError::NoExports(directory.to_owned())),
        false => Ok(files),
    }
}

fn entry_name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

/// The position of an export: the number of its input, counted from 0, and its first line, counted
/// from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) input: u32,
    pub(crate) line: u32,
}

/// A JSON object, not parsed yet.
#[derive(Debug)]
pub(crate) struct RawExport {
    /// Its first line, counted from 1.
    pub(crate) line: u64,
    pub(crate) json: String,
}

/// Why no other object can be read from an input.
#[derive(Debug)]
pub(crate) struct UnreadableExport {
    /// The line, counted from 1.
    pub(crate) line: u64,
    pub(crate) reason: UnreadableReason,
}

/// Why the next object of an input cannot be read.
#[derive(Debug, Error, Diagnostic)]
pub(crate) enum UnreadableReason {
    #[error("a JSON object must start here, not {0:?}; the rest was not read")]
    #[diagnostic(
        code("export-not-object"),
        help("Check that the input is exports: JSON objects, one after another")
    )]
    NotObject(char),
    #[error("the export is larger than {SIZE_LIMIT} bytes; the rest was not read")]
    #[diagnostic(code("export-too-large"), help("Check that the input is exports"))]
    TooLarge,
    #[error("the input ends in an export")]
    #[diagnostic(code("export-truncated"), help("Copy the complete file again"))]
    Truncated,
    #[error("the export is not JSON ({0}); the rest was not read")]
    #[diagnostic(code("export-not-json"), help("Correct the export, or export it again"))]
    NotJson(String),
    #[error("cannot read the input: {0}")]
    #[diagnostic(
        code("input-unreadable"),
        help("Check the device or the program that the input comes from")
    )]
    Io(io::Error),
}

/// An iterator over the objects of an input. It ends after an error, as the start of the next object
/// is unknown then.
pub(crate) struct ExportReader<R> {
    reader: R,
    line: u64,
    ended: bool,
}

impl<R: BufRead> ExportReader<R> {
    pub(crate) fn new(reader: R) -> Self {
        ExportReader {
            reader,
            line: 1,
            ended: false,
        }
    }

    fn object(&mut self) -> Result<Option<RawExport>, UnreadableExport> {
        let first = self.skip_white_space();
        let line = self.line;
        let unreadable = |reason| UnreadableExport { line, reason };
        match first.map_err(|error| unreadable(UnreadableReason::Io(error)))? {
            None => return Ok(None),
            Some(b'{') => {}
            Some(other) => return Err(unreadable(UnreadableReason::NotObject(other.into()))),
        }
        if let Some(json) = self.buffered_object() {
            self.line += json.bytes().filter(|&byte| byte == b'\n').count() as u64;
            return Ok(Some(RawExport { line, json }));
        }
        let mut one = (&mut self.reader).take(SIZE_LIMIT);
        let mut deserializer = serde_json::Deserializer::from_reader(&mut one);
        let raw = Box::<RawValue>::deserialize(&mut deserializer);
        let left = one.limit();
        let raw = raw.map_err(|error| UnreadableExport {
            line: line + (error.line() as u64).saturating_sub(1),
            reason: match error.classify() {
                Category::Eof if left == 0 => UnreadableReason::TooLarge,
                Category::Eof => UnreadableReason::Truncated,
                _ => UnreadableReason::NotJson(without_position(&error)),
            },
        })?;
        let json = String::from(Box::<str>::from(raw));
        self.line += json.bytes().filter(|&byte| byte == b'\n').count() as u64;
        Ok(Some(RawExport { line, json }))
    }

    /// The next object, if the buffer has all of it. To read it byte by byte takes several times as long.
    fn buffered_object(&mut self) -> Option<String> {
        let buffer = self.reader.fill_buf().ok()?;
        let mut objects = serde_json::Deserializer::from_slice(buffer).into_iter::<&RawValue>();
        let json = objects.next()?.ok()?.get().to_owned();
        let length = objects.byte_offset();
        self.reader.consume(length);
        Some(json)
    }

    /// Reads up to the byte after the white space, which is still to be read; `None` at the end.
    fn skip_white_space(&mut self) -> io::Result<Option<u8>> {
        loop {
            let byte = match self.reader.fill_buf() {
                Ok([]) => return Ok(None),
                Ok([byte, ..]) => *byte,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if !byte.is_ascii_whitespace() {
                return Ok(Some(byte));
            }
            self.line += u64::from(byte == b'\n');
            self.reader.consume(1);
        }
    }
}

/// The message without line and column, which count from the start of the export.
fn without_position(error: &serde_json::Error) -> String {
    let mut text = error.to_string();
    if let Some(position) = text.rfind(" at line ") {
        text.truncate(position);
    }
    text
}

impl<R: BufRead> Iterator for ExportReader<R> {
    type Item = Result<RawExport, UnreadableExport>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.object().transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<Result<u64, (u64, String)>> {
        ExportReader::new(text.as_bytes())
            .map(|export| match export {
                Ok(export) => Ok(export.line),
                Err(error) => Err((error.line, failure::code(&error.reason))),
            })
            .collect()
    }

    #[test]
    fn each_form_of_input_is_read() {
        assert_eq!(lines("{}"), [Ok(1)]);
        assert_eq!(lines("\n{\n\"a\": 1\n}\n\n{}\n"), [Ok(2), Ok(6)]);
        assert_eq!(lines("{}\n{}\r\n{}"), [Ok(1), Ok(2), Ok(3)]);
        assert_eq!(lines("{}{}"), [Ok(1), Ok(1)]);
        assert_eq!(lines(" \n"), []);
    }

    #[test]
    fn an_error_has_its_line() {
        for (text, line, code) in [
            ("{}\n[{}]", 2, "export-not-object"),
            ("aaaa", 1, "export-not-object"),
            ("{}\n\n{\"a\":\n\"b\"", 4, "export-truncated"),
            ("{}\n{\n\"a\": }", 3, "export-not-json"),
        ] {
            assert_eq!(lines(text).pop(), Some(Err((line, code.to_owned()))), "{text}");
        }
    }

    #[test]
    fn an_endless_export_is_refused() {
        let endless = io::BufReader::new("{\"a\": \"".as_bytes().chain(io::repeat(b'a')));
        let error = ExportReader::new(endless).next().unwrap().unwrap_err();
        assert!(matches!(error.reason, UnreadableReason::TooLarge), "{error:?}");
    }
}
