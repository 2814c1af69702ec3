//! Bodies of requests: read as a whole, or passed to a thread as a stream; both with limits.

use std::io::{self, BufReader, Read};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use futures_util::{Stream, TryStreamExt as _};
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::error::RequestError;
use crate::import::Input;

/// snapd's media type for assertions.
pub(super) const ASSERTION: &str = "application/x.ubuntu.assertion";
/// Pieces of a body that wait for the reader.
const QUEUE: usize = 8;

/// Refuses other content types than that of assertions. Parameters after the type are ignored.
pub(super) fn check_content_type(headers: &HeaderMap) -> Result<(), RequestError> {
    let given = headers
        .get(header::CONTENT_TYPE)
        .map(|value| value.to_str().unwrap_or("?"));
    let kind = given.and_then(|given| given.split(';').next()).map(str::trim);
    if kind.is_some_and(|kind| kind.eq_ignore_ascii_case(ASSERTION)) {
        return Ok(());
    }
    Err(RequestError::ContentType {
        found: given.map_or("missing".to_owned(), |given| format!("{given:?}")),
    })
}

/// Reads a body of at most `limit` bytes within `time`.
pub(super) async fn read_limited(
    headers: &HeaderMap,
    body: Body,
    limit: u64,
    time: Duration,
) -> Result<Vec<u8>, RequestError> {
    check_content_length(headers, limit)?;
    timeout(time, collect(body, limit))
        .await
        .map_err(|_| RequestError::late(time))?
}

async fn collect(mut body: Body, limit: u64) -> Result<Vec<u8>, RequestError> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(RequestError::incomplete)?;
        let Ok(piece) = frame.into_data() else { continue };
        if (whole.len() + piece.len()) as u64 > limit {
            return Err(RequestError::TooLarge { limit });
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}

/// Refuses a body whose announced length is too large before any of it is read.
pub(super) fn check_content_length(headers: &HeaderMap, limit: u64) -> Result<(), RequestError> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok());
    match announced.and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if length > limit => Err(RequestError::TooLarge { limit }),
        _ => Ok(()),
    }
}

/// The writing end of a pipe for a body. Dropped before the end was written, as when the service ends,
/// it makes the body an incomplete one.
pub(crate) struct BodyWriter {
    /// An empty piece is the end.
    pieces: mpsc::Sender<io::Result<Bytes>>,
    left: u64,
    limit: u64,
    pause: Duration,
}

/// A pipe for a body of at most `limit` bytes with pauses of at most `pause`: the writing end, and
/// the input of an import.
pub(super) fn body_pipe(limit: u64, pause: Duration) -> (BodyWriter, Input) {
    let (pieces, queue) = mpsc::channel(QUEUE);
    let reader = BodyReader {
        queue,
        piece: Bytes::new(),
        ended: false,
    };
    let writer = BodyWriter {
        pieces,
        left: limit,
        limit,
        pause,
    };
    let input = Input {
        name: None,
        reader: Box::new(BufReader::new(reader)),
    };
    (writer, input)
}

impl BodyWriter {
    /// Writes a whole body. The reader gets an error too, so that half a body is not imported.
    pub(crate) async fn write_body(
        mut self,
        mut pieces: impl Stream<Item = Result<Bytes, RequestError>> + Unpin,
    ) -> Result<(), RequestError> {
        let error = loop {
            match timeout(self.pause, pieces.try_next()).await {
                Ok(Ok(Some(piece))) => self.write(piece).await?,
                Ok(Ok(None)) => {
                    // An empty piece is the end.
                    let _ = self.pieces.send(Ok(Bytes::new())).await;
                    return Ok(());
                }
                Ok(Err(error)) => break error,
                Err(_) => break RequestError::late(self.pause),
            }
        };
        Err(self.fail(error).await)
    }

    /// Writes a piece. It is dropped if the reader has found an error and reads no more.
    async fn write(&mut self, piece: Bytes) -> Result<(), RequestError> {
        match self.left.checked_sub(piece.len() as u64) {
            Some(left) => self.left = left,
            None => return Err(self.fail(RequestError::TooLarge { limit: self.limit }).await),
        }
        if !piece.is_empty() {
            let _ = self.pieces.send(Ok(piece)).await;
        }
        Ok(())
    }

    /// Tells the reader that the body is incomplete, and returns the error.
    async fn fail(&self, error: RequestError) -> RequestError {
        let _ = self.pieces.send(Err(io::Error::other(error.to_string()))).await;
        error
    }
}

struct BodyReader {
    queue: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
    ended: bool,
}

impl Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() && !self.ended {
            let cut_off = || io::Error::new(io::ErrorKind::UnexpectedEof, "the request was cut off");
            self.piece = self.queue.blocking_recv().ok_or_else(cut_off)??;
            self.ended = self.piece.is_empty();
        }
        let count = buffer.len().min(self.piece.len());
        let taken = self.piece.split_to(count);
        if let Some(start) = buffer.get_mut(..count) {
            start.copy_from_slice(&taken);
        }
        Ok(count)
    }
}
