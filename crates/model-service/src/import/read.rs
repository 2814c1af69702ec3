//! Reading the inputs in chunks, which all cores verify.

use std::io::BufRead;
use std::iter;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use snap_assertions::{Assertion, DecodeError, Decoder};

use super::error::RefusalReason;
use super::input::Input;
use super::verify::{RefusedAssertion, Verifier};
use crate::store::IdentityRecord;

/// Chunks that are verified or wait to be stored at a time.
pub(super) const QUEUE: usize = 16;
/// The most assertions in a chunk, and the bytes that end one.
const CHUNK: usize = 64;
const CHUNK_BYTES: usize = 256 * 1024;

/// Consecutive assertions of an input that are being verified.
pub(super) struct VerifiedChunk {
    /// The name of the input.
    pub(super) input: Option<String>,
    /// The place of the first assertion in the input, counted from 1.
    pub(super) first: u64,
    /// Receives the result for each assertion, once.
    pub(super) results: Receiver<Vec<Result<IdentityRecord, RefusedAssertion>>>,
}

/// Reads all inputs, lets all cores verify, and queues the chunks in the order of the input. Ends
/// early if the receiver of the queue is gone.
pub(super) fn run(inputs: Vec<Input>, verifier: &Verifier<'_>, queue: &SyncSender<VerifiedChunk>) {
    rayon::in_place_scope(|cores| {
        for input in inputs {
            let mut decoder = Decoder::new(input.reader);
            let mut first = 1;
            for chunk in iter::from_fn(|| Chunk::read(&mut decoder)) {
                let (sender, results) = sync_channel(1);
                let verified = VerifiedChunk {
                    input: input.name.clone(),
                    first,
                    results,
                };
                first += chunk.assertions.len() as u64;
                cores.spawn(move |_| {
                    // The receiver is gone if storing failed.
                    let _ = sender.send(chunk.verify(verifier));
                });
                if queue.send(verified).is_err() {
                    return;
                }
            }
        }
    });
}

struct Chunk {
    assertions: Vec<Assertion>,
    /// Why nothing more could be read.
    error: Option<DecodeError>,
}

impl Chunk {
    /// Reads a chunk; `None` at the end of the input.
    fn read(decoder: &mut Decoder<impl BufRead>) -> Option<Self> {
        let (mut assertions, mut bytes) = (Vec::with_capacity(CHUNK), 0);
        let mut error = None;
        while assertions.len() < CHUNK && bytes < CHUNK_BYTES {
            match decoder.next() {
                None => break,
                Some(Ok(assertion)) => {
                    bytes += assertion.content().len() + assertion.signature_text().len();
                    assertions.push(assertion);
                }
                Some(Err(found)) => error = Some(found),
            }
        }
        let empty = assertions.is_empty() && error.is_none();
        (!empty).then_some(Self { assertions, error })
    }

    fn verify(self, verifier: &Verifier<'_>) -> Vec<Result<IdentityRecord, RefusedAssertion>> {
        let results = self
            .assertions
            .into_iter()
            .map(|assertion| verifier.verify(&assertion));
        let unread = self.error.map(|error| {
            Err(RefusedAssertion {
                reason: Box::new(RefusalReason::NotAssertions(error)),
                hardware_id: None,
                digest: None,
            })
        });
        results.chain(unread).collect()
    }
}
