//! A decoder for streams of assertions, with bounded memory.
//!
//! An assertion consists of headers, an empty line, a body and another empty line (both optional),
//! and the signature. An empty line separates the assertions of a stream.

use std::io::{BufRead, ErrorKind, Read};
use std::ops::Range;

use miette::Diagnostic;
use thiserror::Error;

use crate::assertion::{Assertion, MAX_BODY, MAX_HEADERS, MAX_SIGNATURE, Part, check_common};
use crate::digest::is_digest;
use crate::fields::{Fields, HeaderError, HeaderProblem};
use crate::headers::Headers;
use crate::parse::{SyntaxError, parse_headers};

/// Why a stream cannot be decoded, with the place. Code and advice are those of
/// [`DecodeErrorKind`].
#[derive(Debug, Error, Diagnostic)]
#[error("assertion {assertion}, line {line}: {kind}")]
#[diagnostic(forward(kind))]
pub struct DecodeError {
    /// The number of the assertion in the stream, counted from 1.
    pub assertion: u64,
    /// The line of the stream, counted from 1: the wrong line, or the first line of the wrong part.
    pub line: u64,
    /// The cause.
    pub kind: DecodeErrorKind,
}

/// Why a stream cannot be decoded.
#[derive(Debug, Error, Diagnostic)]
#[non_exhaustive]
pub enum DecodeErrorKind {
    /// The reader failed.
    #[error("cannot read the stream: {0}")]
    #[diagnostic(
        code("stream-unreadable"),
        help("Check the file or the connection that the stream comes from")
    )]
    Io(std::io::Error),
    /// The stream is JSON: an export that nobody has signed yet.
    #[error("the input is JSON, such as an unsigned export, not an assertion")]
    #[diagnostic(
        code("unsigned-export"),
        help("Sign the export first, with `hardware-identity sign`")
    )]
    UnsignedExport,
    /// The stream ends inside an assertion.
    #[error("the stream ends in the {0}")]
    #[diagnostic(
        code("stream-truncated"),
        help("Check that the input consists of assertions and is complete")
    )]
    Truncated(Part),
    /// A part is longer than the format allows.
    #[error("the {part} is longer than {limit} bytes")]
    #[diagnostic(
        code("stream-part-too-long"),
        help("Check that the input consists of assertions")
    )]
    TooLong {
        /// The part.
        part: Part,
        /// The limit in bytes.
        limit: usize,
    },
    /// Lines end with carriage return and line feed.
    #[error("lines end with CR LF, but the lines of an assertion end with LF")]
    #[diagnostic(
        code("stream-crlf"),
        help("Use the original file; a program converted the line ends of this one")
    )]
    CarriageReturn,
    /// A part is not UTF-8.
    #[error("the {0} is not UTF-8")]
    #[diagnostic(
        code("stream-not-utf8"),
        help("Use the original file; this one was changed or is not a stream of assertions")
    )]
    NotUtf8(Part),
    /// A header line breaks the syntax.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Syntax(#[from] SyntaxError),
    /// No empty line separates body and signature.
    #[error("no empty line follows the {body_length} bytes of the body")]
    #[diagnostic(
        code("body-length-wrong"),
        help("Use the original file; the body or the header \"body-length\" was changed")
    )]
    BodyNotSeparated {
        /// The value of the header `body-length`.
        body_length: usize,
    },
    /// The signature is empty.
    #[error("the signature is empty")]
    #[diagnostic(
        code("signature-missing"),
        help("Sign the assertion, or use the original file")
    )]
    EmptySignature,
    /// A header breaks a rule of all assertions.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Header(#[from] HeaderError),
    /// Text follows a single assertion.
    #[error("text follows the assertion, but a single assertion was expected")]
    #[diagnostic(code("stream-not-single"), help("Pass one assertion only"))]
    TrailingText,
    /// The input is empty.
    #[error("the input is empty, but an assertion was expected")]
    #[diagnostic(code("stream-empty"), help("Pass an assertion"))]
    Empty,
}

impl From<std::io::Error> for DecodeErrorKind {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

/// An iterator over the assertions of a stream.
///
/// It keeps at most one assertion in memory, within the limits of the format, whatever the stream
/// contains. It ends after an error, as the start of the next assertion is unknown then.
///
/// ```
/// let stream = include_bytes!("../tests/vectors/serial.assert");
/// for assertion in snap_assertions::Decoder::new(&stream[..]) {
///     assert_eq!(assertion?.header("serial"), Some("EB2-0653"));
/// }
/// # Ok::<(), snap_assertions::DecodeError>(())
/// ```
#[derive(Debug)]
pub struct Decoder<R> {
    reader: R,
    assertion: u64,
    line: u64,
    finished: bool,
}

impl<R: BufRead> Decoder<R> {
    /// A decoder that reads from `reader`.
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            assertion: 0,
            line: 1,
            finished: false,
        }
    }

    fn error(&self, line: u64, kind: impl Into<DecodeErrorKind>) -> DecodeError {
        DecodeError {
            assertion: self.assertion,
            line,
            kind: kind.into(),
        }
    }

    /// Reads the next assertion. `None` at the end of the stream.
    fn assertion(&mut self) -> Result<Option<Assertion>, DecodeError> {
        self.assertion += 1;
        let start = self.line;
        let Some((head, headers)) = self.headers()? else {
            return Ok(None);
        };
        let at_start = |error: HeaderError| DecodeError {
            assertion: self.assertion,
            line: start,
            kind: error.into(),
        };
        let fields = Fields::of(&headers);
        let body_length = body_length(fields).map_err(at_start)?;
        check_sign_key(fields).map_err(at_start)?;
        let common = check_common(&headers).map_err(at_start)?;
        let (content, body, signature) = self.body_and_signature(head, body_length)?;
        Ok(Some(Assertion {
            kind: common.kind,
            headers,
            revision: common.revision,
            format: common.format,
            content,
            body,
            signature,
        }))
    }

    fn headers(&mut self) -> Result<Option<(String, Headers)>, DecodeError> {
        let start = self.line;
        let (bytes, end) = self.section(Part::Headers, MAX_HEADERS)?;
        if bytes.is_empty() && matches!(end, End::OfStream) {
            return Ok(None);
        }
        if matches!(end, End::OfStream) {
            let kind = match first_line_has_cr(&bytes) {
                true => DecodeErrorKind::CarriageReturn,
                false => DecodeErrorKind::Truncated(Part::Headers),
            };
            return Err(self.error(start, kind));
        }
        let head = self.utf8(bytes, Part::Headers, start)?;
        let headers =
            parse_headers(&head).map_err(|(line, problem)| self.error(start + line as u64, problem))?;
        Ok(Some((head, headers)))
    }

    /// Reads what follows the headers. Returns the content (headers and body), the range of the
    /// body in it, and the signature.
    fn body_and_signature(
        &mut self,
        head: String,
        body_length: usize,
    ) -> Result<(String, Range<usize>, String), DecodeError> {
        let mut content = head;
        let mut body = content.len()..content.len();
        let mut start = self.line;
        if body_length > 0 {
            content.push_str("\n\n");
            let text = self.body(body_length)?;
            body = content.len()..content.len() + text.len();
            content.push_str(&text);
            start = self.line;
        }
        let (mut signature, mut end) = self.section(Part::Signature, MAX_SIGNATURE)?;
        if signature.is_empty() && matches!(end, End::AtEmptyLine) {
            // The empty line after a body. It may also follow an empty body; snapd then counts it
            // as content.
            if body_length == 0 {
                content.push_str("\n\n");
                body = content.len()..content.len();
            }
            start = self.line;
            (signature, end) = self.section(Part::Signature, MAX_SIGNATURE)?;
        } else if body_length > 0 {
            let kind = match signature.is_empty() {
                true => DecodeErrorKind::Truncated(Part::Signature),
                false => DecodeErrorKind::BodyNotSeparated { body_length },
            };
            return Err(self.error(start, kind));
        }
        if matches!(end, End::OfStream) && signature.ends_with(b"\n") {
            signature.pop();
        }
        if signature.is_empty() {
            return Err(self.error(start, DecodeErrorKind::EmptySignature));
        }
        let signature = self.utf8(signature, Part::Signature, start)?;
        Ok((content, body, signature))
    }

    /// Reads exactly the body, of at most [`MAX_BODY`] bytes.
    fn body(&mut self, length: usize) -> Result<String, DecodeError> {
        let start = self.line;
        let mut bytes = Vec::new();
        let read = self.reader.by_ref().take(length as u64).read_to_end(&mut bytes);
        read.map_err(|error| self.error(start, error))?;
        if bytes.len() < length {
            return Err(self.error(start, DecodeErrorKind::Truncated(Part::Body)));
        }
        self.line += line_feeds(&bytes);
        self.utf8(bytes, Part::Body, start)
    }

    /// Reads up to an empty line or the end of the stream, and at most `limit` bytes. The result
    /// does not contain the line feeds that end the section.
    fn section(&mut self, part: Part, limit: usize) -> Result<(Vec<u8>, End), DecodeError> {
        let start = self.line;
        let mut section = Vec::new();
        loop {
            let chunk = match self.reader.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.error(start, error)),
            };
            if chunk.is_empty() {
                self.line += line_feeds(&section);
                return Ok((section, End::OfStream));
            }
            if part == Part::Headers && section.is_empty() && matches!(chunk.first(), Some(b'{' | b'[')) {
                return Err(self.error(start, DecodeErrorKind::UnsignedExport));
            }
            let room = limit - section.len();
            let chunk = chunk.get(..room).unwrap_or(chunk);
            let after_line_feed = section.ends_with(b"\n");
            let taken = match end_of_empty_line(chunk, after_line_feed) {
                Some(end) => end,
                None => chunk.len(),
            };
            section.extend_from_slice(chunk.get(..taken).unwrap_or(chunk));
            self.reader.consume(taken);
            if section.ends_with(b"\n\n") {
                self.line += line_feeds(&section);
                section.truncate(section.len() - 2);
                return Ok((section, End::AtEmptyLine));
            }
            if section.len() >= limit {
                let kind = match part == Part::Headers && first_line_has_cr(&section) {
                    true => DecodeErrorKind::CarriageReturn,
                    false => DecodeErrorKind::TooLong { part, limit },
                };
                return Err(self.error(start, kind));
            }
        }
    }

    fn utf8(&self, bytes: Vec<u8>, part: Part, start: u64) -> Result<String, DecodeError> {
        String::from_utf8(bytes).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let before = error.as_bytes().get(..valid).unwrap_or_default();
            self.error(start + line_feeds(before), DecodeErrorKind::NotUtf8(part))
        })
    }
}

impl<R: BufRead> Iterator for Decoder<R> {
    type Item = Result<Assertion, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let next = self.assertion().transpose();
        self.finished = !matches!(next, Some(Ok(_)));
        next
    }
}

impl<R: BufRead> std::iter::FusedIterator for Decoder<R> {}

/// Decodes a single assertion.
///
/// ```
/// let text = include_bytes!("../tests/vectors/model.assert");
/// let model = snap_assertions::decode(text)?;
/// assert_eq!(model.primary_key(), ["16", "brand-acme", "edge-box"]);
/// assert_eq!(model.to_string().as_bytes(), text);
/// # Ok::<(), snap_assertions::DecodeError>(())
/// ```
///
/// # Errors
/// Those of [`Decoder`], [`DecodeErrorKind::Empty`], and [`DecodeErrorKind::TrailingText`] if
/// anything follows the assertion.
pub fn decode(text: &[u8]) -> Result<Assertion, DecodeError> {
    let mut decoder = Decoder::new(text);
    match decoder.next() {
        None => Err(decoder.error(1, DecodeErrorKind::Empty)),
        Some(Ok(_)) if !decoder.reader.is_empty() => {
            Err(decoder.error(decoder.line, DecodeErrorKind::TrailingText))
        }
        Some(result) => result,
    }
}

/// The end of a section.
enum End {
    AtEmptyLine,
    OfStream,
}

/// The offset after the first empty line in `chunk`. That line may start with a line feed before
/// the chunk.
fn end_of_empty_line(chunk: &[u8], after_line_feed: bool) -> Option<usize> {
    if after_line_feed && chunk.first() == Some(&b'\n') {
        return Some(1);
    }
    Some(memchr::memmem::find(chunk, b"\n\n")? + 2)
}

/// Returns true if the first line ends with CR LF. Then no empty line can end the headers.
fn first_line_has_cr(bytes: &[u8]) -> bool {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    end.and_then(|end| bytes.get(..end))
        .is_some_and(|line| line.ends_with(b"\r"))
}

fn line_feeds(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

fn body_length(fields: Fields<'_>) -> Result<usize, HeaderError> {
    let length = fields.number("body-length")?;
    let in_range = usize::try_from(length).ok().filter(|length| *length <= MAX_BODY);
    in_range.ok_or_else(|| {
        let limit = MAX_BODY;
        fields.error("body-length", HeaderProblem::BodyTooLong { length, limit })
    })
}

fn check_sign_key(fields: Fields<'_>) -> Result<(), HeaderError> {
    match is_digest(fields.str("sign-key-sha3-384")?) {
        true => Ok(()),
        false => Err(fields.error("sign-key-sha3-384", HeaderProblem::NotDigest)),
    }
}
