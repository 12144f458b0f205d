//! The yardstick of SMPP: a bare `rusmpp` loop that keeps a window of submits full over one bind, and acknowledges receipts.
//!
//! What our own link achieves against the same centre is given as a share of this. Prints one JSON document.

#![allow(clippy::print_stdout, reason = "a program of the load test: its output is its interface")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::{BufMut, BytesMut};
use clap::Parser;
use rusmpp::decode::DecodeWithLength;
use rusmpp::encode::{Encode, Length};
use rusmpp::pdus::{BindTransceiver, DeliverSmResp, SubmitSm};
use rusmpp::types::{COctetString, OctetString};
use rusmpp::values::{EsmClass, InterfaceVersion, Npi, RegisteredDelivery, Ton};
use rusmpp::{Command, CommandId, CommandStatus, Pdu};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[derive(Parser)]
struct Arguments {
    #[arg(long)]
    to: SocketAddr,
    #[arg(long, default_value = "nexo")]
    system_id: String,
    #[arg(long, default_value = "rehearse")]
    password: String,
    #[arg(long, default_value_t = 20_000)]
    count: u32,
    #[arg(long, default_value_t = 50)]
    window: u32,
    /// How long to wait for the receipts that are left.
    #[arg(long, default_value_t = 10)]
    patience_s: u64,
}

struct Loop {
    stream: TcpStream,
    input: BytesMut,
    out: BytesMut,
    sequence: u32,
}

impl Loop {
    fn put(&mut self, sequence: u32, pdu: impl Into<Pdu>) {
        let command = Command::new(CommandStatus::EsmeRok, sequence, pdu);
        let (at, length) = (self.out.len(), 4 + command.length());
        self.out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
        self.out.resize(at + length, 0);
        command.encode(&mut self.out[at + 4..]);
    }

    fn ask(&mut self, pdu: impl Into<Pdu>) {
        self.sequence += 1;
        self.put(self.sequence, pdu);
    }

    /// Writes what is owed and returns the next PDU.
    async fn hear(&mut self) -> anyhow::Result<Command> {
        loop {
            if let Some(length) = self.input.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)) {
                let length = usize::try_from(length)?;
                if self.input.len() >= length {
                    let mut pdu = self.input.split_to(length);
                    let _length = pdu.split_to(4);
                    let (command, _) =
                        Command::decode(&mut pdu, length - 4).map_err(|error| anyhow::anyhow!("{error}"))?;
                    return Ok(command);
                }
            }
            self.stream.write_all_buf(&mut self.out).await?;
            ensure!(self.stream.read_buf(&mut self.input).await? > 0, "the centre closed the connection");
        }
    }
}

fn text<const MIN: usize, const MAX: usize>(text: String) -> anyhow::Result<COctetString<MIN, MAX>> {
    COctetString::from_string(text).map_err(|error| anyhow::anyhow!("{error}"))
}

fn submit(n: u32) -> anyhow::Result<SubmitSm> {
    // Never one of the forced numbers, which end in 0000NN.
    let phone = 320_000_000 + (n / 999_000) * 1_000_000 + 1_000 + n % 999_000;
    let message = format!("{:06} is your code.", n % 1_000_000);
    Ok(SubmitSm::builder()
        .source_addr_ton(Ton::Alphanumeric)
        .source_addr(text("NEXO".to_owned())?)
        .dest_addr_ton(Ton::International)
        .dest_addr_npi(Npi::Isdn)
        .destination_addr(text(format!("84{phone}"))?)
        .esm_class(EsmClass::from(0))
        .registered_delivery(RegisteredDelivery::from(1))
        .short_message(OctetString::from_string(message).map_err(|error| anyhow::anyhow!("{error}"))?)
        .build())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let Arguments { to, system_id, password, count, window, patience_s } = Arguments::parse();
    let stream = TcpStream::connect(to).await.context("the centre")?;
    stream.set_nodelay(true)?;
    let mut bare = Loop { stream, input: BytesMut::new(), out: BytesMut::new(), sequence: 0 };
    let bind = BindTransceiver::builder()
        .system_id(text(system_id)?)
        .password(text(password)?)
        .interface_version(InterfaceVersion::Smpp3_4);
    bare.ask(bind.build());
    ensure!(bare.hear().await?.status() == CommandStatus::EsmeRok, "the bind was refused");

    let began = Instant::now();
    let (mut sent, mut answered, mut accepted, mut receipts) = (0, 0, 0_u32, 0_u32);
    let mut seconds = 0.0;
    let deadline = began + Duration::from_secs(600);
    let mut patience = deadline;
    while answered < count || receipts < accepted {
        while sent < count && sent - answered < window {
            bare.ask(submit(sent)?);
            sent += 1;
        }
        let Ok(command) = tokio::time::timeout_at(patience.into(), bare.hear()).await else { break };
        let command = command?;
        match command.pdu() {
            Some(Pdu::DeliverSm(_)) => {
                receipts += 1;
                bare.put(command.sequence_number(), DeliverSmResp::default());
            }
            Some(Pdu::EnquireLink) => bare.put(command.sequence_number(), Pdu::EnquireLinkResp),
            _ => {
                answered += 1;
                accepted += u32::from(command.status() == CommandStatus::EsmeRok);
                if answered == count {
                    seconds = began.elapsed().as_secs_f64();
                    patience = Instant::now() + Duration::from_secs(patience_s);
                }
            }
        }
    }
    // The last acknowledgements are written before it: what is not acknowledged would come to whoever binds next.
    bare.ask(Pdu::Unbind);
    while bare.hear().await?.id() != CommandId::UnbindResp {}
    let rate = f64::from(answered) / seconds;
    println!(
        r#"{{"submits":{answered},"accepted":{accepted},"receipts":{receipts},"seconds":{seconds:.3},"rate":{rate:.1}}}"#
    );
    Ok(())
}
