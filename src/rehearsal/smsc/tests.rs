//! The centre over real sockets, against a client of a few lines.

use std::num::NonZeroU32;

use bytes::BytesMut;
use rusmpp::pdus::{BindReceiver, BindTransceiver, BindTransmitter, DeliverSm, DeliverSmResp, SubmitSm};
use rusmpp::types::{COctetString, OctetString};
use rusmpp::values::RegisteredDelivery;
use rusmpp::{CommandId, CommandStatus, Pdu};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::*;
use crate::carrier::smpp::framing::{Frame, Frames};

const PATIENCE: Duration = Duration::from_secs(20);

fn settings(script: Script) -> Settings {
    Settings {
        system_id: "nexo".to_owned(),
        password: "secret".to_owned(),
        script,
        response_ids: IdBase::Hex,
        receipt_ids: IdBase::Decimal,
        receipts: ReceiptForm::Both,
        journal: None,
    }
}

/// A centre that runs until the test ends.
struct Running {
    address: SocketAddr,
    controls: Controls,
    stop: Option<oneshot::Sender<()>>,
    tasks: JoinSet<()>,
}

impl Running {
    async fn start(settings: Settings) -> Self {
        let smsc = Smsc::bind(([127, 0, 0, 1], 0).into(), settings).await.expect("binds");
        let (address, controls) = (smsc.address().expect("bound"), smsc.controls());
        let (stop, stopped) = oneshot::channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(smsc.run(async {
            let _asked = stopped.await;
        }));
        Self { address, controls, stop: Some(stop), tasks }
    }

    async fn client(&self, bind: impl Into<Pdu>) -> Client {
        let mut client = Client::connect(self.address).await;
        assert_eq!(client.ask(&bind.into()).await.header.status, 0);
        client
    }
}

/// The other side of one connection.
struct Client {
    stream: TcpStream,
    input: Frames,
    sequence: u32,
}

impl Client {
    async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("connects");
        Self { stream, input: Frames::default(), sequence: 0 }
    }

    async fn send(&mut self, pdu: &Pdu) {
        self.sequence += 1;
        let mut out = BytesMut::new();
        wire::put(&mut out, self.sequence, pdu);
        self.stream.write_all(&out).await.expect("writes");
    }

    /// The next PDU; `None` when the connection is gone.
    async fn hear(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = self.input.next_frame().expect("in step") {
                return Some(frame);
            }
            let read =
                tokio::time::timeout(PATIENCE, self.stream.read_buf(self.input.buffer())).await.expect("in time");
            if read.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    async fn ask(&mut self, pdu: &Pdu) -> Frame {
        self.send(pdu).await;
        self.hear().await.expect("an answer")
    }

    /// The next PDU, which is a receipt, with its sequence number.
    async fn receipt(&mut self) -> (u32, DeliverSm) {
        let frame = self.hear().await.expect("a receipt");
        let sequence = frame.header.sequence;
        let Some(Pdu::DeliverSm(receipt)) = wire::read(&frame) else { panic!("no receipt") };
        (sequence, receipt)
    }

    async fn acknowledge(&mut self, sequence: u32) {
        let mut out = BytesMut::new();
        wire::put(&mut out, sequence, &Pdu::from(DeliverSmResp::default()));
        self.stream.write_all(&out).await.expect("writes");
    }
}

fn text<const MAX: usize>(text: &str) -> COctetString<1, MAX> {
    COctetString::from_string(text.to_owned()).expect("short")
}

fn transceiver(password: &str) -> BindTransceiver {
    BindTransceiver::builder().system_id(text("nexo")).password(text(password)).build()
}

fn submit(number: u32) -> Pdu {
    let submit = SubmitSm::builder()
        .source_addr(text("NEXO"))
        .destination_addr(text(&format!("84{}", 981_000_000 + number)))
        .registered_delivery(RegisteredDelivery::from(1))
        .short_message(OctetString::from_static_slice(b"Ma xac thuc 482917").expect("short"));
    Pdu::from(submit.build())
}

fn message_id(frame: &Frame) -> String {
    assert_eq!((frame.header.command, frame.header.status), (u32::from(CommandId::SubmitSmResp), 0));
    let Some(Pdu::SubmitSmResp(answer)) = wire::read(frame) else { panic!("no answer") };
    answer.message_id().as_str().to_owned()
}

#[tokio::test]
async fn only_who_is_known_binds_and_only_who_is_bound_submits() {
    let smsc = Running::start(settings(Script::default())).await;
    let mut client = Client::connect(smsc.address).await;
    assert_eq!(client.ask(&submit(0)).await.header.status, u32::from(CommandStatus::EsmeRinvbndsts));
    assert_eq!(
        client.ask(&Pdu::from(transceiver("wrong"))).await.header.status,
        u32::from(CommandStatus::EsmeRinvpaswd)
    );
    assert!(client.hear().await.is_none(), "a wrong password ends the connection");
    let stranger = BindTransceiver::builder().system_id(text("other")).password(text("secret")).build();
    let refused = Client::connect(smsc.address).await.ask(&Pdu::from(stranger)).await;
    assert_eq!(refused.header.status, u32::from(CommandStatus::EsmeRinvsysid));

    let mut client = smsc.client(transceiver("secret")).await;
    assert_eq!(
        client.ask(&Pdu::from(transceiver("secret"))).await.header.status,
        u32::from(CommandStatus::EsmeRalybnd)
    );
    assert_eq!(client.ask(&Pdu::EnquireLink).await.header.command, u32::from(CommandId::EnquireLinkResp));
    assert_eq!(client.ask(&Pdu::Unbind).await.header.command, u32::from(CommandId::UnbindResp));
    assert!(client.hear().await.is_none());
}

#[tokio::test]
async fn what_cannot_be_read_is_answered_and_a_bad_length_ends_it() {
    let smsc = Running::start(settings(Script::default())).await;
    let mut client = smsc.client(transceiver("secret")).await;
    for (id, status) in [(0x0000_0004_u32, 0x02), (0x0001_0203, 0x03), (0x0000_0103, 0x03)] {
        let words = [19, id, 0, 77].map(u32::to_be_bytes).concat();
        client.stream.write_all(&[words.as_slice(), b"\xff\xfe\xfd"].concat()).await.expect("writes");
        let answer = client.hear().await.expect("an answer");
        assert_eq!((answer.header.status, answer.header.sequence), (status, 77));
    }
    assert_eq!(
        client.ask(&Pdu::EnquireLink).await.header.command,
        u32::from(CommandId::EnquireLinkResp),
        "the session lives"
    );
    client.stream.write_all(&[0, 0, 0, 3]).await.expect("writes");
    assert!(client.hear().await.is_none());
}

#[tokio::test]
async fn a_receipt_bears_the_id_in_its_own_base() {
    let smsc = Running::start(settings(Script::default())).await;
    let mut client = smsc.client(transceiver("secret")).await;
    let id = message_id(&client.ask(&submit(0)).await);
    let (sequence, receipt) = client.receipt().await;
    let decimal = u64::from_str_radix(&id, 16).expect("hex").to_string();
    let said = receipt.short_message().to_str().expect("text").to_owned();
    assert!(said.starts_with(&format!("id:{decimal} ")) && said.contains("stat:DELIVRD"), "{said}");
    assert!(!said.contains("482917"), "no code is echoed");
    assert_eq!((receipt.source_addr.as_str(), receipt.destination_addr.as_str()), ("84981000000", "NEXO"));
    assert_eq!(smsc.controls.receipts_owed(), 1, "until it is acknowledged");
    client.acknowledge(sequence).await;
    client.ask(&Pdu::EnquireLink).await;
    assert_eq!(smsc.controls.receipts_owed(), 0);
}

#[tokio::test]
async fn a_receipt_can_come_before_its_answer() {
    let smsc = Running::start(settings(Script::default())).await;
    let mut client = smsc.client(transceiver("secret")).await;
    client.send(&submit(12)).await;
    client.receipt().await;
    message_id(&client.hear().await.expect("the answer"));
}

#[tokio::test]
async fn receipts_of_a_transmitter_come_over_a_receiver_and_wait_for_one() {
    let smsc = Running::start(settings(Script::default())).await;
    let transmitter = BindTransmitter::builder().system_id(text("nexo")).password(text("secret")).build();
    let receiver = || BindReceiver::builder().system_id(text("nexo")).password(text("secret")).build();
    let mut sender = smsc.client(transmitter).await;
    message_id(&sender.ask(&submit(0)).await);
    assert_eq!(
        sender.ask(&Pdu::EnquireLink).await.header.command,
        u32::from(CommandId::EnquireLinkResp),
        "no receipt before it"
    );

    let mut first = smsc.client(receiver()).await;
    assert_eq!(
        first.ask(&submit(0)).await.header.command,
        u32::from(CommandId::DeliverSm),
        "a receiver gets what waited"
    );
    assert_eq!(first.hear().await.expect("an answer").header.status, u32::from(CommandStatus::EsmeRinvbndsts));
    drop(first);
    let mut second = smsc.client(receiver()).await;
    let (sequence, _) = second.receipt().await;
    second.acknowledge(sequence).await;
    second.ask(&Pdu::EnquireLink).await;
    assert_eq!(smsc.controls.receipts_owed(), 0);
}

#[tokio::test]
async fn limits_are_told_and_a_hanging_centre_says_nothing() {
    let script = Script { rate_per_second: NonZeroU32::new(2), ..Script::default() };
    let smsc = Running::start(settings(script)).await;
    // What is owed to it does not come in between.
    let transmitter = || BindTransmitter::builder().system_id(text("nexo")).password(text("secret")).build();
    let mut client = smsc.client(transmitter()).await;
    let mut statuses = Vec::new();
    for number in [100, 101, 102] {
        statuses.push(client.ask(&submit(number)).await.header.status);
    }
    assert_eq!(statuses, [0, 0, u32::from(CommandStatus::EsmeRthrottled)]);

    smsc.controls.set_script(Script { in_flight_max: 1, hang: true, ..Script::default() });
    let mut client = smsc.client(transmitter()).await;
    client.send(&submit(0)).await;
    let next = client.ask(&submit(1)).await;
    assert_eq!((next.header.status, next.header.sequence), (u32::from(CommandStatus::EsmeRmsgqful), client.sequence));
}

#[tokio::test]
async fn the_line_is_cut_and_mended_and_what_is_owed_is_kept() {
    let smsc = Running::start(settings(Script::default())).await;
    let mut client = smsc.client(transceiver("secret")).await;
    message_id(&client.ask(&submit(0)).await);
    client.receipt().await;
    smsc.controls.cut();
    assert!(client.hear().await.is_none());
    assert!(Client::connect(smsc.address).await.hear().await.is_none(), "closed at once");
    smsc.controls.mend();
    let mut client = smsc.client(transceiver("secret")).await;
    client.receipt().await;
    client.send(&submit(27)).await;
    assert!(client.hear().await.is_none(), "taken, and the connection is gone");
}

#[tokio::test]
async fn a_stop_unbinds_every_session() {
    let mut smsc = Running::start(settings(Script::default())).await;
    let mut client = smsc.client(transceiver("secret")).await;
    smsc.stop.take().expect("once").send(()).expect("runs");
    let unbind = client.hear().await.expect("told");
    assert_eq!(unbind.header.command, u32::from(CommandId::Unbind));
    let mut out = BytesMut::new();
    wire::put(&mut out, unbind.header.sequence, &Pdu::UnbindResp);
    client.stream.write_all(&out).await.expect("writes");
    assert!(client.hear().await.is_none());
    smsc.tasks.join_next().await.expect("one task").expect("ends");
}
