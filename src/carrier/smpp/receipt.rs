//! From a delivery to what it reports: TLVs first, then the text.
//!
//! The settings' words go before those of the book. Only a state that ends a message ends a delivery here: what is on its way, what nobody knows and every notification that
//! calls itself intermediate stays `InProgress`.

use std::borrow::Cow;

use super::codec::Delivery;
use super::forms::{Told, forms};
use super::receipt_text::{field, receipt_text};
use crate::carrier::upstream::{FailureClass, Receipt, ReceiptState, Subject};
use crate::config::upstreams::smpp::{ReceiptWords, SmppConfig};
use crate::domain::carrier::NetworkCode;
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

/// So much is shown of a number: too little for a code to fit in.
const NUMBER_SHOWN_MAX: usize = 3;
/// And so much of a word.
const WORD_SHOWN_MAX: usize = 20;

/// What a delivery is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Report {
    Receipt {
        receipt: Receipt,
        /// A word that nobody knows, as it may be shown.
        unknown_word: Option<String>,
    },
    /// A receipt that does not say of what.
    Nameless,
    /// Somebody's message to us.
    Message,
}

/// Reads what `delivery` reports; `network` is what its TLV of that name holds, if the settings say that there is one.
pub(super) fn report(
    delivery: &Delivery,
    network: Option<&[u8]>,
    upstream: &UpstreamId,
    config: &SmppConfig,
) -> Report {
    let text = readable(delivery);
    let said = receipt_text(&text);
    let kind = delivery.esm_class & TYPE;
    let calls_itself_one = kind == RECEIPT || kind == INTERMEDIATE || delivery.receipted_id.is_some();
    if !calls_itself_one && (said.id.is_none() || said.stat.is_none()) {
        return Report::Message;
    }
    let words = &config.receipt_words;
    let Said { state, word, is_known } = delivery
        .message_state
        .and_then(|state| of_number(state, words))
        .or_else(|| said.stat.map(|word| of_word(word, words)))
        .unwrap_or_else(|| Said::unknown(Cow::Borrowed("no state")));
    let mut references = Vec::new();
    for id in [delivery.receipted_id.as_deref(), said.id].into_iter().flatten() {
        references.extend(
            forms(id, config.id_base, Told::InReceipt)
                .into_iter()
                .filter(|form| !references.contains(form))
                .collect::<Vec<_>>(),
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
    let unknown_word = (!is_known && kind != INTERMEDIATE).then(|| word.clone().into_owned());
    let status = match (delivery.network_error, said.err) {
        (Some((network, code)), _) => format!("{word} {network}/{code}"),
        (None, Some(err)) => format!("{word} err:{}", leading(err, NUMBER_SHOWN_MAX)),
        (None, None) => word.into_owned(),
    };
    let receipt = Receipt {
        upstream: upstream.clone(),
        subject: Subject::Reference { references, phone: recipient(delivery, config) },
        state,
        status: CarrierStatus::clean(&status),
        network: network.and_then(of_octets).or_else(|| of_text(&text, config.network_key.as_deref()?)),
    };
    Report::Receipt { receipt, unknown_word }
}

/// A network as the text of a TLV, which some end with a NUL.
fn of_octets(value: &[u8]) -> Option<NetworkCode> {
    let text = std::str::from_utf8(value).ok()?;
    NetworkCode::parse(text.trim_matches(['\0', ' ']))
}

fn of_text(text: &str, key: &str) -> Option<NetworkCode> {
    NetworkCode::parse(field(text, key)?)
}

/// What of a field of a text may be shown: never so much that a code fits in.
fn leading(field: &str, len_max: usize) -> &str {
    let len = field.bytes().take(len_max).take_while(u8::is_ascii_alphanumeric).count();
    &field[..len]
}

/// Whether two addresses are one number, however it is written, or one name.
fn is_same(one: &str, other: &str) -> bool {
    national(one) == national(other)
}

fn national(address: &str) -> &str {
    let digits = address.strip_prefix('+').unwrap_or(address);
    let rest = digits.strip_prefix("84").or_else(|| digits.strip_prefix('0'));
    rest.filter(|rest| rest.len() == 9).unwrap_or(digits)
}

/// The phone that the message went to. A receipt has its addresses the other way round, but some SMSCs do not turn them.
fn recipient(delivery: &Delivery, config: &SmppConfig) -> Option<Phone> {
    let is_sender = |address: &str| {
        is_same(&config.sender.address, address)
            || config.senders.values().any(|sender| is_same(&sender.address, address))
    };
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

/// What a word or a number says.
struct Said<'t> {
    state: ReceiptState,
    /// As it may be shown.
    word: Cow<'t, str>,
    is_known: bool,
}

impl<'t> Said<'t> {
    /// It ends nothing.
    fn unknown(word: Cow<'t, str>) -> Self {
        Self { state: ReceiptState::InProgress, word, is_known: false }
    }
}

/// `message_state` (SMPP 3.4 §5.2.28); `None` for one that nobody knows.
fn of_number(state: u8, words: &ReceiptWords) -> Option<Said<'_>> {
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
        _ => return of_settings(&state.to_string(), words),
    };
    Some(of_settings(&state.to_string(), words).unwrap_or_else(|| of_word(word, words)))
}

/// A word that the settings know: whole, or as far as it is one. It is shown as it stands there.
fn of_settings<'w>(word: &str, words: &'w ReceiptWords) -> Option<Said<'w>> {
    let is = |known: &&String| {
        known.eq_ignore_ascii_case(word) || known.eq_ignore_ascii_case(leading_word(word, u8::is_ascii_alphanumeric))
    };
    let failed = words.failed.iter().find(|(known, _)| is(known));
    let failed = failed.map(|(known, class)| (known, ReceiptState::Failed((*class).into())));
    let delivered = || words.delivered.iter().find(is).map(|known| (known, ReceiptState::Delivered));
    let in_progress = || words.in_progress.iter().find(is).map(|known| (known, ReceiptState::InProgress));
    let (known, state) = failed.or_else(delivered).or_else(in_progress)?;
    Some(Said { state, word: Cow::Borrowed(known), is_known: true })
}

/// What stands before the first character that no word has.
fn leading_word(text: &str, is_of_it: impl Fn(&u8) -> bool) -> &str {
    let len = text.bytes().take_while(|b| is_of_it(b) || b"_-".contains(b)).count();
    &text[..len]
}

/// The words of a text: those of the settings, then 7 letters by the book, whole words from some.
fn of_word<'t>(word: &str, words: &'t ReceiptWords) -> Said<'t> {
    if let Some(said) = of_settings(word, words) {
        return said;
    }
    let upper = word.to_ascii_uppercase();
    let letters = upper.bytes().take_while(u8::is_ascii_alphabetic).count();
    // Not the beginning of a longer word, which may say the contrary (DELIVERY_FAILED).
    let is_whole = !upper.as_bytes().get(letters).is_some_and(|next| next.is_ascii_digit() || b"_-".contains(next));
    let known = match upper.as_bytes() {
        _ if is_whole && matches!(&upper[..letters], "DELIVRD" | "DELIVERED" | "DELIVERD") => {
            Some(ReceiptState::Delivered)
        }
        [b'U', b'N', b'D', b'E', b'L', ..] => Some(ReceiptState::Failed(FailureClass::Unreachable)),
        [b'E', b'X', b'P', b'I', b'R', ..] => Some(ReceiptState::Failed(FailureClass::Expired)),
        [b'D', b'E', b'L', b'E', b'T', ..]
        | [b'R', b'E', b'J', b'E', b'C', ..]
        | [b'S', b'K', b'I', b'P', ..]
        | [b'F', b'A', b'I', b'L', ..]
        | [b'U', b'N', b'K', b'N', b'O', ..] => Some(ReceiptState::Failed(FailureClass::Rejected)),
        [b'E', b'N', b'R', b'O', b'U', ..]
        | [b'A', b'C', b'C', b'E', b'P', ..]
        | [b'S', b'C', b'H', b'E', b'D', ..]
        | [b'B', b'U', b'F', b'F', ..] => Some(ReceiptState::InProgress),
        _ => None,
    };
    // Letters cannot be a code; what is no word is a number of theirs.
    let shown = match leading_word(&upper, u8::is_ascii_alphabetic) {
        "" => leading(&upper, NUMBER_SHOWN_MAX),
        word => &word[..word.len().min(WORD_SHOWN_MAX)],
    };
    let shown = Cow::Owned(shown.to_owned());
    match known {
        Some(state) => Said { state, word: shown, is_known: true },
        None => Said::unknown(shown),
    }
}

#[cfg(test)]
mod tests;
