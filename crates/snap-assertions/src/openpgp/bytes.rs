//! A reader for the fields of packets.

use super::error::PacketError;

/// The bytes that remain to be read.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8], PacketError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(PacketError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn byte(&mut self) -> Result<u8, PacketError> {
        let (first, rest) = self.0.split_first().ok_or(PacketError::Truncated)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(super) fn big_endian(&mut self, bytes: usize) -> Result<usize, PacketError> {
        let bytes = self.take(bytes)?;
        Ok(bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    }

    /// Bytes after a length field of two bytes.
    pub(super) fn sized(&mut self) -> Result<&'a [u8], PacketError> {
        let length = self.big_endian(2)?;
        self.take(length)
    }

    /// A length of one, two or five bytes (RFC 4880, sections 4.2.2 and 5.2.3.1). First bytes from
    /// `two_until` to 254 are partial lengths: those exist in packet headers (`two_until` is 224),
    /// not in subpackets (255).
    pub(super) fn length(&mut self, two_until: u8) -> Result<usize, PacketError> {
        match self.byte()? {
            first @ 0..192 => Ok(usize::from(first)),
            255 => self.big_endian(4),
            first if first >= two_until => Err(PacketError::IndefiniteLength),
            first => Ok(((usize::from(first) - 192) << 8) + usize::from(self.byte()?) + 192),
        }
    }

    /// A multiprecision integer (RFC 4880, section 3.2). Its length in bits is exact or, as snapd
    /// writes it, rounded up to whole bytes. Other lengths are refused, so that nobody can write
    /// the same signature in many forms.
    pub(super) fn number(&mut self) -> Result<&'a [u8], PacketError> {
        let bits = self.big_endian(2)?;
        let number = self.take(bits.div_ceil(8))?;
        let zeros = number.first().map_or(0, |byte| byte.leading_zeros() as usize);
        let exact = number.len() * 8 - zeros;
        if number.is_empty() || bits != exact && bits % 8 != 0 {
            return Err(PacketError::NumberLength);
        }
        Ok(number)
    }

    pub(super) fn expect(
        &mut self,
        field: &'static str,
        value: u8,
        supported: &'static str,
    ) -> Result<(), PacketError> {
        match self.byte()? {
            found if found == value => Ok(()),
            found => Err(PacketError::Unsupported {
                field,
                found,
                supported,
            }),
        }
    }

    pub(super) fn end(&self) -> Result<(), PacketError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(PacketError::TrailingBytes)
        }
    }
}
