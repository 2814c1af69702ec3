//! The beginning of an input, kept to recognise an unsigned export.

use std::cell::RefCell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

/// Bytes that are kept.
const LENGTH: usize = 4096;
/// Strings that an export has near its beginning.
const MARKS: [&[u8]; 2] = [b"\"hardware-identity\"", b"\"hardware-id-key\""];

/// The first bytes that a [`PrefixReader`] has read. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Prefix(Rc<RefCell<Vec<u8>>>);

impl Prefix {
    /// Returns true if the bytes look like the output of `hardware-identity export`: JSON that
    /// names a hardware identity.
    pub(super) fn is_export(&self) -> bool {
        let prefix = self.0.borrow();
        let text = prefix.trim_ascii_start();
        let has = |mark: &[u8]| text.windows(mark.len()).any(|window| window == mark);
        matches!(text.first(), Some(b'{' | b'[')) && MARKS.iter().any(|mark| has(mark))
    }

    fn keep(&self, bytes: &[u8]) {
        let mut prefix = self.0.borrow_mut();
        let room = LENGTH.saturating_sub(prefix.len()).min(bytes.len());
        prefix.extend(bytes.iter().take(room));
    }
}

/// A reader that keeps the first bytes it reads.
pub(super) struct PrefixReader<R> {
    reader: R,
    prefix: Prefix,
    /// Bytes that may still have to be kept.
    left: usize,
}

impl<R> PrefixReader<R> {
    pub(super) fn new(reader: R, prefix: Prefix) -> Self {
        Self {
            reader,
            prefix,
            left: LENGTH,
        }
    }
}

impl<R: BufRead> Read for PrefixReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for PrefixReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        if self.left > 0 {
            // The reader gives what it has given before, without reading again.
            if let Ok(bytes) = self.reader.fill_buf() {
                self.prefix.keep(bytes.get(..count).unwrap_or_default());
            }
            self.left = self.left.saturating_sub(count);
        }
        self.reader.consume(count);
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn is_export(text: &str) -> bool {
        let prefix = Prefix::default();
        // In small pieces, as a network gives them.
        let reader = BufReader::with_capacity(7, text.as_bytes());
        let mut reader = PrefixReader::new(reader, prefix.clone());
        let mut read = String::new();
        reader.read_to_string(&mut read).unwrap();
        assert_eq!(read, text);
        prefix.is_export()
    }

    #[test]
    fn an_export_is_recognised() {
        assert!(is_export(
            "{\n  \"type\": \"hardware-identity\",\n  \"body\": \"\"}\n"
        ));
        assert!(is_export(" [{\"hardware-id-key\":\"x\"}]"));
        let long = "x".repeat(2 * LENGTH);
        assert!(is_export(&format!("{{\"hardware-id-key\":\"{long}\"}}")));
        for other in ["", "{}", "type: hardware-identity\n", "{\"type\":\"model\"}"] {
            assert!(!is_export(other), "{other}");
        }
    }
}
