//! Our own PDUs: a bind, a `submit_sm`, and the short ones.
//!
//! A `submit_sm` holds the code: it is built where it is written, and nothing that holds it has a printing form.

use std::str::FromStr;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use jiff::tz::TimeZone;
use rusmpp::encode::Length;
use rusmpp::encode::owned::Encode;
use rusmpp::pdus::SubmitSm;
use rusmpp::types::{COctetString, EmptyOrFullCOctetString, OctetString};
use rusmpp::values::{DataCoding, EsmClass, Npi, RegisteredDelivery, ServiceType, Ton};
use rusmpp::{Command, CommandStatus, Pdu};

use super::codec::command;
use super::framing::HEADER_BYTES;
use super::session::Role;
use crate::carrier::upstream::Attempt;
use crate::config::upstreams::smpp::{SmppConfig, Validity};
use crate::domain::short_text::Alphabet;
use crate::domain::time::Timestamp;

/// What was configured is no SMPP: a setting passed a check that it should not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0} does not fit into its field")]
pub(super) struct DoesNotFit(&'static str);

/// The longest that the settings let through.
const CREDENTIAL_LEN_MAX: usize = 64;

fn field<const MIN: usize, const MAX: usize>(
    name: &'static str,
    text: &str,
) -> Result<COctetString<MIN, MAX>, DoesNotFit> {
    COctetString::from_str(text).map_err(|_| DoesNotFit(name))
}

/// `interface_version` (SMPP 3.4 §5.2.4).
const SMPP_3_4: u8 = 0x34;

/// The PDU that opens a session (SMPP 3.4 §4.1), octet by octet: many SMSCs want longer passwords than the codec would write.
pub(super) fn bind(config: &SmppConfig, role: Role, sequence: u32) -> Result<BytesMut, DoesNotFit> {
    let password = config.password.as_ref().map_or("", |password| password.expose());
    let mut body = BytesMut::with_capacity(256);
    for (name, text) in
        [("system_id", config.system_id.as_str()), ("password", password), ("system_type", &config.system_type)]
    {
        if text.len() > CREDENTIAL_LEN_MAX || text.bytes().any(|b| b == 0) {
            return Err(DoesNotFit(name));
        }
        body.put_slice(text.as_bytes());
        body.put_u8(0);
    }
    // The version, type and plan of no address, and the empty range of addresses.
    body.put_slice(&[SMPP_3_4, 0, 0, 0]);
    let command = match role {
        Role::Receiver => command::BIND_RECEIVER,
        Role::Transmitter => command::BIND_TRANSMITTER,
        Role::Transceiver => command::BIND_TRANSCEIVER,
    };
    let length = HEADER_BYTES + body.len();
    let mut pdu = BytesMut::with_capacity(length);
    for word in [u32::try_from(length).unwrap_or(u32::MAX), command, super::status::OK, sequence] {
        pdu.put_u32(word);
    }
    pdu.put_slice(&body);
    Ok(pdu)
}

/// The PDU of one message. `left` is how long it is of use, `until` the wall clock's time when it ends.
pub(super) fn submit(
    config: &SmppConfig,
    attempt: &Attempt,
    sequence: u32,
    left: Duration,
    until: Timestamp,
) -> Result<BytesMut, DoesNotFit> {
    let sender = config.sender_to(&attempt.carrier);
    let phone = attempt.phone.e164();
    let octets = config.text.with_code(&attempt.code);
    let coding = match config.text.alphabet() {
        Alphabet::Gsm7 => 0,
        Alphabet::Ucs2 => 8,
    };
    let validity = EmptyOrFullCOctetString::from_str(&validity(config.validity, left, until));
    let pdu = SubmitSm::builder()
        .service_type(ServiceType::new(field("service_type", &config.service_type)?))
        .source_addr_ton(Ton::from(sender.ton))
        .source_addr_npi(Npi::from(sender.npi))
        .source_addr(field("sender", &sender.address)?)
        .dest_addr_ton(Ton::International)
        .dest_addr_npi(Npi::Isdn)
        .destination_addr(field("phone", phone.trim_start_matches('+'))?)
        .esm_class(EsmClass::from(0))
        .validity_period(validity.map_err(|_| DoesNotFit("validity_period"))?)
        .registered_delivery(RegisteredDelivery::from(u8::from(config.receipts.are_sent())))
        .data_coding(DataCoding::from(coding))
        .short_message(OctetString::from_slice(&octets).map_err(|_| DoesNotFit("text"))?)
        .build();
    Ok(encoded(CommandStatus::EsmeRok, sequence, pdu))
}

/// `validity_period` (SMPP 3.4 §7.1.1); empty where the SMSC is not to be told.
fn validity(kind: Validity, left: Duration, until: Timestamp) -> String {
    let seconds = left.as_secs().max(1);
    match kind {
        Validity::None => String::new(),
        Validity::Relative => {
            let (days, hours) = ((seconds / 86_400).min(28), seconds / 3_600 % 24);
            format!("0000{days:02}{hours:02}{:02}{:02}000R", seconds / 60 % 60, seconds % 60)
        }
        Validity::Absolute => jiff::Timestamp::from_microsecond(until.micros()).map_or_else(
            |_| String::new(),
            |until| until.to_zoned(TimeZone::UTC).strftime("%y%m%d%H%M%S000+").to_string(),
        ),
    }
}

/// A request without a body.
pub(super) fn request(pdu: Pdu, sequence: u32) -> BytesMut {
    encoded(CommandStatus::EsmeRok, sequence, pdu)
}

/// An answer with `status`.
pub(super) fn answer(pdu: Pdu, status: u32, sequence: u32) -> BytesMut {
    encoded(CommandStatus::from(status), sequence, pdu)
}

fn encoded(status: CommandStatus, sequence: u32, pdu: impl Into<Pdu>) -> BytesMut {
    let command = Command::new(status, sequence, pdu);
    let length = command.length() + 4;
    let mut bytes = BytesMut::with_capacity(length.max(HEADER_BYTES));
    u32::try_from(length).unwrap_or(u32::MAX).encode(&mut bytes);
    command.encode(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests;
