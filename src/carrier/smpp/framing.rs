//! From a stream of bytes to PDUs (SMPP 3.4 §3.2): the length and the header are read here, before any codec.
//!
//! A codec that cannot read a body still knows from the header what must be answered. Only a length that cannot be ends a
//! session: after it nobody knows where the next PDU begins.

use bytes::{Buf, Bytes, BytesMut};

pub const HEADER_BYTES: usize = 16;
/// The longest PDU that is read.
pub const PDU_BYTES_MAX: usize = 64 * 1024;
/// So much is read at once.
const READ_BYTES: usize = 16 * 1024;

/// What every PDU begins with, after its length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    pub command: u32,
    pub status: u32,
    pub sequence: u32,
}

impl Header {
    /// Whether it answers something of ours (SMPP 3.4 §5.1.2).
    #[must_use]
    pub const fn is_response(self) -> bool {
        self.command & 0x8000_0000 != 0
    }
}

/// One PDU, its body unread.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    pub header: Header,
    pub body: Bytes,
}

/// The body may hold what a message says.
impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frame({:?}, {} bytes)", self.header, self.body.len())
    }
}

/// The length of a PDU that cannot be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a PDU of {0} bytes")]
pub struct BadLength(pub u32);

/// Bytes that were read and are no whole PDU yet.
#[derive(Debug, Default)]
pub struct Frames {
    read: BytesMut,
}

impl Frames {
    /// Where the next bytes are to be read into.
    pub fn buffer(&mut self) -> &mut BytesMut {
        self.read.reserve(READ_BYTES);
        &mut self.read
    }

    /// The next whole PDU; `None` until more was read.
    ///
    /// # Errors
    /// [`BadLength`] if it is shorter than its header or longer than 64 KiB.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, BadLength> {
        let Some(length) = self.read.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)) else {
            return Ok(None);
        };
        let bytes = usize::try_from(length).unwrap_or(usize::MAX);
        if !(HEADER_BYTES..=PDU_BYTES_MAX).contains(&bytes) {
            return Err(BadLength(length));
        }
        if self.read.len() < bytes {
            return Ok(None);
        }
        let mut pdu = self.read.split_to(bytes).freeze();
        pdu.advance(4);
        let header = Header { command: pdu.get_u32(), status: pdu.get_u32(), sequence: pdu.get_u32() };
        Ok(Some(Frame { header, body: pdu }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pdu(sequence: u32, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER_BYTES + body.len()).expect("short");
        let words = [length, 0x15, 0, sequence];
        words.iter().flat_map(|word| word.to_be_bytes()).chain(body.iter().copied()).collect()
    }

    #[test]
    fn pieces_of_one_byte_and_several_at_once_are_the_same_pdus() {
        let stream: Vec<u8> = (1..=5).flat_map(|n| pdu(n, &vec![0xAB; n as usize * 7])).collect();
        for step in [1, 3, 16, 17, stream.len()] {
            let (mut frames, mut seen) = (Frames::default(), Vec::new());
            for piece in stream.chunks(step) {
                frames.buffer().extend_from_slice(piece);
                while let Some(frame) = frames.next_frame().expect("sane lengths") {
                    seen.push((frame.header.sequence, frame.body.len()));
                }
            }
            assert_eq!(seen, [(1, 7), (2, 14), (3, 21), (4, 28), (5, 35)], "{step} bytes at a time");
        }
    }

    #[test]
    fn only_a_length_that_cannot_be_is_refused() {
        let next = |bytes: &[u8]| {
            let mut frames = Frames::default();
            frames.buffer().extend_from_slice(bytes);
            frames.next_frame()
        };
        assert_eq!(next(&[0, 0, 0, 15]), Err(BadLength(15)));
        assert_eq!(next(&[0, 0, 0, 0]), Err(BadLength(0)));
        assert_eq!(next(&[0, 1, 0, 1]), Err(BadLength(65_537)));
        assert_eq!(next(b"HTTP"), Err(BadLength(0x4854_5450)));
        assert_eq!(next(&[0, 1, 0, 0]), Ok(None), "64 KiB are read");
        assert_eq!(next(&[0, 0, 0]), Ok(None));
    }

    #[test]
    fn what_a_message_says_is_not_printed() {
        let mut frames = Frames::default();
        frames.buffer().extend_from_slice(&pdu(7, b"482917"));
        let frame = frames.next_frame().expect("sane").expect("whole");
        assert!(!format!("{frame:?}").contains("482917"));
    }
}
