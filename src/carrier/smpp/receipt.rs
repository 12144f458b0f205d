//! From a delivery to what it reports: TLVs first, then the text.
//!
//! Only a state that ends a message ends a delivery here: what is on its way, what nobody knows and every notification that
//! calls itself intermediate stays `InProgress`.

use std::borrow::Cow;

use super::codec::Delivery;
use super::forms::{Told, forms};
use super::receipt_text::receipt_text;
use crate::carrier::upstream::{FailureClass, Receipt, ReceiptState, Subject};
use crate::config::upstreams::smpp::IdBase;
use crate::domain::delivery::CarrierStatus;
use crate::domain::phone::Phone;
use crate::domain::reference::UpstreamId;

/// Bits of `esm_class` (SMPP 3.4 §5.2.12).
const TYPE: u8 = 0b0011_1100;
const RECEIPT: u8 = 0b0000_0100;
const INTERMEDIATE: u8 = 0b0010_0000;
const HAS_USER_DATA_HEADER: u8 = 0b0100_0000;
const UCS2: u8 = 8;
/// A network of GSM, whose code 1 says that nobody has the number (3GPP TS 29.002).
const GSM_UNKNOWN_SUBSCRIBER: (u8, u16) = (3, 1);

/// What a delivery is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Report {
    Receipt(Receipt),
    /// A receipt that does not say of what.
    Nameless,
    /// Somebody's message to us.
    Message,
}

/// Reads what `delivery` reports. `senders` are our own addresses.
pub(super) fn report(
    delivery: &Delivery,
    upstream: &UpstreamId,
    base: IdBase,
    is_sender: impl Fn(&str) -> bool,
) -> Report {
    let text = readable(delivery);
    let said = receipt_text(&text);
    let kind = delivery.esm_class & TYPE;
    let calls_itself_one = kind == RECEIPT || kind == INTERMEDIATE || delivery.receipted_id.is_some();
    if !calls_itself_one && (said.id.is_none() || said.stat.is_none()) {
        return Report::Message;
    }
    let (state, word) = delivery
        .message_state
        .and_then(of_number)
        .or_else(|| said.stat.map(of_word))
        .unwrap_or((ReceiptState::InProgress, Cow::Borrowed("no state")));
    let mut references = Vec::new();
    for id in [delivery.receipted_id.as_deref(), said.id].into_iter().flatten() {
        references.extend(
            forms(id, base, Told::InReceipt).into_iter().filter(|form| !references.contains(form)).collect::<Vec<_>>(),
        );
    }
    if references.is_empty() {
        return Report::Nameless;
    }
    let state = match state {
        _ if kind == INTERMEDIATE => ReceiptState::InProgress,
        ReceiptState::Failed(_) if delivery.network_error == Some(GSM_UNKNOWN_SUBSCRIBER) => {
            ReceiptState::Failed(FailureClass::InvalidNumber)
        }
        state => state,
    };
    let status = match (delivery.network_error, said.err) {
        (Some((network, code)), _) => format!("{word} {network}/{code}"),
        (None, Some(err)) => format!("{word} err:{}", leading(err, 4)),
        (None, None) => word.into_owned(),
    };
    Report::Receipt(Receipt {
        upstream: upstream.clone(),
        subject: Subject::Reference { references, phone: recipient(delivery, is_sender) },
        state,
        status: CarrierStatus::clean(&status),
        network: None,
    })
}

/// What of a field of a text may be shown: never so much that a code fits in.
fn leading(field: &str, len_max: usize) -> &str {
    let len = field.bytes().take(len_max).take_while(u8::is_ascii_alphanumeric).count();
    &field[..len]
}

/// Whether two addresses are one number, however it is written, or one name.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    national(one) == national(other)
}

fn national(address: &str) -> &str {
    let digits = address.strip_prefix('+').unwrap_or(address);
    let rest = digits.strip_prefix("84").or_else(|| digits.strip_prefix('0'));
    rest.filter(|rest| rest.len() == 9).unwrap_or(digits)
}

/// The phone that the message went to. A receipt has its addresses the other way round, but some SMSCs do not turn them.
fn recipient(delivery: &Delivery, is_sender: impl Fn(&str) -> bool) -> Option<Phone> {
    [&delivery.source, &delivery.destination]
        .into_iter()
        .filter(|address| !is_sender(address))
        .find_map(|address| Phone::from_national(national(address)))
}

/// The message as text: its header left out, UCS-2 turned, anything else as it stands.
fn readable(delivery: &Delivery) -> String {
    let mut octets = &delivery.text[..];
    if delivery.esm_class & HAS_USER_DATA_HEADER != 0 {
        let header = octets.first().map_or(0, |length| usize::from(*length) + 1);
        octets = octets.get(header..).unwrap_or_default();
    }
    if delivery.data_coding == UCS2 {
        let units = octets.as_chunks::<2>().0.iter().map(|unit| u16::from_be_bytes(*unit));
        return char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    }
    octets.iter().map(|octet| char::from(*octet)).collect()
}

type Said<'t> = (ReceiptState, Cow<'t, str>);

/// `message_state` (SMPP 3.4 §5.2.28); `None` for one that nobody knows.
fn of_number(state: u8) -> Option<Said<'static>> {
    let word = match state {
        0 => "SCHEDULED",
        1 => "ENROUTE",
        2 => "DELIVRD",
        3 => "EXPIRED",
        4 => "DELETED",
        5 => "UNDELIV",
        6 => "ACCEPTD",
        7 => "UNKNOWN",
        8 => "REJECTD",
        9 => "SKIPPED",
        _ => return None,
    };
    Some(of_word(word))
}

/// The words of a text: 7 letters by the book, whole words from some.
fn of_word(word: &str) -> Said<'_> {
    let upper = word.to_ascii_uppercase();
    let letters = upper.bytes().take_while(u8::is_ascii_alphabetic).count();
    // Not the beginning of a longer word, which may say the contrary (DELIVERY_FAILED).
    let is_whole = !upper.as_bytes().get(letters).is_some_and(|next| next.is_ascii_digit() || b"_-".contains(next));
    let state = match upper.as_bytes() {
        _ if is_whole && matches!(&upper[..letters], "DELIVRD" | "DELIVERED" | "DELIVERD") => ReceiptState::Delivered,
        [b'U', b'N', b'D', b'E', b'L', ..] => ReceiptState::Failed(FailureClass::Unreachable),
        [b'E', b'X', b'P', b'I', b'R', ..] => ReceiptState::Failed(FailureClass::Expired),
        [b'D', b'E', b'L', b'E', b'T', ..]
        | [b'R', b'E', b'J', b'E', b'C', ..]
        | [b'S', b'K', b'I', b'P', ..]
        | [b'F', b'A', b'I', b'L', ..]
        | [b'U', b'N', b'K', b'N', b'O', ..] => ReceiptState::Failed(FailureClass::Rejected),
        _ => ReceiptState::InProgress,
    };
    // What is no word is a number of theirs.
    let shown = if letters == 0 { leading(&upper, 4) } else { leading(&upper[..letters], 10) };
    (state, Cow::Owned(shown.to_owned()))
}

#[cfg(test)]
mod tests;
