//! An account at an SMSC: `kind = "smpp"`.
//!
//! `config/upstreams/smpp.toml` is the manual. What is here has been checked: a text that does not fit, an address without a
//! port or a sender that no SMSC takes is refused when the settings are read, with the name of the field.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

pub use self::words::ReceiptWords;
use self::written::Written;
use crate::config::{SecretText, trimmed};
use crate::domain::carrier::Carrier;
use crate::domain::short_text::ShortText;

mod words;
mod written;

/// An account at an SMSC that speaks SMPP 3.4, and how it likes to be spoken to.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(try_from = "Written")]
pub struct SmppConfig {
    /// `HOST:PORT`.
    pub address: String,
    /// None: plain TCP.
    pub tls: Option<SmppTls>,
    pub system_id: String,
    pub password: Option<SecretText>,
    pub system_type: String,
    pub bind: BindMode,
    /// Sessions at once; each is two connections if it is bound as transmitter and receiver.
    pub binds: usize,
    /// Messages of one session that may await their answer.
    pub window: usize,
    /// Messages a second of one session.
    pub rate_per_second: Option<u32>,
    /// Where `senders` names no other.
    pub sender: Sender,
    pub senders: BTreeMap<String, Sender>,
    pub text: ShortText,
    pub service_type: String,
    pub validity: Validity,
    pub id_base: IdBase,
    pub receipts: Receipts,
    /// The SMSC's own words; they go before those of the book.
    pub receipt_words: ReceiptWords,
    /// The tag of the TLV of a receipt that holds the network of the handset, as MCC and MNC.
    pub network_tlv: Option<u16>,
    /// The key before it in a receipt's text, its colon included.
    pub network_key: Option<String>,
    /// How long the SMSC refuses a phone after a message to it; 0: it does not.
    pub per_phone_gap_ms: u64,
    pub connect_timeout_ms: u64,
    pub response_timeout_ms: u64,
    pub enquire_idle_ms: u64,
    pub enquire_timeout_ms: u64,
    pub reconnect_min_ms: u64,
    pub reconnect_max_ms: u64,
    /// The first wait after an answer that our account is wrong; it doubles up to five minutes.
    pub refused_wait_ms: u64,
    /// The number of a session's first PDU: 1, but in tests of what comes after the last.
    pub first_sequence: u32,
}

impl SmppConfig {
    /// Who a message to a phone of `carrier` is from.
    #[must_use]
    pub fn sender_to(&self, carrier: &Carrier) -> &Sender {
        self.senders.get(carrier.as_str()).unwrap_or(&self.sender)
    }
}

/// TLS, and whom to believe.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SmppTls {
    /// The name on the certificate; none: the host of the address.
    #[serde(deserialize_with = "trimmed::any")]
    pub server_name: Option<String>,
    /// PEM; none: Mozilla's authorities.
    #[serde(deserialize_with = "trimmed::any")]
    pub ca_file: Option<PathBuf>,
}

/// The kinds of sessions.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BindMode {
    /// One connection for both ways.
    #[default]
    Transceiver,
    /// One to send on and one that receipts come on.
    TransmitterReceiver,
}

/// Who a message is from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sender {
    pub address: String,
    /// Type of number (SMPP 3.4 §5.2.5).
    pub ton: u8,
    /// Numbering plan (SMPP 3.4 §5.2.6).
    pub npi: u8,
}

/// How the SMSC is told until when a message is of use (SMPP 3.4 §7.1.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Validity {
    #[default]
    Relative,
    Absolute,
    /// Not at all.
    None,
}

/// In which base an answer names a message, and in which its receipt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdBase {
    /// Unknown: each that fits.
    #[default]
    Auto,
    /// Both alike.
    String,
    /// The answer hexadecimal, the receipt decimal.
    Hex,
    /// The answer decimal, the receipt hexadecimal.
    Dec,
}

/// What receipts are worth here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Receipts {
    /// The handset has it.
    #[default]
    Handset,
    /// The network took it.
    Network,
    /// None come: what was accepted fails at its settle time and is refunded.
    Refunded,
    /// None come: what was accepted counts as delivered.
    Charged,
}

impl Receipts {
    /// Whether receipts are asked for.
    #[must_use]
    pub const fn are_sent(self) -> bool {
        matches!(self, Self::Handset | Self::Network)
    }
}

#[cfg(test)]
mod tests;
