//! Reading exports: one JSON object, JSON lines or a stream of objects, from files, directories or stdin.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::ensure;
use serde::Deserialize as _;
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::explain::Explain as _;

/// The most bytes that one export may have: an assertion's headers have 128 KiB at the most.
const LARGEST: u64 = 256 * 1024;

/// Where exports come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Stdin,
    File(PathBuf),
}

impl Input {
    /// The inputs of a command line, a directory standing for the `.json` files in it, in the order of their
    /// names; stdin where nothing is named.
    pub(crate) fn all(paths: &[PathBuf]) -> anyhow::Result<Vec<Input>> {
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

    /// A file, or stdin where it is named `-`.
    pub(crate) fn named(path: &Path) -> Self {
        match path == Path::new("-") {
            true => Input::Stdin,
            false => Input::File(path.to_owned()),
        }
    }

    pub(crate) fn open(&self) -> anyhow::Result<Box<dyn BufRead>> {
        Ok(match self {
            Input::Stdin => Box::new(io::stdin().lock()),
            Input::File(path) => {
                let file = File::open(path).explain(
                    format_args!("{} cannot be read", path.display()),
                    "Check its name and permissions",
                )?;
                Box::new(BufReader::new(file))
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

fn files_in(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let listed = || -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "json") && path.is_file() {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    };
    let files = listed().explain(
        format_args!("the directory {} cannot be read", folder.display()),
        "Check its permissions",
    )?;
    ensure!(
        !files.is_empty(),
        "there are no files *.json in {}. Check the directory",
        folder.display()
    );
    Ok(files)
}

/// One JSON object of an input, not looked into yet.
#[derive(Debug)]
pub(crate) struct Export {
    /// Where it begins, counted from 1.
    pub(crate) line: u64,
    pub(crate) json: String,
}

/// Why no further object can be read from an input.
#[derive(Debug)]
pub(crate) struct Unreadable {
    /// Counted from 1.
    pub(crate) line: u64,
    pub(crate) problem: String,
}

/// Reads objects one by one. Ends after an error: where the next object would begin is not known then.
pub(crate) struct Exports<R> {
    reader: R,
    line: u64,
    ended: bool,
}

impl<R: BufRead> Exports<R> {
    pub(crate) fn new(reader: R) -> Self {
        Exports {
            reader,
            line: 1,
            ended: false,
        }
    }

    fn object(&mut self) -> Result<Option<Export>, Unreadable> {
        let first = self.skip_white_space().map_err(|error| self.unreadable(error))?;
        let Some(first) = first else {
            return Ok(None);
        };
        if first != b'{' {
            let line = self.line;
            let problem = format!("a JSON object must begin here, not {:?}", char::from(first));
            return Err(Unreadable { line, problem });
        }
        let line = self.line;
        let mut one = (&mut self.reader).take(LARGEST);
        let mut deserializer = serde_json::Deserializer::from_reader(&mut one);
        let raw = Box::<RawValue>::deserialize(&mut deserializer);
        let left = one.limit();
        let raw = raw.map_err(|error| Unreadable {
            line: line + (error.line() as u64).saturating_sub(1),
            problem: match error.classify() {
                Category::Eof if left == 0 => format!("an export may have {LARGEST} bytes at the most"),
                Category::Eof => "the input ends inside an object: it is truncated".to_owned(),
                _ => error.to_string(),
            },
        })?;
        let json = String::from(Box::<str>::from(raw));
        self.line += json.bytes().filter(|&byte| byte == b'\n').count() as u64;
        Ok(Some(Export { line, json }))
    }

    /// The byte that follows the white space, which is still to be read; `None` at the end.
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

    fn unreadable(&self, error: io::Error) -> Unreadable {
        Unreadable {
            line: self.line,
            problem: error.to_string(),
        }
    }
}

impl<R: BufRead> Iterator for Exports<R> {
    type Item = Result<Export, Unreadable>;

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
        Exports::new(text.as_bytes())
            .map(|export| match export {
                Ok(export) => Ok(export.line),
                Err(error) => Err((error.line, error.problem)),
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
    fn what_cannot_be_read_is_placed() {
        for (text, line, problem) in [
            ("{}\n[{}]", 2, "must begin here, not '['"),
            ("aaaa", 1, "not 'a'"),
            ("{}\n\n{\"a\":\n\"b\"", 4, "truncated"),
            ("{}\n{\n\"a\": }", 3, "expected value"),
        ] {
            let last = lines(text).pop();
            let Some(Err((found, text))) = last else {
                panic!("{text}: {last:?}")
            };
            assert!(found == line && text.contains(problem), "{found}: {text}");
        }
    }

    #[test]
    fn an_endless_export_is_given_up() {
        let endless = io::BufReader::new("{\"a\": \"".as_bytes().chain(io::repeat(b'a')));
        let error = Exports::new(endless).next().unwrap().unwrap_err();
        assert!(error.problem.contains("262144 bytes"), "{error:?}");
    }
}
