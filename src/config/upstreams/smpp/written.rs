//! The settings of an SMSC as they are written, their defaults, and the rules that they must hold.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{BindMode, IdBase, ReceiptWords, Receipts, Sender, SmppConfig, SmppTls, Validity};
use crate::config::{SecretText, trimmed};
use crate::domain::host_port::{self, is_name_or_address};
use crate::domain::short_text::{AlphabetChoice, ShortText};

/// Short enough that a link is back within 15 seconds of its SMSC.
const RECONNECT_MAX_MS: u64 = 4_000;
/// The lengths of SMPP 3.4 §5.2.1 and §5.2.2, without the NUL that ends each.
const SYSTEM_ID_LEN_MAX: usize = 15;
const PASSWORD_LEN_MAX: usize = 8;
/// What both may have where an SMSC keeps to no such length.
const LONG_CREDENTIALS_LEN_MAX: usize = 64;
/// Below `dispatch.attempt_timeout_ms` together with `dispatch.dispatch_within_ms`, as these are where nothing is said.
const RESPONSE_TIMEOUT_MS: u64 = 6_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    #[serde(deserialize_with = "trimmed::text")]
    address: String,
    tls: Option<SmppTls>,
    system_id: String,
    password: Option<SecretText>,
    #[serde(default)]
    long_credentials: bool,
    #[serde(default)]
    system_type: String,
    #[serde(default)]
    bind: BindMode,
    #[serde(default = "one")]
    binds: usize,
    #[serde(default = "window")]
    window: usize,
    /// 0: no limit.
    #[serde(default)]
    rate_per_second: u32,
    sender: String,
    sender_ton: Option<u8>,
    sender_npi: Option<u8>,
    /// Carrier → sender.
    #[serde(default)]
    senders: BTreeMap<String, String>,
    #[serde(default = "text")]
    text: String,
    #[serde(default)]
    alphabet: WrittenAlphabet,
    #[serde(default)]
    service_type: String,
    #[serde(default)]
    validity: Validity,
    #[serde(default)]
    id_base: IdBase,
    #[serde(default)]
    receipts: Receipts,
    #[serde(default)]
    receipt_words: ReceiptWords,
    network_tlv: Option<u16>,
    network_key: Option<String>,
    #[serde(default)]
    per_phone_gap_ms: u64,
    #[serde(default = "ten_seconds")]
    connect_timeout_ms: u64,
    #[serde(default = "response_timeout")]
    response_timeout_ms: u64,
    #[serde(default = "thirty_seconds")]
    enquire_idle_ms: u64,
    #[serde(default = "ten_seconds")]
    enquire_timeout_ms: u64,
    #[serde(default = "half_a_second")]
    reconnect_min_ms: u64,
    reconnect_max_ms: Option<u64>,
    #[serde(default = "a_minute")]
    refused_wait_ms: u64,
    #[serde(default = "first")]
    first_sequence: u32,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WrittenAlphabet {
    #[default]
    Auto,
    Ascii,
    Gsm7,
    Ucs2,
}

const fn one() -> usize {
    1
}

const fn window() -> usize {
    10
}

fn text() -> String {
    "{code} la ma xac thuc cua ban.".to_owned()
}

const fn half_a_second() -> u64 {
    500
}

fn reconnect_max(min_ms: u64, written_ms: Option<u64>) -> u64 {
    written_ms.unwrap_or_else(|| min_ms.max(RECONNECT_MAX_MS))
}

const fn ten_seconds() -> u64 {
    10_000
}

const fn response_timeout() -> u64 {
    RESPONSE_TIMEOUT_MS
}

const fn thirty_seconds() -> u64 {
    30_000
}

const fn a_minute() -> u64 {
    60_000
}

const fn first() -> u32 {
    1
}

/// The rules that a setting breaks, by field.
#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn unless(&mut self, holds: bool, field: &str, rule: &str) {
        if !holds {
            self.0.push(format!("{field}: {rule}"));
        }
    }

    /// A text of an SMPP field: ASCII of a length.
    fn text(&mut self, field: &str, text: &str, len_min: usize, len_max: usize) {
        let fits = (len_min..=len_max).contains(&text.len()) && text.bytes().all(|b| (b' '..=b'~').contains(&b));
        self.unless(fits, field, &format!("must be {len_min} to {len_max} characters of ASCII"));
    }

    fn within(&mut self, field: &str, value: u64, min: u64, max: u64) {
        self.unless((min..=max).contains(&value), field, &format!("must be between {min} and {max}"));
    }
}

impl TryFrom<Written> for SmppConfig {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let mut problems = Problems::default();
        check(&written, &mut problems);
        let (sender, senders) = senders(&written, &mut problems);
        let choice = match written.alphabet {
            WrittenAlphabet::Auto => AlphabetChoice::Auto,
            WrittenAlphabet::Ascii => AlphabetChoice::Ascii,
            WrittenAlphabet::Gsm7 => AlphabetChoice::Gsm7,
            WrittenAlphabet::Ucs2 => AlphabetChoice::Ucs2,
        };
        let text = ShortText::parse(&written.text, choice).map_err(|error| problems.0.push(format!("text: {error}")));
        let Ok(text) = text else { return Err(problems.0.join("; ")) };
        if !problems.0.is_empty() {
            return Err(problems.0.join("; "));
        }
        Ok(Self {
            address: written.address.trim().to_owned(),
            tls: written.tls,
            system_id: written.system_id,
            password: written.password,
            system_type: written.system_type,
            bind: written.bind,
            binds: written.binds,
            window: written.window,
            rate_per_second: if written.rate_per_second == 0 { None } else { Some(written.rate_per_second) },
            sender,
            senders,
            text,
            service_type: written.service_type,
            validity: written.validity,
            id_base: written.id_base,
            receipts: written.receipts,
            receipt_words: written.receipt_words,
            network_tlv: written.network_tlv,
            network_key: written.network_key.map(|key| format!("{key}:")),
            per_phone_gap_ms: written.per_phone_gap_ms,
            connect_timeout_ms: written.connect_timeout_ms,
            response_timeout_ms: written.response_timeout_ms,
            enquire_idle_ms: written.enquire_idle_ms,
            enquire_timeout_ms: written.enquire_timeout_ms,
            reconnect_min_ms: written.reconnect_min_ms,
            reconnect_max_ms: reconnect_max(written.reconnect_min_ms, written.reconnect_max_ms),
            refused_wait_ms: written.refused_wait_ms,
            first_sequence: written.first_sequence,
        })
    }
}

/// The rules of single fields. The lengths are those of SMPP 3.4 §5.2, without the NUL that ends each.
fn check(written: &Written, problems: &mut Problems) {
    if let Err(why) = host_port::check(written.address.trim()) {
        problems.unless(false, "address", &why.to_string());
    }
    if let Some(name) = written.tls.as_ref().and_then(|tls| tls.server_name.as_deref()) {
        problems.unless(is_name_or_address(name), "tls.server_name", "must be the name or address on the certificate");
    }
    credentials(written, problems);
    receipts(written, problems);
    problems.text("system_type", &written.system_type, 0, 12);
    problems.text("service_type", &written.service_type, 0, 5);
    problems.unless((1..=32).contains(&written.binds), "binds", "must be between 1 and 32");
    problems.unless((1..=1_000).contains(&written.window), "window", "must be between 1 and 1000");
    problems.within("rate_per_second", written.rate_per_second.into(), 0, 100_000);
    problems.within("per_phone_gap_ms", written.per_phone_gap_ms, 0, 3_600_000);
    problems.within("connect_timeout_ms", written.connect_timeout_ms, 100, 60_000);
    problems.within("response_timeout_ms", written.response_timeout_ms, 100, 120_000);
    problems.within("enquire_idle_ms", written.enquire_idle_ms, 100, 600_000);
    problems.within("enquire_timeout_ms", written.enquire_timeout_ms, 100, 120_000);
    problems.within("reconnect_min_ms", written.reconnect_min_ms, 10, 60_000);
    let reconnect_max_ms = reconnect_max(written.reconnect_min_ms, written.reconnect_max_ms);
    problems.within("reconnect_max_ms", reconnect_max_ms, written.reconnect_min_ms, 600_000);
    // An SMSC locks an account that knocks with a wrong password.
    problems.within("refused_wait_ms", written.refused_wait_ms, 60_000, 300_000);
    problems.within("first_sequence", written.first_sequence.into(), 1, 0x7FFF_FFFF);
}

fn credentials(written: &Written, problems: &mut Problems) {
    let is_long = written.long_credentials;
    let password = written.password.as_ref().map_or("", SecretText::expose);
    for (field, text, len_min, len_max) in
        [("system_id", written.system_id.as_str(), 1, SYSTEM_ID_LEN_MAX), ("password", password, 0, PASSWORD_LEN_MAX)]
    {
        let allowed = if is_long { LONG_CREDENTIALS_LEN_MAX } else { len_max };
        // No NUL, which would end it on the wire, and nothing else that cannot be seen.
        let is_visible = text.bytes().all(|b| (b' '..=b'~').contains(&b));
        let mut rule = format!("must be {len_min} to {allowed} characters of ASCII");
        if !is_long && text.len() > len_max {
            rule.push_str(&format!(
                "; up to {LONG_CREDENTIALS_LEN_MAX} with long_credentials = true, where the SMSC takes them"
            ));
        }
        problems.unless((len_min..=allowed).contains(&text.len()) && is_visible, field, &rule);
    }
}

fn receipts(written: &Written, problems: &mut Problems) {
    if let Err(why) = written.receipt_words.check() {
        problems.unless(false, "receipt_words", &why);
    }
    problems.unless(written.network_tlv != Some(0), "network_tlv", "must be a tag from 1 to 65535");
    let is_key = |key: &str| {
        (1..=20).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    };
    let key = written.network_key.as_deref();
    problems.unless(
        key.is_none_or(is_key),
        "network_key",
        "must be 1 to 20 letters, digits, - and _, without the colon",
    );
}

fn senders(written: &Written, problems: &mut Problems) -> (Sender, BTreeMap<String, Sender>) {
    let mut of = |field: &str, address: &str| {
        let (ton, npi) = if is_international(address) { (1, 1) } else { (5, 0) };
        let (ton, npi) = (written.sender_ton.unwrap_or(ton), written.sender_npi.unwrap_or(npi));
        problems.text(field, address, 1, if ton == 5 { 11 } else { 20 });
        Sender { address: address.strip_prefix('+').unwrap_or(address).to_owned(), ton, npi }
    };
    let sender = of("sender", &written.sender);
    let senders = written.senders.iter();
    let senders = senders.map(|(carrier, address)| (carrier.clone(), of(&format!("senders.{carrier}"), address)));
    let senders = senders.collect();
    for (field, value) in [("sender_ton", written.sender_ton), ("sender_npi", written.sender_npi)] {
        problems.within(field, value.unwrap_or(0).into(), 0, 18);
    }
    (sender, senders)
}

/// A number with its plus; anything else is a name or a short code, which is registered as a name unless it is said otherwise.
fn is_international(address: &str) -> bool {
    address.strip_prefix('+').is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}
