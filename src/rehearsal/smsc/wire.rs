//! PDUs as bytes: a length, a header of sixteen bytes, a body. Only a bad length ends a session.

use bytes::{BufMut, BytesMut};
use rusmpp::decode::DecodeWithLength;
use rusmpp::encode::{Encode, Length};
use rusmpp::{Command, CommandId, CommandStatus, Pdu};

const HEADER_BYTES: usize = 16;
const PDU_BYTES_MAX: usize = 64 * 1_024;
/// The bit of a command id that a response has.
const RESPONSE: u32 = 0x8000_0000;

/// A PDU as it came, its body not yet read.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) id: u32,
    pub(super) status: u32,
    pub(super) sequence: u32,
    /// Everything after the length: header and body.
    rest: BytesMut,
}

/// The peer and we no longer agree where a PDU begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a PDU of {0} bytes")]
pub(super) struct BadLength(usize);

impl Frame {
    /// Takes the next whole PDU off the front of `buffer`, if there is one.
    pub(super) fn take(buffer: &mut BytesMut) -> Result<Option<Self>, BadLength> {
        let Some(length) = word(buffer, 0).map(as_count) else { return Ok(None) };
        if !(HEADER_BYTES..=PDU_BYTES_MAX).contains(&length) {
            return Err(BadLength(length));
        }
        if buffer.len() < length {
            return Ok(None);
        }
        let pdu = buffer.split_to(length);
        let [id, status, sequence] = [4, 8, 12].map(|at| word(&pdu, at).unwrap_or_default());
        let mut rest = pdu;
        let _length = rest.split_to(4);
        Ok(Some(Self { id, status, sequence, rest }))
    }

    pub(super) const fn is_response(&self) -> bool {
        self.id & RESPONSE != 0
    }

    /// The body, or `None` if it cannot be read.
    pub(super) fn pdu(mut self) -> Option<Pdu> {
        let length = self.rest.len();
        let (command, _) = Command::decode(&mut self.rest, length).ok()?;
        command.pdu().cloned()
    }
}

/// Appends a whole PDU.
pub(super) fn put(out: &mut BytesMut, sequence: u32, pdu: &Pdu) {
    let length = HEADER_BYTES + pdu.length();
    let at = out.len();
    put_header(out, length, u32::from(pdu.command_id()), 0, sequence);
    out.resize(at + length, 0);
    pdu.encode(&mut out[at + HEADER_BYTES..]);
}

/// Appends a refusal: a response of a header alone.
pub(super) fn put_refusal(out: &mut BytesMut, request: u32, status: CommandStatus, sequence: u32) {
    put_header(out, HEADER_BYTES, request | RESPONSE, u32::from(status), sequence);
}

/// Appends the answer to a request that is not known here.
pub(super) fn put_nack(out: &mut BytesMut, sequence: u32) {
    put_header(out, HEADER_BYTES, u32::from(CommandId::GenericNack), u32::from(CommandStatus::EsmeRinvcmdid), sequence);
}

fn put_header(out: &mut BytesMut, length: usize, id: u32, status: u32, sequence: u32) {
    for word in [u32::try_from(length).unwrap_or(u32::MAX), id, status, sequence] {
        out.put_u32(word);
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map(u32::from_be_bytes)
}

fn as_count(word: u32) -> usize {
    usize::try_from(word).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pdus_come_in_any_pieces() {
        let mut sent = BytesMut::new();
        put(&mut sent, 7, &Pdu::EnquireLink);
        put_refusal(&mut sent, u32::from(CommandId::SubmitSm), CommandStatus::EsmeRthrottled, 8);
        put_nack(&mut sent, 9);
        let (mut buffer, mut seen) = (BytesMut::new(), Vec::new());
        for byte in sent {
            buffer.put_u8(byte);
            while let Some(frame) = Frame::take(&mut buffer).expect("sane") {
                seen.push((frame.id, frame.status, frame.sequence, frame.is_response()));
            }
        }
        assert_eq!(seen, [(0x15, 0, 7, false), (0x8000_0004, 0x58, 8, true), (0x8000_0000, 3, 9, true)]);
    }

    #[test]
    fn a_bad_length_is_told_and_a_bad_body_is_none() {
        for length in [0_u32, 15, 65_537, u32::MAX] {
            let mut buffer = BytesMut::from(&length.to_be_bytes()[..]);
            assert!(Frame::take(&mut buffer).is_err(), "{length}");
        }
        let mut submit = BytesMut::new();
        put_header(&mut submit, HEADER_BYTES + 3, u32::from(CommandId::SubmitSm), 0, 1);
        submit.put_slice(b"abc");
        let frame = Frame::take(&mut submit).expect("sane").expect("whole");
        assert_eq!(frame.sequence, 1);
        assert!(frame.pdu().is_none());
    }
}
