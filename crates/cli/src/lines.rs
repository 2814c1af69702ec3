//! Messages over a pipe: one on each line, of bounded length, awaited for a bounded time.

use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

/// Both directions of a pipe.
pub(crate) struct MessageLines<W> {
    received: Receiver<io::Result<Option<Vec<u8>>>>,
    writer: W,
}

/// Why no line was received.
#[derive(Debug)]
pub(crate) enum LineError {
    /// The other end has closed the pipe.
    Ended,
    /// Nothing came in time.
    Late,
    /// The line is too long, or cannot be read.
    Unreadable(io::Error),
}

impl<W: Write> MessageLines<W> {
    /// Reads lines of at most `longest` bytes in a thread, which ends with the pipe.
    ///
    /// # Errors
    /// If there is no thread.
    pub(crate) fn new(reader: impl Read + Send + 'static, writer: W, longest: usize) -> io::Result<Self> {
        // The thread waits until each line is taken, so that the other end cannot fill the memory.
        let (sender, received) = mpsc::sync_channel(0);
        thread::Builder::new().spawn(move || read_lines(reader, longest, &sender))?;
        Ok(MessageLines { received, writer })
    }

    /// Writes a line.
    pub(crate) fn send(&mut self, json: &str) -> io::Result<()> {
        self.writer.write_all(json.as_bytes())?;
        self.writer.write_all(b"\n")?;
        self.writer.flush()
    }

    /// Waits for the next line, without its line feed.
    pub(crate) fn receive(&self, time: Duration) -> Result<Vec<u8>, LineError> {
        match self.received.recv_timeout(time) {
            Ok(Ok(Some(line))) => Ok(line),
            Ok(Ok(None)) | Err(RecvTimeoutError::Disconnected) => Err(LineError::Ended),
            Ok(Err(error)) => Err(LineError::Unreadable(error)),
            Err(RecvTimeoutError::Timeout) => Err(LineError::Late),
        }
    }
}

fn read_lines(reader: impl Read, longest: usize, sender: &SyncSender<io::Result<Option<Vec<u8>>>>) {
    let mut reader = BufReader::new(reader);
    loop {
        let line = read_line(&mut reader, longest);
        let is_last = !matches!(line, Ok(Some(_)));
        // Without a receiver nobody waits for a line.
        if sender.send(line).is_err() || is_last {
            return;
        }
    }
}

fn read_line(reader: &mut BufReader<impl Read>, longest: usize) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    reader.take(longest as u64 + 1).read_until(b'\n', &mut line)?;
    match line.pop() {
        Some(b'\n') => Ok(Some(line)),
        None => Ok(None),
        Some(_) if line.len() >= longest => {
            Err(io::Error::other(format!("a line has more than {longest} bytes")))
        }
        Some(_) => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: Duration = Duration::from_secs(60);

    #[test]
    fn lines_are_bounded() {
        let lines = MessageLines::new(&b"one\ntwo\nlonger\n"[..], io::sink(), 3).unwrap();
        assert_eq!(lines.receive(TIME).unwrap(), b"one");
        assert_eq!(lines.receive(TIME).unwrap(), b"two");
        assert!(matches!(lines.receive(TIME), Err(LineError::Unreadable(_))));
        assert!(matches!(lines.receive(TIME), Err(LineError::Ended)));
    }

    #[test]
    fn an_incomplete_line_is_none() {
        let lines = MessageLines::new(&b"one"[..], io::sink(), 3).unwrap();
        assert!(matches!(lines.receive(TIME), Err(LineError::Unreadable(_))));
    }

    #[test]
    fn nobody_waits_for_ever() {
        let (reader, _writer) = io::pipe().unwrap();
        let lines = MessageLines::new(reader, io::sink(), 3).unwrap();
        assert!(matches!(lines.receive(Duration::ZERO), Err(LineError::Late)));
    }
}
