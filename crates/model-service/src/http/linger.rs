//! Closing a connection so that its last response arrives.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

/// The most bytes that are read and dropped.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// A client that sends nothing for this long has read the response, or never will.
const PAUSE: Duration = Duration::from_secs(2);

/// A stream that, if it is shut down within a body, reads until the client has ended too.
///
/// A request may be refused before its body was read. Closing then would reset the connection, and
/// a client that is still sending would lose the response (RFC 9112, section 9.6).
pub(super) struct Linger<S> {
    stream: S,
    unread: UnreadBody,
    /// The time for all reading after the shutdown.
    time: Duration,
    drain: Option<Drain>,
}

/// Limits on reading from a stream that was shut down.
struct Drain {
    bytes: usize,
    end: Instant,
    pause: Pin<Box<Sleep>>,
}

impl<S> Linger<S> {
    pub(super) fn new(stream: S, unread: UnreadBody, time: Duration) -> Self {
        Self {
            stream,
            unread,
            time,
            drain: None,
        }
    }
}

/// True if a part of the body on the connection is unread.
#[derive(Clone, Default)]
pub(super) struct UnreadBody(Arc<AtomicBool>);

/// A body that records whether a part of it is unread.
pub(super) struct TrackedBody {
    body: Incoming,
    unread: UnreadBody,
}

impl TrackedBody {
    pub(super) fn new(body: Incoming, unread: UnreadBody) -> Self {
        unread.0.store(!body.is_end_stream(), Ordering::Relaxed);
        Self { body, unread }
    }
}

impl Body for TrackedBody {
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

impl Drain {
    fn new(time: Duration) -> Self {
        let end = Instant::now() + time;
        Self {
            bytes: MAX_BYTES,
            end,
            pause: Box::pin(sleep_until(end.min(Instant::now() + PAUSE))),
        }
    }

    /// Counts bytes that were read. Returns true if more may be read.
    fn may_read_more(&mut self, count: usize) -> bool {
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
            drain,
        } = self.get_mut();
        if drain.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(context))?;
        }
        if !unread.0.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        let drain = drain.get_or_insert_with(|| Drain::new(*time));
        let mut space = [0; 8 * 1024];
        loop {
            if drain.pause.as_mut().poll(context).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(&mut space);
            // The response is sent. Errors no longer matter.
            let read = ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer));
            if read.is_err() || !drain.may_read_more(buffer.filled().len()) {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
