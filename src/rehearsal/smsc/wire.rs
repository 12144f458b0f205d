//! What the centre reads and writes; PDUs are told apart as our own client does it (`carrier::smpp::framing`).

use bytes::{BufMut, BytesMut};
use rusmpp::decode::DecodeWithLength;
use rusmpp::encode::{Encode, Length};
use rusmpp::{Command, CommandId, CommandStatus, Pdu};

use crate::carrier::smpp::framing::{Frame, HEADER_BYTES, Header};

/// The bit of a command id that a response has.
const RESPONSE: u32 = 0x8000_0000;

/// Whether it answers something of ours.
pub(super) const fn is_response(frame: &Frame) -> bool {
    frame.header.command & RESPONSE != 0
}

/// The body, or `None` if it cannot be read.
pub(super) fn read(frame: &Frame) -> Option<Pdu> {
    let Header { command, status, sequence } = frame.header;
    let mut pdu = BytesMut::with_capacity(HEADER_BYTES + frame.body.len());
    for word in [command, status, sequence] {
        pdu.put_u32(word);
    }
    pdu.put_slice(&frame.body);
    let length = pdu.len();
    let (command, _) = Command::decode(&mut pdu, length).ok()?;
    command.pdu().cloned()
}

/// Who asks to bind, and with what password, however long they are; `None` if the body ends too early.
pub(super) fn credentials(frame: &Frame) -> Option<(&str, &str)> {
    let (system_id, rest) = c_string(&frame.body)?;
    let (password, rest) = c_string(rest)?;
    let (_system_type, rest) = c_string(rest)?;
    // The version, type and plan of an address range, and the range.
    c_string(rest.get(3..)?)?;
    Some((system_id, password))
}

/// What stands before the first NUL, and what behind it.
fn c_string(octets: &[u8]) -> Option<(&str, &[u8])> {
    let end = octets.iter().position(|octet| *octet == 0)?;
    Some((std::str::from_utf8(&octets[..end]).ok()?, &octets[end + 1..]))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::carrier::smpp::framing::Frames;

    fn frames(bytes: &[u8]) -> Vec<Frame> {
        let mut frames = Frames::default();
        frames.buffer().extend_from_slice(bytes);
        std::iter::from_fn(|| frames.next_frame().expect("sane")).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let mut sent = BytesMut::new();
        put(&mut sent, 7, &Pdu::EnquireLink);
        put_refusal(&mut sent, u32::from(CommandId::SubmitSm), CommandStatus::EsmeRthrottled, 8);
        put_nack(&mut sent, 9);
        let seen: Vec<_> = frames(&sent)
            .iter()
            .map(|frame| (frame.header.command, frame.header.status, frame.header.sequence, is_response(frame)))
            .collect();
        assert_eq!(seen, [(0x15, 0, 7, false), (0x8000_0004, 0x58, 8, true), (0x8000_0000, 3, 9, true)]);
        assert_eq!(read(&frames(&sent)[0]), Some(Pdu::EnquireLink));
    }

    #[test]
    fn a_body_that_cannot_be_read_is_none() {
        let mut submit = BytesMut::new();
        put_header(&mut submit, HEADER_BYTES + 3, u32::from(CommandId::SubmitSm), 0, 1);
        submit.put_slice(b"abc");
        assert!(read(&frames(&submit)[0]).is_none());
    }

    #[test]
    fn credentials_are_read_however_long_they_are() {
        let (system_id, password) = ("s".repeat(64), "p".repeat(64));
        let of = |body: &[u8]| {
            let mut bind = BytesMut::new();
            put_header(&mut bind, HEADER_BYTES + body.len(), u32::from(CommandId::BindTransceiver), 0, 1);
            bind.put_slice(body);
            let read = frames(&bind);
            credentials(&read[0]).map(|(system_id, password)| (system_id.to_owned(), password.to_owned()))
        };
        let body = format!("{system_id}\0{password}\0OTP\0\x34\0\0\0");
        assert_eq!(of(body.as_bytes()), Some((system_id, password)));
        assert_eq!(of(b"nexo\0\0\0\x34\0\0range\0"), Some(("nexo".to_owned(), String::new())));
        for body in [&b""[..], b"nexo", b"nexo\0secret\0", b"nexo\0secret\0\0\x34\0", b"nexo\0secret\0\0\x34\0\0range"]
        {
            assert_eq!(of(body), None, "{body:?}");
        }
    }
}
