//! Our own PDUs: a bind, a `submit_sm`, and the short ones.
//!
//! A `submit_sm` holds the code: it is built where it is written, and nothing that holds it has a printing form.

use std::str::FromStr;
use std::time::Duration;

use bytes::BytesMut;
use jiff::tz::TimeZone;
use rusmpp::encode::Length;
use rusmpp::encode::owned::Encode;
use rusmpp::pdus::{BindReceiver, BindTransceiver, BindTransmitter, SubmitSm};
use rusmpp::types::{COctetString, EmptyOrFullCOctetString, OctetString};
use rusmpp::values::{DataCoding, EsmClass, InterfaceVersion, Npi, RegisteredDelivery, ServiceType, Ton};
use rusmpp::{Command, CommandStatus, Pdu};

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

fn field<const MIN: usize, const MAX: usize>(
    name: &'static str,
    text: &str,
) -> Result<COctetString<MIN, MAX>, DoesNotFit> {
    COctetString::from_str(text).map_err(|_| DoesNotFit(name))
}

/// The PDU that opens a session.
pub(super) fn bind(config: &SmppConfig, role: Role, sequence: u32) -> Result<BytesMut, DoesNotFit> {
    let system_id = field("system_id", &config.system_id)?;
    let password = config.password.as_ref().map_or("", |password| password.expose());
    let password = field("password", password)?;
    let system_type = field("system_type", &config.system_type)?;
    let (version, ton, npi) = (InterfaceVersion::Smpp3_4, Ton::Unknown, Npi::Unknown);
    let range = COctetString::empty();
    let pdu = match role {
        Role::Transceiver => {
            Pdu::from(BindTransceiver::new(system_id, password, system_type, version, ton, npi, range))
        }
        Role::Transmitter => {
            Pdu::from(BindTransmitter::new(system_id, password, system_type, version, ton, npi, range))
        }
        Role::Receiver => Pdu::from(BindReceiver::new(system_id, password, system_type, version, ton, npi, range)),
    };
    Ok(encoded(CommandStatus::EsmeRok, sequence, pdu))
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
