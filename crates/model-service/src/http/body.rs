//! Bodies: read whole within a limit, or pumped to a thread that reads them as a stream.

use std::io::{self, BufReader, Read};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::import::Input;
use crate::refusal::{Code, Refusal};

/// Pieces of a body that wait for the reader.
const QUEUE: usize = 8;

/// Reads a body of at most `limit` bytes, in at most `time`.
pub(crate) async fn read_limited(
    headers: &HeaderMap,
    body: Body,
    limit: u64,
    time: Duration,
) -> Result<Vec<u8>, Refusal> {
    check_announced(headers, limit)?;
    timeout(time, collect(body, limit))
        .await
        .map_err(|_| late(time))?
}

async fn collect(mut body: Body, limit: u64) -> Result<Vec<u8>, Refusal> {
    let mut whole = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error))?;
        let Ok(piece) = frame.into_data() else { continue };
        if (whole.len() + piece.len()) as u64 > limit {
            return Err(too_large(limit));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole)
}

/// Refuses a body whose announced length is too large before any of it is read.
fn check_announced(headers: &HeaderMap, limit: u64) -> Result<(), Refusal> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok());
    match announced.and_then(|length| length.parse::<u64>().ok()) {
        Some(length) if length > limit => Err(too_large(limit)),
        _ => Ok(()),
    }
}

fn too_large(limit: u64) -> Refusal {
    Refusal::new(
        Code::TooLarge,
        format!("the body has more than {limit} bytes. Send less, or raise the limit in the settings"),
    )
}

fn late(time: Duration) -> Refusal {
    Refusal::new(
        Code::Timeout,
        format!(
            "the body did not arrive within {} s. Send it again",
            time.as_secs()
        ),
    )
}

fn broken(error: &dyn std::fmt::Display) -> Refusal {
    Refusal::new(
        Code::Incomplete,
        format!("the body ended too early: {error}. Send it again"),
    )
}

/// The end of a pipe into which a body is pumped.
pub(crate) struct Pump {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    left: u64,
    limit: u64,
    pause: Duration,
}

/// A pipe for a body of at most `limit` bytes with pauses of at most `pause`: the end to fill, and the one to
/// import from.
pub(crate) fn pump(limit: u64, pause: Duration) -> (Pump, Input) {
    let (pieces, queue) = mpsc::channel(QUEUE);
    let reader = Pieces {
        queue,
        piece: Bytes::new(),
    };
    let pump = Pump {
        pieces,
        left: limit,
        limit,
        pause,
    };
    (pump, (None, Box::new(BufReader::new(reader))))
}

impl Pump {
    /// Pumps a whole body. An error reaches the reader too, so that nothing is made of half a body.
    pub(crate) async fn fill(mut self, headers: &HeaderMap, mut body: Body) -> Result<(), Refusal> {
        if let Err(refusal) = check_announced(headers, self.limit) {
            return Err(self.fail(refusal).await);
        }
        loop {
            let piece = match timeout(self.pause, body.frame()).await {
                Ok(None) => return Ok(()),
                Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
                Ok(Some(Err(error))) => return Err(self.fail(broken(&error)).await),
                Err(_) => return Err(self.fail(late(self.pause)).await),
            };
            self.put(piece).await?;
        }
    }

    /// Passes a piece on, or throws it away where the reader has found an error and wants no more.
    pub(crate) async fn put(&mut self, piece: Bytes) -> Result<(), Refusal> {
        match self.left.checked_sub(piece.len() as u64) {
            Some(left) => self.left = left,
            None => return Err(self.fail(too_large(self.limit)).await),
        }
        let _ = self.pieces.send(Ok(piece)).await;
        Ok(())
    }

    /// Tells the reader that the body is not whole.
    pub(crate) async fn fail(&self, refusal: Refusal) -> Refusal {
        let _ = self
            .pieces
            .send(Err(io::Error::other(refusal.message.clone())))
            .await;
        refusal
    }
}

struct Pieces {
    queue: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.queue.blocking_recv() {
                None => return Ok(0),
                Some(piece) => self.piece = piece?,
            }
        }
        let count = buffer.len().min(self.piece.len());
        let taken = self.piece.split_to(count);
        if let Some(start) = buffer.get_mut(..count) {
            start.copy_from_slice(&taken);
        }
        Ok(count)
    }
}
