//! Closing a connection so that its last answer arrives.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes that are read and thrown away at most.
const MOST: usize = 16 * 1024 * 1024;
/// A client that sends nothing for this long has heard the answer, or never will.
const PAUSE: Duration = Duration::from_secs(2);

/// A stream that, if it is shut down amid a body, reads on until the client has ended too.
///
/// A request may be refused before its body was read. Closing then would reset the connection, and a client that
/// is still sending would lose the answer (RFC 9112, section 9.6).
pub(super) struct Linger<S> {
    stream: S,
    unread: Unread,
    /// For all of it, in addition to the limit on bytes.
    time: Duration,
    last: Option<Last>,
}

/// What is left of a stream that was shut down.
struct Last {
    bytes: usize,
    end: Instant,
    pause: Pin<Box<Sleep>>,
}

impl<S> Linger<S> {
    pub(super) fn new(stream: S, unread: Unread, time: Duration) -> Self {
        Self {
            stream,
            unread,
            time,
            last: None,
        }
    }
}

/// Whether something is left of the body that a connection carries.
#[derive(Clone, Default)]
pub(super) struct Unread(Arc<AtomicBool>);

/// A body that keeps count of that.
pub(super) struct Watched {
    body: Incoming,
    unread: Unread,
}

impl Watched {
    pub(super) fn new(body: Incoming, unread: Unread) -> Self {
        unread.0.store(!body.is_end_stream(), Ordering::Relaxed);
        Self { body, unread }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if frame.is_none() || self.body.is_end_stream() {
            self.unread.0.store(false, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Last {
    fn new(time: Duration) -> Self {
        let end = Instant::now() + time;
        Self {
            bytes: MOST,
            end,
            pause: Box::pin(sleep_until(end.min(Instant::now() + PAUSE))),
        }
    }

    /// Whether to read on after `count` bytes.
    fn goes_on(&mut self, count: usize) -> bool {
        self.bytes = self.bytes.saturating_sub(count);
        let pause = self.end.min(Instant::now() + PAUSE);
        self.pause.as_mut().reset(pause);
        count > 0 && self.bytes > 0
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Linger<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Linger<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self {
            stream,
            unread,
            time,
            last,
        } = self.get_mut();
        if last.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(context))?;
        }
        if !unread.0.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        let last = last.get_or_insert_with(|| Last::new(*time));
        let mut space = [0; 8 * 1024];
        loop {
            if last.pause.as_mut().poll(context).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(&mut space);
            // The answer is out; what goes wrong now is no matter.
            let read = ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer));
            if read.is_err() || !last.goes_on(buffer.filled().len()) {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
