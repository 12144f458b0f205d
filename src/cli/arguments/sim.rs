//! What can be typed after `sim`.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::rehearsal::smsc::{IdBase, ReceiptForm};

#[derive(Debug, Subcommand)]
pub(in crate::cli) enum SimCommand {
    /// An SMSC that does what [simulator] says: an SMPP upstream to rehearse with (SIGUSR1 cuts the line, SIGUSR2 mends it)
    Smpp(SmppArguments),
    /// A provider of voice calls that does what [simulator] says, in the words of config/upstreams/tkc.toml
    Http(HttpArguments),
}

#[derive(Debug, Args)]
pub(in crate::cli) struct SmppArguments {
    /// Where it listens
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    pub(in crate::cli) bind: IpAddr,
    /// 0 takes a free one
    #[arg(long, default_value_t = 2775)]
    pub(in crate::cli) port: u16,
    /// Who may bind; SMPP allows 15 characters, this up to 64
    #[arg(long, default_value = "nexo", value_name = "NAME", value_parser = system_id)]
    pub(in crate::cli) system_id: String,
    /// With what; SMPP allows 8 characters, this up to 64
    #[arg(long, default_value = "rehearse", value_name = "TEXT", value_parser = password)]
    pub(in crate::cli) password: String,
    /// How the answer to a submit writes the message id
    #[arg(long, default_value = "hex", value_name = "BASE")]
    pub(in crate::cli) response_ids: BaseName,
    /// How a receipt writes it; as the answer does, if this is not given
    #[arg(long, value_name = "BASE")]
    pub(in crate::cli) receipt_ids: Option<BaseName>,
    /// Where a receipt says what it says
    #[arg(long, default_value = "both", value_name = "FORM")]
    pub(in crate::cli) receipts: FormName,
    /// A file that gets one line of JSON for every bind, submit and acknowledged receipt; phones masked, no code
    #[arg(long, value_name = "FILE")]
    pub(in crate::cli) journal: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct HttpArguments {
    /// Where it listens
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    pub(in crate::cli) bind: IpAddr,
    /// 0 takes a free one
    #[arg(long, default_value_t = 8091)]
    pub(in crate::cli) port: u16,
    /// What receipts are signed with (X-TKC-Signature)
    #[arg(long, default_value = "rehearse", value_name = "TEXT", value_parser = key)]
    pub(in crate::cli) callback_key: String,
    /// One call per phone in this time; 0: no such limit
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u16).range(..=3600))]
    pub(in crate::cli) phone_gap_s: u16,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(in crate::cli) enum BaseName {
    Hex,
    Decimal,
}

impl From<BaseName> for IdBase {
    fn from(name: BaseName) -> Self {
        match name {
            BaseName::Hex => Self::Hex,
            BaseName::Decimal => Self::Decimal,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(in crate::cli) enum FormName {
    /// Appendix B of SMPP 3.4
    Text,
    /// No text
    Tlv,
    Both,
}

impl From<FormName> for ReceiptForm {
    fn from(name: FormName) -> Self {
        match name {
            FormName::Text => Self::Text,
            FormName::Tlv => Self::Tlv,
            FormName::Both => Self::Both,
        }
    }
}

fn system_id(text: &str) -> Result<String, &'static str> {
    credential(text, 64).ok_or("1 to 64 visible ASCII characters")
}

fn password(text: &str) -> Result<String, &'static str> {
    credential(text, 64).ok_or("1 to 64 visible ASCII characters")
}

fn key(text: &str) -> Result<String, &'static str> {
    credential(text, 64).ok_or("1 to 64 visible ASCII characters")
}

fn credential(text: &str, length_max: usize) -> Option<String> {
    let fits = (1..=length_max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    fits.then(|| text.to_owned())
}
