//! What a PDU of the SMSC says to us.
//!
//! `rusmpp` reads the body; where it cannot, `lenient` reads what is left of it. Neither ever ends a session: what nobody can
//! read is known by its header and answered.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use rusmpp::decode::DecodeWithLength;
use rusmpp::tlvs::{Tlv, TlvValue};
use rusmpp::{Command, Pdu};

use super::framing::Frame;
use super::lenient;

/// Ids of commands (SMPP 3.4 §5.1.2.1).
pub(super) mod command {
    pub(in crate::carrier::smpp) const BIND_RECEIVER: u32 = 0x0000_0001;
    pub(in crate::carrier::smpp) const BIND_TRANSMITTER: u32 = 0x0000_0002;
    pub(in crate::carrier::smpp) const BIND_TRANSCEIVER: u32 = 0x0000_0009;
    pub(in crate::carrier::smpp) const DELIVER_SM: u32 = 0x0000_0005;
    pub(in crate::carrier::smpp) const UNBIND: u32 = 0x0000_0006;
    pub(in crate::carrier::smpp) const ENQUIRE_LINK: u32 = 0x0000_0015;
    pub(in crate::carrier::smpp) const ALERT_NOTIFICATION: u32 = 0x0000_0102;
    pub(in crate::carrier::smpp) const DATA_SM: u32 = 0x0000_0103;
    pub(in crate::carrier::smpp) const GENERIC_NACK: u32 = 0x8000_0000;
    pub(in crate::carrier::smpp) const SUBMIT_SM_RESP: u32 = 0x8000_0004;
    pub(in crate::carrier::smpp) const UNBIND_RESP: u32 = 0x8000_0006;
    pub(in crate::carrier::smpp) const ENQUIRE_LINK_RESP: u32 = 0x8000_0015;
    pub(in crate::carrier::smpp) const BIND_RESPS: [u32; 3] = [0x8000_0001, 0x8000_0002, 0x8000_0009];
}

/// What came.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Incoming {
    BindResponse,
    /// With the SMSC's name for the message, if it says one.
    SubmitResponse {
        id: Option<String>,
    },
    /// A `deliver_sm` or `data_sm`: a receipt, or somebody's message.
    Delivery(Delivery),
    /// A `deliver_sm` or `data_sm` of which nothing can be read.
    Unreadable,
    EnquireLink,
    Unbind,
    UnbindResponse,
    /// An answer that says nothing but that the other side lives.
    Alive,
    GenericNack,
    /// A request that an ESME is not asked.
    UnknownRequest,
}

/// What a `deliver_sm` or `data_sm` says that can be a receipt.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Delivery {
    pub esm_class: u8,
    pub source: String,
    pub destination: String,
    pub data_coding: u8,
    /// The message, from its field or from its TLV.
    pub text: Bytes,
    pub receipted_id: Option<String>,
    pub message_state: Option<u8>,
    /// Kind of network and its code.
    pub network_error: Option<(u8, u16)>,
    /// It breaks the rules of its format; what could be read was.
    pub is_poison: bool,
}

/// Addresses and texts are not for logs.
impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Delivery(state: {:?}, {} bytes, poison: {})", self.message_state, self.text.len(), self.is_poison)
    }
}

/// Reads a PDU.
#[must_use]
pub fn read(frame: &Frame) -> Incoming {
    match frame.header.command {
        command::SUBMIT_SM_RESP => Incoming::SubmitResponse { id: submit_response(frame) },
        command::DELIVER_SM | command::DATA_SM => delivery(frame).map_or(Incoming::Unreadable, Incoming::Delivery),
        command::ENQUIRE_LINK => Incoming::EnquireLink,
        command::UNBIND => Incoming::Unbind,
        command::UNBIND_RESP => Incoming::UnbindResponse,
        command::GENERIC_NACK => Incoming::GenericNack,
        command::ENQUIRE_LINK_RESP | command::ALERT_NOTIFICATION => Incoming::Alive,
        response if command::BIND_RESPS.contains(&response) => Incoming::BindResponse,
        _ if frame.header.is_response() => Incoming::Alive,
        _ => Incoming::UnknownRequest,
    }
}

/// The value of the first TLV with this tag in a `deliver_sm` or `data_sm`, whoever's tag it is.
#[must_use]
pub fn tlv(frame: &Frame, tag: u16) -> Option<Bytes> {
    lenient::tlv(frame.header.command == command::DELIVER_SM, &frame.body, tag)
}

/// What `rusmpp` reads in the body of `frame`, if it can.
fn strict(frame: &Frame) -> Option<Command> {
    let mut pdu = BytesMut::with_capacity(12 + frame.body.len());
    pdu.put_u32(frame.header.command);
    pdu.put_u32(frame.header.status);
    pdu.put_u32(frame.header.sequence);
    pdu.put_slice(&frame.body);
    let length = pdu.len();
    let (command, read) = Command::decode(&mut pdu, length).ok()?;
    if read == length { Some(command) } else { None }
}

fn submit_response(frame: &Frame) -> Option<String> {
    let id = match strict(frame) {
        Some(command) => match command.pdu() {
            Some(Pdu::SubmitSmResp(response)) => response.message_id().as_str().to_owned(),
            _ => return None,
        },
        None => lenient::submit_response(&frame.body),
    };
    if id.is_empty() { None } else { Some(id) }
}

fn delivery(frame: &Frame) -> Option<Delivery> {
    let command = strict(frame);
    match command.as_ref().and_then(Command::pdu) {
        Some(Pdu::DeliverSm(pdu)) => {
            let mut delivery = Delivery {
                esm_class: u8::from(pdu.esm_class),
                source: pdu.source_addr.as_str().to_owned(),
                destination: pdu.destination_addr.as_str().to_owned(),
                data_coding: u8::from(pdu.data_coding),
                text: Bytes::copy_from_slice(pdu.short_message().as_ref()),
                ..Delivery::default()
            };
            read_tlvs(pdu.tlvs(), &mut delivery);
            Some(delivery)
        }
        Some(Pdu::DataSm(pdu)) => {
            let mut delivery = Delivery {
                esm_class: u8::from(pdu.esm_class),
                source: pdu.source_addr.as_str().to_owned(),
                destination: pdu.destination_addr.as_str().to_owned(),
                data_coding: u8::from(pdu.data_coding),
                ..Delivery::default()
            };
            read_tlvs(pdu.tlvs(), &mut delivery);
            Some(delivery)
        }
        _ => lenient::delivery(frame.header.command == command::DELIVER_SM, &frame.body),
    }
}

fn read_tlvs(tlvs: &[Tlv], delivery: &mut Delivery) {
    for value in tlvs.iter().filter_map(Tlv::value) {
        match value {
            TlvValue::ReceiptedMessageId(id) => delivery.receipted_id = Some(id.as_str().to_owned()),
            TlvValue::MessageState(state) => delivery.message_state = Some(u8::from(*state)),
            TlvValue::NetworkErrorCode(code) => {
                delivery.network_error = Some((u8::from(code.network_type), code.error_code));
            }
            TlvValue::MessagePayload(payload) if delivery.text.is_empty() => {
                delivery.text = Bytes::copy_from_slice(payload.value.as_ref());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
