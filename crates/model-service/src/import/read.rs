//! Reading the input, in pieces that the cores verify.

use std::io::BufRead;
use std::iter;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use snap_assertions::{Assertion, Decoder};

use super::Input;
use super::verify::{Checked, Verifier};

/// Pieces that are verified or wait to be stored at a time.
pub(super) const QUEUE: usize = 16;
/// Assertions in a piece, at most and in bytes.
const PIECE: usize = 64;
const PIECE_BYTES: usize = 256 * 1024;

/// Assertions that stand one after another in the input, under verification.
pub(super) struct Batch {
    /// What the input is called.
    pub(super) input: Option<String>,
    /// The place of the first assertion in the input, counted from 1.
    pub(super) first: u64,
    /// Gets what came of each, once.
    pub(super) checked: Receiver<Vec<Checked>>,
}

/// Reads all inputs, lets all cores verify, and puts what comes of it into the queue in the order of the input.
/// Ends early where nobody takes anything from the queue any more.
pub(super) fn run(inputs: Vec<Input>, verifier: &Verifier<'_>, queue: &SyncSender<Batch>) {
    rayon::in_place_scope(|cores| {
        for (name, reader) in inputs {
            let mut decoder = Decoder::new(reader);
            let mut first = 1;
            let pieces = iter::from_fn(|| Piece::read(&mut decoder));
            for piece in pieces {
                let (sender, checked) = sync_channel(1);
                let batch = Batch {
                    input: name.clone(),
                    first,
                    checked,
                };
                first += piece.assertions.len() as u64;
                cores.spawn(move |_| {
                    // Storing may have failed meanwhile.
                    let _ = sender.send(piece.verify(verifier));
                });
                if queue.send(batch).is_err() {
                    return;
                }
            }
        }
    });
}

struct Piece {
    assertions: Vec<Assertion>,
    /// Why no more could be read.
    broken: Option<String>,
}

impl Piece {
    /// Reads a piece; none at the end of the input.
    fn read(decoder: &mut Decoder<impl BufRead>) -> Option<Self> {
        let (mut assertions, mut bytes) = (Vec::with_capacity(PIECE), 0);
        let mut broken = None;
        while assertions.len() < PIECE && bytes < PIECE_BYTES {
            match decoder.next() {
                None => break,
                Some(Ok(assertion)) => {
                    bytes += assertion.content().len() + assertion.signature_text().len();
                    assertions.push(assertion);
                }
                Some(Err(error)) => broken = Some(format!("{error}; nothing after it was read")),
            }
        }
        let empty = assertions.is_empty() && broken.is_none();
        (!empty).then_some(Self { assertions, broken })
    }

    fn verify(self, verifier: &Verifier<'_>) -> Vec<Checked> {
        let checked = self
            .assertions
            .into_iter()
            .map(|assertion| verifier.check(&assertion));
        let broken = self.broken.map(|reason| Checked::Refused {
            reason,
            hardware_id: None,
            digest: None,
        });
        checked.chain(broken).collect()
    }
}
