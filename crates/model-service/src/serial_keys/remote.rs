//! A key in an HSM, GnuPG or a key manager, which can be lost and come back.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use snap_assertions::{PublicKey, SignaturePacket};

use super::error::SerialKeyError;
use super::lock;
use super::process::SignerProcess;
use super::protocol::Opening;
use super::source::RemoteKeySource;

/// What is signed to find out whether the key signs. It is not an assertion.
const PROBE: &[u8] = b"model-service: does this key sign?";
/// A signature in this time shows that the key signs.
const RECENT: Duration = Duration::from_secs(1);
/// How often a signature is tried: the second time with a new process, if there is time left.
const ATTEMPTS: usize = 2;
/// The pauses between two attempts to open a lost key.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The limits of a key.
#[derive(Clone, Copy)]
pub(crate) struct SigningLimits {
    /// The longest time for a signature, in seconds.
    pub(crate) seconds: u32,
    /// Signatures at a time.
    pub(crate) concurrent: usize,
}

/// A key that a process of its own signs with.
pub(crate) struct RemoteSigner {
    opening: Opening,
    public: PublicKey,
    state: Mutex<State>,
    changed: Condvar,
    /// When the key last signed in time, also when it was opened.
    last_signed: Mutex<Instant>,
    /// For the thread that opens the key again.
    me: Weak<Self>,
}

enum State {
    Ready(Arc<SignerProcess>),
    /// The first attempt after a failure runs; requests wait for it.
    Reopening,
    /// Requests fail at once, while further attempts run.
    Lost(SerialKeyError),
}

impl RemoteSigner {
    /// Opens the key, and checks that it signs.
    pub(crate) fn open(source: &RemoteKeySource, limits: SigningLimits) -> Result<Arc<Self>, SerialKeyError> {
        let opening = Opening {
            source: source.clone(),
            seconds: limits.seconds,
            threads: limits.concurrent,
        };
        let process = start(&opening)?;
        Ok(Arc::new_cyclic(|me| Self {
            opening,
            public: process.public_key().clone(),
            state: Mutex::new(State::Ready(Arc::new(process))),
            changed: Condvar::new(),
            last_signed: Mutex::new(Instant::now()),
            me: me.clone(),
        }))
    }

    pub(super) fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// Signs with a valid signature, within the time limit.
    pub(super) fn sign(&self, content: &[u8], time: u32) -> Result<SignaturePacket, SerialKeyError> {
        let deadline = Instant::now() + self.limit();
        let mut attempt = 1;
        loop {
            let process = self.process(deadline)?;
            let signed = process
                .sign(content, time, deadline)
                .and_then(|signature| self.verified(content, signature));
            match signed {
                Ok(signature) => {
                    self.note_signed();
                    return Ok(signature);
                }
                // The time counts from the request. It may have waited for a new process, or behind
                // others for a key that signs slowly: ending the process would fail those too.
                Err(error) if Instant::now() >= deadline && self.signed_within(self.limit()) => {
                    return Err(error);
                }
                Err(error) => {
                    self.lose(&process, &error);
                    if attempt == ATTEMPTS || Instant::now() >= deadline {
                        return Err(error);
                    }
                    attempt += 1;
                }
            }
        }
    }

    /// Checks that the key signs.
    pub(super) fn check(&self) -> Result<(), SerialKeyError> {
        if let State::Lost(error) = &*self.state() {
            return Err(error.clone());
        }
        match self.signed_within(RECENT) {
            true => Ok(()),
            false => self.sign(PROBE, 0).map(drop),
        }
    }

    fn note_signed(&self) {
        *lock(&self.last_signed) = Instant::now();
    }

    /// Returns true if the key signed in this last time.
    fn signed_within(&self, time: Duration) -> bool {
        lock(&self.last_signed).elapsed() < time
    }

    /// Returns true if further attempts to open the key cannot succeed.
    pub(super) fn is_lost_for_good(&self) -> bool {
        matches!(&*self.state(), State::Lost(error)
            if error.is_final() || matches!(error, SerialKeyError::Changed { .. }))
    }

    /// The process that signs; waits for the first attempt to start another one.
    fn process(&self, deadline: Instant) -> Result<Arc<SignerProcess>, SerialKeyError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let reopening = |state: &mut State| matches!(state, State::Reopening);
        let waited = self.changed.wait_timeout_while(self.state(), left, reopening);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        match &*state {
            State::Ready(process) => Ok(Arc::clone(process)),
            State::Lost(error) => Err(error.clone()),
            State::Reopening => Err(SerialKeyError::TimedOut {
                key: self.opening.source.to_string(),
                seconds: self.opening.seconds.into(),
            }),
        }
    }

    fn verified(
        &self,
        content: &[u8],
        signature: SignaturePacket,
    ) -> Result<SignaturePacket, SerialKeyError> {
        verify(&self.opening, &self.public, content, &signature).map(|()| signature)
    }

    /// Ends a process that did not sign, and opens the key again, unless another request did.
    fn lose(&self, process: &Arc<SignerProcess>, error: &SerialKeyError) {
        let mut state = self.state();
        if !matches!(&*state, State::Ready(current) if Arc::ptr_eq(current, process)) {
            return;
        }
        tracing::warn!(
            code = failure::code(error),
            "a serial key is opened again: {error}"
        );
        process.kill();
        let me = self.me.clone();
        let started = thread::Builder::new().spawn(move || reopen(&me));
        *state = match started {
            Ok(_) => State::Reopening,
            // The process has ended, so the next request tries it again.
            Err(_) => return,
        };
    }

    fn limit(&self) -> Duration {
        Duration::from_secs(self.opening.seconds.into())
    }

    fn set(&self, new: State) {
        *self.state() = new;
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Starts a process for the same key.
    fn restart(&self) -> Result<SignerProcess, SerialKeyError> {
        let process = start(&self.opening)?;
        match process.public_key() == &self.public {
            true => Ok(process),
            false => Err(SerialKeyError::Changed {
                key: self.opening.source.to_string(),
            }),
        }
    }
}

/// Tries to open a key until it succeeds or nobody needs the key.
fn reopen(signer: &Weak<RemoteSigner>) {
    let mut pause = FIRST_PAUSE;
    let mut logged = None;
    while let Some(signer) = signer.upgrade() {
        match signer.restart() {
            Ok(process) => {
                tracing::info!("the serial key {} can be used again", signer.opening.source);
                signer.note_signed();
                return signer.set(State::Ready(Arc::new(process)));
            }
            Err(error) => {
                let (text, last) = (failure::line(&error), error.is_final());
                // Not the same line every ten seconds.
                if logged.as_ref() != Some(&text) {
                    tracing::error!(code = failure::code(&error), "no serials are signed: {text}");
                    logged = Some(text);
                }
                signer.set(State::Lost(error));
                if last {
                    return;
                }
            }
        }
        drop(signer);
        thread::sleep(pause);
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

/// Starts a process, and checks that it signs.
fn start(opening: &Opening) -> Result<SignerProcess, SerialKeyError> {
    let process = SignerProcess::start(opening)?;
    let deadline = Instant::now() + Duration::from_secs(opening.seconds.into());
    let signature = process.sign(PROBE, 0, deadline)?;
    verify(opening, process.public_key(), PROBE, &signature)?;
    Ok(process)
}

fn verify(
    opening: &Opening,
    public: &PublicKey,
    content: &[u8],
    signature: &SignaturePacket,
) -> Result<(), SerialKeyError> {
    public
        .verify(content, signature)
        .map_err(|_| SerialKeyError::WrongSignature {
            key: opening.source.to_string(),
        })
}
