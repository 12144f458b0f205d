//! How binds end: what an SMSC answers, and what it sends before it does.

use std::sync::Mutex;

use futures_util::future::BoxFuture;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::carrier::smpp::codec::tests::deliver_body;
use crate::carrier::smpp::early::{BYTES_MAX, PDUS_MAX};
use crate::carrier::smpp::framing::{HEADER_BYTES, PDU_BYTES_MAX};
use crate::carrier::smpp::samples;
use crate::carrier::upstream::{Naming, NotDurable, Receipt, ReceiptSink, Subject};
use crate::domain::reference::UpstreamId;
use crate::telemetry::names;

const BIND_RESPONSE: u32 = 0x8000_0009;
const NACK: u32 = 0x8000_0000;
const DELIVER: u32 = 0x05;
const ENQUIRE: u32 = 0x15;
const RESPONSE: u32 = 0x8000_0000;

/// Takes everything.
#[derive(Debug, Default)]
struct Sink(Mutex<Vec<Receipt>>);

impl Sink {
    /// What the receipts were of, in their order.
    fn references(&self) -> Vec<String> {
        let receipts = self.0.lock().expect("whole");
        let first = |receipt: &Receipt| match &receipt.subject {
            Subject::Reference { references, .. } => references[0].as_str().to_owned(),
            Subject::Attempt { .. } => panic!("an SMSC echoes no attempt"),
        };
        receipts.iter().map(first).collect()
    }
}

impl ReceiptSink for Sink {
    fn put(&self, receipt: Receipt) -> BoxFuture<'static, Result<(), NotDurable>> {
        self.0.lock().expect("whole").push(receipt);
        Box::pin(std::future::ready(Ok(())))
    }

    fn name(&self, _: Naming) -> BoxFuture<'static, Result<(), NotDurable>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// An SMSC of a few octets, and the link's part that binds to it.
struct Bed {
    smsc: TcpListener,
    shared: Arc<Shared>,
    sink: Arc<Sink>,
}

impl Bed {
    async fn new(role: Role) -> Self {
        let smsc = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let mut config = samples::config("");
        config.address = smsc.local_addr().expect("bound").to_string();
        let sink = Arc::new(Sink::default());
        let seam: Arc<dyn ReceiptSink> = Arc::clone(&sink) as _;
        let shared = Arc::new(Shared::new(UpstreamId("smsc".into()), &config, seam, &[role]));
        Self { smsc, shared, sink }
    }

    /// The next connection, its bind read.
    async fn dialled(&self) -> TcpStream {
        let (mut socket, _) = self.smsc.accept().await.expect("dialled");
        reads(&mut socket).await.expect("a bind");
        socket
    }

    /// What comes of a bind while the SMSC does as `script` says.
    async fn opened(
        &self,
        role: Role,
        script: impl AsyncFnOnce(&mut TcpStream),
    ) -> (Result<Session, Failed>, TcpStream) {
        let answers = async {
            let mut socket = self.dialled().await;
            script(&mut socket).await;
            socket
        };
        tokio::join!(open(&self.shared, 0, role), answers)
    }
}

fn pdu(command: u32, status: u32, sequence: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER_BYTES + body.len()).expect("short");
    [[length, command, status, sequence].map(u32::to_be_bytes).as_flattened(), body].concat()
}

fn receipt(sequence: u32) -> Vec<u8> {
    pdu(DELIVER, 0, sequence, &deliver_body(4, b"84901", format!("id:{sequence} stat:DELIVRD").as_bytes(), &[]))
}

/// Command, status and number of the next PDU; `None` when there is none any more.
async fn reads(socket: &mut TcpStream) -> Option<(u32, u32, u32)> {
    let length = socket.read_u32().await.ok()?;
    let mut rest = vec![0; usize::try_from(length).expect("short") - 4];
    socket.read_exact(&mut rest).await.ok()?;
    let field = |at: usize| u32::from_be_bytes(rest[at..at + 4].try_into().expect("four"));
    Some((field(0), field(4), field(8)))
}

async fn writes(socket: &mut TcpStream, pdus: &[Vec<u8>]) {
    socket.write_all(&pdus.concat()).await.expect("open");
}

/// What comes of a bind that is answered with these words of a header.
async fn answered(command: u32, status: u32) -> Result<(), Failed> {
    let bed = Bed::new(Role::Transceiver).await;
    let script = async |socket: &mut TcpStream| writes(socket, &[pdu(command, status, 1, b"")]).await;
    bed.opened(Role::Transceiver, script).await.0.map(drop)
}

#[tokio::test]
async fn only_an_answer_to_the_bind_that_says_so_is_a_bind() {
    assert!(matches!(answered(NACK, OK).await, Err(Failed::Refused(UNKNOWN_ERROR))));
    assert!(matches!(answered(NACK, ALREADY_BOUND).await, Err(Failed::Refused(ALREADY_BOUND))));
    assert!(matches!(answered(BIND_RESPONSE, ALREADY_BOUND).await, Err(Failed::Refused(ALREADY_BOUND))));
    assert!(answered(BIND_RESPONSE, OK).await.is_ok());
}

#[tokio::test]
async fn another_session_of_the_account_may_be_what_keeps_a_link_from_binding() {
    for (status, crowded) in [
        (ALREADY_BOUND, Some(Crowded::Said)),
        (BIND_FAILED, Some(Crowded::Perhaps)),
        (0x411, Some(Crowded::Perhaps)),
        // Wrong, or ill.
        (0x0E, None),
        (0x08, None),
    ] {
        let refused = answered(BIND_RESPONSE, status).await.expect_err("refused");
        assert_eq!(refused.crowded(), crowded, "{status:#x}");
    }
    let bed = Bed::new(Role::Transceiver).await;
    let hung_up = async { drop(bed.dialled().await) };
    let (opened, ()) = tokio::join!(open(&bed.shared, 0, Role::Transceiver), hung_up);
    assert_eq!(opened.err().and_then(|failed| failed.crowded()), Some(Crowded::Perhaps));
    let mut config = samples::config("");
    config.address = bed.smsc.local_addr().expect("bound").to_string();
    drop(bed.smsc);
    let shared = Arc::new(Shared::new(UpstreamId("smsc".into()), &config, bed.sink, &[Role::Transceiver]));
    let nobody = open(&shared, 0, Role::Transceiver).await.err().expect("nobody listens");
    assert_eq!(nobody.crowded(), None);
}

#[tokio::test]
async fn what_comes_before_the_bind_is_answered_waits_for_it_on_every_kind_of_bind() {
    for (role, response) in
        [(Role::Transceiver, 0x8000_0009), (Role::Receiver, 0x8000_0001), (Role::Transmitter, 0x8000_0002)]
    {
        let bed = Bed::new(role).await;
        let (opened, mut socket) = bed
            .opened(role, async |socket| {
                writes(socket, &[receipt(71), receipt(72), pdu(ENQUIRE, 0, 73, b""), pdu(0x0001_0203, 0, 74, b"?")])
                    .await;
                // An answer to nothing is none of the bind, and is answered by nothing.
                writes(socket, &[pdu(NACK, 3, 9, b""), pdu(ENQUIRE | RESPONSE, 0, 9, b"")]).await;
                assert_eq!(reads(socket).await, Some((ENQUIRE | RESPONSE, 0, 73)), "{role:?}: at once");
                assert_eq!(bed.sink.references(), [""; 0], "{role:?}: nothing else before the bind holds");
                writes(socket, &[pdu(response, OK, 1, b"SMSC\0"), receipt(75)]).await;
            })
            .await;
        bed.shared.tasks.spawn(opened.expect("bound").run());
        let mut answers = Vec::new();
        for _ in 0..4 {
            answers.push(reads(&mut socket).await.expect("answered"));
        }
        answers.sort_by_key(|(_, _, sequence)| *sequence);
        let delivered = |sequence| (DELIVER | RESPONSE, OK, sequence);
        assert_eq!(answers, [delivered(71), delivered(72), (NACK, 3, 74), delivered(75)], "{role:?}");
        assert_eq!(bed.sink.references(), ["71", "72", "75"], "{role:?}: in their order");
    }
}

#[tokio::test]
async fn a_bind_that_is_refused_answers_nothing_of_what_came_before() {
    let bed = Bed::new(Role::Transceiver).await;
    let (opened, mut socket) = bed
        .opened(Role::Transceiver, async |socket| {
            writes(socket, &[receipt(71), pdu(BIND_RESPONSE, ALREADY_BOUND, 1, b"")]).await;
        })
        .await;
    assert!(matches!(opened, Err(Failed::Refused(ALREADY_BOUND))));
    assert_eq!(reads(&mut socket).await, None);
    assert_eq!(bed.sink.references(), [""; 0]);
}

#[tokio::test]
async fn so_much_is_kept_and_no_more() {
    let short = PDUS_MAX;
    let long = BYTES_MAX / PDU_BYTES_MAX;
    for (sent, body, fits) in [
        (short, vec![], true),
        (short + 1, vec![], false),
        (long, vec![0; PDU_BYTES_MAX - HEADER_BYTES], true),
        (long + 1, vec![0; PDU_BYTES_MAX - HEADER_BYTES], false),
    ] {
        let bed = Bed::new(Role::Transceiver).await;
        let (opened, mut socket) = bed
            .opened(Role::Transceiver, async |socket| {
                for number in 0..u32::try_from(sent).expect("few") {
                    // The other side may have cut it already.
                    let _cut = socket.write_all(&pdu(DELIVER, 0, number, &body)).await;
                }
                let _cut = socket.write_all(&pdu(BIND_RESPONSE, OK, 1, b"")).await;
            })
            .await;
        assert_eq!(opened.is_ok(), fits, "{sent} of {}", body.len());
        match opened {
            Ok(session) => {
                bed.shared.tasks.spawn(session.run());
                for number in 0..u32::try_from(sent).expect("few") {
                    assert_eq!(reads(&mut socket).await, Some((DELIVER | RESPONSE, OK, number)), "each is answered");
                }
            }
            Err(failed) => {
                assert!(matches!(failed, Failed::TooMuch(TooMuch)), "{failed}");
                assert_eq!(reads(&mut socket).await, None, "cut, and nothing answered");
            }
        }
    }
}

#[tokio::test]
async fn a_connection_that_is_cut_for_too_much_is_counted_and_dialled_again() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let shown = recorder.handle();
    let _here = metrics::set_default_local_recorder(&recorder);
    let bed = Bed::new(Role::Transceiver).await;
    let kept = keep(Arc::clone(&bed.shared), 0, Role::Transceiver);
    let floods = async {
        let mut socket = bed.dialled().await;
        for number in 0..=u32::try_from(PDUS_MAX).expect("few") {
            let _cut = socket.write_all(&receipt(number)).await;
        }
        assert_eq!(reads(&mut socket).await, None);
        drop(bed.dialled().await);
        bed.shared.stop.cancel();
    };
    tokio::join!(kept, floods);
    let line = format!("{}{{link=\"smsc\",why=\"too_much_before_bind\"}} 1", names::SMPP_SESSIONS_ENDED);
    assert!(shown.render().contains(&line), "{}", shown.render());
    assert_eq!(bed.sink.references(), [""; 0]);
}
